"""Workers and web servers that are there at once: each is forked from a process that has imported everything and has done nothing yet.

A start takes 4 s of a core otherwise, and with a kill every few seconds nothing but starts would be tested. What is forked is a process of
its own in a group of its own, killed by a real signal; only its modules were read before.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from backend.demo.processes import OURS, Command

GRACE = 15.0  # seconds that an orderly end may take


class Nursery:
    """Starts commands from :meth:`__enter__` to the end, or to its own death; then everything that it started is killed."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.chaos.nursery"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_without_ours() | {"PYTHONPATH": os.getcwd()}
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def bear(self, arguments: Sequence[str], settings: Mapping[str, str], directory: Path, log: Path) -> int:
        """Start ``mcal ARGUMENTS``; returns its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"arguments": list(arguments), "settings": dict(settings), "directory": str(directory), "log": str(log)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def command(self, arguments: Sequence[str], settings: Mapping[str, str], directory: Path) -> Command:
        return _Born(self, arguments, settings, directory)


class _Born(Command):
    """A command that nobody watches over: nothing cleans up behind it when it is killed."""

    def __init__(self, nursery: Nursery, arguments: Sequence[str], settings: Mapping[str, str], directory: Path) -> None:
        super().__init__(arguments, settings, directory)
        self._nursery = nursery
        self._born: int | None = None

    @property
    def running(self) -> bool:
        return self._born is not None and _runs(self._born)

    @property
    def pid(self) -> int:
        assert self._born is not None
        return self._born

    def start(self) -> None:
        self._born = self._nursery.bear(self._arguments, self._settings, self._directory, self.log_file)

    def ask_to_stop(self) -> None:
        if self.running:
            os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        self.ask_to_stop()
        deadline = time.monotonic() + GRACE
        while self.running:
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.02)
        self._born = None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _without_ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def main() -> None:
    """Read one request per line, answer each with a process id, and kill everybody at the end of the input."""
    import backend.cli.serve
    import backend.cli.worker
    import backend.notify.notifier
    import backend.web.app
    import backend.wiring
    import backend.worker  # noqa: F401 (all of it is only read here)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are gone at once
    born = []
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked["arguments"], asked["settings"], asked["directory"], asked["log"])
        os.setpgid(pid, pid)  # here as well: whoever is told the number may kill the group at once
        born.append(pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for pid in born:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _become(arguments: Sequence[str], settings: Mapping[str, str], directory: str, log: str) -> None:
    from backend.cli import main as mcal

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ |= settings | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path.cwd())}
    os.chdir(directory)
    sys.argv = ["mcal", *arguments]
    code_of_end = 1
    try:
        mcal()
        code_of_end = 0
    except SystemExit as end:
        code_of_end = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code_of_end)


if __name__ == "__main__":
    main()
