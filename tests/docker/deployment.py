"""The project's own docker-compose.yml, started as an operator starts it: from a folder with a .env, on a real engine."""

from __future__ import annotations

import gzip
import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
SECRETS = (
    "LABEL_STUDIO_PASSWORD",
    "MCAL_ADMIN_PASSWORD",
    "MCAL_BASIC_AUTH_PASSWORD",
    "POSTGRES_PASSWORD",
    "LABEL_STUDIO_DATABASE_PASSWORD",
    "BACKEND_DATABASE_PASSWORD",
    "REDIS_PASSWORD",
)
UP_SECONDS = 1800.0  # Label Studio makes its tables in the first start, which takes minutes on a busy machine
LONGEST = 900.0  # that anything else may take
LEDGER = ("events", "assignments", "frozen")  # what is only ever added to


def docker(*arguments: str, check: bool = True, timeout: float = LONGEST) -> str:
    """Run the docker command; returns its standard output.

    Raises:
        AssertionError: it failed, and ``check`` is on; the text is what it said.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def until(come_true: Callable[[], Any], what: str, *, seconds: float = LONGEST, every: float = 0.5) -> Any:
    """Wait for something that is not false; returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := come_true():
            return found
        time.sleep(every)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@dataclass
class Deployment:
    """One stack of containers, in ``folder`` as in a clone. ``images`` is where Label Studio's local files are."""

    folder: Path
    profile: str
    more: dict[str, str]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.images = self.folder / "images"
        self.images.mkdir()
        self.images.chmod(0o755)
        self.name = f"mcaltest{secrets.token_hex(3)}"
        shutil.copyfile(ROOT / "docker-compose.yml", self.folder / "docker-compose.yml")
        ports = free_ports(2)
        self.label_studio_url, self.page_url = (f"http://localhost:{port}" for port in ports)
        self.settings = {
            "COMPOSE_PROFILES": self.profile,
            "LABEL_STUDIO_PORT": str(ports[0]),
            "PAGE_PORT": str(ports[1]),
            "LABEL_STUDIO_PUBLIC_URL": self.label_studio_url,
            "IMAGES_DIR": "./images",
            "FRONT_SUBNET": f"198.19.{100 + secrets.randbelow(100)}.0/24",  # beside the one of a deployment that is in use
            "MCAL_API_TOKEN": secrets.token_hex(16),
            "MCAL_POLL_SECONDS": "3",
            **{name: secrets.token_hex(16) for name in SECRETS},
            **self.more,
        }
        self.write_env(self.settings)

    def write_env(self, settings: dict[str, str]) -> None:
        """.env as an operator writes it: the example, with lines filled in."""
        lines = []
        for line in (ROOT / ".env.example").read_text().splitlines():
            name = line.partition("=")[0]
            lines.append(line if line.startswith("#") or name not in settings else f"{name}={settings[name]}")
        given = {line.partition("=")[0] for line in lines}
        lines += [f"{name}={value}" for name, value in settings.items() if name not in given]
        (self.folder / ".env").write_text("\n".join(lines) + "\n")

    def compose(self, *arguments: str, check: bool = True, timeout: float = LONGEST) -> str:
        command = ["--project-name", self.name, "--project-directory", str(self.folder), "--file", str(self.folder / "docker-compose.yml")]
        return docker("compose", *command, *arguments, check=check, timeout=timeout)

    def up(self) -> None:
        """Start everything and wait until every healthcheck is green; fails with the logs of what is not."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.name, "up", "--detach", "--wait", "--no-build"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        assert done.returncode == 0, f"{done.stderr[-3000:]}\n{self.compose('logs', '--tail', '30', check=False)}"

    def down(self, *, volumes: bool = False) -> None:
        self.compose("down", "--timeout", "30", *(["--volumes"] if volumes else []))

    def service(self, kind: str) -> str:
        """``web`` and ``worker`` have names of their own in each variant."""
        return f"{kind}-scale" if self.profile.startswith("scale") else kind

    def run_in_web(self, *arguments: str, check: bool = True) -> str:
        return self.compose("exec", "--no-TTY", self.service("web"), *arguments, check=check)

    def containers(self, kind: str) -> list[str]:
        """The ids of the running ``web`` or ``worker`` containers."""
        return self.compose("ps", "--quiet", self.service(kind)).split()

    def logs(self, container: str) -> list[dict[str, Any]]:
        """What a container of ours has logged: one JSON object a line."""
        done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stderr.splitlines()]

    def api(self, path: str) -> Any:
        """Ask our page's API, for a minute if the database is away."""
        headers = {"Authorization": f"Bearer {self.settings['MCAL_API_TOKEN']}"}
        deadline = time.monotonic() + 60
        while True:
            reply = httpx.get(f"{self.page_url}/api/v1{path}", headers=headers, timeout=60)
            if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                break
            time.sleep(1)
        assert reply.is_success, f"{path}: {reply.status_code} {reply.text[:500]}"
        return reply.json()

    def tables(self) -> dict[str, list[list[Any]]]:
        """The whole database as of one moment, by ``mcal backup`` in the container: rows by table, in the order of their keys."""
        command = ["docker", "compose", "--project-name", self.name, "exec", "--no-TTY", self.service("web"), "mcal", "backup", "-"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, check=False, timeout=LONGEST)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        found: dict[str, list[list[Any]]] = {}
        rows: list[list[Any]] = []
        for line in gzip.decompress(done.stdout).splitlines():
            row = json.loads(line)
            if isinstance(row, list):
                rows.append(row)
            elif "table" in row:
                rows = found.setdefault(row["table"], [])
        return found


def assert_continues(before: dict[str, list[list[Any]]], after: dict[str, list[list[Any]]]) -> None:
    """Nothing of the history and the ledger that was there has changed or gone."""
    for table in LEDGER:
        assert before[table] == [row for row in after[table] if row in before[table]], table


def free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
