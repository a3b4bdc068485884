"""What the store's contract tests write, and processes that do it at the same moment."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.store import Item, NewEvent

ROOT = Path(__file__).resolve().parents[3]
LS = "http://label-studio:8080"
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def item(task_id: int, **changes: Any) -> Item:
    plain = Item(
        task_id=task_id,
        image=f"/data/upload/{task_id}.png",
        label=None,
        annotation_id=None,
        annotator=None,
        labelled_at=None,
        lead_time=None,
        n_human=0,
        skipped=False,
        preexisting=False,
        unreadable=None,
        deleted=False,
        machine_annotation_id=None,
        updated_at=NOON,
    )
    return replace(plain, **changes)


def note(text: str = "x") -> NewEvent:
    return NewEvent("note", {"text": text})


def in_processes(url: str, script: str, *arguments: list[str]) -> list[str]:
    """Run ``script`` in one new interpreter per argument list, all let go at the same moment; their outputs."""
    prelude = "import sys\nfrom backend.store import *\nstore = Store(sys.argv[1])\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", prelude + script + "\nstore.close()", url, *extra],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for extra in arguments
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), outputs
    return outputs
