"""Two workers on machines of their own, with PostgreSQL, Redis and S3 between them: one is killed, the other one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.campaign.state import Phase
from backend.demo.house import House
from backend.demo.run import judge
from backend.store.database import Database
from backend.store.schema import leases
from tests.databases import skip_without_postgresql, skip_without_redis
from tests.e2e.conftest import Build
from tests.e2e.following import LONGEST, begin, finish, until
from tests.e2e.test_kills_and_outages import Unwatched, assert_continues, ledger, unwatch
from tests.e2e.test_whole_campaign import replayed
from tests.object_storage import KEY, REGION, SECRET, ObjectStorage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800), skip_without_postgresql, skip_without_redis]

LEASE_SECONDS = 5.0


@pytest.fixture
def shared(postgresql_url: str, redis_url: str, object_storage: ObjectStorage) -> dict[str, str]:
    """Settings that every machine has alike."""
    return {
        "MCAL_DATABASE_URL": postgresql_url,
        "MCAL_QUEUE_URL": redis_url,
        "MCAL_CACHE_URL": f"s3://{object_storage.bucket('two-machines')}/cache",
        "MCAL_WEBHOOK_SECRET": "the-same-on-both-machines",
        "MCAL_LEASE_SECONDS": str(LEASE_SECONDS),
        "AWS_ENDPOINT_URL": object_storage.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
    }


@pytest.fixture
def second(tmp_path: Path) -> Iterator[list[Unwatched]]:
    """Workers that a test starts beside the house's; ended after it."""
    started: list[Unwatched] = []
    yield started
    for worker in started:
        worker.stop()


def holder(house: House) -> tuple[int, datetime] | None:
    """Which process has the campaign's lease, and until when."""
    database = Database(house.settings["MCAL_DATABASE_URL"])
    try:
        with database.reading() as connection:
            row = connection.execute(sa.select(leases.c.owner, leases.c.expires_at)).one_or_none()
    finally:
        database.engine.dispose()
    return None if row is None else (int(row.owner.rsplit("-", 2)[1]), row.expires_at)


def test_a_worker_killed_in_mid_training_is_followed_by_the_other_machines_with_the_same_ledger(
    build: Build, shared: dict[str, str], second: list[Unwatched], tmp_path: Path
) -> None:
    house = build(402, server_settings=shared)
    unwatch(house)
    begin(house)
    until(house, lambda state: state.progress is not None and state.progress.labelled >= 20)
    other_machine = tmp_path / "other machine"
    other_machine.mkdir()
    other = Unwatched(["worker"], house.settings | {"MCAL_DATA_DIR": str(other_machine)}, other_machine)
    other.start()
    second.append(other)
    workers = {house.worker.pid: house.worker, other.pid: other}

    until(house, lambda state: state.stage == Phase.TRAINING_DUE, every=0.02)
    deadline = time.monotonic() + LONGEST
    while (found := holder(house)) is None or not trains(found[0]):
        assert time.monotonic() < deadline, "nobody trains"
        time.sleep(0.02)
    first, _ = found
    survivor = workers[next(pid for pid in workers if pid != first)]
    before = ledger(house)
    os.kill(first, signal.SIGKILL)
    killed_at = datetime.now(UTC)
    while (found := holder(house)) is None or found[0] != survivor.pid:
        assert time.monotonic() < deadline, survivor.log_tail()
        time.sleep(0.05)
    taken_after = datetime.now(UTC) - killed_at
    # What is left of the lease, then at most one look of the timer; the rest is for a machine that is busy.
    assert taken_after < timedelta(seconds=LEASE_SECONDS + house.plan.poll_seconds + 8)
    if survivor is other:
        house.worker.stop()
        house.worker = other
    else:
        second.clear()
        other.stop()
    assert_continues(before, ledger(house))
    report = finish(house)
    assert_continues(before, ledger(house))
    _, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []
    assert report["certified"]
    replayed(house)
    if survivor is other:  # the images it trains on were fetched by the first machine
        assert "of images/campaign-" in other.log_file.read_text()


def trains(pid: int) -> bool:
    """Whether a worker has a training under way."""
    listed = subprocess.run(["ps", "-o", "args=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return "backend.training" in listed.stdout
