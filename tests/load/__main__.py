"""Latencies and memory of the web server under load: ``make bench-load``.

A campaign on a real Label Studio whose people never stop; a second web server on its database, which wants a login, takes the load from
locust (``uv tool run``; it is no part of the product). Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from backend.campaign.state import Phase
from backend.demo.data import load
from backend.demo.house import House, Plan
from backend.demo.label_studio_server import LabelStudioServer
from backend.demo.processes import Command, wait_until_healthy
from tests.databases import free_port
from tests.e2e.conftest import SMALL
from tests.e2e.following import begin, until
from tests.load.crowd import throw

LOCUST = ["uv", "tool", "run", "--from", "locust==2.47.0", "locust"]
IDLE = 120  # connections that say nothing
PROBES = 100


@dataclass(frozen=True)
class Served:
    """The web server that takes the load."""

    house: House
    web: Command
    url: str
    login: tuple[str, str]

    @property
    def megabytes(self) -> float:
        """Memory that is in use now."""
        pids = subprocess.run(["pgrep", "-P", str(self.web.pid)], capture_output=True, text=True, check=True).stdout.split()
        status = Path(f"/proc/{pids[0]}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    plan = Plan(SMALL | {"batch_size": 60}, pace=0.2, poll_seconds=2.0, server={"MCAL_WEBHOOK_SECRET": "known-to-both"})
    with LabelStudioServer(folder / "label-studio") as server, House(server, folder / "mcal", load(None, 1000, 0), plan) as house:
        begin(house)
        port, login = free_port(), ("label-studio", secrets.token_urlsafe(12))
        url = f"http://127.0.0.1:{port}"
        of_web = {"MCAL_PORT": str(port), "MCAL_PUBLIC_URL": url, "MCAL_BASIC_AUTH_USER": login[0], "MCAL_BASIC_AUTH_PASSWORD": login[1]}
        web = Command(["serve"], house.settings | of_web, house.directory)
        web.start()
        try:
            wait_until_healthy(url, web, 60)
            yield Served(house, web, url, login)
        finally:
            web.stop()


def locust(at: Served, folder: Path, who: str, clients: int, *, requests: int = 0, seconds: int = 0) -> list[list[str]]:
    """Rows of the table: what, requests, failures, p50, p95, p99, slowest (ms), requests per second."""
    results = folder / f"{who}.json"
    asked = {
        "project": at.house.project.id,
        "tasks": sorted(at.house.truth)[:200],
        "secret": "known-to-both",
        "login": at.login,
        "requests": requests,
        "results": str(results),
    }
    command = [*LOCUST, "-f", str(Path(__file__).with_name("locustfile.py")), "--headless", "--only-summary", "-H", at.url]
    command += ["-u", str(clients), "-r", str(clients), "--stop-timeout", "30", *(["-t", f"{seconds}s"] if seconds else []), who]
    done = subprocess.run(command, env=os.environ | {"LOAD": json.dumps(asked)}, capture_output=True, text=True, check=False)
    if not results.exists():
        raise RuntimeError(done.stderr[-2000:])
    return [[str(cell) for cell in row] for row in json.loads(results.read_text())]


def in_training(at: Served) -> Callable[[], float]:
    """Waits for a training; the answer counts which share of the time since then was training."""
    until(at.house, lambda state: state.stage == Phase.TRAINING_DUE and state.phase == Phase.TRAINING_DUE)
    seen: list[bool] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append(at.house.state().stage == Phase.TRAINING_DUE)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def share() -> float:
        over.set()
        thread.join()
        return sum(seen) / max(len(seen), 1)

    return share


def crowded(at: Served) -> list[str]:
    """``/health`` beside idle connections and large bodies of somebody without credentials: a row of the table."""
    where = urlsplit(at.url)
    idle = [socket.create_connection((str(where.hostname), int(where.port or 80))) for _ in range(IDLE)]
    thrower = multiprocessing.get_context("spawn").Process(target=throw, args=[at.url], daemon=True)  # apart, to hold up no probe itself
    thrower.start()
    took, failed = [], 0
    for _ in range(PROBES):
        begun = time.monotonic()
        try:
            failed += httpx.get(f"{at.url}/health", timeout=10).status_code != httpx.codes.OK
        except httpx.TransportError:
            failed += 1
        took.append(1000 * (time.monotonic() - begun))
        time.sleep(0.1)
    thrower.terminate()
    thrower.join()
    for connection in idle:
        connection.close()
    took.sort()
    quantiles = [f"{took[int(q * (PROBES - 1))]:.0f}" for q in (0.5, 0.95, 0.99, 1)]
    return ["health beside 120 idle connections and 31 MB bodies without credentials", str(PROBES), str(failed), *quantiles, ""]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webhooks", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=45, help="of /predict while a round trains")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mcal-load-") as made, served(Path(made)) as at:
        folder = Path(made)
        _say(
            ["request", "sent", "failed", "p50, ms", "p95, ms", "p99, ms", "slowest, ms", "per second", "memory after, MB", "load average"]
        )
        _say(["---"] * 10)
        _row(at, ["(before)", *[""] * 7])
        share = in_training(at)
        for row in locust(at, folder, "Predictions", 50, seconds=asked.seconds):
            _row(at, [f"{row[0]}, 50 callers; a round trained in {share():.0%} of the time", *row[1:]])
        for row in locust(at, folder, "Webhooks", 20, requests=asked.webhooks):
            _row(at, [f"{row[0]}, 20 callers", *row[1:]])
        for row in locust(at, folder, "Everything", 20, requests=asked.requests):
            _row(at, [f"{row[0]}, all at once, 20 callers", *row[1:]])
        _row(at, crowded(at))


def _row(at: Served, cells: Sequence[str]) -> None:
    _say([*cells, f"{at.megabytes:.0f}", f"{os.getloadavg()[0]:.1f}"])


def _say(cells: Sequence[str]) -> None:
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
