"""What is SQLite's or PostgreSQL's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.store import Campaign, Duplicate, Frozen, MachineLabel, Store, StoreUnavailable
from backend.store.database import Database
from backend.store.migrate import upgrade
from backend.store.schema import UTCDateTime
from mcal_engine.errors import InvalidValue
from tests.contracts.store.rows import NOON
from tests.databases import NEEDS_POSTGRESQL

on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("url", [pytest.param("postgresql", marks=NEEDS_POSTGRESQL)], indirect=True)


@on_sqlite
def test_readers_do_not_wait_for_a_writer(store: Store, campaign: Campaign, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sa.text("DELETE FROM events"))
        assert len(store.events(campaign.id)) == 2
        connection.rollback()


@on_sqlite
def test_the_file_is_in_wal_mode_with_foreign_keys_on_and_commits_durable(store: Store, database: Database) -> None:
    with database.reading() as connection:
        settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys", "synchronous")]
    assert settings == ["wal", 1, 2]


@on_sqlite
def test_a_migration_that_fails_half_way_leaves_the_file_as_it_was(url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.operations import Operations

    made = Operations.create_table

    def failing(operations: Any, name: str, *columns: Any, **options: Any) -> Any:
        if name == "frozen":
            raise RuntimeError("power cut")
        return made(operations, name, *columns, **options)

    store = Store(url)
    with monkeypatch.context() as patch:
        patch.setattr(Operations, "create_table", failing)
        with pytest.raises(RuntimeError, match="power cut"):
            store.migrate()
    assert sa.inspect(database.engine).get_table_names() == []
    store.migrate()
    assert store.campaigns() == []
    store.close()


def test_classes_are_found_under_their_name_of_today_where_the_first_tables_called_them_choices(url: str, database: Database) -> None:
    database.make_directory()
    store = Store(url)
    with database.writing() as connection:
        upgrade(connection, "0001")
        at = sa.bindparam("at", NOON, type_=UTCDateTime())
        columns = "id, project_id, label_studio_url, created_at, live"
        connection.execute(sa.text(f"INSERT INTO campaigns ({columns}) VALUES (1, 7, 'http://ls', :at, true)").bindparams(at))
        connection.execute(sa.text("INSERT INTO machine_labels VALUES (1, 3, 1, 2, 0.5, 'written', 9)"))
        connection.execute(sa.text("INSERT INTO frozen VALUES (1, 1, 0, 3, 2, 0.5)"))
        connection.execute(sa.text("INSERT INTO duplicates VALUES (1, 6, 3, 4, 1, :at)").bindparams(at))
    assert store.migrate() == ("0001", "0006")
    assert store.machine_labels(1) == [MachineLabel(3, 1, 2, 0.5, "written", 9)]
    assert store.frozen(1, 1) == [Frozen(0, 3, 2, 0.5)]
    assert [(row.task_id, row.annotation_id, row.annotator, row.label) for row in store.duplicates(1)] == [(3, 6, 4, 1)]
    store.upsert_duplicates(1, [Duplicate(3, 6, 4, 0, NOON)])
    assert store.duplicates(1) == [Duplicate(3, 6, 4, 0, NOON)]
    store.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
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


@on_postgresql
def test_a_password_is_in_no_error(url: str) -> None:
    unreachable = sa.make_url(url).set(port=1, password="hush").render_as_string(hide_password=False)
    store = Store(unreachable)
    with pytest.raises(StoreUnavailable) as caught:
        store.ping()
    assert "hush" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
