"""The store's contract: a history without gaps, and what is committed together with an event."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from backend.store import Assignment, Campaign, Conflict, Frozen, MachineLabel, NewEvent, Store
from mcal_engine.errors import InvalidValue
from tests.contracts.store.rows import LS, in_processes, note


def test_events_are_numbered_from_one_without_gaps_across_appends(store: Store, campaign: Campaign) -> None:
    added = store.append(campaign.id, [note("a"), note("b")], expected_seq=2)
    store.append(campaign.id, [note("c")], expected_seq=4)
    history = store.events(campaign.id)
    assert [event.seq for event in history] == [1, 2, 3, 4, 5]
    assert history[2:4] == added


def test_each_campaign_counts_for_itself(store: Store, campaign: Campaign) -> None:
    other = store.create_campaign(8, LS, [note()])
    store.append(campaign.id, [note()])
    assert [event.seq for event in store.events(other.id)] == [1]


def test_an_append_that_somebody_overtook_is_a_conflict_and_writes_nothing(store: Store, campaign: Campaign) -> None:
    store.append(campaign.id, [note("first")], expected_seq=2)
    with pytest.raises(Conflict, match="3 events by now"):
        store.append(
            campaign.id,
            [note("second")],
            expected_seq=2,
            assignments=[Assignment(1, "test", 0, 0)],
            frozen=(1, [Frozen(0, 1, 0, 0.5)]),
            machine_labels=[MachineLabel(1, 1, 0, 0.5, "planned", None)],
        )
    assert store.events(campaign.id)[-1].payload == {"text": "first"}
    assert (store.assignments(campaign.id), store.frozen(campaign.id, 1), store.machine_labels(campaign.id)) == ([], [], [])


def test_an_expectation_ahead_of_the_history_is_a_conflict_too(store: Store, campaign: Campaign) -> None:
    with pytest.raises(Conflict):
        store.append(campaign.id, [note()], expected_seq=3)


def test_events_can_be_read_from_a_point_on_and_by_kind(store: Store, campaign: Campaign) -> None:
    store.append(campaign.id, [note("a"), NewEvent("paused", {}), note("b")])
    assert [event.seq for event in store.events(campaign.id, after=3)] == [4, 5]
    assert [event.seq for event in store.events(campaign.id, kinds={"note"})] == [3, 5]
    assert [event.seq for event in store.events(campaign.id, after=3, kinds=["note", "created"])] == [5]
    assert store.events(campaign.id, kinds=()) == []


def test_what_append_returns_is_what_a_later_reader_gets(store: Store, campaign: Campaign) -> None:
    payload = {"θ": [0.1, 1e-300, 12345678901234567890], "none": None, "nested": {"tuple": (1, 2), "text": 'ü"\\\n'}, "yes": True}
    (added,) = store.append(campaign.id, [NewEvent("decision", payload)])
    assert store.events(campaign.id)[-1] == added
    assert added.payload["nested"]["tuple"] == [1, 2]
    assert added.payload["θ"] == payload["θ"]


@pytest.mark.slow
def test_a_payload_of_a_megabyte_comes_back_whole(store: Store, campaign: Campaign) -> None:
    payload = {"level": [index % 21 for index in range(200_000)], "correct": [index % 7 == 0 for index in range(100_000)]}
    store.append(campaign.id, [NewEvent("observation", payload)])
    assert store.events(campaign.id)[-1].payload == payload


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}, ["no", "object"]])
def test_a_payload_that_is_no_plain_json_object_is_refused_and_writes_nothing(store: Store, campaign: Campaign, bad: Any) -> None:
    with pytest.raises(InvalidValue, match=r"plain JSON|must be an object"):
        store.append(campaign.id, [note(), NewEvent("odd", bad)])
    assert len(store.events(campaign.id)) == 2


def test_appends_from_many_threads_all_land_in_one_gapless_sequence(store: Store, campaign: Campaign) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.append(campaign.id, [note(str(number)), note()]), range(40)))
    history = store.events(campaign.id)
    assert [event.seq for event in history] == list(range(1, 83))
    assert {event.payload["text"] for event in history[2:]} == {"x", *map(str, range(40))}


def test_of_many_appends_with_the_same_expectation_one_lands(store: Store, campaign: Campaign) -> None:
    def attempt(number: int) -> bool:
        try:
            store.append(campaign.id, [note(str(number))], expected_seq=2)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [False] * 7 + [True]
    assert len(store.events(campaign.id)) == 3


@pytest.mark.slow
def test_appends_from_several_processes_all_land_without_a_locked_database(store: Store, campaign: Campaign, url: str) -> None:
    script = (
        "for number in range(25):\n"
        f"    store.append({campaign.id}, [NewEvent('note', {{'who': sys.argv[2]}})])\n"
        f"    store.items({campaign.id})\n"
    )
    in_processes(url, script, ["a"], ["b"], ["c"])
    history = store.events(campaign.id, after=2)
    assert [event.seq for event in history] == list(range(3, 78))
    assert {who: sum(event.payload["who"] == who for event in history) for who in "abc"} == {"a": 25, "b": 25, "c": 25}


def test_assignments_come_back_by_round_role_and_rank(store: Store, campaign: Campaign) -> None:
    start = [Assignment(5, "train", 0, 1), Assignment(9, "train", 0, 0), Assignment(3, "test", 0, 0)]
    store.append(campaign.id, [note()], assignments=start)
    store.append(campaign.id, [note()], assignments=[Assignment(4, "certificate", 1, 0)])
    assert [row.task_id for row in store.assignments(campaign.id)] == [3, 9, 5, 4]
    assert set(store.assignments(campaign.id)) == {*start, Assignment(4, "certificate", 1, 0)}


def test_a_task_gets_one_role_per_campaign(store: Store, campaign: Campaign) -> None:
    store.append(campaign.id, [note()], assignments=[Assignment(5, "train", 0, 0)])
    for again in ([Assignment(5, "test", 1, 0)], [Assignment(6, "test", 1, 0), Assignment(6, "train", 1, 1)]):
        with pytest.raises(InvalidValue, match=f"one role per campaign; task {again[0].task_id} "):
            store.append(campaign.id, [note()], assignments=again)
    assert store.assignments(campaign.id) == [Assignment(5, "train", 0, 0)]
    assert len(store.events(campaign.id)) == 3


def test_a_frozen_order_comes_back_by_rank_and_never_changes(store: Store, campaign: Campaign) -> None:
    order = [Frozen(2, 11, 0, 0.25), Frozen(0, 12, 1, 0.1 + 0.2), Frozen(1, 10, 1, 0.3)]
    store.append(campaign.id, [note()], frozen=(1, order))
    with pytest.raises(InvalidValue, match=r"look 1 .* frozen already"):
        store.append(campaign.id, [note()], frozen=(1, [Frozen(0, 99, 0, 1.0)]))
    store.append(campaign.id, [note()], frozen=(2, [Frozen(0, 12, 0, 0.9)]))
    assert store.frozen(campaign.id, 1) == [order[1], order[2], order[0]]
    assert store.frozen(campaign.id, 2) == [Frozen(0, 12, 0, 0.9)]
    assert store.frozen(campaign.id, 3) == []


def test_a_frozen_order_with_a_task_twice_is_refused(store: Store, campaign: Campaign) -> None:
    with pytest.raises(InvalidValue, match="contradicts"):
        store.append(campaign.id, [note()], frozen=(1, [Frozen(0, 11, 0, 0.5), Frozen(1, 11, 0, 0.4)]))
    assert len(store.events(campaign.id)) == 2


def test_machine_labels_are_planned_with_an_event_and_then_overwritten_by_task(store: Store, campaign: Campaign) -> None:
    planned = [MachineLabel(task_id, 1, 2, 0.5, "planned", None) for task_id in (1, 2, 3)]
    store.append(campaign.id, [note()], machine_labels=planned)
    written = replace(planned[1], state="written", annotation_id=77)
    store.set_machine_labels(campaign.id, [written])
    assert store.machine_labels(campaign.id) == [planned[0], written, planned[2]]
