"""Campaigns as they were a moment ago, kept in memory: a page of 100,000 items must not read them all each time it is looked at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from backend.campaign import facts
from backend.campaign.history import reading
from backend.campaign.state import State, derive
from backend.store import Store
from backend.views.campaign import View, campaign_view
from backend.views.review import Review, review
from backend.views.series import Series, series

FRESH_SECONDS = 1.5  # at least; a campaign that takes long to read is read more rarely
PATIENCE = 8  # a reading is used for this many times as long as it took
KEPT = 32


@dataclass(frozen=True)
class Snapshot:
    """One reading. ``taken`` is on the monotonic clock, ``seconds`` is what it took."""

    state: State
    view: View
    taken: float
    seconds: float

    def fresh(self, now: float) -> bool:
        return now - self.taken < max(FRESH_SECONDS, PATIENCE * self.seconds)


class Snapshots:
    """At most one thread reads a campaign at a time; the others wait for it and share what it read."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self.store = store
        self._now = now
        self._kept: dict[int, Snapshot] = {}
        self._series: dict[int, tuple[int, Series]] = {}
        self._reviews: dict[int, tuple[int, Review]] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, campaign_id: int) -> Snapshot:
        """A fresh reading. Raises InvalidValue for an unknown campaign."""
        with self._lock(campaign_id):
            found = self._kept.get(campaign_id)
            if found is not None and found.fresh(time.monotonic()):
                return found
            made = self._read(campaign_id)
            with self._guard:
                self._kept[campaign_id] = made
                while len(self._kept) > KEPT:
                    self._kept.pop(min(self._kept, key=lambda key: self._kept[key].taken))
            return made

    def at_hand(self, campaign_id: int) -> Snapshot | None:
        """The last reading, if it is still fresh: nothing is waited for."""
        found = self._kept.get(campaign_id)
        return found if found is not None and found.fresh(time.monotonic()) else None

    def series(self, campaign_id: int) -> Series:
        """The charts' numbers; worked out again only when the history has grown."""
        state = self.get(campaign_id).state
        found = self._series.get(campaign_id)
        if found is None or found[0] != state.last_seq:
            found = (state.last_seq, series(state))
            self._series[campaign_id] = found
        return found[1]

    def review(self, campaign_id: int, choice: str | None = None) -> Review:
        """What to look at by eye; of all classes it is read again only when the history has grown. Raises InvalidValue: no such class."""
        state = self.get(campaign_id).state
        if choice is not None:
            return review(self.store, state, choice)
        found = self._reviews.get(campaign_id)
        if found is None or found[0] != state.last_seq:
            found = (state.last_seq, review(self.store, state))
            self._reviews[campaign_id] = found
        return found[1]

    def forget(self, campaign_id: int) -> None:
        """Something was changed: the next reading is fresh."""
        with self._guard:
            self._kept.pop(campaign_id, None)

    def _lock(self, campaign_id: int) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(campaign_id, threading.Lock())

    def _read(self, campaign_id: int) -> Snapshot:
        began = time.monotonic()
        now = self._now()
        found = facts.load(self.store, campaign_id)
        state = derive(found, now)
        with reading(f"campaign {campaign_id}"):
            view = campaign_view(state, found.campaign, found.events, now)
        ended = time.monotonic()
        return Snapshot(state, view, ended, ended - began)
