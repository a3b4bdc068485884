"""The job queue: hints that wake a worker, on SQLite and, where they are installed, on Redis and PostgreSQL (``tests/databases.py``)."""

from __future__ import annotations

import importlib.util
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from huey import storage

from backend.jobs import InHand, JobQueue, QueueUnavailable, scrub
from backend.store import Store
from backend.store.database import Database
from mcal_engine.errors import InvalidValue, MCALError
from tests.databases import needs_postgresql, needs_redis

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def worker(
    queue: JobQueue, handler: Callable[[int], None], poll: Callable[[], None] = lambda: None, every: float = 60.0, threads: int = 1
) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=queue.run_worker, args=(handler, poll, every, stop, threads))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()


class QueueContract:
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def queue(self, url: str) -> Iterator[JobQueue]:
        queue = JobQueue(url)
        yield queue
        queue.close()

    def test_a_hint_reaches_the_worker_and_is_gone(self, queue: JobQueue) -> None:
        seen: list[int] = []
        assert queue.enqueue(7, "webhook")
        with worker(queue, seen.append):
            until(lambda: seen == [7])
        assert queue.waiting() == []

    def test_campaigns_are_looked_at_in_the_order_of_their_hints(self, queue: JobQueue) -> None:
        for campaign in (3, 1, 2):
            queue.enqueue(campaign, "webhook")
        assert queue.waiting() == [3, 1, 2]
        seen: list[int] = []
        with worker(queue, seen.append):
            until(lambda: len(seen) == 3)
        assert seen == [3, 1, 2]

    def test_a_second_hint_is_dropped_while_one_is_waiting(self, queue: JobQueue) -> None:
        assert queue.enqueue(7, "webhook")
        assert not queue.enqueue(7, "timer")
        assert queue.enqueue(8, "webhook")
        assert queue.waiting() == [7, 8]

    def test_a_hint_given_during_a_look_leads_to_another_look(self, queue: JobQueue) -> None:
        seen: list[int] = []

        def handler(campaign: int) -> None:
            seen.append(campaign)
            if len(seen) == 1:
                assert queue.enqueue(campaign, "a label came while this look was on")

        queue.enqueue(7, "webhook")
        with worker(queue, handler):
            until(lambda: seen == [7, 7])

    @pytest.mark.slow
    def test_hints_outlive_the_process_that_gave_them(self, queue: JobQueue, url: str) -> None:
        script = "import sys; from backend.jobs import JobQueue; JobQueue(sys.argv[1]).enqueue(5, 'x'); import os; os._exit(0)"
        subprocess.run([sys.executable, "-c", script, url], check=True, cwd=ROOT)
        assert queue.waiting() == [5]

    def test_many_hints_at_once_lose_no_campaign(self, queue: JobQueue) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: queue.enqueue(number % 10, "webhook"), range(80)))
        assert set(queue.waiting()) == set(range(10))

    def test_each_hint_goes_to_one_of_several_workers(self, url: str) -> None:
        queues = [JobQueue(url) for _ in range(3)]
        seen: list[int] = []
        with worker(queues[0], seen.append), worker(queues[1], seen.append):
            for campaign in range(30):
                queues[2].enqueue(campaign, "webhook")
            until(lambda: len(seen) >= 30)
        assert sorted(seen) == list(range(30))
        for queue in queues:
            queue.close()

    def test_a_look_that_raises_is_logged_and_the_next_one_comes(self, queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
        seen: list[int] = []

        def handler(campaign: int) -> None:
            seen.append(campaign)
            if campaign == 1:
                raise RuntimeError("GET http://u:hush@host/x?access_token=hush: Authorization: Token hush")
            if campaign == 2:
                raise MCALError("Label Studio said no to token=hush")

        for campaign in (1, 2, 3):
            queue.enqueue(campaign, "webhook")
        with caplog.at_level(logging.ERROR), worker(queue, handler):
            until(lambda: seen == [1, 2, 3])
        assert "campaign 1 ended in an unexpected error" in caplog.text
        assert "RuntimeError" in caplog.text
        assert "test_jobs.py" in caplog.text  # the traceback is there for an unexpected error …
        assert "campaign 2: Label Studio said no" in caplog.text  # … and a plain sentence for a foreseen one
        assert "hush" not in caplog.text

    def test_the_timer_runs_at_once_and_again_also_while_a_look_takes_long(self, queue: JobQueue) -> None:
        polls: list[float] = []
        release = threading.Event()
        queue.enqueue(1, "webhook")
        with worker(queue, lambda _: release.wait(10) and None, lambda: polls.append(time.monotonic()), every=0.05):
            until(lambda: len(polls) >= 4)
            release.set()
        assert all(later - earlier >= 0.04 for earlier, later in pairwise(polls))
        ended = len(polls)
        time.sleep(0.15)
        assert len(polls) == ended

    def test_a_timer_that_raises_keeps_ticking(self, queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
        ticks: list[int] = []

        def poll() -> None:
            ticks.append(1)
            raise ValueError("password=hush")

        with worker(queue, lambda _: None, poll, every=0.01):
            until(lambda: len(ticks) >= 3)
        assert "ValueError" in caplog.text
        assert "hush" not in caplog.text

    def test_stopping_finishes_the_look_that_is_on_and_starts_no_other(self, queue: JobQueue) -> None:
        started, release, stop = threading.Event(), threading.Event(), threading.Event()
        finished: list[int] = []

        def handler(campaign: int) -> None:
            started.set()
            release.wait(10)
            finished.append(campaign)

        queue.enqueue(1, "webhook")
        queue.enqueue(2, "webhook")
        thread = threading.Thread(target=queue.run_worker, args=(handler, lambda: None, 60, stop))
        thread.start()
        assert started.wait(10)
        stop.set()
        release.set()
        thread.join(10)
        assert not thread.is_alive()
        assert finished == [1]
        assert queue.waiting() == [2]

    def test_several_campaigns_are_handled_at_the_same_time_and_no_more_than_allowed(self, queue: JobQueue) -> None:
        together, most = threading.Barrier(3, timeout=10), threading.Semaphore(3)

        def handler(_: int) -> None:
            assert most.acquire(blocking=False), "more at once than allowed"
            together.wait()  # each of three is here only when the other two are
            most.release()
            seen.append(1)

        seen: list[int] = []
        for campaign in range(6):
            queue.enqueue(campaign, "webhook")
        with worker(queue, handler, threads=3):
            until(lambda: len(seen) == 6)

    def test_one_campaign_is_handled_by_one_thread_and_a_hint_meanwhile_leads_to_another_look(self, queue: JobQueue) -> None:
        release, inside, seen, at_once = threading.Event(), threading.Lock(), list[int](), list[int]()

        def handler(campaign: int) -> None:
            if not inside.acquire(blocking=False):
                at_once.append(campaign)
                return
            seen.append(campaign)
            release.wait(10)
            inside.release()

        queue.enqueue(7, "webhook")
        with worker(queue, handler, threads=4):
            until(lambda: seen == [7])
            for _ in range(3):
                queue.enqueue(7, "webhook")
                until(lambda: queue.waiting() == [])  # another thread has taken the hint, and notes it now or a moment later
            assert seen == [7]
            release.set()
            until(lambda: len(seen) > 1)
        assert at_once == []
        assert len(seen) <= 4, "a hint leads to one more visit at most"

    def test_stopping_waits_for_every_look_that_is_on(self, queue: JobQueue) -> None:
        started, release, stop = threading.Barrier(3, timeout=10), threading.Event(), threading.Event()
        finished: list[int] = []

        def handler(campaign: int) -> None:
            started.wait()
            release.wait(10)
            finished.append(campaign)

        for campaign in (1, 2):
            queue.enqueue(campaign, "webhook")
        thread = threading.Thread(target=queue.run_worker, args=(handler, lambda: None, 60, stop, 2))
        thread.start()
        started.wait()
        stop.set()
        assert thread.is_alive()
        release.set()
        thread.join(10)
        assert not thread.is_alive()
        assert sorted(finished) == [1, 2]

    def test_an_idle_worker_stops_promptly(self, queue: JobQueue) -> None:
        with worker(queue, lambda _: None):
            time.sleep(0.05)
            start = time.monotonic()
        assert time.monotonic() - start < 2

    def test_a_message_that_is_none_of_ours_is_dropped(self, queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
        queue.ping()
        for message in (b"\x80\x04K\x07.", b"[]", b'{"campaign": "7"}', b"hush"):
            queue._storage.enqueue(message)
        assert queue.waiting() == []
        queue.enqueue(7, "webhook")
        seen: list[int] = []
        with worker(queue, seen.append):
            until(lambda: seen == [7])
        assert caplog.text.count("none of ours") == 4
        assert "hush" not in caplog.text

    def test_a_closed_queue_opens_again_when_asked(self, queue: JobQueue) -> None:
        queue.enqueue(7, "webhook")
        queue.close()
        assert queue.waiting() == [7]


def test_hints_that_come_during_a_visit_lead_to_one_more() -> None:
    in_hand = InHand()
    assert in_hand.begin(7)
    assert [in_hand.begin(7) for _ in range(3)] == [False, False, False]
    assert in_hand.end(7, stopping=False), "the hints have come"
    assert not in_hand.end(7, stopping=False), "all of them led to that one visit"
    assert in_hand.begin(7)


class TestQueueOnSQLite(QueueContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'new folder' / 'queue.db'}"

    def test_a_worker_outlives_a_queue_that_is_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("backend.jobs.TROUBLE_SECONDS", 0.05)
        (tmp_path / "queue.db").mkdir()
        queue = JobQueue(f"sqlite:///{tmp_path / 'queue.db'}")
        with pytest.raises(QueueUnavailable, match="unable to open"):
            queue.enqueue(1, "webhook")
        seen: list[int] = []
        with worker(queue, seen.append):
            until(lambda: "unable to open" in caplog.text)
            (tmp_path / "queue.db").rmdir()
            until(lambda: queue_accepts(queue, 4))
            until(lambda: seen == [4])
        queue.close()

    def test_a_locked_file_is_reported_before_label_studio_gives_up_on_the_webhook(self, queue: JobQueue, url: str) -> None:
        import sqlite3

        queue.ping()
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        with pytest.raises(QueueUnavailable, match="locked"):
            queue.enqueue(1, "webhook")
        assert time.monotonic() - start < 1.5
        other.close()
        assert queue.enqueue(1, "webhook")


def queue_accepts(queue: JobQueue, campaign: int) -> bool:
    try:
        return queue.enqueue(campaign, "webhook")
    except QueueUnavailable:
        return False


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("amqp://u:hush@h", "must begin with"),
        ("hush", "no scheme"),
    ],
)
def test_an_address_the_queue_cannot_use_is_refused_without_repeating_it(url: str, rule: str) -> None:
    with pytest.raises(InvalidValue, match=rule) as caught:
        JobQueue(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "url", "extra"), [("Redis", "redis://:hush@localhost/0", "redis"), ("psycopg", "postgresql://u:hush@h/n", "postgresql")]
)
def test_a_server_without_its_client_names_the_extra(monkeypatch: pytest.MonkeyPatch, module: str, url: str, extra: str) -> None:
    monkeypatch.setattr(storage, module, None)
    with pytest.raises(QueueUnavailable, match=rf"pip install 'mcal-backend\[{extra}\]'"):
        JobQueue(url)


