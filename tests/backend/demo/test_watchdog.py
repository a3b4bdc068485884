from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.demo import watchdog

WATCHDOG = [sys.executable, watchdog.__file__]
FAMILY = "sleep 300 & echo $! > grandchild; echo $$ > child; wait"  # a command with a child of its own


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def family(folder: Path) -> list[int]:
    until(lambda: all((folder / name).exists() and (folder / name).read_text().strip() for name in ("child", "grandchild")))
    return [int((folder / name).read_text()) for name in ("child", "grandchild")]


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


def test_closing_its_input_ends_the_command_and_the_commands_children(tmp_path: Path) -> None:
    guarded = subprocess.Popen([*WATCHDOG, "sh", "-c", FAMILY], stdin=subprocess.PIPE, cwd=tmp_path, start_new_session=True)
    pids = family(tmp_path)
    assert all(map(alive, pids))
    assert guarded.stdin is not None
    guarded.stdin.close()
    guarded.wait(15)
    until(lambda: not any(map(alive, pids)))


def test_a_starter_that_dies_by_sigkill_takes_the_command_along(tmp_path: Path) -> None:
    program = (
        "import subprocess, time\n"
        f"started = subprocess.Popen({[*WATCHDOG, 'sh', '-c', FAMILY]!r}, stdin=subprocess.PIPE, start_new_session=True)\n"
        "open('watchdog', 'w').write(str(started.pid)); time.sleep(300)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    pids = [*family(tmp_path), int((tmp_path / "watchdog").read_text())]
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait(15)
    until(lambda: not any(map(alive, pids)))


def test_a_command_that_ignores_sigterm_is_killed_after_a_grace(tmp_path: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(Path(watchdog.__file__).parent)!r}); import watchdog; watchdog.GRACE_SECONDS = 0.3; "
    program += "watchdog.main(['sh', '-c', 'trap \"\" TERM; echo $$ > child; echo $$ > grandchild; while :; do sleep 0.1; done'])"
    guarded = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, cwd=tmp_path, start_new_session=True)
    pids = family(tmp_path)
    assert guarded.stdin is not None
    guarded.stdin.close()
    guarded.wait(15)
    until(lambda: not any(map(alive, pids)))


def test_a_command_that_ends_by_itself_gives_its_exit_code_and_leaves_no_child(tmp_path: Path) -> None:
    guarded = subprocess.Popen(
        [*WATCHDOG, "sh", "-c", "sleep 300 & echo $! > grandchild; echo $$ > child; exit 3"],
        stdin=subprocess.PIPE,
        cwd=tmp_path,
        start_new_session=True,
    )
    pids = family(tmp_path)
    assert guarded.wait(15) == 3
    until(lambda: not any(map(alive, pids)))
    assert guarded.stdin is not None
    guarded.stdin.close()
