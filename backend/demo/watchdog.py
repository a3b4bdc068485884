"""Runs one command and ends its whole process group once whoever started it is gone, be it by SIGKILL.

The starter holds the other end of standard input and never writes to it: end of file means that it died or wants an end. Runs as
``python watchdog.py command …`` as the leader of its own session; uses the standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

GRACE_SECONDS = 8.0


def main(command: Sequence[str]) -> int:
    """Run ``command`` until it ends by itself or standard input closes; returns its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 (the command is the starter's own)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group gets SIGTERM below; the leader must outlive it to finish the job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # after the start, because the command would inherit it
    threading.Thread(target=_end_when_stdin_closes, args=(child,), daemon=True).start()
    code = child.wait()
    os.killpg(0, signal.SIGTERM)  # whatever the command left behind
    return code


def _end_when_stdin_closes(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    _end_group(child)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Ask everybody in the group to end, wait for the command, then end whatever is left, this process included."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
