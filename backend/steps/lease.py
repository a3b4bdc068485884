"""The right to work on a campaign: one owner at a time, renewed by a heartbeat while the work goes on."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from backend.store import Store
from mcal_engine.errors import MCALError

logger = logging.getLogger(__name__)


class LeaseLost(MCALError):
    """Another worker has taken over, because this one was silent for too long; it stops without a word more."""


class Stopping(MCALError):
    """This process is asked to end; the work goes on where it stopped, here or elsewhere."""


class Lease:
    """Held until :func:`hold` ends. :meth:`check` is the heartbeat that long work calls between its parts."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self.lost = threading.Event()
        self._stop = stop

    def check(self) -> None:
        """Raise :class:`LeaseLost` or :class:`Stopping` when the work must end."""
        if self.lost.is_set():
            raise LeaseLost("another worker has taken over this campaign")
        if self._stop():
            raise Stopping("this process is asked to stop")


class Beats(Protocol):
    """What renews a lease while the work goes on."""

    def __call__(self, name: str, seconds: float, beat: Callable[[], bool]) -> AbstractContextManager[None]:
        """Within the block, ``beat`` is called every ``seconds``, until it says no."""


@contextmanager
def by_thread(name: str, seconds: float, beat: Callable[[], bool]) -> Iterator[None]:
    """:class:`Beats` by a thread of its own, as the work may be long and say nothing."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(seconds) and beat():
            pass

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def hold(
    store: Store, campaign_id: int, seconds: float, stop: Callable[[], bool] = lambda: False, beats: Beats = by_thread
) -> Iterator[Lease | None]:
    """Take the campaign's lease, or yield ``None`` if another worker has it. ``beats`` renew it at a third of its life."""
    owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    if not store.acquire_lease(campaign_id, owner, seconds):
        yield None
        return
    lease = Lease(stop)
    try:
        with beats(f"lease-{campaign_id}", seconds / 3, _renewal(store, campaign_id, owner, seconds, lease)):
            yield lease
    finally:
        store.release_lease(campaign_id, owner)


def _renewal(store: Store, campaign_id: int, owner: str, seconds: float, lease: Lease) -> Callable[[], bool]:
    failed = 0

    def beat() -> bool:
        nonlocal failed
        try:
            held, failed = store.renew_lease(campaign_id, owner, seconds), 0
        except MCALError as error:  # the database is away: the lease still runs for a while
            failed += 1
            held = failed < 3
            logger.warning("campaign %d: the lease could not be renewed: %s", campaign_id, error)
        if not held:
            lease.lost.set()
        return held

    return beat
