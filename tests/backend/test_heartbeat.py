"""Whether anybody is working: told from the workers' beats, on the page, on the command line and by ``/readyz``."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.heartbeat import BEAT_SECONDS, GONE_SECONDS, NobodyWorks, beating, machine, require_worker, trouble
from backend.store import Store, StoreUnavailable
from tests.backend.web.test_pages import api, browser_of
from tests.backend.world import World


class Beats:
    """A store that only counts."""

    def __init__(self, *, away: bool = False) -> None:
        self.away, self.names, self.came = away, set[str](), threading.Event()

    def beat(self, worker: str) -> None:
        self.came.set()
        if self.away:
            raise StoreUnavailable("the database is away")
        self.names.add(worker)

    def forget_worker(self, worker: str) -> None:
        self.names.discard(worker)

    def worker_seen(self) -> float | None:
        return 0.0 if self.names else None


def test_a_worker_beats_from_its_start_and_is_forgotten_at_its_end() -> None:
    store = Beats()
    with beating(store, lambda: True):
        assert store.came.wait(10)
    assert not store.names


def test_a_worker_that_is_not_well_does_not_beat() -> None:
    store, asked = Beats(), threading.Event()

    def well() -> bool:
        asked.set()
        return False

    with beating(store, well):
        assert asked.wait(10)
    assert not store.came.is_set()


def test_a_database_that_is_away_ends_no_worker() -> None:
    store = Beats(away=True)
    with beating(store, lambda: True, every=0.01):
        for _ in range(3):
            store.came.clear()
            assert store.came.wait(10)


def test_the_page_says_that_nobody_is_working(tmp_path: Path) -> None:
    world = World(tmp_path)
    browser = browser_of(world)
    assert "no worker has been seen. Start mcal worker" in browser.get("/campaigns/1").text
    world.store.beat("one")
    assert "Nobody is working" not in browser.get("/campaigns/1").text
    assert api(browser, "/campaigns/1")["machine"]["working"]


def test_a_worker_that_was_killed_is_missed(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    store = Store(f"sqlite:///{tmp_path}/mcal.db", lambda: now)
    store.migrate()
    store.beat("one")
    assert machine(store) == {"worker_seen": 0.0, "working": True} and not trouble(machine(store))
    now += timedelta(seconds=GONE_SECONDS + 1)
    assert "no worker has been seen for 21 s" in trouble(machine(store))
    assert GONE_SECONDS + BEAT_SECONDS < 30  # it is said within half a minute


def test_the_last_beat_of_any_worker_counts(tmp_path: Path) -> None:
    world = World(tmp_path)
    store: Store = world.store
    with pytest.raises(NobodyWorks, match="Start mcal worker"):
        require_worker(store)
    store.beat("one")
    store.beat("two")
    store.forget_worker("two")
    require_worker(store)
    store.forget_worker("one")
    assert machine(store) == {"worker_seen": None, "working": False} and trouble(machine(store))