@pytest.mark.parametrize(
    "text",
    [
        "http://me:hush@host/path",
        '{"access_token": "hush"}',
        "Authorization: Bearer hush",
        "authorization='Token hush'",
        "password=hush&x=1",
        "X-Amz-Signature=hush",
        "eyJhbGciOiJI.eyJ0b2tlbl90eXBlhush.c2lnbmF0dXJlhush",
        "sent hush" + "0123456789abcdef" * 2 + "01234567",
    ],
)
def test_what_looks_like_a_credential_is_scrubbed(text: str) -> None:
    scrubbed = scrub(text.replace("sent hush", "sent "))
    assert "hush" not in scrubbed
    assert "***" in scrubbed


def test_plain_sentences_are_left_as_they_are() -> None:
    text = "campaign 7: Label Studio at http://localhost:8080 answered 503 to GET /api/tasks (page 3), see /var/log/mcal.log"
    assert scrub(text) == text


# --- Redis and PostgreSQL


@needs_redis
class TestQueueOnRedis(QueueContract):
    @pytest.fixture
    def url(self, redis_url: str) -> str:
        return redis_url


@needs_postgresql
class TestQueueOnPostgreSQL(QueueContract):
    @pytest.fixture
    def url(self, postgresql_url: str) -> str:
        return postgresql_url

    @pytest.mark.slow
    def test_processes_that_open_a_new_database_at_the_same_moment_all_succeed(self, queue: JobQueue, url: str) -> None:
        script = "import sys; from backend.jobs import JobQueue; sys.stdin.readline(); JobQueue(sys.argv[1]).enqueue(int(sys.argv[2]), 'x')"
        started = [
            subprocess.Popen([sys.executable, "-c", script, url, str(number)], stdin=subprocess.PIPE, cwd=ROOT) for number in range(4)
        ]
        for process in started:
            process.communicate(b"go\n", timeout=60)
        assert [process.returncode for process in started] == [0] * 4
        assert sorted(queue.waiting()) == [0, 1, 2, 3]

    def test_it_may_live_in_the_stores_database(self, url: str, queue: JobQueue) -> None:
        store = Store(url)
        store.migrate()
        queue.enqueue(1, "webhook")
        store.migrate()
        assert store.campaigns() == []
        assert queue.waiting() == [1]
        store.close()

    def test_connections_that_a_restart_of_the_server_has_cut_are_made_anew(self, queue: JobQueue, url: str) -> None:
        queue.enqueue(1, "webhook")
        with sa.create_engine(Database(url).engine.url, poolclass=sa.NullPool).connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        with suppress(QueueUnavailable):
            queue.ping()
        assert queue.waiting() == [1]

    def test_a_server_that_is_away_is_reported_without_its_password(self) -> None:
        queue = JobQueue("postgresql://mcal:hush@127.0.0.1:1/mcal")
        with pytest.raises(QueueUnavailable, match=r"job queue \(postgresql\)") as caught:
            queue.enqueue(1, "webhook")
        assert "hush" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("redis") is None, reason="the Redis client is not installed (the package's extra 'redis')")
@pytest.mark.parametrize("silent", [False, True])
def test_a_redis_that_is_away_is_reported_within_a_second_without_its_password(silent: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        queue = JobQueue(f"redis://:hush@127.0.0.1:{listener.getsockname()[1]}/0")
        start = time.monotonic()
        with pytest.raises(QueueUnavailable) as caught:
            queue.enqueue(1, "webhook")
        assert time.monotonic() - start < 1.5
        assert "hush" not in str(caught.value)
        queue.close()
