"""Keeps people apart who submit in the same moment, so that Label Studio does not hand both of them the same next task.

Label Studio on SQLite looks for a free task and locks it in two steps; whoever asks between them gets the same task. It asks for a
webhook's answer before it answers a submission, and people ask for their next task after that. So an answer that comes a little later
makes the next person ask a little later. Label Studio gives up an answer of which nothing has come for a second, so a longer wait is
handed out in parts, and the answer's sender writes a byte after each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

SHORTEST_GAP, LONGEST_GAP = 0.25, 0.8  # seconds between two people: about what Label Studio takes to choose and lock
GAP_PER_DELAY = 2.0  # the gap, for each second since the label was stored: that is slow where choosing is slow
LONGEST_SECONDS = 2.0  # that anybody waits
SILENT_SECONDS = 0.4  # Label Studio goes on without an answer of which no byte has come for one second
MOST_WAITING = 8  # at once, of all projects: the server's other threads stay free for pages


@dataclass(frozen=True, slots=True)
class _Turn:
    person: int
    at: float


class Turnstile:
    """One for each process; threads may share it.

    Args:
        clock: seconds, never going back.
        sleep: waits that many seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._latest: dict[int, _Turn] = {}  # project → who was let through last, and when
        self._waiting = 0

    def pass_through(self, project_id: int, person: int, delay: float = 0.0) -> Generator[float, None, None]:
        """Wait for one's turn: a gap after the last other person, less where many wait. Yields the seconds of each part of the wait.

        The turn is taken when the first part is asked for. Each new arrival takes at most two thirds of what is left of
        ``LONGEST_SECONDS``, so nobody waits longer than that. The same person is never kept apart from herself.

        Args:
            delay: seconds since the label was stored, by Label Studio's clock: a slow Label Studio needs a longer gap. A clock that is
                wrong only makes the gap the shortest or the longest one.
        """
        with self._lock:
            now = self._clock()
            latest = self._latest.get(project_id)
            at = now if latest is None or self._waiting >= MOST_WAITING else _turn(latest, person, now, delay)
            self._latest[project_id] = _Turn(person, max(at, now if latest is None else latest.at))
            wait = at - now
            self._waiting += wait > 0
        if wait <= 0:
            return
        try:
            while wait > 0:
                part = min(wait, SILENT_SECONDS)
                self._sleep(part)
                yield part
                wait -= part
        finally:
            with self._lock:
                self._waiting -= 1


def _turn(latest: _Turn, person: int, now: float, delay: float) -> float:
    gap = min(max(GAP_PER_DELAY * delay, SHORTEST_GAP), LONGEST_GAP)
    room = LONGEST_SECONDS - max(latest.at - now, 0.0)
    return max(now, latest.at + (0.0 if latest.person == person else min(gap, room * 2 / 3)))
