"""The store's contract: one owner of a campaign at a time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backend.store import Campaign, LeaseLost, NewEvent, Store
from mcal_engine.errors import InvalidValue
from tests.contracts.store.rows import LS, NOON, ROOT, in_processes


def test_a_lease_has_one_owner_until_it_is_released(store: Store, campaign: Campaign) -> None:
    assert store.acquire_lease(campaign.id, "a", 60)
    assert not store.acquire_lease(campaign.id, "b", 60)
    store.release_lease(campaign.id, "b")
    assert not store.acquire_lease(campaign.id, "b", 60)
    store.release_lease(campaign.id, "a")
    assert store.acquire_lease(campaign.id, "b", 60)


def test_a_lease_that_ran_out_passes_on_and_its_old_owner_cannot_renew_it(store: Store, campaign: Campaign) -> None:
    assert store.acquire_lease(campaign.id, "a", 60, now=NOON)
    assert not store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=59.9))
    assert store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=60))
    assert not store.renew_lease(campaign.id, "a", 60, now=NOON + timedelta(seconds=61))
    store.release_lease(campaign.id, "a")
    assert not store.acquire_lease(campaign.id, "a", 60, now=NOON + timedelta(seconds=61))


def test_renewing_makes_a_lease_last(store: Store, campaign: Campaign) -> None:
    store.acquire_lease(campaign.id, "a", 60, now=NOON)
    assert store.renew_lease(campaign.id, "a", 60, now=NOON + timedelta(seconds=50))
    assert not store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=100))
    assert store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=110))


def test_a_lease_that_ran_out_unnoticed_can_still_be_renewed(store: Store, campaign: Campaign) -> None:
    store.acquire_lease(campaign.id, "a", 60, now=NOON)
    assert store.renew_lease(campaign.id, "a", 60, now=NOON + timedelta(hours=1))


def test_nobody_renews_a_lease_that_nobody_has(store: Store, campaign: Campaign) -> None:
    assert not store.renew_lease(campaign.id, "a", 60)


def test_campaigns_have_leases_of_their_own(store: Store, campaign: Campaign) -> None:
    other = store.create_campaign(8, LS, [])
    assert store.acquire_lease(campaign.id, "a", 60)
    assert store.acquire_lease(other.id, "b", 60)


def test_without_a_given_time_the_databases_clock_runs_the_lease_out(store: Store, campaign: Campaign) -> None:
    assert store.acquire_lease(campaign.id, "a", 0.3)
    assert not store.acquire_lease(campaign.id, "b", 0.3)
    time.sleep(0.4)
    assert store.acquire_lease(campaign.id, "b", 0.3)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_lease_must_last(store: Store, campaign: Campaign, seconds: float) -> None:
    with pytest.raises(InvalidValue, match="longer than 0 seconds"):
        store.acquire_lease(campaign.id, "a", seconds)


def test_of_many_threads_exactly_one_gets_the_lease_each_time_it_is_free(store: Store, campaign: Campaign) -> None:
    for turn in range(5):
        now = NOON + timedelta(minutes=turn)
        start = threading.Barrier(8)

        def attempt(number: int, now: datetime = now, turn: int = turn, start: threading.Barrier = start) -> bool:
            start.wait()
            return store.acquire_lease(campaign.id, f"{turn}-{number}", 60, now=now)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(8))) == 1


@pytest.mark.slow
def test_of_several_processes_one_at_a_time_holds_the_lease(store: Store, campaign: Campaign, url: str, tmp_path: Path) -> None:
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
def test_the_lease_of_a_killed_process_passes_on_within_its_time_and_not_while_it_lives(store: Store, campaign: Campaign, url: str) -> None:
    script = (
        "import sys\nfrom backend.steps.lease import hold\nfrom backend.store import Store\n"
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


def test_who_has_lost_the_lease_cannot_write_any_more_and_can_still_read(store: Store, campaign: Campaign) -> None:
    assert store.acquire_lease(campaign.id, "a", 60, now=NOON)
    mine = store.fenced(campaign.id, "a")
    before = mine.append(campaign.id, [NewEvent("paused", {})])[-1].seq
    assert store.acquire_lease(campaign.id, "b", 60, now=NOON + timedelta(seconds=60))
    changes: list[Callable[[], object]] = [
        lambda: mine.append(campaign.id, [NewEvent("resumed", {})]),
        lambda: mine.set_machine_labels(campaign.id, []),
        lambda: mine.set_watermark(campaign.id, NOON),
        lambda: mine.mark_deleted(campaign.id, []),
    ]
    for change in changes:
        with pytest.raises(LeaseLost, match="another worker has taken over"):
            change()
    assert mine.events(campaign.id)[-1].seq == before
    store.release_lease(campaign.id, "b")
    with pytest.raises(LeaseLost):  # free is not ours
        mine.set_watermark(campaign.id, NOON)
    store.set_watermark(campaign.id, NOON)
