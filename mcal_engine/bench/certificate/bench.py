"""Play the certificate benchmark's campaigns one after the other; each is one JSON line, and a line that is there is not made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from mcal_engine.bench.certificate.campaign import Task, true_campaign
from mcal_engine.bench.paper.runs import append_row, read_rows
from mcal_engine.bench.validity.price import true_outcome
from mcal_engine.bench.validity.worlds import Row, World, spec_for
from mcal_engine.simulator.report import versions

SCHEMA_VERSION = 1


def go(world: World, tasks: Sequence[Task], out: Path, say: Callable[[str], None], *, as_built: bool = True) -> list[Row]:
    """Do what is not in ``out`` yet; return the rows of all ``tasks``.

    ``as_built``: also play the engine's own campaign on the same items.
    """
    done = {row["key"]: row for row in read_rows(out)}
    rows = []
    for task in tasks:
        key = _key(world, task, as_built)
        if key not in done:
            say(f"{world.name}, {task.items:,} items, seed {task.seed}")
            done[key] = _play(world, task, as_built) | {"key": key}
            append_row(out, done[key])
        rows.append(done[key])
    return rows


def _play(world: World, task: Task, as_built: bool) -> Row:
    result = true_campaign(world, task)
    if as_built:
        ids = world.items(task.items, task.seed)
        for reading in result["readings"]:
            reading["as_built"] = true_outcome(world, ids, spec_for(reading["target_error"], task.seed))
    return {"data": world.name, "task": asdict(task), "versions": versions(), "result": result}


def _key(world: World, task: Task, as_built: bool) -> str:
    parts = (SCHEMA_VERSION, world.digest, world.name, asdict(task), as_built)
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()
