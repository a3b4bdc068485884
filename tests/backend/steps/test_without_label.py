"""Items that people answered without a usable label: the true reason everywhere, and a way to ask for them again."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.history import entries
from backend.campaign.state import Phase
from backend.store import Store
from backend.views.campaign import campaign_view
from backend.views.exports import export_of, items_csv
from backend.views.log import log_row
from backend.views.report import make_report
from backend.views.status import sentence
from mcal_engine.errors import InvalidValue
from tests.backend.kills import advance_until
from tests.backend.world import World

pytestmark = pytest.mark.slow

REASONS = (
    "submitted without an answer",
    "2 choices at once: 'ant', 'bee'",
    "answered under 'quality' only, not under 'label'",
    "a choice that the label config does not have: 'dog'",
    "skipped by people",
)


def answer_badly(world: World, bad: dict[int, str]) -> None:
    """People give the answers of ``bad`` (task → why it holds no label) the first time that they are asked."""
    annotate, studio = world.label_studio.annotate, world.label_studio

    def answered(task: int, user: Any, choice: str | None, **more: Any) -> int:
        why = bad.pop(task, None)
        if why is None:
            return annotate(task, user, choice, **more)
        if why == "skipped by people":
            return max(studio.skip(task, person) for person in world.people)  # who skips one leaves it to the other
        return annotate(task, user, "dog", **more) if "'dog'" in why else annotate(task, user, None, instead=why, **more)

    studio.annotate = answered  # type: ignore[method-assign]


@pytest.fixture
def ended(tmp_path: Path) -> tuple[World, dict[int, str]]:
    """A finished campaign in which every fifth task that people were asked for has no label, for all reasons in turn."""
    world = World(tmp_path, n=220, hopeless=True)
    bad = {task: REASONS[place % len(REASONS)] for place, task in enumerate(world.tasks[::5])}
    told = dict(bad)
    answer_badly(world, bad)
    assert world.run().phase == Phase.FINISHED
    return world, told


def test_each_reason_is_told_on_page_report_and_export(ended: tuple[World, dict[int, str]]) -> None:
    world, told = ended
    state = world.state()
    assert {item.task_id: item.no_label for item in state.set_aside} == told
    view = campaign_view(state, world.campaign, entries(world.store.events(world.campaign.id)), state.at)
    assert {row["task"]: row["why"] for row in view["set_aside"]} == told
    report = make_report(state, state.at)
    assert {row["why"]: row["n"] for row in report["set_aside"]} == {why: list(told.values()).count(why) for why in REASONS}
    assert report["n_set_aside"] == len(told) == 44
    rows = list(csv.DictReader(io.StringIO("".join(items_csv(export_of(state, make_report(state, state.at)))))))
    assert {int(row["task"]): row["note"] for row in rows if not row["label"]} == told
    assert "44 items have no label (9: " in sentence(state)


def test_nothing_was_saved_by_items_that_nobody_could_label(ended: tuple[World, dict[int, str]]) -> None:
    report = make_report(ended[0].state(), ended[0].now())
    assert report["n_machine"] == 0 and report["human_labels"] == 220 - 44
    assert report["human_only_cost"] == pytest.approx(0.04 * (220 - 44)) and report["savings"] is not None and report["savings"] <= 0


def test_people_are_asked_again_and_the_campaign_ends_with_every_label(ended: tuple[World, dict[int, str]]) -> None:
    world, told = ended
    before = {task: {row.id for row in rows} for task, rows in world.annotations().items()}
    world.label_studio.set_project(world.project, sampling="Uniform sampling")  # its admin's wish, after the end
    said = world.act("ask-again")
    assert "people are asked again for 44 items" in said
    state = world.advance()
    assert state.phase == Phase.RESIDUAL and {item.task_id for item in state.residual} == set(told) and not state.set_aside
    emptied = {task for task, why in told.items() if why in ("submitted without an answer", "skipped by people")}
    now = world.annotations()
    assert all(not now[task] for task in emptied)  # nothing was in them
    assert all({row.id for row in now[task]} == before[task] for task in told.keys() - emptied)  # something was
    state = world.run()
    assert state.phase == Phase.FINISHED and not state.set_aside and len(state.live) == sum(item.label is not None for item in state.live)
    report = make_report(state, state.at)
    assert report["n_set_aside"] == 0 and report["human_labels"] == 220 and report["human_only_cost"] == pytest.approx(0.04 * 220)
    assert world.label_studio.project(world.project).sampling == "Uniform sampling"
    assert {task.overlap for task in world.label_studio.tasks(world.project, state.control)} == {1}
    n_deleted = sum(len(before[task]) for task in emptied)
    assert [log_row(event)["sentence"] for event in world.store.events(world.campaign.id, kinds=("asked_again",))] == [
        f"People are asked again: {n_deleted} skips and empty answers deleted"
    ]
    with pytest.raises(InvalidValue, match="no item that people answered without a label"):
        world.act("ask-again")


def test_an_answer_that_its_author_corrects_counts_and_another_empty_one_is_not_waited_for(
    ended: tuple[World, dict[int, str]],
) -> None:
    world, told = ended
    world.act("ask-again")
    world.advance()
    two, unknown = (next(task for task, why in told.items() if part in why) for part in ("2 choices", "'dog'"))
    (kept,) = world.annotations()[two]
    world.label_studio.edit(kept.id, next(user for user in world.people if user.id == kept.completed_by), world.right(two))
    other = next(user for user in world.people if user.id != world.annotations()[unknown][0].completed_by)
    world.label_studio.annotate(unknown, other, None)
    state = world.advance()
    assert state.items[two].label == world.truth(two)
    assert [item.task_id for item in state.set_aside] == [unknown]
    assert world.run().phase == Phase.FINISHED


def test_asking_again_may_be_killed_after_every_step(tmp_path: Path) -> None:
    world = World(tmp_path, n=210, hopeless=True)
    answer_badly(world, {task: REASONS[place % len(REASONS)] for place, task in enumerate(world.tasks[:15])})
    world.run()
    world.act("ask-again")
    step = 0
    while world.state().asking:
        step += 1
        advance_until(world, step)  # it comes one change further each time
        assert step < 60
    assert isinstance(world.store, Store) and len(world.state().residual) == 15
    assert world.run().phase == Phase.FINISHED


def test_people_can_be_asked_again_only_when_nothing_else_is_going_on(tmp_path: Path) -> None:
    world = World(tmp_path, n=210)
    world.advance()
    with pytest.raises(InvalidValue, match="is collecting"):
        world.act("ask-again")
