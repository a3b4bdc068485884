"""The protocol on the real SQLite store, with a queue that only records and no Label Studio at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.store import Store
from backend.web.app import create_app
from tests.backend.web.world import World


@pytest.fixture
def store(tmp_path: Path, migrated: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{shutil.copy(migrated, tmp_path / 'mcal.db')}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, to be copied: migrating takes longer than most tests here."""
    path = tmp_path_factory.mktemp("web") / "empty.db"
    made = Store(f"sqlite:///{path}")
    made.migrate()
    made.close()
    return path


@pytest.fixture
def world(store: Store, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("MCAL_TARGET_ERROR", "MCAL_PRICE_PER_LABEL"):
        monkeypatch.delenv(name, raising=False)
    return World(store)


@pytest.fixture
def client(world: World) -> FlaskClient:
    return create_app(world.deps()).test_client()
