"""Slows down guessing: after a few wrong passwords an address has to wait."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from werkzeug.exceptions import TooManyRequests

FREE_TRIES = 5
WINDOW_SECONDS = 300.0
MAX_ADDRESSES = 10_000  # remembered; the one that has been quiet for the longest is forgotten first


class Throttle:
    """Counts failures per address within a sliding window. Safe for threads; forgets everything with the process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raise 429 with Retry-After while this address has failed too often."""
        with self._lock:
            recent = self._recent(address)
            if len(recent) >= FREE_TRIES:
                wait = max(1, round(recent[-FREE_TRIES] + WINDOW_SECONDS - self._clock()))
                raise TooManyRequests(f"too many wrong passwords from this address: try again in {wait} s", retry_after=wait)

    def failed(self, address: str) -> None:
        with self._lock:
            self._failures[address] = [*self._recent(address), self._clock()]
            self._failures.move_to_end(address)
            if len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        with self._lock:
            self._failures.pop(address, None)

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - WINDOW_SECONDS
        return [time for time in self._failures.get(address, []) if time > since]
