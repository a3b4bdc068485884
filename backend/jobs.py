"""The job queue: wake-up hints for workers, on huey's storages. A hint may be lost or doubled; the lease is the right to work.

Only huey's storage is used: its messages here are JSON instead of pickles, so that whoever can write to the queue cannot run code, and
no consumer of its own competes with the worker for signals.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huey import storage

from mcal_engine.errors import InvalidValue, MCALError

LOG = logging.getLogger(__name__)
QUEUE_NAME = "mcal"
IDLE_SECONDS = 0.2  # between looks at an empty queue: what a hint waits at most
TROUBLE_SECONDS = 5.0  # between tries while the queue cannot be reached
PREPARING = 0x6D63616C71  # "mcalq": the key of PostgreSQL's advisory lock under which the queue's tables are made
REQUEST_SECONDS = 0.8  # Label Studio waits one second for a webhook's answer
_NAMED_SECRET = re.compile(
    r"""((?:token|authorization|passw(?:or)?d|secret|api_?key|signature|credential)\w*["']?\s*[:=]\s*["']?(?:(?:bearer|token|basic)\s+)?)"""
    r"""[^\s"'&,;}]+""",
    re.IGNORECASE,
)


_TROUBLE: tuple[type[Exception], ...] = (sqlite3.Error, OSError)
if storage.Redis is not None:  # the clients are extras, and huey has already imported them where they are
    from redis.exceptions import RedisError

    _TROUBLE = (*_TROUBLE, RedisError)
if storage.psycopg is not None:
    _TROUBLE = (*_TROUBLE, storage.psycopg.Error)


class QueueUnavailable(MCALError):
    """The queue cannot be reached, or its client is not installed. Nothing is lost: the timer wakes the worker too."""


class JobQueue:
    """Hints "visit this campaign", at most one waiting per campaign as a rule. Threads and processes may share a queue."""

    def __init__(self, url: str) -> None:
        """``url``: ``sqlite:///PATH``, ``redis://[:PASSWORD@]HOST[:PORT]/NUMBER`` or ``postgresql://USER:PASSWORD@HOST/NAME``, which may be
        the store's database. Nothing is opened before the first call.

        Raises:
            InvalidValue: another kind of address.
            QueueUnavailable: Redis or PostgreSQL is asked for and its client is not installed.
        """
        scheme = urlsplit(url).scheme
        if scheme == "sqlite":
            path = url.removeprefix("sqlite:///")
            if path == url or not path or path == ":memory:":
                raise InvalidValue("queue_url must name a file, such as sqlite:////var/lib/mcal/queue.db: several processes share it")
            self._connect: Callable[[], Any] = lambda: _sqlite(Path(path))
        elif scheme in ("redis", "rediss"):
            if storage.Redis is None:
                raise QueueUnavailable("queue_url redis://… needs the Redis client: pip install 'mcal-backend[redis]'")
            self._connect = lambda: _redis(url)
        elif scheme in ("postgresql", "postgres", "postgresql+psycopg"):
            if storage.psycopg is None:
                raise QueueUnavailable("queue_url postgresql://… needs psycopg: pip install 'mcal-backend[postgresql]'")
            self._connect = lambda: _postgresql(f"postgresql{url.removeprefix(scheme)}")
        else:
            raise InvalidValue(f"queue_url must begin with sqlite:///, redis://, rediss:// or postgresql://, got {scheme or 'no scheme'}")
        self._scheme = scheme
        self._storage: Any = None
        self._opening = threading.Lock()

    def enqueue(self, campaign_id: int, reason: str) -> bool:
        """Ask for a visit to the campaign; ``reason`` is for the log. Takes milliseconds.

        Returns:
            Whether a hint was added; ``False`` when one was waiting already.

        Raises:
            QueueUnavailable: within a second.
        """
        with self._translating_errors() as queue:
            # Two at the same moment may both be added. That costs one idle visit, where a lock left behind would cost every later hint.
            if any(_campaign_of(message) == campaign_id for message in queue.enqueued_items()):
                return False
            queue.enqueue(json.dumps({"campaign": campaign_id, "reason": reason}).encode())
        return True

    def waiting(self) -> list[int]:
        """The campaigns that wait for a visit, the next one first."""
        with self._translating_errors() as queue:
            found = [_campaign_of(message) for message in queue.enqueued_items()]
        return [campaign_id for campaign_id in found if campaign_id is not None]

    def ping(self) -> None:
        """Raise :class:`QueueUnavailable` unless the queue answers."""
        with self._translating_errors() as queue:
            queue.queue_size()

    def close(self) -> None:
        """Give the connections back; a later call opens new ones."""
        with self._opening:
            if self._storage is not None:
                self._storage.close()
                self._storage = None

    def run_worker(
        self, handler: Callable[[int], None], poll: Callable[[], None], poll_seconds: float, stop: threading.Event, threads: int = 1
    ) -> None:
        """Hand waiting campaigns to ``handler`` until ``stop`` is set; what runs then is finished first.

        Up to ``threads`` campaigns are handled at the same time, each by one thread: a hint at one that is being handled leads to
        another visit right after this one.

        ``poll`` is called at once and then every ``poll_seconds``, in a thread of its own, also while ``handler`` works. What either of
        them raises is logged, without secrets, and does not end the worker; nor does a queue that is away for a while.
        """
        ended, in_hand = threading.Event(), InHand()
        timer = threading.Thread(target=_every, args=(poll, poll_seconds, ended), name="mcal-timer", daemon=True)
        timer.start()
        others = [
            threading.Thread(target=self._work, args=(handler, stop, in_hand), name=f"mcal-worker-{number}") for number in range(1, threads)
        ]
        for thread in others:
            thread.start()
        try:
            self._work(handler, stop, in_hand)
        finally:
            stop.set()  # this thread only ends without it when it was interrupted: then the others must end too
            for thread in others:
                thread.join()
            ended.set()
            timer.join(timeout=TROUBLE_SECONDS)

    def _work(self, handler: Callable[[int], None], stop: threading.Event, in_hand: InHand) -> None:
        while not stop.is_set():
            try:
                campaign_id = self._take()
            except QueueUnavailable as error:
                LOG.error("%s", error)  # noqa: TRY400 (the text says it all)
                stop.wait(TROUBLE_SECONDS)
                continue
            if campaign_id is None:
                stop.wait(IDLE_SECONDS)
            elif in_hand.begin(campaign_id):
                again = True
                while again:
                    _guarded(partial(handler, campaign_id), f"campaign {campaign_id}")
                    again = in_hand.end(campaign_id, stopping=stop.is_set())

    def _take(self) -> int | None:
        with self._translating_errors() as queue:
            message = queue.dequeue()
        if message is None:
            return None
        campaign_id = _campaign_of(message)
        if campaign_id is None:
            LOG.warning("a message on the job queue was none of ours and has been dropped")
        return campaign_id

    @contextmanager
    def _translating_errors(self) -> Iterator[Any]:
        try:
            yield self._opened()
        except _TROUBLE as error:
            raise QueueUnavailable(f"job queue ({self._scheme}): {scrub(str(error))}") from None

    def _opened(self) -> Any:
        with self._opening:
            if self._storage is None:
                self._storage = self._connect()
            return self._storage


class InHand:
    """The campaigns that this process is at work on, and whether a hint at one has come meanwhile."""

    def __init__(self) -> None:
        self._hinted: dict[int, bool] = {}
        self._lock = threading.Lock()

    def begin(self, campaign_id: int) -> bool:
        """Whether the caller is to work on it; if another thread is at it, that one will visit it again."""
        with self._lock:
            idle = campaign_id not in self._hinted
            self._hinted[campaign_id] = not idle
            return idle

    def end(self, campaign_id: int, *, stopping: bool) -> bool:
        """Whether the caller is to visit it again, since a hint has come."""
        with self._lock:
            if self._hinted[campaign_id] and not stopping:
                self._hinted[campaign_id] = False
                return True
            del self._hinted[campaign_id]
            return False


def scrub(text: str) -> str:
    """``text`` without what looks like a credential: logins in addresses, tokens, passwords, authorization headers."""
    text = re.sub(r"(?<=://)[^/\s@]+@", "***@", text)
    text = re.sub(r"\beyJ[\w-]+(?:\.[\w-]+){1,2}", "***", text)
    text = re.sub(_NAMED_SECRET, r"\1***", text)
    text = re.sub(r"(?i)\b(bearer|basic|token)\s+[\w.+/=-]{16,}", r"\1 ***", text)
    return re.sub(r"\b[0-9a-f]{40}\b", "***", text)


def _sqlite(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = storage.SqliteStorage(QUEUE_NAME, str(path), timeout=REQUEST_SECONDS)
    opened.conn.execute("PRAGMA synchronous = NORMAL")  # never corrupt, and a hint is not worth a wait for the disk
    return opened


def _redis(url: str) -> Any:
    from redis import ConnectionPool
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    seconds = REQUEST_SECONDS / 2  # to connect, and to be answered
    pool = ConnectionPool.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0))
    return storage.RedisStorage(QUEUE_NAME, blocking=False, connection_pool=pool)


