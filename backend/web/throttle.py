"""Slows down guessing: after a few wrong passwords an address has to wait."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from werkzeug.exceptions import TooManyRequests

FREE_TRIES = 5
WINDOW_SECONDS = 300.0
MAX_ADDRESSES = 10_000  # remembered; the one that has been quiet for the longest is forgotten first
IPV6_NETWORK = 64  # bits: whoever has one address has the whole network


@dataclass
class Attempt:
    """One guess; its outcome is set by whoever judges it."""

    right: bool = False


class Throttle:
    """Counts failures per address within a sliding window. Safe for threads; forgets everything with the process."""

    def __init__(self, clock: Callable[[], float], *, tries: int = FREE_TRIES, window_seconds: float = WINDOW_SECONDS) -> None:
        self._clock = clock
        self._tries = tries
        self._window = window_seconds
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, address: str) -> Iterator[Attempt]:
        """Judge one guess, and no other one meanwhile: guesses at the same time would all pass unseen.

        Raises:
            TooManyRequests: with Retry-After, while this address has failed too often.
        """
        whose, made = _network(address), Attempt()
        with self._lock:
            recent = self._recent(whose)
            if len(recent) >= self._tries:
                wait = max(1, round(recent[-self._tries] + self._window - self._clock()))
                raise TooManyRequests(f"too many wrong passwords from this address: try again in {wait} s", retry_after=wait)
            yield made
            if made.right:
                self._failures.pop(whose, None)
                return
            self._failures[whose] = [*recent, self._clock()]
            self._failures.move_to_end(whose)
            if len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)

    def _recent(self, whose: str) -> list[float]:
        since = self._clock() - self._window
        return [time for time in self._failures.get(whose, []) if time > since]


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, IPV6_NETWORK), strict=False))
