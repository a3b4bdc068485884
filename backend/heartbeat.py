"""A worker shows that it is alive, every few seconds, to whoever looks at a page: a queue that nobody works on looks like any other."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypedDict

from backend.store import StoreUnavailable
from mcal_engine.errors import MCALError

BEAT_SECONDS = 5.0
GONE_SECONDS = 20.0  # without a beat; then it is said that nobody is working


class NobodyWorks(MCALError):
    """No worker has been seen for a while; the text says what to do."""


class Machine(TypedDict):
    """Whether anybody works. ``worker_seen``: seconds since any worker was last seen, ``None`` for none; ``working``: that is not long."""

    worker_seen: float | None
    working: bool


class Beats(Protocol):
    """:class:`backend.store.Store`, as far as it goes here."""

    def beat(self, worker: str) -> None: ...

    def forget_worker(self, worker: str) -> None: ...

    def worker_seen(self) -> float | None: ...


@contextmanager
def beating(store: Beats, well: Callable[[], bool], every: float = BEAT_SECONDS) -> Iterator[None]:
    """Beat from a thread of its own, also during a long training, for as long as ``well`` says so; be forgotten at the end.

    A database that is away is no trouble here: whoever needs it says so.
    """
    name, stop = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"[:200], threading.Event()

    def run() -> None:
        while True:
            if well():
                with suppress(StoreUnavailable):
                    store.beat(name)
            if stop.wait(every):
                return

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with suppress(StoreUnavailable):
            store.forget_worker(name)


def machine(store: Beats) -> Machine:
    """What can be said about the workers of this database now."""
    seen = store.worker_seen()
    return Machine(worker_seen=seen, working=seen is not None and seen < GONE_SECONDS)


def trouble(found: Machine) -> str:
    """One sentence where nobody is working; empty where somebody is."""
    if found["working"]:
        return ""
    since = "" if found["worker_seen"] is None else f" for {found['worker_seen']:.0f} s"
    return f"no worker has been seen{since}. Start mcal worker; until then nothing is trained, asked for or written"


def require_worker(store: Beats) -> None:
    """Raise :class:`NobodyWorks` unless somebody is working."""
    if said := trouble(machine(store)):
        raise NobodyWorks(said)
