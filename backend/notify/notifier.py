"""Tells people what happens to their campaigns, through channels that may be slow or broken without holding anything up.

Each channel has a thread of its own. What it was told, or could not be told, is an event of the campaign, so that a restart tells nothing
twice. A kill between the delivery and its record tells one message again: better twice than never.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.campaign import events, history
from backend.campaign.state import State, state_of
from backend.notify.channels import Channel, ChannelFailed, Weight
from backend.notify.events import Notice, notices
from backend.store import Store
from mcal_engine.errors import MCALError

logger = logging.getLogger(__name__)

GATHER_SECONDS = 2.0  # what follows that soon goes into the same message: a decision and the queue it opened
TRIES = 3
PAUSE_SECONDS = 15.0  # before the second try, and three times that before the third
LATE = timedelta(days=1)  # an end that nobody was told of is told after a restart, unless it is older


@dataclass(frozen=True, slots=True)
class _Item:
    campaign_id: int
    project_id: int
    notice: Notice


class Notifier:
    """Hand it every state that is seen (:meth:`seen` never waits); enter it to start its threads, leave it to end them.

    Args:
        store: where it is recorded what was told.
        channels: whom to tell through.
        page_url: address of the pages, for a link in each message.
    """

    def __init__(
        self,
        store: Store,
        channels: Sequence[Channel],
        page_url: str = "",
        *,
        gather_seconds: float = GATHER_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._store = store
        self._ending = threading.Event()
        self._posts = [_Post(store, channel, page_url, self._ending, gather_seconds, pause_seconds) for channel in channels]

    def __enter__(self) -> Notifier:
        for post in self._posts:
            post.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for post in self._posts:
            post.join(timeout=1.0)  # a message under way is not waited for; it is told again after the next start

    def seen(self, state: State) -> None:
        """Tell what is new about this campaign, soon."""
        if not self._posts:
            return
        try:
            found = notices(state)
        except Exception:
            logger.exception("campaign %d: what there is to tell could not be put into words", state.campaign_id)
            return  # no message is worth a round
        for notice in found:
            for post in self._posts:
                post.offer(_Item(state.campaign_id, state.project_id, notice))

    def catch_up(self) -> None:
        """Tell of campaigns that ended while nobody was told: ended ones are not visited any more."""
        if not self._posts:
            return
        live = {campaign.id for campaign in self._store.live_campaigns()}
        since = datetime.now(UTC) - LATE
        for campaign in self._store.campaigns():
            if campaign.id in live:
                continue
            try:
                if any(entry.at > since for entry in history.read(self._store, campaign.id, events.Finished)):
                    self.seen(state_of(self._store, campaign.id, datetime.now(UTC), ledger=False))
            except MCALError as error:
                logger.warning("campaign %d: its end could not be looked up: %s", campaign.id, error)


class _Post(threading.Thread):
    """One channel's messages, one after the other."""

    def __init__(
        self, store: Store, channel: Channel, page_url: str, ending: threading.Event, gather_seconds: float, pause_seconds: float
    ) -> None:
        super().__init__(name=f"post {channel.name}", daemon=True)
        self._store = store
        self._channel = channel
        self._page_url = page_url
        self._ending = ending
        self._gather = gather_seconds
        self._pause = pause_seconds
        self._inbox: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._offered: set[tuple[int, str]] = set()
        self._told: dict[int, set[str]] = {}  # by campaign, as recorded
        self._guard = threading.Lock()

    def offer(self, item: _Item) -> None:
        key = (item.campaign_id, item.notice.key)
        with self._guard:
            if key in self._offered:
                return
            self._offered.add(key)
        self._inbox.put(item)

    def run(self) -> None:
        while not self._ending.is_set():
            for campaign_id, items in self._next().items():
                try:
                    self._tell(campaign_id, items)
                except MCALError as error:  # the store is away: whoever sees the campaign next offers them again
                    logger.warning("campaign %d: %s could not be told: %s", campaign_id, self._channel.name, error)
                    with self._guard:
                        self._offered -= {(campaign_id, item.notice.key) for item in items}

    def _next(self) -> dict[int, list[_Item]]:
        """What is waiting, by campaign; gathered for a moment once there is something."""
        found: dict[int, list[_Item]] = {}
        deadline = time.monotonic() + 1.0  # between looks at whether to end
        while (left := deadline - time.monotonic()) > 0 and not self._ending.is_set():
            try:
                item = self._inbox.get(timeout=min(left, 0.5))
            except queue.Empty:
                continue
            if item is not None:
                if not found:
                    deadline = time.monotonic() + self._gather
                found.setdefault(item.campaign_id, []).append(item)
        return found

    def _tell(self, campaign_id: int, items: list[_Item]) -> None:
        if campaign_id not in self._told:
            rows = [entry.event for entry in history.read(self._store, campaign_id, events.Notified)]
            self._told[campaign_id] = {key for row in rows if row.channel == self._channel.name for key in row.keys}
        new = [item for item in items if item.notice.key not in self._told[campaign_id]]
        if not new:
            return
        why = self._deliver(new)
        if why is not None and self._ending.is_set():
            return
        keys = tuple(item.notice.key for item in new)
        told = events.Notified(channel=self._channel.name, keys=keys, ok=why is None, why=why)
        self._store.append(campaign_id, [history.new(told)])
        self._told[campaign_id].update(keys)

    def _deliver(self, items: Sequence[_Item]) -> str | None:
        """Send one message; why it was given up, or ``None``."""
        first = items[0]
        title = f"mcal: campaign {first.campaign_id}, project {first.project_id}"
        lines = [item.notice.text for item in items]
        if self._page_url:
            lines.append(f"{self._page_url}/campaigns/{first.campaign_id}")
        weight: Weight = next((item.notice.weight for item in items if item.notice.weight != "info"), "info")
        why = ""
        for attempt in range(TRIES):
            if attempt and self._ending.wait(self._pause * 3 ** (attempt - 1)):
                return why
            try:
                self._channel.send(title, "\n".join(lines), weight)
            except ChannelFailed as failed:
                why = str(failed)
                logger.warning("campaign %d: channel %s: %s (try %d of %d)", first.campaign_id, self._channel.name, why, attempt + 1, TRIES)
            else:
                return None
        return why
