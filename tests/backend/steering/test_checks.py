"""Checks by eye: what may be judged, what it says, and that nothing else is touched by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.campaign import events, history
from backend.campaign.audit_result import judge as judge_audit
from backend.campaign.audits import Audit
from backend.campaign.state import Phase, derive
from backend.steering.actions import possible
from backend.steering.checks import Judgement, judge, machine_labels
from backend.views.audits.checks import check_rows, to_judge
from backend.views.review import is_visible, review
from mcal_engine.errors import InvalidValue
from mcal_engine.round import draw_secret
from tests.backend.campaign.golden.replay import Recording
from tests.backend.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("checked"), n=240, guarantee="estimate", approve_write_back="on")
    assert "check" not in possible(made.advance())  # nothing is decided yet
    assert made.run(until=[Phase.AWAITING_APPROVAL]).phase == Phase.AWAITING_APPROVAL
    return made


def say(world: World, right: list[int], wrong: list[int], check: int | None = None) -> None:
    said = Judgement(check=len(world.state().checks) if check is None else check, right=right, wrong=wrong)
    judge(world.store, world.campaign.id, said, world.now(), by="ann")


def test_a_check_is_a_secret_draw_from_all_machine_labels_and_changes_nothing_in_label_studio(world: World) -> None:
    before, calls = world.state(), len(world.label_studio.calls)
    world.act("check", size=15, by="ann")
    state = world.state()
    check = state.checks[-1]
    rows = {row.task_id: row.label for row in machine_labels(before)}
    assert check.choices == tuple(rows[task] for task in check.ids) and check.n_machine == len(rows)
    (opened,) = history.read(world.store, world.campaign.id, events.CheckOpened)[-1:]
    drawn = draw_secret(int(opened.event.entropy, 16), np.array(sorted(rows)), 15)
    assert list(check.ids) == drawn.tolist()
    assert (state.phase, state.machine_labels, len(world.label_studio.calls)) == (before.phase, before.machine_labels, calls)
    shown = to_judge(state)
    assert shown is not None and [item["task"] for item in shown["items"]] == list(check.ids)
    assert all(is_visible(state, review(world.store, state), task) for task in check.ids)


@pytest.mark.parametrize(
    ("right", "wrong", "check", "says"),
    [
        ([10**9], [], None, "right and wrong must name tasks of check"),
        ([], [10**9], None, "got 1000000000"),
        ([], [], 77, "check must be the number of the open check"),
    ],
)
def test_a_judgement_that_is_about_nothing_is_refused_by_name(
    world: World, right: list[int], wrong: list[int], check: int, says: str
) -> None:
    world.act("check", size=4, by="ann")
    with pytest.raises(InvalidValue, match=says):
        say(world, right, wrong, check)


def test_an_item_cannot_be_right_and_wrong_at_once(world: World) -> None:
    world.act("check", size=4, by="ann")
    task = world.state().checks[-1].ids[0]
    with pytest.raises(InvalidValue, match=f"got {task} as both"):
        say(world, [task], [task])


def test_a_sample_larger_than_what_there_is_is_refused(world: World) -> None:
    n = len(machine_labels(world.state()))
    with pytest.raises(InvalidValue, match=f"size must be from 1 to the {n} machine labels"):
        world.act("check", size=n + 1)


def test_the_last_word_counts_until_all_is_judged_and_then_it_is_final(world: World) -> None:
    world.act("check", size=20, by="ann")
    ids = list(world.state().checks[-1].ids)
    say(world, ids[:19], [])
    assert check_rows(world.state())[-1]["max_errors"] is None  # one is missing
    say(world, [], ids[:2])
    say(world, ids[1:2] + ids[19:], [])
    check = world.state().checks[-1]
    row = check_rows(world.state())[-1]
    assert (row["status"], row["n_wrong"], [each["task"] for each in row["wrong"]]) == ("decided", 1, ids[:1])
    with pytest.raises(InvalidValue, match="which is none"):
        say(world, ids[:1], [])
    # As an audit of the same sample would say it.
    audit = Audit(1, 20, check.confidence_level, "ann", check.opened_at, n_written=check.n_machine, allowed=check.allowed)
    found = judge_audit(audit, check.choices, [-1, *check.choices[1:]])
    assert (row["max_errors"], row["min_errors"], row["verdict"]) == (found.max_errors, found.min_errors, found.verdict)


def test_a_new_check_gives_an_open_one_up(world: World) -> None:
    world.act("check", size=5, by="ann")
    number = len(world.state().checks)
    world.act("check", size=5, by="ann")
    row = check_rows(world.state())[number - 1]
    assert row["status"] == "given up" and "it says nothing" in row["sentence"] and row["max_errors"] is None


def test_what_people_label_blindly_for_an_audit_is_not_shown_to_whoever_checks_by_eye(tmp_path: Path) -> None:
    *_, (facts, now) = Recording("checked").facts()
    state = derive(facts, now)
    assert state.phase == Phase.FINISHED and [check.given_up for check in state.checks] == [True, False, False]
    assert to_judge(state) is not None
    world = World(tmp_path, n=240, guarantee="estimate")
    world.run()
    world.act("check", size=10)
    world.act("audit", size=10)
    world.advance()
    assert world.state().audit is not None and to_judge(world.state()) is None
