"""The store's contract: migrations and campaigns."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.store import Campaign, NewEvent, Store, StoreUnavailable
from backend.store.database import Database
from backend.store.schema import metadata
from mcal_engine.errors import InvalidValue
from tests.contracts.store.rows import LS, NOON, in_processes, item, note


def test_migrating_twice_changes_nothing_and_loses_nothing(store: Store, campaign: Campaign) -> None:
    store.migrate()
    assert store.campaigns() == [campaign]


def test_migrations_make_the_tables_the_code_expects(store: Store, database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.slow
def test_processes_that_migrate_at_the_same_moment_all_succeed(url: str) -> None:
    in_processes(url, "store.migrate()", [], [], [])
    store = Store(url)
    assert store.campaigns() == []
    store.close()


def test_a_database_that_was_never_migrated_says_what_to_do(url: str) -> None:
    store = Store(url)
    for question in (store.ping, store.campaigns):
        with pytest.raises(StoreUnavailable, match="run its migrations"):
            question()
    store.close()


def test_a_database_of_a_newer_version_is_refused(store: Store, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match=r"cannot be migrated by this version .* revision '9999', .* knows '0006' at most"):
        store.migrate()


def test_ping_is_silent_when_all_is_well(store: Store) -> None:
    store.ping()


def test_a_closed_store_opens_again_when_asked(store: Store, campaign: Campaign) -> None:
    store.close()
    assert store.campaign(campaign.id) == campaign


def test_a_campaign_reads_back_as_it_was_created(store: Store, campaign: Campaign) -> None:
    assert store.campaign(campaign.id) == campaign
    assert (campaign.project_id, campaign.label_studio_url) == (7, LS)
    assert abs(campaign.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert [event.seq for event in store.events(campaign.id)] == [1, 2]


def test_an_unknown_campaign_is_named_in_the_error(store: Store) -> None:
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


def test_a_second_live_campaign_on_a_project_is_refused_and_leaves_no_trace(store: Store, campaign: Campaign) -> None:
    with pytest.raises(InvalidValue, match=rf"project 7 .* already has a campaign .*campaign {campaign.id}"):
        store.create_campaign(7, LS + "/", [note()])
    assert store.campaigns() == [campaign]


def test_other_projects_and_other_label_studios_have_campaigns_of_their_own(store: Store, campaign: Campaign) -> None:
    other_project = store.create_campaign(8, LS, [])
    other_address = store.create_campaign(7, "http://elsewhere", [])
    assert store.live_campaigns() == [campaign, other_project, other_address]
    assert store.live_campaign("http://elsewhere/", 7) == other_address
    assert store.live_campaign("http://nowhere", 7) is None


@pytest.mark.parametrize("kind", ["finished", "rolled_back", "cancelled"])
def test_an_ending_event_makes_room_for_the_next_campaign(store: Store, campaign: Campaign, kind: str) -> None:
    store.append(campaign.id, [NewEvent(kind, {})])
    assert store.live_campaigns() == []
    assert store.live_campaign(LS, 7) is None
    following = store.create_campaign(7, LS, [])
    assert following.id > campaign.id
    assert store.campaigns() == [campaign, following]


def test_ends_makes_room_whatever_the_event_is_called(store: Store, campaign: Campaign) -> None:
    store.append(campaign.id, [note()])
    assert store.live_campaigns() == [campaign]
    store.append(campaign.id, [note()], ends=True)
    assert store.live_campaigns() == []


def test_an_ended_campaign_is_taken_up_again_unless_another_one_is_live_on_its_project(store: Store, campaign: Campaign) -> None:
    store.append(campaign.id, [NewEvent("finished", {})])
    store.append(campaign.id, [note()], reopens=True)
    assert store.live_campaigns() == [campaign]
    store.append(campaign.id, [NewEvent("finished", {})])
    following = store.create_campaign(7, LS, [])
    before = store.events(campaign.id)
    with pytest.raises(InvalidValue, match=rf"campaign {campaign.id} cannot be taken up again: campaign {following.id} is running"):
        store.append(campaign.id, [note()], reopens=True)
    assert store.events(campaign.id) == before
    assert store.live_campaigns() == [following]


def test_of_many_that_open_a_campaign_at_once_one_succeeds(store: Store) -> None:
    def attempt(_: int) -> bool:
        try:
            store.create_campaign(7, LS, [note()])
        except InvalidValue:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [False] * 7 + [True]
    assert len(store.campaigns()) == 1
