"""What is known of each class, and how sure that is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from backend.campaign.history import entries
from backend.campaign.state import Phase
from backend.views.certificate import certificate
from backend.views.classes import absent_from_test, absent_from_training, bound, classes, share
from backend.views.report import make_report
from mcal_engine.certificates.per_class import OfClasses
from mcal_engine.types import LabelByMachine
from tests.backend.world import CHOICES, World

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("count", "n"), [(0, 12), (3, 40), (40, 40), (1, 1), (17, 230)])
def test_intervals_are_clopper_and_pearson_s(count: int, n: int) -> None:
    known = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
    found = share(count, n)
    assert found["low"] == pytest.approx(known.low) and found["high"] == pytest.approx(known.high)
    assert found["share"] == count / n


def test_nothing_counted_is_nothing_known() -> None:
    assert share(0, 0) == {"n": 0, "count": 0, "share": None, "low": None, "high": None}


def test_the_classes_add_up_to_what_was_measured(tmp_path: Path) -> None:
    world = World(tmp_path, n=300, test_size=60)
    state = world.run(until=[Phase.CERTIFYING])
    rows = classes(state, entries(world.store.events(world.campaign.id)))
    last = state.observations[-1]
    assert [row["choice"] for row in rows] == list(CHOICES)
    assert sum(row["wrong"]["n"] for row in rows) == len(last.test_ids)
    assert sum(row["wrong"]["count"] for row in rows) == int((~last.measurements[0].correct).sum())
    for row in rows:
        assert row["machine_wrong"]["count"] <= min(row["to_machine"]["count"], row["wrong"]["count"])
        assert row["to_machine"]["n"] == row["wrong"]["n"]
        assert row["sample"]["n"] == 0  # blind until it is decided
    assert state.decision is not None and state.decision.plan is not None
    planned = sum(row["to_machine"]["count"] for row in rows) / len(last.test_ids)
    assert planned == pytest.approx(state.decision.plan.theta * 300 / (300 - 60), abs=0.2)  # T itself is people's


def test_once_decided_the_sample_s_errors_are_told_by_the_machine_s_choice(tmp_path: Path) -> None:
    world = World(tmp_path, n=300)
    state = world.run()
    assert isinstance(state.decision, LabelByMachine)
    rows = classes(state, entries(world.store.events(world.campaign.id)))
    frozen = {row.task_id: row for row in world.store.frozen(world.campaign.id, state.decision.look)}
    inside = [
        frozen[task]
        for task, role in state.roles.items()
        if role == "certificate" and task in frozen and frozen[task].rank < state.decision.n_ranked
    ]
    for place, row in enumerate(rows):
        mine = [each for each in inside if each.label == place]
        assert row["sample"]["n"] == len(mine)
        assert row["sample"]["count"] == sum(state.items[each.task_id].label != place for each in mine)
    outcome = state.outcomes[-1]
    assert sum(row["sample"]["count"] for row in rows) == int(np.sum(outcome.errors[outcome.ranks < state.decision.n_ranked]))
    assert sum(row["machine"] for row in rows) == len(world.machine_annotations())


def test_a_class_that_the_test_set_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, hopeless=True)
    monkeypatch.setattr(world, "right", lambda task: CHOICES[task % 2])
    world.advance()
    assert absent_from_test(classes(world.state(), ())) == []  # nothing is measured yet
    world.label()
    rows = classes(world.advance(), entries(world.store.events(world.campaign.id)))
    assert absent_from_test(rows) == ["cat"]


def by_class(world: World) -> tuple[dict[str, int], dict[str, int]]:
    """Machine labels in Label Studio by choice, and how many of them are wrong."""
    given: dict[str, int] = dict.fromkeys(CHOICES, 0)
    wrong: dict[str, int] = dict.fromkeys(CHOICES, 0)
    for task, annotation in world.machine_annotations().items():
        said = annotation.choice
        given[said] += 1
        wrong[said] += said != world.right(task)
    return given, wrong


def test_a_bound_per_class_is_kept_by_what_is_written_and_told_everywhere(tmp_path: Path) -> None:
    world = World(tmp_path, n=900, test_size=90, min_class_precision=0.8)
    state = world.run()
    decision, report = state.decision, make_report(state, world.now())
    assert isinstance(decision, LabelByMachine)
    assert len(decision.class_cuts) == len(CHOICES)
    given, wrong = by_class(world)
    assert sum(given.values()) == decision.n_machine > 0
    assert all(wrong[choice] <= 0.2 * given[choice] for choice in CHOICES)
    rows = classes(state, entries(world.store.events(world.campaign.id)))
    for row in rows:
        assert row["bound"] is not None
        assert row["bound"]["n_machine"] == row["machine"] == given[row["choice"]]
        assert row["bound"]["sentence"].startswith(f"{row['choice']}: ")
    assert report["class_bounds"] == [row["bound"] for row in rows]
    words = certificate(state, report)
    assert "0.8 of the machine's labels for each class" in words["headline"]
    assert not any("single class" in step for step in words["steps"])
    less = [row["bound"]["sentence"] for row in rows if row["bound"] is not None and row["bound"]["status"] in ("cut", "people")]
    assert [step for step in words["steps"] if step in less] == less


def test_a_class_that_the_machine_often_gives_wrongly_is_left_to_people_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, n=900, test_size=90, target_error=0.15, min_class_precision=0.8)
    right = world.right
    # People call every third item that looks like a cat an ant; the trainer goes on to say cat.
    monkeypatch.setattr(world, "right", lambda task: "ant" if right(task) == "cat" and task % 3 == 0 else right(task))
    state = world.run()
    assert isinstance(state.decision, LabelByMachine)
    rows = {row["choice"]: row for row in classes(state, entries(world.store.events(world.campaign.id)))}
    bound = rows["cat"]["bound"]
    assert bound is not None
    assert bound["status"] == "people"
    assert by_class(world)[0]["cat"] == rows["cat"]["machine"] == 0 < bound["n_offered"]
    assert f"people label these {bound['n_offered']:,}" in bound["sentence"]
    assert rows["cat"]["sample"]["count"] > 0
    assert rows["bee"]["machine"] > 0
    assert bound["sentence"] in certificate(state, make_report(state, world.now()))["steps"]


def test_before_the_sample_is_answered_a_bound_waits_and_without_one_there_is_none(tmp_path: Path) -> None:
    world = World(tmp_path / "with", n=300, min_class_precision=0.7)
    state = world.run(until=[Phase.CERTIFYING, Phase.RESIDUAL, Phase.FINISHED])
    assert {row["bound"]["status"] for row in classes(state, ()) if row["bound"] is not None} == {"waiting"}
    assert {row["bound"] for row in classes(World(tmp_path / "without").advance(), ())} == {None}


@pytest.mark.parametrize(
    ("wrong", "machine", "status", "said"),
    [
        (0, 0, "people", "0 of 12 sampled wrong, too few to show 0.9"),
        (9, 0, "people", "9 of 12 sampled wrong, which does not show 0.9"),
        (0, 230, "kept", "at least 0.9 of the machine's 230 labels are right"),
        (1, 100, "cut", "the surest 100 are the machine's, people label 130"),
    ],
)
def test_what_becomes_of_a_class_is_said_in_a_sentence(wrong: int, machine: int, status: str, said: str) -> None:
    one = [np.array([value]) for value in (machine, machine, 230, 0, 0, 12, wrong)]
    found = bound(0.9, "Bag", OfClasses(*one), 0)
    assert (found["status"], found["choice"]) == (status, "Bag")
    assert said in found["sentence"]


def test_choices_that_no_training_label_has_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, hopeless=True)
    monkeypatch.setattr(world, "right", lambda task: CHOICES[task % 2])
    assert absent_from_training(world.advance()) == []
    world.label()
    assert absent_from_training(world.advance()) == ["cat"]
