"""The trace of pulls: what is in order is accepted, and every way to break it is noticed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from backend.demo.annotators import Pull
from backend.demo.trace import Batch, examine, lines, place

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def pull(who: str, asked: float, task: int | None, *, takes: float = 0.2, labels: float = 0.2) -> Pull:
    served = at(asked + takes)
    if task is None:
        return Pull(who, at(asked), served)
    return Pull(who, at(asked), served, task, "Uncertainty", 1000 + task, "3", served + timedelta(seconds=labels))


FIRST = Batch("q1", "train", at(0), (7, 3, 9, 5))
SECOND = Batch("q2", "train", at(10), (8, 5, 1))


def test_a_batch_in_order_with_nothing_behind_it_has_no_findings() -> None:
    pulls = [pull("a", 1, 7), pull("b", 1.1, 3), pull("a", 2, 9), pull("b", 2.1, 5), pull("a", 3, None), pull("b", 3.1, None)]
    found = examine(pulls, [FIRST])
    assert (found.outside, found.disorder, found.repeated, found.raced) == ((), (), (), ())
    assert found.empty_replies == {"q1": 2}


def test_answers_that_overlap_in_time_may_swap_places() -> None:
    assert examine([pull("a", 1, 3, takes=0.3), pull("b", 1.1, 7)], [FIRST]).disorder == ()


def test_a_later_place_served_before_an_earlier_one_was_asked_for_is_disorder() -> None:
    found = examine([pull("a", 1, 9), pull("b", 2, 7)], [FIRST])
    assert len(found.disorder) == 1
    assert "place 0 of q1 after place 2" in found.disorder[0]


def test_a_task_that_no_open_batch_holds_is_outside() -> None:
    assert "task 4, which no open batch held" in examine([pull("a", 1, 4)], [FIRST]).outside[0]
    assert "task 8" in examine([pull("a", 9, 8)], [FIRST, SECOND]).outside[0]  # its batch opens a second later


def test_a_task_of_two_batches_belongs_to_the_newer_one_once_that_is_open() -> None:
    placed = place([pull("a", 1, 5), pull("a", 11, 5)], [FIRST, SECOND])
    assert [(each.batch and each.batch.model_version, each.position) for each in placed] == [("q1", 3), ("q2", 1)]


def test_a_task_served_to_two_people_at_once_is_a_race_and_later_a_repetition() -> None:
    raced = examine([pull("a", 1, 7), pull("b", 1.1, 7)], [FIRST])
    assert (raced.raced, raced.repeated) == ((7,), ())
    repeated = examine([pull("a", 1, 7), pull("b", 2, 7)], [FIRST])
    assert repeated.raced == ()
    assert "b at" in repeated.repeated[0]
    assert examine([pull("a", 1, 7), pull("a", 2, 7)], [FIRST]).repeated


def test_every_line_of_the_trace_names_task_person_time_and_batch() -> None:
    rows = [json.loads(line) for line in lines([pull("a", 1, 7), pull("b", 2, None)], [FIRST])]
    assert rows[0]["task"] == 7
    assert rows[0]["annotator"] == "a"
    assert (rows[0]["batch"], rows[0]["position"]) == ("q1", 0)
    assert rows[0]["served_at"] == at(1.2).isoformat()
    assert (rows[1]["task"], rows[1]["batch"], rows[1]["submitted_at"]) == (None, None, None)


def test_a_second_person_on_a_task_that_two_are_asked_about_is_as_it_should_be_and_a_third_is_not() -> None:
    batch = Batch("q1", "certificate", at(0), (7, 3, 9, 5), frozenset({3}))
    wanted = [pull("a", 1, 7), pull("a", 2, 3), pull("a", 3, 9), pull("b", 4, 3), pull("b", 5, 5)]
    found = examine(wanted, [batch])
    assert (found.outside, found.disorder, found.repeated, found.raced) == ((), (), (), ())
    assert len(examine(wanted, [FIRST]).repeated) == 1
    assert len(examine([*wanted, pull("c", 6, 3)], [batch]).repeated) == 1
    assert len(examine([*wanted, pull("a", 6, 3)], [batch]).repeated) == 1
