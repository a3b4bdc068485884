"""The job queue: hints that wake a worker, on SQLite and, where it is installed, on Redis.

``MCAL_TEST_REDIS_URL`` (a database that may be emptied) is used when set; ``MCAL_REQUIRE_REDIS=1`` makes a skip a failure.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from huey import storage

from backend.jobs import JobQueue, QueueUnavailable, scrub
from mcal_engine.errors import InvalidValue, MCALError

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def worker(queue: JobQueue, handler: Callable[[int], None], poll: Callable[[], None] = lambda: None, every: float = 60.0) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=queue.run_worker, args=(handler, poll, every, stop))
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

    def test_giving_a_hint_is_quick_enough_for_a_webhook(self, queue: JobQueue) -> None:
        for campaign in range(20):
            queue.enqueue(campaign, "webhook")
        seconds = []
        for campaign in range(20, 60):
            start = time.perf_counter()
            queue.enqueue(campaign, "webhook")
            seconds.append(time.perf_counter() - start)
        assert statistics.median(seconds) < 0.010

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


def test_redis_without_its_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "Redis", None)
    with pytest.raises(QueueUnavailable, match=r"pip install 'mcal-backend\[redis\]'"):
        JobQueue("redis://:hush@localhost/0")


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


# --- Redis


def what_redis_lacks() -> str | None:
    if importlib.util.find_spec("redis") is None:
        return "its client is not installed (the package's extra 'redis')"
    if "MCAL_TEST_REDIS_URL" in os.environ or shutil.which("redis-server"):
        return None
    return "redis-server is not installed (Debian's package redis-server), and MCAL_TEST_REDIS_URL is not set"


LACKING = what_redis_lacks()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if LACKING:
        pytest.fail(f"MCAL_REQUIRE_REDIS is set, and {LACKING}")
    if given := os.environ.get("MCAL_TEST_REDIS_URL"):
        yield given
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: answers(port))
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=30)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# A skip mark rather than a skip in the fixture: pytest then says it once, not once per test.
@(
    pytest.mark.skip(reason=f"the job queue was NOT tested on Redis: {LACKING}")
    if LACKING and os.environ.get("MCAL_REQUIRE_REDIS") != "1"
    else pytest.mark.contract
)
class TestQueueOnRedis(QueueContract):
    @pytest.fixture
    def url(self, redis_server: str) -> str:
        import redis

        with redis.Redis.from_url(redis_server) as client:
            client.flushdb()
        return redis_server


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
