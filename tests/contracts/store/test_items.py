"""The store's contract: the ledger of items."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from backend.store import Campaign, Duplicate, Store
from mcal_engine.errors import InvalidValue
from tests.contracts.store.rows import LS, NOON, item


def test_items_come_back_as_they_went_in_sorted_by_task(store: Store, campaign: Campaign) -> None:
    full = item(
        2**33,
        label=0,
        annotation_id=2**40,
        annotator=3,
        labelled_at=NOON - timedelta(microseconds=1),
        lead_time=0.1,
        n_human=2,
        skipped=True,
        preexisting=True,
        unreadable="not an image",
        deleted=True,
        machine_annotation_id=5,
    )
    store.upsert_items(campaign.id, [full, item(4)])
    assert store.items(campaign.id) == [item(4), full]


def test_upserting_an_item_overwrites_it_and_the_later_of_two_wins(store: Store, campaign: Campaign) -> None:
    store.upsert_items(campaign.id, [item(4, label=1, annotation_id=9, n_human=1), item(5)])
    store.upsert_items(campaign.id, [item(4, label=2), item(4, skipped=True)])
    assert store.items(campaign.id) == [item(4, skipped=True), item(5)]


def test_items_belong_to_their_campaign(store: Store, campaign: Campaign) -> None:
    other = store.create_campaign(8, LS, [])
    store.upsert_items(campaign.id, [item(4)])
    store.upsert_items(other.id, [item(4, label=1)])
    store.mark_deleted(other.id, [4])
    assert store.items(campaign.id) == [item(4)]


def test_an_unreadable_image_stays_so_until_the_image_changes_or_it_gets_another_chance(store: Store, campaign: Campaign) -> None:
    store.upsert_items(campaign.id, [item(4), item(5), item(6)])
    store.mark_unreadable(campaign.id, {4: "truncated file", 5: "too large", 6: "404", 99: "not mirrored"})
    store.upsert_items(campaign.id, [item(4, label=1), item(5, image="/data/upload/other.png")])
    store.mark_unreadable(campaign.id, {6: None})
    assert [row.unreadable for row in store.items(campaign.id)] == ["truncated file", None, None]
    assert store.items(campaign.id)[0].label == 1


def test_deleted_tasks_are_marked_and_live_again_when_seen_again(store: Store, campaign: Campaign) -> None:
    store.upsert_items(campaign.id, [item(4), item(5)])
    store.mark_deleted(campaign.id, [5, 99])
    assert [row.deleted for row in store.items(campaign.id)] == [False, True]
    store.upsert_items(campaign.id, [item(5)])
    assert [row.deleted for row in store.items(campaign.id)] == [False, False]


def test_empty_writes_are_no_ops(store: Store, campaign: Campaign) -> None:
    store.upsert_items(campaign.id, [])
    store.mark_deleted(campaign.id, [])
    store.mark_unreadable(campaign.id, {})
    store.upsert_duplicates(campaign.id, [])
    store.set_machine_labels(campaign.id, [])
    assert store.append(campaign.id, []) == []
    assert (store.items(campaign.id), len(store.events(campaign.id))) == ([], 2)


def test_duplicates_are_kept_by_annotation_and_dropped_for_tasks_told_anew(store: Store, campaign: Campaign) -> None:
    first, second, other = (Duplicate(task, annotation, 3, 1, NOON) for task, annotation in ((4, 20), (4, 21), (5, 22)))
    assert not store.has_duplicates(campaign.id)
    store.upsert_duplicates(campaign.id, [other, second, first])
    assert store.has_duplicates(campaign.id) and not store.has_duplicates(campaign.id + 1)
    changed = replace(second, label=0)
    store.upsert_duplicates(campaign.id, [changed])
    assert store.duplicates(campaign.id) == [first, changed, other]
    store.upsert_duplicates(campaign.id, [second], of_tasks=[4])
    assert store.duplicates(campaign.id) == [second, other]
    store.upsert_duplicates(campaign.id, [], of_tasks=[4, 5])
    assert store.duplicates(campaign.id) == []


def test_the_watermark_is_none_until_it_is_set(store: Store, campaign: Campaign) -> None:
    assert store.watermark(campaign.id) is None
    store.set_watermark(campaign.id, NOON)
    assert store.watermark(campaign.id) == NOON


def test_times_come_back_in_utc_whatever_zone_they_came_in(store: Store, campaign: Campaign) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    store.set_watermark(campaign.id, tokyo)
    found = store.watermark(campaign.id)
    assert found == NOON
    assert found is not None
    assert found.utcoffset() == timedelta(0)


def test_times_without_a_zone_are_refused(store: Store, campaign: Campaign) -> None:
    with pytest.raises(InvalidValue, match="time zone"):
        store.set_watermark(campaign.id, datetime(2026, 3, 1))
    with pytest.raises(InvalidValue, match="time zone"):
        store.upsert_items(campaign.id, [item(1, updated_at=datetime(2026, 3, 1))])


@pytest.mark.slow
def test_a_hundred_thousand_items_come_back_and_may_be_written_again(store: Store, campaign: Campaign) -> None:
    rows = [item(number, label=number % 10, labelled_at=NOON, n_human=1) for number in range(100_000)]
    for _ in range(2):
        store.upsert_items(campaign.id, rows)
        assert store.items(campaign.id) == rows