def _postgresql(url: str) -> Any:
    milliseconds = int(REQUEST_SECONDS * 1000)
    opened = storage.PostgresStorage(
        QUEUE_NAME,
        dsn=url,
        blocking=False,
        table_prefix="mcal_queue",
        create_tables=False,
        connect_timeout=2,  # seconds, the least that libpq knows
        tcp_user_timeout=milliseconds,
        options=f"-c statement_timeout={milliseconds}",
    )
    # Two processes that create the same table at once would collide, IF NOT EXISTS or not.
    opened.ddl = [f"SELECT pg_advisory_xact_lock({PREPARING})", *opened.ddl]
    opened.initialize_schema()
    return opened


def _campaign_of(message: Any) -> int | None:
    try:
        value = json.loads(bytes(message))
    except ValueError:
        return None
    campaign_id = value.get("campaign") if isinstance(value, dict) else None
    return campaign_id if isinstance(campaign_id, int) else None


def _every(poll: Callable[[], None], seconds: float, ended: threading.Event) -> None:
    while not ended.is_set():
        _guarded(poll, "the timer")
        ended.wait(seconds)


def _guarded(work: Callable[[], None], name: str) -> None:
    try:
        work()
    except MCALError as error:
        LOG.error("%s: %s", name, scrub(str(error)))  # noqa: TRY400 (its text is meant for people)
    except Exception as error:  # noqa: BLE001 (whatever one visit ran into, the next one must come)
        LOG.error("%s ended in an unexpected error\n%s", name, scrub("".join(traceback.format_exception(error))))  # noqa: TRY400
