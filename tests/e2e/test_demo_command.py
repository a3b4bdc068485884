"""``mcal demo`` as a user runs it: it does what it promises, and however and whenever it ends, no process of it is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import backend

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NOT RUN, because leftovers are looked for in /proc"),
]
Start = Callable[..., subprocess.Popen[bytes]]


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
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the demo in ``tmp_path / "demo"``; its output goes to ``out.txt``."""
    environment = os.environ | {"PYTHONPATH": str(Path(backend.__file__).parents[1])}
    started: list[subprocess.Popen[bytes]] = []

    def make(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "backend.cli", "demo", "--directory", str(tmp_path / "demo"), *arguments]
        with (tmp_path / "out.txt").open("wb") as out:
            started.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=tmp_path, start_new_session=True))
        return started[-1]

    yield make
    for process in started:
        process.kill()
        process.wait()
    wait_for(lambda: not processes_in(tmp_path / "demo"), 30, "the end of the demo's processes")


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("Label Studio is starting", signal.SIGINT, 130),
        ("people label", signal.SIGINT, 130),
        ("people label", signal.SIGKILL, -9),
    ],
)
def test_nothing_is_left_when_the_demo_ends(start: Start, tmp_path: Path, moment: str, number: signal.Signals, code: int) -> None:
    directory = tmp_path / "demo"
    demo = start("--items", "200")

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


def test_the_demo_shows_what_it_promises_and_stays_up_to_look_around(start: Start, tmp_path: Path) -> None:
    sizes = ["--test-size", "50", "--batch-size", "40", "--certificate-size", "50"]
    demo = start(
        "--items", "400", "--target-error", "0.1", *sizes, "--json", str(tmp_path / "out.json"), "--trace", str(tmp_path / "trace.jsonl")
    )

    def finished() -> bool:
        shown = (tmp_path / "out.txt").read_text()
        assert demo.poll() is None, shown
        return "Ctrl-C ends everything" in shown

    wait_for(finished, 1200, "the end of the campaign")
    shown = (tmp_path / "out.txt").read_text()
    addresses = dict.fromkeys(re.findall(r"http://127\.0\.0\.1:\d+/\w+", shown))
    assert len([address for address in addresses if httpx.get(address, follow_redirects=True, timeout=30).is_success]) >= 2
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0, shown
    report = json.loads((tmp_path / "out.json").read_text())
    assert [check for check in report["checks"] if not check["ok"]] == []
    assert report["certified"]
    assert report["true_overall_error"] <= report["target_error"] == 0.1
    assert report["human_items"] + report["n_machine"] + report["n_set_aside"] == report["n_items"] == 400
    pulls = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert all(pull["batch"] for pull in pulls if pull["task"])
    assert any(pull["task"] is None for pull in pulls)
