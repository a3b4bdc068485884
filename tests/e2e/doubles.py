"""How often Label Studio hands one task to two people: ``make bench-doubles``, or ``python -m tests.e2e.doubles``.

One queue, published as the backend publishes it, on a real Label Studio with SQLite or PostgreSQL; people who come within a few seconds
and label it at a pace. A double is a label beyond the first on its task: paid, and worth nothing. Each queue is one line of JSON, once with
people kept apart by the backend's turnstile and once without; a table of all of them comes last.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import httpx

from backend.demo.annotators import Annotator, Pull
from backend.demo.label_studio_server import LabelStudioServer
from backend.demo.project import DemoProject, label_config
from backend.label_studio import queue
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.config import parse_label_config
from backend.protocol import bodies
from backend.protocol.turnstile import Turnstile
from tests.databases import own_postgresql

CONFIG = label_config(["yes", "no"])
CONTROL = parse_label_config(CONFIG)
DATABASES = ("sqlite", "postgresql")
LONGEST = 900.0  # seconds for one queue
ARRIVING = 3.0  # seconds within which everybody comes: nobody's press of the button is the same instant as another's


@dataclass(frozen=True)
class Doubles:
    """What became of one queue.

    ``apart``: whether the turnstile kept people apart; ``held`` is what it held a submission up, in seconds on average. ``late``: pulls of
    a place that was behind one served before the person even asked.
    """

    database: str
    people: int
    pace: float
    apart: bool
    n_tasks: int
    labels: int
    doubles: int
    outside: int
    late: int
    held: float
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


@contextmanager
def turnstile_webhook(held: list[float]) -> Iterator[str]:
    """Address of a webhook that answers as the backend does where a task was labelled twice; ``held`` gets what each answer waited."""
    turnstile = Turnstile()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            person = bodies.annotator(body)
            self.send_response(httpx.codes.OK)
            self.end_headers()
            if body["action"] == "ANNOTATION_CREATED" and person is not None:
                delay = bodies.seconds_since_stored(body, datetime.now(UTC))
                held.append(0.0)
                mine = len(held) - 1
                for part in turnstile.pass_through(bodies.project_id(body), person, delay):
                    held[mine] += part
                    self.wfile.write(b" ")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        serving = threading.Thread(target=receiver.serve_forever, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{receiver.server_port}/webhook"
        finally:
            receiver.shutdown()
            serving.join()


def play(
    server: LabelStudioServer,
    users: Sequence[tuple[str, str]],
    *,
    database: str,
    pace: float,
    n_tasks: int,
    seed: int,
    apart: bool = False,
) -> Doubles:
    """Publish a queue of ``n_tasks`` out of twice as many, let ``users`` label until it is used up, and count."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Token {server.admin_token}"}, timeout=120) as admin:
        made = admin.post("/api/projects", json={"title": "Doubles", "label_config": CONFIG}).raise_for_status().json()["id"]
        images = [{"image": f"https://images.test/{n}.png"} for n in range(2 * n_tasks)]
        reply = admin.post(f"/api/projects/{made}/import?return_task_ids=true", json=images).raise_for_status()
    ids = list(reply.json()["task_ids"])
    order = random.Random(seed).sample(ids, n_tasks)
    held: list[float] = []
    with ExitStack() as stack:
        hook = stack.enter_context(turnstile_webhook(held)) if apart else None
        pulls, seconds = _label(server, users, made, ids, order, hook, pace=pace, seed=seed)
    return _counted(pulls, order, database=database, people=len(users), pace=pace, apart=apart, held=held, seconds=seconds)


def _label(
    server: LabelStudioServer,
    users: Sequence[tuple[str, str]],
    made: int,
    ids: Sequence[int],
    order: Sequence[int],
    hook: str | None,
    *,
    pace: float,
    seed: int,
) -> tuple[list[Pull], float]:
    client = LabelStudioClient(server.url, server.admin_token)
    try:
        spare = [task for task in ids if task not in set(order)]
        if hook is not None:
            client.register_webhook(made, hook, {})
        queue.publish(client, made, "doubles-1", order, sentinel_ids=spare, control=CONTROL, now=datetime.now(UTC))
    finally:
        client.close()
    pulls: list[Pull] = []
    truth = dict.fromkeys(ids, "yes")
    where = DemoProject(server.url, made, 0, CONTROL)
    team = [Annotator(where, email, token, truth, pulls.append, pace=pace, seed=seed) for email, token in users]
    begun = time.monotonic()
    for person in team:
        person.start()
        time.sleep(ARRIVING / len(team))
    while len({pull.task_id for pull in pulls if pull.task_id is not None}) < len(order):
        failures = [person.failure for person in team if person.failure is not None]
        if failures:
            raise failures[0]
        if time.monotonic() - begun > LONGEST:
            raise TimeoutError(f"the queue of {len(order)} tasks was not used up within {LONGEST:g} s")
        time.sleep(0.2)
    for person in team:
        person.stop()
    for person in team:
        person.join()
    return pulls, time.monotonic() - begun


