"""What people disagree on: counts, exact intervals, who, what, and when to warn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from backend.campaign.state import State
from backend.views.classes import share
from backend.views.people.disagreement import disagreement, warning
from tests.backend.world import CHOICES, World


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A campaign whose first queue asks two people about all of the 40 test items."""
    return World(tmp_path_factory.mktemp("asked"), overlap_share=1.0).advance()


def answered(state: State, world_labels: dict[int, tuple[tuple[int, int], tuple[int, int]]]) -> State:
    """The state after these answers: task → (person, choice) first and second."""
    from backend.store import Duplicate

    items, second = dict(state.items), {}
    for number, (task, ((first, choice), (other, said))) in enumerate(world_labels.items()):
        items[task] = replace(items[task], label=choice, annotator=first, annotation_id=2 * number, labelled_at=state.at, n_human=2)
        second[task] = Duplicate(task, 2 * number + 1, other, said, state.at)
    return replace(state, items=items, second_labels=second, repeats=tuple(second.values()), names={7: "Ann", 8: "Bob"})


def test_nothing_is_said_where_nobody_is_asked_twice(tmp_path: Path) -> None:
    assert disagreement(World(tmp_path).advance()) is None


def test_before_the_first_second_label_there_is_only_a_plan(asked: State) -> None:
    found = disagreement(asked)
    assert found is not None and (found["planned"], found["test"]["n"], found["compared"], found["warning"]) == (40, 0, None, "none")
    assert found["sentences"] == ["Two people are asked about 40 test and certificate items; 0 of these have both labels."]


def test_the_interval_is_clopper_and_pearson_s_and_the_confusions_are_pairs_without_order(asked: State) -> None:
    assert asked.queue is not None
    tasks = asked.queue.twice
    answers = dict.fromkeys(tasks[4:30], ((7, 0), (8, 0))) | {tasks[30]: ((9, 2), (7, 2))}
    answers |= {tasks[0]: ((7, 0), (8, 1)), tasks[1]: ((8, 1), (7, 0)), tasks[2]: ((7, 2), (8, 0)), tasks[3]: ((9, 1), (8, 0))}
    found = disagreement(answered(asked, answers))
    assert found is not None
    exact = stats.binomtest(4, 31).proportion_ci(0.95, method="exact")
    assert (found["test"]["count"], found["test"]["n"]) == (4, 31) and found["certificate"]["n"] == 0
    assert (found["test"]["low"], found["test"]["high"]) == pytest.approx((exact.low, exact.high))
    assert found["confusions"] == [{"choices": list(CHOICES[:2]), "n": 3}, {"choices": [CHOICES[0], CHOICES[2]], "n": 1}]
    people = {row["annotator"]: (row["name"], row["differing"]["count"], row["differing"]["n"]) for row in found["annotators"]}
    assert people == {7: ("Ann", 3, 30), 8: ("Bob", 4, 30), 9: ("", 1, 2)}
    assert [row["annotator"] for row in found["annotators"]] == [7, 8, 9]
    assert "on 4 of 31: 12.9% [3.6%, 29.8%]" in found["sentences"][1]
    assert found["warning"] == "mild" and "A target error of 5% is below what was counted" in found["advice"]


def test_kappa_of_two_people_is_fleiss_with_the_interval_of_what_they_agree_on(asked: State) -> None:
    assert asked.queue is not None
    said = [(0, 0)] * 12 + [(1, 1)] * 7 + [(2, 2)] * 3 + [(0, 1)] * 2 + [(2, 0)]
    tasks = asked.queue.twice
    answers = {task: ((7, one), (8, other)) for task, (one, other) in zip(tasks, said, strict=False)}
    answers |= {tasks[30]: ((9, 1), (7, 1)), tasks[31]: ((8, 2), (9, 2)), tasks[32]: ((9, 2), (8, 1))}
    found = disagreement(answered(asked, answers))
    assert found is not None
    first, *others = found["agreement"]
    table = np.array([[(one == k) + (other == k) for k in range(3)] for one, other in said])
    same = float(((table**2).sum(axis=1) - 2).mean() / 2)  # Fleiss (1971), n = 2
    chance = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    assert (first["annotators"], first["names"], first["same"]["n"], first["same"]["count"]) == ([7, 8], ["Ann", "Bob"], 25, 22)
    assert first["kappa"] == pytest.approx((same - chance) / (1 - chance))
    exact = stats.binomtest(22, 25).proportion_ci(0.95, method="exact")
    assert (first["low"], first["high"]) == pytest.approx(tuple((end - chance) / (1 - chance) for end in exact))
    assert [(row["annotators"], row["same"]["n"]) for row in others] == [([8, 9], 2), ([7, 9], 1)]
    assert others[1]["kappa"] is None  # one class only: nothing tells agreement from chance


def test_a_target_that_is_finer_than_people_agree_is_said_to_be(asked: State) -> None:
    assert asked.queue is not None
    answers = {task: ((7, 0), (8, int(place < 12))) for place, task in enumerate(asked.queue.twice)}
    found = disagreement(answered(asked, answers))
    assert found is not None and found["warning"] == "strong"
    assert found["advice"].startswith("A target error of 5% is finer than your people agree") and "may well be certified" in found["advice"]


def test_deleted_items_and_labels_that_were_taken_back_are_not_compared(asked: State) -> None:
    assert asked.queue is not None
    gone, bare, kept = asked.queue.twice[:3]
    state = answered(asked, dict.fromkeys((gone, bare, kept), ((7, 0), (8, 1))))
    state = replace(
        state,
        items=state.items | {gone: replace(state.items[gone], deleted=True), bare: replace(state.items[bare], label=None, annotator=None)},
    )
    found = disagreement(state)
    assert found is not None and found["test"]["n"] == 1


@pytest.mark.parametrize(
    ("count", "n", "target", "expected"),
    [
        (0, 0, 0.01, "none"),
        (0, 50, 0.01, "none"),
        (3, 100, 0.05, "none"),
        (3, 100, 0.02, "mild"),
        (3, 100, 0.03, "none"),
        (30, 100, 0.05, "strong"),
    ],
)
def test_the_warning_follows_the_lower_end_and_the_share(count: int, n: int, target: float, expected: str) -> None:
    assert warning(share(count, n), target) == expected
