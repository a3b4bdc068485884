"""What every database must do for the store, run on SQLite and, where it is installed, on Debian's PostgreSQL (``tests/databases.py``)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.store import (
    Assignment,
    Campaign,
    Conflict,
    Duplicate,
    Frozen,
    Item,
    MachineLabel,
    NewEvent,
    Store,
    StoreUnavailable,
)
from backend.store.database import Database
from backend.store.schema import metadata
from mcal_engine.errors import InvalidValue
from tests.databases import needs_postgresql

ROOT = Path(__file__).resolve().parents[2]
LS = "http://label-studio:8080"
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def item(task_id: int, **changes: Any) -> Item:
    plain = Item(
        task_id=task_id,
        image=f"/data/upload/{task_id}.png",
        label=None,
        annotation_id=None,
        annotator=None,
        labelled_at=None,
        lead_time=None,
        n_human=0,
        skipped=False,
        preexisting=False,
        unreadable=None,
        deleted=False,
        machine_annotation_id=None,
        updated_at=NOON,
    )
    return replace(plain, **changes)


def note(text: str = "x") -> NewEvent:
    return NewEvent("note", {"text": text})


def in_processes(url: str, script: str, *arguments: list[str]) -> list[str]:
    """Run ``script`` in one new interpreter per argument list, all let go at the same moment; their outputs."""
    prelude = "import sys\nfrom backend.store import *\nstore = Store(sys.argv[1])\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", prelude + script + "\nstore.close()", url, *extra],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for extra in arguments
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), outputs
    return outputs


class StoreContract:
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        store = Store(url)
        store.migrate()
        yield store
        store.close()

    @pytest.fixture
    def database(self, url: str) -> Iterator[Database]:
        """A second way into the same tables."""
        database = Database(url)
        yield database
        database.engine.dispose()

    @pytest.fixture
    def campaign(self, store: Store) -> Campaign:
        return store.create_campaign(7, LS, [NewEvent("requested", {}), NewEvent("created", {"n_items": 3})])

    # --- migrations

    def test_migrating_twice_changes_nothing_and_loses_nothing(self, store: Store, campaign: Campaign) -> None:
        store.migrate()
        assert store.campaigns() == [campaign]

    def test_migrations_make_the_tables_the_code_expects(self, store: Store, database: Database) -> None:
        with database.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    @pytest.mark.slow
    def test_processes_that_migrate_at_the_same_moment_all_succeed(self, url: str) -> None:
        in_processes(url, "store.migrate()", [], [], [])
        store = Store(url)
        assert store.campaigns() == []
        store.close()

    def test_a_database_that_was_never_migrated_says_what_to_do(self, url: str) -> None:
        store = Store(url)
        for question in (store.ping, store.campaigns):
            with pytest.raises(StoreUnavailable, match="run its migrations"):
                question()
        store.close()

    def test_a_database_of_a_newer_version_is_refused(self, store: Store, database: Database) -> None:
        with database.writing() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreUnavailable, match="cannot be migrated by this version"):
            store.migrate()

    def test_ping_is_silent_when_all_is_well(self, store: Store) -> None:
        store.ping()

    def test_a_closed_store_opens_again_when_asked(self, store: Store, campaign: Campaign) -> None:
        store.close()
        assert store.campaign(campaign.id) == campaign

    # --- campaigns

    def test_a_campaign_reads_back_as_it_was_created(self, store: Store, campaign: Campaign) -> None:
        assert store.campaign(campaign.id) == campaign
        assert (campaign.project_id, campaign.label_studio_url) == (7, LS)
        assert abs(campaign.created_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert [event.seq for event in store.events(campaign.id)] == [1, 2]

    def test_an_unknown_campaign_is_named_in_the_error(self, store: Store) -> None:
        questions: list[Callable[[], object]] = [
            lambda: store.campaign(41),
            lambda: store.append(41, [note()]),
            lambda: store.upsert_items(41, [item(1)]),
            lambda: store.watermark(41),
            lambda: store.set_watermark(41, NOON),
            lambda: store.acquire_lease(41, "me", 5),
        ]
        for question in questions:
            with pytest.raises(InvalidValue, match="campaign 41"):
                question()

    def test_a_second_live_campaign_on_a_project_is_refused_and_leaves_no_trace(self, store: Store, campaign: Campaign) -> None:
        with pytest.raises(InvalidValue, match=rf"project 7 .* already has a campaign .*campaign {campaign.id}"):
            store.create_campaign(7, LS + "/", [note()])
        assert store.campaigns() == [campaign]

    def test_other_projects_and_other_label_studios_have_campaigns_of_their_own(self, store: Store, campaign: Campaign) -> None:
        other_project = store.create_campaign(8, LS, [])
        other_address = store.create_campaign(7, "http://elsewhere", [])
        assert store.live_campaigns() == [campaign, other_project, other_address]
        assert store.live_campaign("http://elsewhere/", 7) == other_address
        assert store.live_campaign("http://nowhere", 7) is None

    @pytest.mark.parametrize("kind", ["finished", "rolled_back", "cancelled"])
    def test_an_ending_event_makes_room_for_the_next_campaign(self, store: Store, campaign: Campaign, kind: str) -> None:
        store.append(campaign.id, [NewEvent(kind, {})])
        assert store.live_campaigns() == []
        assert store.live_campaign(LS, 7) is None
        following = store.create_campaign(7, LS, [])
        assert following.id > campaign.id
        assert store.campaigns() == [campaign, following]

    def test_ends_makes_room_whatever_the_event_is_called(self, store: Store, campaign: Campaign) -> None:
        store.append(campaign.id, [note()])
        assert store.live_campaigns() == [campaign]
        store.append(campaign.id, [note()], ends=True)
        assert store.live_campaigns() == []

    def test_of_many_that_open_a_campaign_at_once_one_succeeds(self, store: Store) -> None:
        def attempt(_: int) -> bool:
            try:
                store.create_campaign(7, LS, [note()])
            except InvalidValue:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(attempt, range(8))) == [False] * 7 + [True]
        assert len(store.campaigns()) == 1

    # --- history

    def test_events_are_numbered_from_one_without_gaps_across_appends(self, store: Store, campaign: Campaign) -> None:
        added = store.append(campaign.id, [note("a"), note("b")], expected_seq=2)
        store.append(campaign.id, [note("c")], expected_seq=4)
        history = store.events(campaign.id)
        assert [event.seq for event in history] == [1, 2, 3, 4, 5]
        assert history[2:4] == added

    def test_each_campaign_counts_for_itself(self, store: Store, campaign: Campaign) -> None:
        other = store.create_campaign(8, LS, [note()])
        store.append(campaign.id, [note()])
        assert [event.seq for event in store.events(other.id)] == [1]

    def test_an_append_that_somebody_overtook_is_a_conflict_and_writes_nothing(self, store: Store, campaign: Campaign) -> None:
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

    def test_an_expectation_ahead_of_the_history_is_a_conflict_too(self, store: Store, campaign: Campaign) -> None:
        with pytest.raises(Conflict):
            store.append(campaign.id, [note()], expected_seq=3)

    def test_events_can_be_read_from_a_point_on_and_by_kind(self, store: Store, campaign: Campaign) -> None:
        store.append(campaign.id, [note("a"), NewEvent("paused", {}), note("b")])
        assert [event.seq for event in store.events(campaign.id, after=3)] == [4, 5]
        assert [event.seq for event in store.events(campaign.id, kinds={"note"})] == [3, 5]
        assert [event.seq for event in store.events(campaign.id, after=3, kinds=["note", "created"])] == [5]
        assert store.events(campaign.id, kinds=()) == []

    def test_what_append_returns_is_what_a_later_reader_gets(self, store: Store, campaign: Campaign) -> None:
        payload = {"θ": [0.1, 1e-300, 12345678901234567890], "none": None, "nested": {"tuple": (1, 2), "text": 'ü"\\\n'}, "yes": True}
        (added,) = store.append(campaign.id, [NewEvent("decision", payload)])
        assert store.events(campaign.id)[-1] == added
        assert added.payload["nested"]["tuple"] == [1, 2]
        assert added.payload["θ"] == payload["θ"]

    def test_a_payload_of_a_megabyte_comes_back_whole(self, store: Store, campaign: Campaign) -> None:
        payload = {"level": [index % 21 for index in range(200_000)], "correct": [index % 7 == 0 for index in range(100_000)]}
        store.append(campaign.id, [NewEvent("observation", payload)])
        assert store.events(campaign.id)[-1].payload == payload

    @pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}, ["no", "object"]])
    def test_a_payload_that_is_no_plain_json_object_is_refused_and_writes_nothing(self, store: Store, campaign: Campaign, bad: Any) -> None:
        with pytest.raises(InvalidValue, match=r"plain JSON|must be an object"):
            store.append(campaign.id, [note(), NewEvent("odd", bad)])
        assert len(store.events(campaign.id)) == 2

    def test_appends_from_many_threads_all_land_in_one_gapless_sequence(self, store: Store, campaign: Campaign) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: store.append(campaign.id, [note(str(number)), note()]), range(40)))
        history = store.events(campaign.id)
        assert [event.seq for event in history] == list(range(1, 83))
        assert {event.payload["text"] for event in history[2:]} == {"x", *map(str, range(40))}

    def test_of_many_appends_with_the_same_expectation_one_lands(self, store: Store, campaign: Campaign) -> None:
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
    def test_appends_from_several_processes_all_land_without_a_locked_database(self, store: Store, campaign: Campaign, url: str) -> None:
        script = (
            "for number in range(25):\n"
            f"    store.append({campaign.id}, [NewEvent('note', {{'who': sys.argv[2]}})])\n"
            f"    store.items({campaign.id})\n"
        )
        in_processes(url, script, ["a"], ["b"], ["c"])
        history = store.events(campaign.id, after=2)
        assert [event.seq for event in history] == list(range(3, 78))
        assert {who: sum(event.payload["who"] == who for event in history) for who in "abc"} == {"a": 25, "b": 25, "c": 25}

    # --- what goes with an append

    def test_assignments_come_back_by_round_role_and_rank(self, store: Store, campaign: Campaign) -> None:
        start = [Assignment(5, "train", 0, 1), Assignment(9, "train", 0, 0), Assignment(3, "test", 0, 0)]
        store.append(campaign.id, [note()], assignments=start)
        store.append(campaign.id, [note()], assignments=[Assignment(4, "certificate", 1, 0)])
        assert [row.task_id for row in store.assignments(campaign.id)] == [3, 9, 5, 4]
        assert set(store.assignments(campaign.id)) == {*start, Assignment(4, "certificate", 1, 0)}

    def test_a_task_gets_one_role_per_campaign(self, store: Store, campaign: Campaign) -> None:
        store.append(campaign.id, [note()], assignments=[Assignment(5, "train", 0, 0)])
        for again in ([Assignment(5, "test", 1, 0)], [Assignment(6, "test", 1, 0), Assignment(6, "train", 1, 1)]):
            with pytest.raises(InvalidValue, match=f"one role per campaign; task {again[0].task_id} "):
                store.append(campaign.id, [note()], assignments=again)
        assert store.assignments(campaign.id) == [Assignment(5, "train", 0, 0)]
        assert len(store.events(campaign.id)) == 3

    def test_a_frozen_order_comes_back_by_rank_and_never_changes(self, store: Store, campaign: Campaign) -> None:
        order = [Frozen(2, 11, 0, 0.25), Frozen(0, 12, 1, 0.1 + 0.2), Frozen(1, 10, 1, 0.3)]
        store.append(campaign.id, [note()], frozen=(1, order))
        with pytest.raises(InvalidValue, match=r"look 1 .* frozen already"):
            store.append(campaign.id, [note()], frozen=(1, [Frozen(0, 99, 0, 1.0)]))
        store.append(campaign.id, [note()], frozen=(2, [Frozen(0, 12, 0, 0.9)]))
        assert store.frozen(campaign.id, 1) == [order[1], order[2], order[0]]
        assert store.frozen(campaign.id, 2) == [Frozen(0, 12, 0, 0.9)]
        assert store.frozen(campaign.id, 3) == []

    def test_a_frozen_order_with_a_task_twice_is_refused(self, store: Store, campaign: Campaign) -> None:
        with pytest.raises(InvalidValue, match="contradicts"):
            store.append(campaign.id, [note()], frozen=(1, [Frozen(0, 11, 0, 0.5), Frozen(1, 11, 0, 0.4)]))
        assert len(store.events(campaign.id)) == 2

    def test_machine_labels_are_planned_with_an_event_and_then_overwritten_by_task(self, store: Store, campaign: Campaign) -> None:
        planned = [MachineLabel(task_id, 1, 2, 0.5, "planned", None) for task_id in (1, 2, 3)]
        store.append(campaign.id, [note()], machine_labels=planned)
        written = replace(planned[1], state="written", annotation_id=77)
        store.set_machine_labels(campaign.id, [written])
        assert store.machine_labels(campaign.id) == [planned[0], written, planned[2]]

    # --- the mirror

    def test_items_come_back_as_they_went_in_sorted_by_task(self, store: Store, campaign: Campaign) -> None:
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

    def test_upserting_an_item_overwrites_it_and_the_later_of_two_wins(self, store: Store, campaign: Campaign) -> None:
        store.upsert_items(campaign.id, [item(4, label=1, annotation_id=9, n_human=1), item(5)])
        store.upsert_items(campaign.id, [item(4, label=2), item(4, skipped=True)])
        assert store.items(campaign.id) == [item(4, skipped=True), item(5)]

    def test_items_belong_to_their_campaign(self, store: Store, campaign: Campaign) -> None:
        other = store.create_campaign(8, LS, [])
        store.upsert_items(campaign.id, [item(4)])
        store.upsert_items(other.id, [item(4, label=1)])
        store.mark_deleted(other.id, [4])
        assert store.items(campaign.id) == [item(4)]

    def test_an_unreadable_image_stays_so_until_the_image_changes_or_it_gets_another_chance(self, store: Store, campaign: Campaign) -> None:
        store.upsert_items(campaign.id, [item(4), item(5), item(6)])
        store.mark_unreadable(campaign.id, {4: "truncated file", 5: "too large", 6: "404", 99: "not mirrored"})
        store.upsert_items(campaign.id, [item(4, label=1), item(5, image="/data/upload/other.png")])
        store.mark_unreadable(campaign.id, {6: None})
        assert [row.unreadable for row in store.items(campaign.id)] == ["truncated file", None, None]
        assert store.items(campaign.id)[0].label == 1

    def test_deleted_tasks_are_marked_and_live_again_when_seen_again(self, store: Store, campaign: Campaign) -> None:
        store.upsert_items(campaign.id, [item(4), item(5)])
        store.mark_deleted(campaign.id, [5, 99])
        assert [row.deleted for row in store.items(campaign.id)] == [False, True]
        store.upsert_items(campaign.id, [item(5)])
        assert [row.deleted for row in store.items(campaign.id)] == [False, False]

    def test_empty_writes_are_no_ops(self, store: Store, campaign: Campaign) -> None:
        store.upsert_items(campaign.id, [])
        store.mark_deleted(campaign.id, [])
        store.mark_unreadable(campaign.id, {})
        store.upsert_duplicates(campaign.id, [])
        store.set_machine_labels(campaign.id, [])
        assert store.append(campaign.id, []) == []
        assert (store.items(campaign.id), len(store.events(campaign.id))) == ([], 2)

    def test_duplicates_are_kept_by_annotation_and_dropped_for_tasks_told_anew(self, store: Store, campaign: Campaign) -> None:
        first, second, other = (Duplicate(task, annotation, 3, 1, NOON) for task, annotation in ((4, 20), (4, 21), (5, 22)))
        store.upsert_duplicates(campaign.id, [other, second, first])
        changed = replace(second, choice=0)
        store.upsert_duplicates(campaign.id, [changed])
        assert store.duplicates(campaign.id) == [first, changed, other]
        store.upsert_duplicates(campaign.id, [second], of_tasks=[4])
        assert store.duplicates(campaign.id) == [second, other]
        store.upsert_duplicates(campaign.id, [], of_tasks=[4, 5])
        assert store.duplicates(campaign.id) == []

    def test_the_watermark_is_none_until_it_is_set(self, store: Store, campaign: Campaign) -> None:
        assert store.watermark(campaign.id) is None
        store.set_watermark(campaign.id, NOON)
        assert store.watermark(campaign.id) == NOON

    def test_times_come_back_in_utc_whatever_zone_they_came_in(self, store: Store, campaign: Campaign) -> None:
        tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
        store.set_watermark(campaign.id, tokyo)
        found = store.watermark(campaign.id)
        assert found == NOON
        assert found is not None
        assert found.utcoffset() == timedelta(0)

    def test_times_without_a_zone_are_refused(self, store: Store, campaign: Campaign) -> None:
        with pytest.raises(InvalidValue, match="time zone"):
            store.set_watermark(campaign.id, datetime(2026, 3, 1))
        with pytest.raises(InvalidValue, match="time zone"):
            store.upsert_items(campaign.id, [item(1, updated_at=datetime(2026, 3, 1))])

    # --- leases

    def test_a_lease_has_one_owner_until_it_is_released(self, store: Store, campaign: Campaign) -> None:
        assert store.acquire_lease(campaign.id, "a", 60)
        assert not store.acquire_lease(campaign.id, "b", 60)
        store.release_lease(campaign.id, "b")
        assert not store.acquire_lease(campaign.id, "b", 60)
        store.release_lease(campaign.id, "a")
        assert store.acquire_lease(campaign.id, "b", 60)

    def test_a_lease_that_ran_out_passes_on_and_its_old_owner_cannot_renew_it(self, store: Store, campaign: Campaign) -> None:
        assert store.acquire_lease(campaign.id, "a", 60, now=NOON)
        assert not store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=59.9))
        assert store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=60))
        assert not store.renew_lease(campaign.id, "a", 60, now=NOON + timedelta(seconds=61))
        store.release_lease(campaign.id, "a")
        assert not store.acquire_lease(campaign.id, "a", 60, now=NOON + timedelta(seconds=61))

    def test_renewing_makes_a_lease_last(self, store: Store, campaign: Campaign) -> None:
        store.acquire_lease(campaign.id, "a", 60, now=NOON)
        assert store.renew_lease(campaign.id, "a", 60, now=NOON + timedelta(seconds=50))
        assert not store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=100))
        assert store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=110))

    def test_a_lease_that_ran_out_unnoticed_can_still_be_renewed(self, store: Store, campaign: Campaign) -> None:
        store.acquire_lease(campaign.id, "a", 60, now=NOON)
        assert store.renew_lease(campaign.id, "a", 60, now=NOON + timedelta(hours=1))

    def test_nobody_renews_a_lease_that_nobody_has(self, store: Store, campaign: Campaign) -> None:
        assert not store.renew_lease(campaign.id, "a", 60)

    def test_campaigns_have_leases_of_their_own(self, store: Store, campaign: Campaign) -> None:
        other = store.create_campaign(8, LS, [])
        assert store.acquire_lease(campaign.id, "a", 60)
        assert store.acquire_lease(other.id, "b", 60)

    def test_without_a_given_time_the_databases_clock_runs_the_lease_out(self, store: Store, campaign: Campaign) -> None:
        assert store.acquire_lease(campaign.id, "a", 0.3)
        assert not store.acquire_lease(campaign.id, "b", 0.3)
        time.sleep(0.4)
        assert store.acquire_lease(campaign.id, "b", 0.3)

    @pytest.mark.parametrize("seconds", [0, -1, float("nan")])
    def test_a_lease_must_last(self, store: Store, campaign: Campaign, seconds: float) -> None:
        with pytest.raises(InvalidValue, match="longer than 0 seconds"):
            store.acquire_lease(campaign.id, "a", seconds)

    def test_of_many_threads_exactly_one_gets_the_lease_each_time_it_is_free(self, store: Store, campaign: Campaign) -> None:
        for turn in range(5):
            now = NOON + timedelta(minutes=turn)
            start = threading.Barrier(8)

            def attempt(number: int, now: datetime = now, turn: int = turn, start: threading.Barrier = start) -> bool:
                start.wait()
                return store.acquire_lease(campaign.id, f"{turn}-{number}", 60, now=now)

            with ThreadPoolExecutor(8) as pool:
                assert sum(pool.map(attempt, range(8))) == 1

    @pytest.mark.slow
    def test_of_several_processes_one_at_a_time_holds_the_lease(self, store: Store, campaign: Campaign, url: str, tmp_path: Path) -> None:
        # The exclusive creation of a file is the referee: it fails when two hold the lease at once.
        script = (
            "import os, time\n"
            "done = 0\n"
            "while done < 8:\n"
            f"    if store.acquire_lease({campaign.id}, sys.argv[2], 30):\n"
            "        os.close(os.open(sys.argv[3], os.O_CREAT | os.O_EXCL))\n"
            "        time.sleep(0.005)\n"
            "        os.unlink(sys.argv[3])\n"
            f"        store.release_lease({campaign.id}, sys.argv[2])\n"
            "        done += 1\n"
            "    time.sleep(0.002)\n"
        )
        in_processes(url, script, *([owner, str(tmp_path / "held")] for owner in "abc"))
        assert store.acquire_lease(campaign.id, "d", 30)

    @pytest.mark.slow
    def test_the_lease_of_a_killed_process_passes_on_within_its_time_and_not_while_it_lives(
        self, store: Store, campaign: Campaign, url: str
    ) -> None:
        script = (
            "import sys\nfrom backend.services.lease import hold\nfrom backend.store import Store\n"
            f"with hold(Store(sys.argv[1]), {campaign.id}, 2.0) as lease:\n    print('held', flush=True)\n    sys.stdin.read()\n"
        )
        holder = subprocess.Popen([sys.executable, "-c", script, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdin is not None
        assert holder.stdout is not None
        with holder.stdin, holder.stdout:
            assert holder.stdout.readline() == "held\n"
            lives_until = time.monotonic() + 4  # twice as long as the lease: its heartbeat renews it
            while time.monotonic() < lives_until:
                assert not store.acquire_lease(campaign.id, "other", 60)
                time.sleep(0.1)
            holder.kill()
            holder.wait()
        killed = time.monotonic()
        while not store.acquire_lease(campaign.id, "other", 60):
            assert time.monotonic() - killed < 4
            time.sleep(0.05)
        assert time.monotonic() - killed < 4

    # --- size

    @pytest.mark.slow
    def test_a_hundred_thousand_items_take_seconds(self, store: Store, campaign: Campaign) -> None:
        rows = [item(number, label=number % 10, labelled_at=NOON, n_human=1) for number in range(100_000)]
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            store.upsert_items(campaign.id, rows)
            seconds.append(time.perf_counter() - start)
        assert store.items(campaign.id) == rows
        assert min(seconds) < 15  # a few seconds, on a core that is shared with others


class TestStoreOnSQLite(StoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'new folder' / 'mcal.db'}"

    def test_readers_do_not_wait_for_a_writer(self, store: Store, campaign: Campaign, database: Database) -> None:
        with database.writing() as connection:
            connection.execute(sa.text("DELETE FROM events"))
            start = time.perf_counter()
            assert len(store.events(campaign.id)) == 2
            assert time.perf_counter() - start < 5
            connection.rollback()

    def test_the_file_is_in_wal_mode_with_foreign_keys_on_and_commits_durable(self, store: Store, database: Database) -> None:
        with database.reading() as connection:
            settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys", "synchronous")]
        assert settings == ["wal", 1, 2]

    def test_a_migration_that_fails_half_way_leaves_the_file_as_it_was(
        self, url: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from alembic.operations import Operations

        made = Operations.create_table

        def failing(self: Any, name: str, *columns: Any, **options: Any) -> Any:
            if name == "frozen":
                raise RuntimeError("power cut")
            return made(self, name, *columns, **options)

        store = Store(url)
        with monkeypatch.context() as patch:
            patch.setattr(Operations, "create_table", failing)
            with pytest.raises(RuntimeError, match="power cut"):
                store.migrate()
        assert sa.inspect(database.engine).get_table_names() == []
        store.migrate()
        assert store.campaigns() == []
        store.close()

    def test_a_folder_that_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "folder.db").mkdir()
        store = Store(f"sqlite:///{tmp_path / 'folder.db'}")
        with pytest.raises(StoreUnavailable, match=r"folder\.db: unable to open"):
            store.ping()


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("mysql://u:hush@h/n", "must begin with"),
        ("nonsense hush", "must look like"),
    ],
)
def test_an_address_the_store_cannot_use_is_refused_without_repeating_its_password(url: str, rule: str) -> None:
    with pytest.raises(InvalidValue, match=rule) as caught:
        Store(url)
    assert "hush" not in str(caught.value)


# --- PostgreSQL


@needs_postgresql
class TestStoreOnPostgreSQL(StoreContract):
    @pytest.fixture
    def url(self, postgresql_url: str) -> str:
        return postgresql_url

    def test_a_password_is_in_no_error(self, url: str) -> None:
        unreachable = sa.make_url(url).set(port=1, password="hush").render_as_string(hide_password=False)
        store = Store(unreachable)
        with pytest.raises(StoreUnavailable) as caught:
            store.ping()
        assert "hush" not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)