def _counted(
    pulls: Sequence[Pull],
    order: Sequence[int],
    *,
    database: str,
    people: int,
    pace: float,
    apart: bool,
    held: Sequence[float],
    seconds: float,
) -> Doubles:
    served = [pull for pull in pulls if pull.task_id is not None]
    waits = sorted((pull.served_at - pull.asked_at).total_seconds() for pull in served)
    return Doubles(
        database=database,
        people=people,
        pace=pace,
        apart=apart,
        n_tasks=len(order),
        labels=len(served),
        doubles=sum(n - 1 for n in Counter(pull.task_id for pull in served).values()),
        outside=sum(pull.task_id not in set(order) for pull in served),
        late=len(late(served, order)),
        held=round(sum(held) / max(len(held), 1), 3),
        median_pull_seconds=round(waits[len(waits) // 2], 3),
        seconds=round(seconds, 1),
        load_average=round(os.getloadavg()[0], 1),
    )


def late(served: Sequence[Pull], order: Sequence[int]) -> list[Pull]:
    """First pulls of a task that came out of order: when the person asked, a task behind it had been served already."""
    place = {task: n for n, task in enumerate(order)}
    first: dict[int, Pull] = {}
    for pull in sorted(served, key=lambda pull: pull.served_at):
        if pull.task_id in place:
            first.setdefault(place[pull.task_id], pull)
    behind = [(n, min((first[m].served_at for m in first if m > n), default=None)) for n in first]
    return [first[n] for n, earliest in behind if earliest is not None and earliest < first[n].asked_at]


def table(found: Sequence[Doubles]) -> str:
    """Markdown: doubles of labels, by people, pace and database, without and with the turnstile."""
    rows = ["| people | pace, s | database | without | with the turnstile | held, s |", "|---|---|---|---|---|---|"]
    by: dict[tuple[int, float, str], dict[bool, list[Doubles]]] = {}
    for row in found:
        by.setdefault((row.people, row.pace, row.database), {}).setdefault(row.apart, []).append(row)
    for (people, pace, database), sides in sorted(by.items()):
        held = [row.held for row in sides.get(True, [])]
        cells = [_share(sides.get(False, [])), _share(sides.get(True, [])), f"{sum(held) / len(held):.2f}" if held else ""]
        rows.append(f"| {people} | {pace:g} | {database} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _share(rows: Sequence[Doubles]) -> str:
    labels, doubles = sum(row.labels for row in rows), sum(row.doubles for row in rows)
    return f"{doubles} of {labels} ({doubles / labels:.1%})" if labels else ""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=DATABASES, choices=DATABASES)
    parser.add_argument("--people", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--paces", nargs="+", type=float, default=[0.0, 2.0, 5.0], help="seconds that a person thinks over a task")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--turnstile", nargs="+", default=["without", "with"], choices=["without", "with"])
    parser.add_argument("--repeat", type=int, default=1, help="queues for each line of the table")
    asked = parser.parse_args(arguments)
    found: list[Doubles] = []
    for database in asked.databases:
        with label_studio_on(database) as server:
            users = sign_up(server, max(asked.people))
            for people, pace, n, apart in product(asked.people, asked.paces, range(asked.repeat), asked.turnstile):
                where = {"database": database, "pace": pace, "n_tasks": asked.tasks, "seed": asked.seed + n}
                found.append(play(server, users[:people], **where, apart=apart == "with"))
                sys.stdout.write(json.dumps(asdict(found[-1])) + "\n")
                sys.stdout.flush()
    sys.stdout.write(table(found) + "\n")


if __name__ == "__main__":
    main()
