"""Every test of this folder that asks for ``url`` or ``store`` runs on SQLite and, where it is installed, on Debian's PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.store import Campaign, NewEvent, Store
from backend.store.database import Database
from tests.contracts.store.rows import LS
from tests.databases import NEEDS_POSTGRESQL


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=NEEDS_POSTGRESQL)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql_url"))
    return f"sqlite:///{tmp_path / 'new folder' / 'mcal.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A second way into the same tables."""
    database = Database(url)
    yield database
    database.engine.dispose()


@pytest.fixture
def campaign(store: Store) -> Campaign:
    return store.create_campaign(7, LS, [NewEvent("requested", {}), NewEvent("created", {"n_items": 3})])
