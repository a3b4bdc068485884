"""Time in a simulated life: it passes only when it is told to, and heartbeats fall due on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2030, 1, 1, 9, tzinfo=UTC)


@dataclass(eq=False)
class _Beat:
    due: float
    seconds: float
    call: Callable[[], bool]


class VirtualClock:
    """Our clock, Label Studio's, and the one that only goes forward.

    Attributes:
        seconds: since the life began; nobody can set it.
        ours, label_studios: seconds by which a wall clock is wrong, such as 3600 after it was set one hour ahead.
    """

    def __init__(self) -> None:
        self.seconds = self.ours = self.label_studios = 0.0
        self._beats: list[_Beat] = []

    def monotonic(self) -> float:
        """Seconds on a clock that nobody sets."""
        return self.seconds

    def now(self) -> datetime:
        """What our machines' clock shows."""
        return START + timedelta(seconds=self.seconds + self.ours)

    def label_studio_now(self) -> datetime:
        """What Label Studio's clock shows."""
        return START + timedelta(seconds=self.seconds + self.label_studios)

    def wait(self, seconds: float) -> None:
        """Let time pass; the heartbeats that fall due are called on the way."""
        end = self.seconds + seconds
        while True:
            due = min((beat for beat in self._beats if beat.due <= end), key=lambda beat: beat.due, default=None)
            if due is None:
                break
            self.seconds = max(self.seconds, due.due)
            due.due = self.seconds + due.seconds
            if not due.call() and due in self._beats:
                self._beats.remove(due)
        self.seconds = end

    @contextmanager
    def beats(self, name: str, seconds: float, beat: Callable[[], bool]) -> Iterator[None]:
        """:class:`backend.steps.lease.Beats` by this clock."""
        del name
        mine = _Beat(self.seconds + seconds, seconds, beat)
        self._beats.append(mine)
        try:
            yield
        finally:
            if mine in self._beats:
                self._beats.remove(mine)

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Within the block, whoever has a heartbeat now has none; afterwards the next one is as far away as it can be."""
        sleeping, self._beats = self._beats, []
        try:
            yield
        finally:
            for beat in sleeping:
                beat.due = self.seconds + beat.seconds
            self._beats = sleeping
