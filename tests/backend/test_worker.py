"""The worker around the loop: hints and timer, trouble of every kind, leases, an orderly end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.state import Phase, state_of
from backend.jobs import JobQueue
from backend.steps.lease import hold
from backend.steps.loop import advance
from backend.steps.open import request_campaign
from backend.store import LeaseLost
from backend.worker import Worker, stopping_on_signals
from mcal_engine.errors import MCALError
from tests.backend.test_jobs import until
from tests.backend.world import CONFIG, World


class Jobs:
    """A queue in memory that hands out what is waiting and then stops."""

    def __init__(self) -> None:
        self.waiting: list[int] = []

    def enqueue(self, campaign_id: int, reason: str) -> bool:
        self.waiting.append(campaign_id)
        return True

    def run_worker(
        self, handler: Callable[[int], None], poll: Callable[[], None], poll_seconds: float, stop: threading.Event, threads: int
    ) -> None:
        poll()
        while self.waiting and not stop.is_set():
            handler(self.waiting.pop(0))


def worker(world: World) -> Worker:
    return Worker(world.services, Jobs(), 1.0, rest_seconds=0)


@pytest.mark.slow
def test_the_timer_alone_is_enough(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    one = worker(world)
    for _ in range(20):
        one.run()
        if world.state().ended:
            break
        world.label()
    assert world.state().phase == Phase.FINISHED


def test_label_studio_being_away_is_one_line_and_another_try(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path)
    one = worker(world)
    world.label_studio.down = True
    for _ in range(6):
        one.visit(world.campaign.id)
        world.wait(minutes=2)
    assert sum("cannot be reached" in record.getMessage() for record in caplog.records) == 6
    assert all("\n" not in record.getMessage() for record in caplog.records)
    assert world.state().phase == Phase.REQUESTED  # never halted: it only has to come back
    world.label_studio.down = False
    one.visit(world.campaign.id)
    assert world.state().phase == Phase.COLLECTING


def test_tries_are_spread_out_up_to_a_minute(tmp_path: Path) -> None:
    world = World(tmp_path)
    one = worker(world)
    world.label_studio.down = True
    one.visit(world.campaign.id)
    calls = len(world.label_studio.calls)
    one.visit(world.campaign.id)
    one.wake_all()
    assert len(world.label_studio.calls) == calls and one.jobs.waiting == []  # type: ignore[attr-defined]
    world.wait(seconds=3)
    one.visit(world.campaign.id)
    assert len(world.label_studio.calls) > calls


def test_a_refusal_that_stays_halts_and_lifts_itself_when_it_is_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    one = worker(world)
    one.visit(world.campaign.id)
    world.label_studio.fail(times=4, status=401, retryable=False)
    for _ in range(4):
        one.visit(world.campaign.id)
        world.wait(minutes=2)
    state = world.state()
    assert state.phase == Phase.HALTED and state.halt is not None and "401" in state.halt.reason
    assert len(world.store.events(world.campaign.id, kinds=("halted",))) == 1
    one.visit(world.campaign.id)
    assert world.state().phase == Phase.COLLECTING


@pytest.mark.slow
def test_a_training_that_fails_again_and_again_halts_with_its_reason(tmp_path: Path) -> None:
    world = World(tmp_path)
    one = worker(world)
    one.visit(world.campaign.id)
    world.label()
    world.trainer.fail = MCALError("training failed: out of memory")
    for _ in range(5):
        one.visit(world.campaign.id)
        world.wait(minutes=2)
    state = world.state()
    assert state.phase == Phase.HALTED and state.halt is not None and "out of memory" in state.halt.reason
    assert "mcal campaign resume" in state.halt.fix and len(world.trainer.requests) == 3


def test_an_unexpected_error_is_logged_with_its_campaign_and_leaves_the_others_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, n=220)
    one = worker(world)
    one.visit(world.campaign.id)
    world.label()
    world.trainer.fail = ZeroDivisionError("token=secret0123456789")
    one.visit(world.campaign.id)
    assert f"campaign {world.campaign.id}: unexpected error" in caplog.text and "secret0123456789" not in caplog.text
    world.trainer.fail = None
    world.wait(minutes=2)
    one.visit(world.campaign.id)
    assert len(world.state().observations) == 1


def test_a_full_disk_is_waited_for_and_halts_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, n=205, test_size=20, batch_size=10)
    one = worker(world)
    world.shelf.fail = OSError(errno.ENOSPC, "No space left on device")
    for _ in range(5):
        one.visit(world.campaign.id)
        world.wait(minutes=2)
    assert world.state().halt is None
    world.shelf.fail = None
    one.visit(world.campaign.id)
    assert world.state().phase == Phase.COLLECTING


def test_two_workers_never_work_on_one_campaign(tmp_path: Path) -> None:
    world = World(tmp_path)
    with hold(world.store, world.campaign.id, 600) as lease:
        assert lease is not None
        assert advance(world.services, world.campaign.id) is None
    assert advance(world.services, world.campaign.id) is not None


@pytest.mark.slow
def test_a_training_of_one_campaign_does_not_hold_up_another(tmp_path: Path) -> None:
    world = World(tmp_path, n=205)
    world.advance()
    world.label()
    other = world.label_studio.add_project(CONFIG, [f"/data/{place}.png" for place in range(205)])
    second = request_campaign(world.services, other, world.settings, "test")
    training, over = threading.Event(), threading.Event()

    def during() -> None:
        training.set()
        assert over.wait(20)

    world.trainer.during = during
    queue = JobQueue(f"sqlite:///{tmp_path / 'queue.db'}")
    one = Worker(world.services, queue, 60.0, rest_seconds=0, campaigns_at_once=2)
    thread = threading.Thread(target=one.run)
    thread.start()
    try:
        assert training.wait(20)
        until(lambda: state_of(world.store, second.id, world.now()).phase == Phase.COLLECTING, 20)
        assert world.state().stage == Phase.TRAINING_DUE
        over.set()
        until(lambda: len(world.state().observations) == 1, 20)
    finally:
        over.set()
        one.stop.set()
        thread.join(20)
        queue.close()
    assert not thread.is_alive()


def test_a_hint_that_comes_during_another_workers_short_look_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, n=205)
    one = worker(world)
    one.rest_seconds = 0.2
    refused = threading.Event()
    acquire = world.store.acquire_lease

    def acquiring(*arguments: Any) -> bool:
        got = acquire(*arguments)
        if not got:
            refused.set()
        return got

    with hold(world.store, world.campaign.id, 600):
        monkeypatch.setattr(world.store, "acquire_lease", acquiring)
        looking = threading.Thread(target=one.visit, args=(world.campaign.id,))
        looking.start()
        assert refused.wait(20)
    looking.join(20)
    assert world.state().phase == Phase.COLLECTING


def test_a_worker_whose_lease_was_taken_stops(tmp_path: Path) -> None:
    world = World(tmp_path)
    with hold(world.store, world.campaign.id, 0.15) as lease:
        assert lease is not None
        lease.check()
        with sqlite3.connect(world.path) as disk:
            disk.execute("UPDATE leases SET owner = 'somebody else'")
        disk.close()
        assert lease.lost.wait(5)
        with pytest.raises(LeaseLost, match="another worker has taken over"):
            lease.check()


@pytest.mark.slow
def test_a_stop_during_a_training_ends_it_and_loses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    one = worker(world)
    one.visit(world.campaign.id)
    world.label()
    inner = world.trainer

    def interrupted(request: object, heartbeat: Callable[[], None]) -> None:
        one.stop.set()
        heartbeat()
        raise AssertionError("the heartbeat must end the training")

    one.services = world.fresh_services(trainer=interrupted)
    one.visit(world.campaign.id)
    assert world.state().stage == Phase.TRAINING_DUE
    world.fresh_services(trainer=inner)
    assert len(world.advance().observations) == 1


def test_sigterm_and_sigint_ask_for_an_orderly_end() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        stop = threading.Event()
        before = signal.getsignal(number)
        with stopping_on_signals(stop):
            os.kill(os.getpid(), number)
            assert stop.wait(2)
        assert signal.getsignal(number) == before


def test_each_change_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(tmp_path)
    one = worker(world)
    one.visit(world.campaign.id)
    one.visit(world.campaign.id)
    assert sum("round 0: 0 of 52 labels" in record.getMessage() for record in caplog.records) == 1
