"""When a queue has enough labels: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.campaign.queues import Queue, enough, opened, opening, progress, second_labels
from backend.campaign_settings import parse_campaign_settings
from backend.store import Duplicate, Item, Role

OPENED = datetime(2026, 1, 5, 9, tzinfo=UTC)
SETTINGS = parse_campaign_settings({"target_error": 0.05, "price_per_label": 1, "quorum": 0.9, "patience_minutes": 15}, defaults={})


def item(task: int, **fields: Any) -> Item:
    values: dict[str, Any] = {
        "task_id": task,
        "image": f"{task}.png",
        "label": None,
        "annotation_id": None,
        "annotator": None,
        "labelled_at": None,
        "lead_time": None,
        "n_human": 0,
        "skipped": False,
        "preexisting": False,
        "unreadable": None,
        "deleted": False,
        "machine_annotation_id": None,
        "updated_at": OPENED,
    }
    return Item(**{**values, **fields})


def labelled(task: int, after: timedelta = timedelta()) -> Item:
    return item(task, label=0, n_human=1, labelled_at=OPENED + after)


def train_queue(n: int, ahead: int = 0, **fields: Any) -> Queue:
    scores = tuple(float(place) for place in range(n + ahead))
    return Queue("train", 1, "q", tuple(range(n + ahead)), n, classifier="frozen", scores=scores, opened_at=OPENED, **fields)


def is_enough(
    queue: Queue, items: list[Item], minutes: float, roles: dict[int, Role] | None = None, second: dict[int, Duplicate] | None = None
) -> bool:
    seen = progress(queue, {each.task_id: each for each in items}, roles or {}, second or {})
    return enough(seen, SETTINGS, OPENED + timedelta(minutes=minutes))


def test_everything_labelled_is_enough_at_once() -> None:
    assert is_enough(train_queue(3), [labelled(task) for task in range(3)], 0)


def test_skipped_unreadable_and_deleted_tasks_are_not_waited_for() -> None:
    items = [labelled(0), item(1, skipped=True), item(2, unreadable="empty"), item(3, deleted=True)]
    assert is_enough(train_queue(4), items, 0)


def test_work_ahead_is_not_waited_for() -> None:
    assert is_enough(train_queue(2, ahead=2), [labelled(0), labelled(1), item(2), item(3)], 0)


@pytest.mark.parametrize(("minutes", "expected"), [(14, False), (15, True)])
def test_a_straggler_is_waited_for_until_patience_runs_out(minutes: float, expected: bool) -> None:
    items = [*(labelled(task) for task in range(9)), item(9)]
    assert is_enough(train_queue(10), items, minutes) is expected


def test_patience_starts_again_with_every_label() -> None:
    items = [*(labelled(task) for task in range(8)), labelled(8, timedelta(minutes=10)), item(9)]
    assert not is_enough(train_queue(10), items, 24)
    assert is_enough(train_queue(10), items, 25)


def test_below_the_quorum_patience_never_runs_out() -> None:
    items = [*(labelled(task) for task in range(8)), item(8), item(9)]
    assert not is_enough(train_queue(10), items, 60 * 24 * 365)


def test_a_missing_test_item_is_waited_for_much_longer() -> None:
    items = [*(labelled(task) for task in range(9)), item(9)]
    roles: dict[int, Role] = {9: "test"}
    assert not is_enough(train_queue(10), items, 60 * 71, roles)
    assert is_enough(train_queue(10), items, 60 * 72, roles)


def test_a_long_weekend_does_not_turn_a_sample_into_errors() -> None:
    queue = Queue("certificate", 3, "q", tuple(range(10)), 10, opened_at=OPENED)
    assert not is_enough(queue, [item(task) for task in range(10)], 60 * 24 * 14, dict.fromkeys(range(10), "certificate"))


ANN, BOB = 5, 6


def by(person: int, task: int, minutes: float = 0) -> Item:
    return item(task, label=0, n_human=1, annotator=person, annotation_id=task, labelled_at=OPENED + timedelta(minutes=minutes))


def again(person: int, task: int, minutes: float = 0) -> Duplicate:
    return Duplicate(task, 100 + task, person, 1, OPENED + timedelta(minutes=minutes))


def test_a_second_label_is_waited_for_while_somebody_who_could_give_it_is_at_work() -> None:
    queue = Queue("start", 0, "q", (0, 1, 2), 3, opened_at=OPENED, twice=(0, 1))
    items = [by(ANN, 0, 1), by(ANN, 1, 9), by(BOB, 2, 4)]
    second = {0: again(BOB, 0, 6)}
    assert not is_enough(queue, items, 20.9, second=second)
    assert is_enough(queue, items, 21, second=second)  # 15 min after Bob's last label, whatever Ann does
    assert is_enough(queue, items, 10, second=second | {1: again(BOB, 1, 9)})


def test_nobody_waits_for_a_second_label_that_nobody_else_can_give() -> None:
    queue = Queue("certificate", 3, "q", (0, 1), 2, opened_at=OPENED, twice=(0, 1))
    assert is_enough(queue, [by(ANN, 0, 1), by(ANN, 1, 2)], 2)


def test_a_second_label_does_not_stand_in_for_a_missing_first_one() -> None:
    queue = Queue("certificate", 3, "q", (0, 1), 2, opened_at=OPENED, twice=(0,))
    assert not is_enough(queue, [by(ANN, 0, 1), item(1)], 60, {1: "certificate"}, {0: again(BOB, 0, 2)})


def test_the_second_label_is_the_earliest_by_somebody_else_on_an_item_that_was_drawn_for_it() -> None:
    queue = Queue("start", 0, "q", (0, 1, 2), 3, twice=(0, 1))
    items = {task: by(ANN, task) for task in range(3)}
    rows = [again(ANN, 0, 1), Duplicate(0, 7, 8, 2, OPENED + timedelta(minutes=3)), again(BOB, 0, 2), again(BOB, 2)]
    assert second_labels([queue], items, rows) == {0: rows[2]}


def test_people_have_taken_all_that_was_asked_and_on_to_the_last_label_of_the_work_ahead() -> None:
    queue = train_queue(3, ahead=4)
    items = {task: item(task) for task in range(7)}
    assert queue.taken(items) == 3
    assert queue.taken({**items, 4: labelled(4)}) == 5
    assert queue.taken({**items, 1: labelled(1)}, hurried=True) == 2


def test_a_queue_is_the_same_after_it_was_stored() -> None:
    queue = train_queue(3, ahead=1, test_ids=(8, 9), test_scores=(0.5, None), twice=(1,))
    assert opened(opening(queue), OPENED) == queue
    assert queue.skim() is None  # still open
    closed = opened(opening(queue), OPENED)
    assert closed.skim() is None
