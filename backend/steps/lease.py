"""The right to work on a campaign: one owner at a time, renewed by a heartbeat while the work goes on.

The right ends by itself, a lease's time after it was last renewed. A process that slept through that time finds it out before it changes
anything: Label Studio is asked through :func:`backend.label_studio.fence.fenced`, the store through :meth:`backend.store.Store.fenced`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from backend.store import LeaseLost, Store
from mcal_engine.errors import MCALError

logger = logging.getLogger(__name__)

LEFT = 1 / 3  # of a lease's time must be left when a change begins, so that it is over before somebody else may begin one
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # nobody sets it, and on Linux it goes on while the machine sleeps


class Stopping(MCALError):
    """This process is asked to end; the work goes on where it stopped, here or elsewhere."""


def steady_clock() -> float:
    """Seconds on a clock that only goes forward."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Held until :func:`hold` ends. :meth:`check` is the heartbeat that long work calls between its parts.

    Args:
        until: when it runs out unless it is renewed, on the clock ``steady``.
    """

    def __init__(
        self,
        store: Store,
        campaign_id: int,
        owner: str,
        seconds: float,
        until: float,
        *,
        stop: Callable[[], bool],
        steady: Callable[[], float],
    ) -> None:
        self.owner = owner
        self.lost = threading.Event()
        self._store, self._campaign_id, self._seconds, self._until = store, campaign_id, seconds, until
        self._stop, self._steady = stop, steady

    def check(self) -> None:
        """Raise :class:`LeaseLost` or :class:`Stopping` when the work must end. Cheap: the database is asked only in the last third."""
        if self._steady() > self._until - LEFT * self._seconds:
            self.renew()
        self._raise_if_lost()
        if self._stop():
            raise Stopping("this process is asked to stop")

    def require(self) -> None:
        """Raise :class:`LeaseLost` unless the campaign is ours, and for long enough to change something in Label Studio now.

        Raises:
            StoreUnavailable: nobody can tell; the work ends here as well.
        """
        if self._steady() > self._until - LEFT * self._seconds:
            self.renew()
        elif not self._store.holds_lease(self._campaign_id, self.owner):  # a database's clock may have been set forward
            self.lost.set()
        self._raise_if_lost()

    def renew(self) -> bool:
        """Ask the database whether it is still ours, now for the lease's whole time from here."""
        asked = self._steady()  # the database's count begins later than ours
        if not self.lost.is_set() and self._store.renew_lease(self._campaign_id, self.owner, self._seconds):
            self._until = asked + self._seconds
            return True
        self.lost.set()
        return False

    def _raise_if_lost(self) -> None:
        if self.lost.is_set():
            raise LeaseLost("another worker has taken over this campaign")


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
    store: Store,
    campaign_id: int,
    seconds: float,
    stop: Callable[[], bool] = lambda: False,
    *,
    beats: Beats = by_thread,
    steady: Callable[[], float] = steady_clock,
) -> Iterator[Lease | None]:
    """Take the campaign's lease, or yield ``None`` if another worker has it. ``beats`` renew it at a third of its life."""
    owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    asked = steady()
    if not store.acquire_lease(campaign_id, owner, seconds):
        yield None
        return
    lease = Lease(store, campaign_id, owner, seconds, asked + seconds, stop=stop, steady=steady)

    def beat() -> bool:
        try:
            return lease.renew()
        except MCALError as error:  # the database is away: whoever wants to change something asks it again
            logger.warning("campaign %d: the lease could not be renewed: %s", campaign_id, error)
            return True

    try:
        with beats(f"lease-{campaign_id}", seconds / 3, beat):
            yield lease
    finally:
        store.release_lease(campaign_id, owner)
