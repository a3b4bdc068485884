"""Real PostgreSQL and Redis for the tests that want them, started from Debian's packages; the fixtures are in ``tests/conftest.py``.

``MCAL_TEST_POSTGRESQL_URL`` (an account that may create databases) and ``MCAL_TEST_REDIS_URL`` (a database that may be emptied) are used
when set; ``MCAL_REQUIRE_POSTGRESQL=1`` and ``MCAL_REQUIRE_REDIS=1`` make a skip a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.store.database import Database


def postgresql_program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4].split(".")[0]))
    return shutil.which(name) or (str(found[-1]) if found else None)


def what_postgresql_lacks() -> str | None:
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (the package's extra 'postgresql')"
    if "MCAL_TEST_POSTGRESQL_URL" in os.environ or (postgresql_program("initdb") and postgresql_program("postgres")):
        return None
    return "initdb and postgres are not installed (Debian's package postgresql), and MCAL_TEST_POSTGRESQL_URL is not set"


def what_redis_lacks() -> str | None:
    if importlib.util.find_spec("redis") is None:
        return "its client is not installed (the package's extra 'redis')"
    if "MCAL_TEST_REDIS_URL" in os.environ or shutil.which("redis-server"):
        return None
    return "redis-server is not installed (Debian's package redis-server), and MCAL_TEST_REDIS_URL is not set"


POSTGRESQL_LACKS = what_postgresql_lacks()
REDIS_LACKS = what_redis_lacks()


def _skip(name: str, lacking: str | None) -> pytest.MarkDecorator:
    """A skip mark rather than a skip in the fixture: pytest then says it once, not once per test."""
    required = os.environ.get(f"MCAL_REQUIRE_{name.upper()}") == "1"
    return pytest.mark.skipif(lacking is not None and not required, reason=f"NOT tested on {name}: {lacking}")


skip_without_postgresql = _skip("PostgreSQL", POSTGRESQL_LACKS)
skip_without_redis = _skip("Redis", REDIS_LACKS)


NEEDS_POSTGRESQL = (pytest.mark.contract, skip_without_postgresql)
"""Marks of a contract test's parameter that stands for PostgreSQL."""


def needs_postgresql(test: Any) -> Any:
    """Mark a contract test of PostgreSQL."""
    return pytest.mark.contract(skip_without_postgresql(test))


def needs_redis(test: Any) -> Any:
    """Mark a contract test of Redis."""
    return pytest.mark.contract(skip_without_redis(test))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgreSQL:
    """A server of one's own, which may be stopped and started again.

    Attributes:
        url: of a database on it whose account may create others.
    """

    def __init__(self, folder: Path) -> None:
        initdb, postgres = postgresql_program("initdb"), postgresql_program("postgres")
        assert initdb
        assert postgres
        self._folder, self._account = folder, _account(folder)
        self._port = free_port()
        self.url = f"postgresql://mcal@127.0.0.1:{self._port}/postgres"
        made = [initdb, "-D", str(folder / "data"), "-U", "mcal", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **self._account)
        options = ["-p", str(self._port), "-h", "127.0.0.1", "-k", str(folder), "-c", "fsync=off", "-c", "max_connections=200"]
        self._command = [postgres, "-D", str(folder / "data"), *options]
        self.start()

    def start(self) -> None:
        log = self._folder / "log"
        log.write_bytes(b"")
        with log.open("wb") as output:
            self._server = subprocess.Popen(self._command, stdout=output, stderr=output, cwd=self._folder, **self._account)
        deadline = time.monotonic() + 60
        while b"ready to accept connections" not in log.read_bytes():
            if self._server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start on port {self._port}:\n{log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        self._server.send_signal(2)  # SIGINT: close the connections, then stop
        self._server.wait(timeout=30)


def _account(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, "postgres", "postgres")  # PostgreSQL does not run as root; Debian's package made this account
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


@contextmanager
def own_postgresql() -> Iterator[PostgreSQL]:
    folder = Path(tempfile.mkdtemp(prefix="mcal-postgresql-"))  # pytest's own folders are closed to other accounts
    try:
        server = PostgreSQL(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """A new database on the server, dropped at the end; its address."""
    name = f"mcal_{uuid.uuid4().hex}"
    server = sa.create_engine(Database(server_url).engine.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def own_redis(folder: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not _listens(port):
            assert server.poll() is None and time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
