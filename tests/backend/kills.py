"""Kills: a process that dies right after one chosen change to the store, Label Studio or the shelf; and going back in time."""

from __future__ import annotations

import copy
import random
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backend.steps.loop import advance
from backend.store import Store
from tests.backend.world import Killed, World

# What only reads leaves nothing behind: a death there is the same as one right after the change before.
READS = frozenset(
    {"campaign", "events", "items", "duplicates", "assignments", "frozen", "machine_labels", "watermark", "missing"}
    | {"holds_lease", "current_user", "version", "project", "tasks", "tasks_by_id", "task_ids", "predicted_task_ids"}
)


class Counter:
    """Counts the changes that a worker makes and dies after one of them (by number or by name); at 0 it dies before the first."""

    def __init__(self, at: int | str | None) -> None:
        self.n, self.at = 0, at
        self.names: list[str] = []
        self._thread = threading.get_ident()

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        if threading.get_ident() != self._thread:
            return work()  # the heartbeat's renewals have no order
        if self.at == 0:
            raise Killed(name)
        self.n += 1
        self.names.append(name)
        result = work()
        if self.at in (self.n, name):
            raise Killed(name)
        return result


class Mortal:
    """Stands in for a port: every call of a method that changes something is counted."""

    def __init__(self, inner: Any, name: str, counter: Counter) -> None:
        self._inner, self._name, self._counter = inner, name, counter

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        if not callable(found) or method in READS:
            return found
        if method == "fenced":
            return lambda *args: Mortal(found(*args), self._name, self._counter)
        return lambda *args, **kwargs: self._counter.call(f"{self._name}.{method}", lambda: found(*args, **kwargs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._counter.call(self._name, lambda: self._inner(*args, **kwargs))


def advance_until(world: World, at: int | str | None) -> Counter:
    """Advance with a worker that has just started and dies after its ``at``-th change; returns what it did."""
    counter = Counter(at)
    services = world.fresh_services(
        store=Mortal(world.store, "store", counter),
        label_studio=Mortal(world.label_studio, "label_studio", counter),
        trainer=Mortal(world.trainer, "trainer", counter),
        images=Mortal(world.shelf, "images", counter),
    )
    try:
        advance(services, world.campaign.id)
    except Killed:
        pass
    finally:
        world.fresh_services()
        lapse(world)
    return counter


def lapse(world: World) -> None:
    """Let time pass until no lease is held any more: the dead do not give theirs back."""
    with sqlite3.connect(world.path) as disk:
        disk.execute("DELETE FROM leases")
    disk.close()


_FAKE = ("_projects", "_tasks", "_webhooks", "_users", "_next_id", "_last", "_failures", "served")


@dataclass
class Snapshot:
    """The whole world at one moment."""

    database: sqlite3.Connection
    fake: dict[str, Any]
    chance: Any
    shelf: set[int]

    @classmethod
    def of(cls, world: World) -> Snapshot:
        world.store.close()
        memory = sqlite3.connect(":memory:")
        disk = sqlite3.connect(world.path)
        disk.backup(memory)
        disk.close()
        fake = {name: copy.deepcopy(getattr(world.label_studio, name)) for name in _FAKE}
        return cls(memory, fake, world.label_studio._random.getstate(), set(world.shelf.there))

    def restore(self, world: World) -> None:
        world.store.close()
        disk = sqlite3.connect(world.path)
        self.database.backup(disk)
        disk.close()
        for name, value in self.fake.items():
            setattr(world.label_studio, name, copy.deepcopy(value))
        world.label_studio._random = random.Random()
        world.label_studio._random.setstate(self.chance)
        world.shelf.there = set(self.shelf)
        world.store = Store(f"sqlite:///{world.path}")
        world.fresh_services()

    def close(self) -> None:
        self.database.close()
