"""Write down a campaign as it happens: every row that its state is derived from, after each commit."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import astuple, fields
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from backend.campaign import facts
from backend.store import Assignment, Duplicate, Event, Frozen, Item, MachineLabel, Store
from mcal_engine import __version__
from tests.backend.world import World

HERE = Path(__file__).parent
WHOLE = "certified"  # the recording that is kept as a backup of the whole database too
TABLES = {"items": Item, "assignments": Assignment, "duplicates": Duplicate, "machine_labels": MachineLabel}
KEYS: dict[str, Callable[[Any], Any]] = {
    "items": lambda row: row.task_id,
    "assignments": lambda row: row.task_id,
    "duplicates": lambda row: (row.task_id, row.annotation_id),
    "machine_labels": lambda row: row.task_id,
}


def plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def cells(row: Any) -> list[Any]:
    return [plain(value) for value in astuple(row)]


class Recorder:
    """Attach it to a world before its campaign begins; afterwards :meth:`write` stores what was seen."""

    def __init__(self, world: World | SimpleNamespace) -> None:
        self.world = world
        self.events: list[Event] = []
        self.checkpoints: list[dict[str, Any]] = []
        self._last: dict[str, dict[Any, Any]] = {name: {} for name in TABLES}
        if isinstance(world, World):
            self._note_each_commit(world.store)

    def _note_each_commit(self, store: Store) -> None:
        append = store.append

        def appended(*args: Any, **kwargs: Any) -> list[Event]:
            added = append(*args, **kwargs)
            self.note()
            return added

        store.append = appended  # type: ignore[method-assign]

    def note(self) -> None:
        """The rows as they are now: those that are new or other than at the checkpoint before, and keys of those that are gone."""
        world = self.world
        found = facts.load(world.store, world.campaign.id)
        self.events = world.store.events(world.campaign.id)
        point: dict[str, Any] = {"seq": len(self.events), "now": world.now().isoformat()}
        for name, key in KEYS.items():
            now = {key(row): row for row in getattr(found, name)}
            before = self._last[name]
            changed = [cells(row) for place, row in now.items() if before.get(place) != row]
            gone = [place for place in before if place not in now]
            if changed:
                point[name] = changed
            if gone:
                point[f"{name}_gone"] = gone
            self._last[name] = now
        self.checkpoints.append(point)

    def write(self, name: str, why: str) -> None:
        self.note()
        world = self.world
        campaign = world.store.campaign(world.campaign.id)
        looks = [event.payload["look"] for event in self.events if event.kind == "frozen"]
        looks += [-event.payload["audit"] for event in self.events if event.kind == "audit_opened"]
        frozen = {str(look): [cells(row) for row in world.store.frozen(campaign.id, look)] for look in looks}
        rows: dict[str, type[Any]] = {**TABLES, "frozen": Frozen}
        columns = {table: [field.name for field in fields(row)] for table, row in rows.items()}
        made = {
            "why": why,
            "written_by": __version__,
            "campaign": cells(campaign),
            "events": [[event.seq, event.kind, event.payload, plain(event.created_at)] for event in self.events],
            "columns": columns,
            "checkpoints": self.checkpoints,
            "frozen": frozen,
        }
        target = io.BytesIO()
        with gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as file:
            file.write(json.dumps(made, separators=(",", ":")).encode())
        (HERE / f"{name}.json.gz").write_bytes(target.getvalue())
        if name == WHOLE:
            with (HERE / f"{name}.backup.gz").open("wb") as backup:
                world.store.backup(backup)


def demo(directory: Path, options: Sequence[str]) -> Recorder:
    """Run ``mcal demo`` with these options and look into its database twice a second: at a copy, so between two commits."""
    world = SimpleNamespace(now=lambda: datetime.now(UTC))
    recorder = Recorder(world)
    kept = directory / "demo"
    run = subprocess.Popen([sys.executable, "-m", "backend.cli", "demo", "--exit", "--directory", str(kept), *options])
    running = True
    while running:
        running = run.poll() is None
        time.sleep(0.5)
        copy = directory / f"{len(recorder.checkpoints)}.db"
        if _copied(kept / "mcal" / "mcal.db", copy):
            world.store = Store(f"sqlite:///{copy}")
            for campaign in world.store.campaigns():
                world.campaign = campaign
                if len(world.store.events(world.campaign.id)) > len(recorder.events):
                    recorder.note()
            world.store.close()
    return recorder


def _copied(database: Path, copy: Path) -> bool:
    """Whether the database is there yet."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return True
