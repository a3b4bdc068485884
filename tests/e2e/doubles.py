"""How often Label Studio hands one task to two people: ``make bench-doubles``, or ``python -m tests.e2e.doubles``.

One queue, published as the backend publishes it, on a real Label Studio with SQLite or PostgreSQL; people who label it at a pace. A double
is a label beyond the first on its task: paid, and worth nothing. Each line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from backend.demo.annotators import Annotator, Pull
from backend.demo.label_studio_server import LabelStudioServer
from backend.demo.project import DemoProject, label_config
from backend.label_studio import queue
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.config import parse_label_config
from tests.databases import own_postgresql

CONFIG = label_config(["yes", "no"])
CONTROL = parse_label_config(CONFIG)
DATABASES = ("sqlite", "postgresql")
LONGEST = 900.0  # seconds for one queue


@dataclass(frozen=True)
class Doubles:
    """What became of one queue. ``late``: pulls that came ``people`` or more places behind a place that had been served already."""

    database: str
    people: int
    pace: float
    n_tasks: int
    labels: int
    doubles: int
    outside: int
    late: int
    median_pull_seconds: float
    seconds: float
    load_average: float


@contextmanager
def label_studio_on(database: str) -> Iterator[LabelStudioServer]:
    """A Label Studio of one's own on SQLite or PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="mcal-doubles-") as folder:
        if database == "sqlite":
            with LabelStudioServer(Path(folder)) as server:
                yield server
        else:
            with own_postgresql() as postgresql, LabelStudioServer(Path(folder), postgresql=postgresql.url) as server:
                yield server


def sign_up(server: LabelStudioServer, n: int) -> list[tuple[str, str]]:
    """Address and token of ``n`` people."""
    return [(f"person{n}@example.com", server.create_user(f"person{n}@example.com", "long-enough-12")) for n in range(n)]


def play(server: LabelStudioServer, users: Sequence[tuple[str, str]], *, database: str, pace: float, n_tasks: int, seed: int) -> Doubles:
    """Publish a queue of ``n_tasks`` out of twice as many, let ``users`` label until it is used up, and count."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Token {server.admin_token}"}, timeout=120) as admin:
        made = admin.post("/api/projects", json={"title": "Doubles", "label_config": CONFIG}).raise_for_status().json()["id"]
        images = [{"image": f"https://images.test/{n}.png"} for n in range(2 * n_tasks)]
        reply = admin.post(f"/api/projects/{made}/import?return_task_ids=true", json=images).raise_for_status()
    ids = list(reply.json()["task_ids"])
    order = random.Random(seed).sample(ids, n_tasks)
    client = LabelStudioClient(server.url, server.admin_token)
    try:
        spare = [task for task in ids if task not in set(order)]
        queue.publish(client, made, "doubles-1", order, sentinel_ids=spare, control=CONTROL, now=datetime.now(UTC))
    finally:
        client.close()
    pulls: list[Pull] = []
    truth = dict.fromkeys(ids, "yes")
    where = DemoProject(server.url, made, 0)
    team = [Annotator(where, email, token, truth, pulls.append, pace=pace, seed=seed) for email, token in users]
    begun = time.monotonic()
    for person in team:
        person.start()
    while len({pull.task_id for pull in pulls if pull.task_id is not None}) < n_tasks:
        failures = [person.failure for person in team if person.failure is not None]
        if failures:
            raise failures[0]
        if time.monotonic() - begun > LONGEST:
            raise TimeoutError(f"the queue of {n_tasks} tasks was not used up within {LONGEST:g} s")
        time.sleep(0.2)
    for person in team:
        person.stop()
    for person in team:
        person.join()
    return _counted(pulls, order, database=database, people=len(users), pace=pace, seconds=time.monotonic() - begun)


def _counted(pulls: Sequence[Pull], order: Sequence[int], *, database: str, people: int, pace: float, seconds: float) -> Doubles:
    served = sorted((pull for pull in pulls if pull.task_id is not None), key=lambda pull: pull.served_at)
    place = {task: n for n, task in enumerate(order)}
    furthest, late = -1, 0
    for pull in served:
        mine = place.get(pull.task_id or 0, -1)
        late += 0 <= mine <= furthest - people
        furthest = max(furthest, mine)
    waits = sorted((pull.served_at - pull.asked_at).total_seconds() for pull in served)
    return Doubles(
        database=database,
        people=people,
        pace=pace,
        n_tasks=len(order),
        labels=len(served),
        doubles=sum(n - 1 for n in Counter(pull.task_id for pull in served).values()),
        outside=sum(pull.task_id not in place for pull in served),
        late=late,
        median_pull_seconds=round(waits[len(waits) // 2], 3),
        seconds=round(seconds, 1),
        load_average=round(os.getloadavg()[0], 1),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=DATABASES, choices=DATABASES)
    parser.add_argument("--people", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--paces", nargs="+", type=float, default=[0.0, 2.0, 5.0], help="seconds that a person thinks over a task")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    for database in asked.databases:
        with label_studio_on(database) as server:
            users = sign_up(server, max(asked.people))
            for people in asked.people:
                for pace in asked.paces:
                    found = play(server, users[:people], database=database, pace=pace, n_tasks=asked.tasks, seed=asked.seed)
                    sys.stdout.write(json.dumps(asdict(found)) + "\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
