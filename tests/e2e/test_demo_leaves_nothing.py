"""However the demo ends, and whenever, no process of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import backend

pytestmark = pytest.mark.e2e


def processes_in(directory: Path) -> dict[int, str]:
    """Processes that work in this folder or below it: every child of a demo does."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(directory):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has just ended
    return found


def wait_for(come_true: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not come_true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": str(Path(backend.__file__).parents[1])}
    command = [sys.executable, "-m", "backend.cli", "demo", "--items", "200", "--directory", str(tmp_path / "demo")]
    with (tmp_path / "out.txt").open("wb") as out:
        started = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=tmp_path, start_new_session=True)
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        wait_for(lambda: not processes_in(tmp_path / "demo"), 30, "the end of the demo's processes")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NOT RUN, because leftovers are looked for in /proc")
@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("Label Studio is starting", signal.SIGINT, 130),
        ("people label", signal.SIGINT, 130),
        ("people label", signal.SIGKILL, -9),
        ("people label", signal.SIGTERM, 130),
    ],
)
def test_nothing_is_left_when_the_demo_ends(
    demo: subprocess.Popen[bytes], tmp_path: Path, moment: str, number: signal.Signals, code: int
) -> None:
    directory = tmp_path / "demo"

    def has_come() -> bool:
        assert demo.poll() is None, (tmp_path / "out.txt").read_text()
        if moment == "people label":
            return "annotators begin" in (tmp_path / "out.txt").read_text()
        return any("label-studio start" in command for command in processes_in(directory).values())

    wait_for(has_come, 400, moment)
    assert len(processes_in(directory)) >= (5 if moment == "people label" else 1)
    demo.send_signal(number)
    assert demo.wait(60) == code
    wait_for(lambda: not processes_in(directory), 20, f"the end of {processes_in(directory)}")
