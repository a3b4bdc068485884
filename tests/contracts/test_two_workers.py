"""Two workers that share PostgreSQL and Redis: one dies in mid-training, the other one goes on within the lease's time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.state import Phase
from backend.jobs import JobQueue
from backend.store import Store
from backend.worker import Worker
from mcal_engine.training import Scored
from tests.backend.test_jobs import until
from tests.backend.world import Killed, World
from tests.databases import needs_postgresql, needs_redis

LEASE_SECONDS = 2.0


class Dead(Store):
    """The store of a worker that is killed: it gives no lease back."""

    def release_lease(self, campaign_id: int, owner: str) -> None:
        """As a killed process does."""


@contextmanager
def working(world: World, store: Store, redis_url: str, **parts: Any) -> Iterator[threading.Thread]:
    """A worker with connections of its own."""
    queue = JobQueue(redis_url)
    services = world.fresh_services(store=store, lease_seconds=LEASE_SECONDS, **parts)
    worker = Worker(services, queue, 0.2, rest_seconds=0.1, campaigns_at_once=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop.set()
        thread.join(20)
        queue.close()
        store.close()


@needs_redis
@needs_postgresql
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_dies_in_mid_training_is_followed_by_the_other_with_the_same_ledger(
    tmp_path: Path, postgresql_url: str, redis_url: str
) -> None:
    undisturbed = World(tmp_path / "undisturbed", n=205)
    undisturbed.run()

    world = World(tmp_path / "shared", n=205, start=False)
    world.store.close()
    world.store = Store(postgresql_url)
    world.store.migrate()
    world.fresh_services()
    world.begin()
    world.advance()
    world.label()
    training, died = threading.Event(), threading.Event()

    def dying(_campaign_id: int, _request: object, _heartbeat: object) -> Scored:
        training.set()
        assert died.wait(20)
        raise Killed

    with working(world, Dead(postgresql_url), redis_url, trainer=dying):
        assert training.wait(20)
        with working(world, Store(postgresql_url), redis_url):
            time.sleep(2 * LEASE_SECONDS)  # the first one lives, so its heartbeat keeps the other one away
            assert world.state().stage == Phase.TRAINING_DUE
            died.set()
            killed = time.monotonic()
            until(lambda: len(world.state().observations) == 1 and world.state().stage == Phase.COLLECTING, 30)
            assert time.monotonic() - killed < LEASE_SECONDS + 10  # of which most is for a machine that is busy
    world.fresh_services()
    world.run()
    assert world.ledger() == undisturbed.ledger()
    world.store.close()
