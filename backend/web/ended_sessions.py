"""Sessions that were logged out: their cookies are signed and would open the pages until they expire."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path


class EndedSessions:
    """Ids of ended sessions, each until its cookie expires. In a file they outlive the process, and other web servers see them.

    Args:
        path: one line of id and time of expiry for each; ``None``: in memory alone.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._until: dict[str, float] = {}
        self._read_at: int | None = None
        self._lock = threading.Lock()

    def add(self, session_id: str, seconds: float) -> None:
        """End a session whose cookie would be good for at most ``seconds`` more."""
        with self._lock:
            self._read()
            now = self._clock()
            self._until = {each: until for each, until in self._until.items() if until > now} | {session_id: now + seconds}
            if self._path is not None:
                made = self._path.with_suffix(".new")
                made.write_text("".join(f"{each} {until:.0f}\n" for each, until in self._until.items()))
                made.replace(self._path)

    def __contains__(self, session_id: str) -> bool:
        with self._lock:
            self._read()
            return self._until.get(session_id, 0) > self._clock()

    def _read(self) -> None:
        """What others have written since the last time."""
        if self._path is None or not self._path.exists():
            return
        written_at = self._path.stat().st_mtime_ns
        if written_at == self._read_at:
            return
        rows = [line.split() for line in self._path.read_text().splitlines()]
        self._until |= {row[0]: float(row[1]) for row in rows if len(row) == 2}
        self._read_at = written_at
