"""One real Label Studio, PostgreSQL and Redis for the whole test session (of each worker process), for the tests that want them; and a
Ctrl-C that works in what tests start.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from _pytest.mark.expression import Expression

from backend.demo.label_studio_server import LabelStudioServer, ServerError
from backend.store import database
from tests.databases import POSTGRESQL_LACKS, REDIS_LACKS, fresh_database, own_postgresql, own_redis
from tests.object_storage import ObjectStorage, own_object_storage

# What lies in the model hub's cache of whoever runs the tests would change which candidates race.
os.environ["HF_HUB_CACHE"] = os.path.join(os.path.dirname(__file__), "no-such-cache")

hypothesis.settings.register_profile("untimed", deadline=None)  # no test is right or wrong by the clock
hypothesis.settings.load_profile("untimed")

if threading.current_thread() is threading.main_thread():
    # A run in the background of a shell ignores SIGINT, and so would every process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file whose ``pytestmark`` leaves nothing of it to run is not even imported: a third of that time is torch."""
    if not config.option.markexpr or not collection_path.match("test_*.py"):
        return None
    marks = re.search(r"^pytestmark = (\[\n.*?^\]|[^\n]*)", collection_path.read_text(), re.MULTILINE | re.DOTALL)
    names = set(re.findall(r"pytest\.mark\.(\w+)", marks[1])) if marks else set()
    if not names & {"slow", "contract", "browser", "e2e", "docker"}:
        return None
    return not Expression.compile(config.option.markexpr).evaluate(lambda name: name in names) or None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where no promise about disks is tested, nobody waits for one: a third of the time of a test that plays a campaign."""
    database.SYNCHRONOUS = "FULL" if "contracts" in item.path.parts else "OFF"


@dataclass(frozen=True)
class RealLabelStudio:
    """A running server, the service user's token and those of two annotators."""

    server: LabelStudioServer
    service_token: str
    annotator_tokens: tuple[str, str]


@pytest.fixture(scope="session")
def real_label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLabelStudio]:
    """Skips loudly where Label Studio cannot be had; fails in CI, where a suite that did not run is no evidence."""
    server = LabelStudioServer(tmp_path_factory.mktemp("label-studio"))
    try:
        server.start()
    except ServerError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NOT RUN, because a real Label Studio could not be started: {error}")
    try:
        emails = ("mcal@example.com", "ann@example.com", "bob@example.com")
        service, ann, bob = (server.create_user(email, "a-good-passphrase") for email in emails)
        yield RealLabelStudio(server, service, (ann, bob))
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Address of a server whose account may create databases."""
    if POSTGRESQL_LACKS:
        pytest.fail(f"PostgreSQL is needed, and {POSTGRESQL_LACKS}")
    if given := os.environ.get("MCAL_TEST_POSTGRESQL_URL"):
        yield given
        return
    with own_postgresql() as server:
        yield server.url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """A database of its own for each test."""
    with fresh_database(postgresql_server) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if REDIS_LACKS:
        pytest.fail(f"Redis is needed, and {REDIS_LACKS}")
    if given := os.environ.get("MCAL_TEST_REDIS_URL"):
        yield given
        return
    with own_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty database."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture(scope="session")
def object_storage() -> Iterator[ObjectStorage]:
    """An S3 on loopback."""
    with own_object_storage() as storage:
        yield storage
