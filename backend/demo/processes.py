"""Our own commands as child processes of the demo, each under a watchdog: whatever ends the demo ends them and their children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

import backend
from backend.demo import watchdog
from mcal_engine.errors import MCALError

OURS = ("MCAL_", "DATABASE_URL", "QUEUE_URL")  # settings of the user's own installation, which the demo must not touch


class ProcessEnded(MCALError):
    """A child process ended by itself; the text holds the end of its log."""


class Command:
    """``mcal ARGUMENTS`` in a process group of its own, from :meth:`start` to :meth:`stop`.

    Attributes:
        log_file: standard output and error of the command.
    """

    def __init__(self, arguments: Sequence[str], settings: Mapping[str, str], directory: Path) -> None:
        self._arguments = tuple(arguments)
        self._settings = dict(settings)
        self._directory = directory  # the command reads .env from where it runs: not the user's
        self.log_file = directory / f"{arguments[0]}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that was started: the watchdog, and the leader of the group."""
        if self._process is None:
            raise ProcessEnded(f"mcal {self._arguments[0]} has not been started")
        return self._process.pid

    def start(self) -> None:
        """Start the command; does not wait for it to be ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | self._settings
        code = [str(Path(backend.__file__).parents[1]), environment.get("PYTHONPATH", "")]  # the very code that runs here
        own = [sys.executable, "-m", "backend.cli", *self._arguments]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                self.wrapped(own),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, code))},
                cwd=self._directory,
                start_new_session=True,
            )

    def wrapped(self, command: list[str]) -> list[str]:
        """What is run for ``command``: the watchdog around it."""
        return [sys.executable, str(Path(watchdog.__file__)), *command]

    def ask_to_stop(self) -> None:
        """Let the watchdog end the group; returns at once."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        """End the whole process group and wait for it; calling it twice is no error."""
        self.ask_to_stop()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(watchdog.GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def check(self) -> None:
        """Raise :class:`ProcessEnded` unless the command is still running."""
        if not self.running:
            raise ProcessEnded(f"mcal {self._arguments[0]} ended by itself; {self.log_file} ends with:\n{self.log_tail()}")

    def log_tail(self, characters: int = 2000) -> str:
        return self.log_file.read_text(errors="replace")[-characters:] if self.log_file.exists() else ""


def wait_until_healthy(url: str, command: Command, timeout: float) -> None:
    """Wait until the web server answers.

    Raises:
        ProcessEnded: it has ended, or says nothing within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        command.check()
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise ProcessEnded(f"{url} did not answer within {timeout:g} s; {command.log_file} ends with:\n{command.log_tail()}")
