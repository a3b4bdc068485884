"""One engine per store, and what SQLite and PostgreSQL need so that several threads and processes can share it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DontWrapMixin,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mcal_engine.errors import InvalidValue, MCALError

BUSY_SECONDS = 30.0  # how long a SQLite writer waits for another one


class StoreUnavailable(MCALError):
    """The database cannot be reached, is locked for too long, or lacks this version's tables."""


class NotJSON(InvalidValue, DontWrapMixin):
    """A payload that JSON cannot carry."""


class Database:
    """A lazily connected engine. ``reading`` and ``writing`` are the only ways to a connection."""

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self.shown_url = self._url.render_as_string(hide_password=True)
        # Parameters stay out of error texts: payloads are large, and image references may carry signatures.
        options: dict[str, Any] = {"hide_parameters": True, "json_serializer": dumps}
        if self.is_sqlite:
            options["connect_args"] = {"timeout": BUSY_SECONDS}
        else:
            options["pool_pre_ping"] = True  # a restarted server must not cost a request
        try:
            self.engine: Engine = create_engine(self._url, **options)
        except (ImportError, NoSuchModuleError) as error:
            raise StoreUnavailable(f"database {self.shown_url} needs a driver that is not installed: {error}") from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def make_directory(self) -> None:
        """Make the folder of a SQLite file; nothing to do elsewhere."""
        if self.is_sqlite and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that only reads; on SQLite it neither waits for writers nor stops them."""
        with self._translating_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """As :meth:`reading`, and every statement sees the database as it was at the first one."""
        with self._translating_errors(), self.engine.connect() as plain:
            connection = plain if self.is_sqlite else plain.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end, undone by any exception. On SQLite it holds the write lock from its start.

        A SQLite transaction that reads before it writes fails at once with "database is locked" when another one wrote in
        between, however long the busy timeout is; BEGIN IMMEDIATE waits for its turn first.
        """
        with self._translating_errors(), self.engine.connect() as plain:
            connection = plain.execution_options(mcal_writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, ProgrammingError) as error:
            raise StoreUnavailable(f"database {self.shown_url}: {_first_line(error)}{_advice(error)}") from error
        except PoolTimeout as error:
            raise StoreUnavailable(f"database {self.shown_url}: every connection is busy; try again") from error


def dumps(value: Any) -> str:
    """JSON text, with NaN and infinity refused: PostgreSQL would not take them, and other readers would choke on them."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise NotJSON(f"a payload must be plain JSON (no NaN, no infinity, no arrays of numpy): {error}") from None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The text may hold a password, so it is not repeated.
        raise InvalidValue("database_url must look like sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME") from None
    name = parsed.get_backend_name()
    if name == "postgres":  # the short form many hosts hand out
        name, parsed = "postgresql", parsed.set(drivername="postgresql")
    if name not in ("sqlite", "postgresql"):
        raise InvalidValue(f"database_url must begin with sqlite:// or postgresql://, got {name}://")
    if name == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidValue("database_url must name a file, such as sqlite:////var/lib/mcal/mcal.db: several processes share it")
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


SYNCHRONOUS = "FULL"  # a decision that was told is durable


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not open transactions of its own; see _begin_sqlite
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    # The switch of a new file to WAL does not wait for the busy timeout when several processes try it together.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("mcal_writes") else "BEGIN")


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__


def _advice(error: DBAPIError) -> str:
    text = str(error.orig)
    if "no such table" in text or "no such column" in text or "does not exist" in text:
        return " (its tables are missing or older than this program: run its migrations first)"
    if "unable to open" in text:
        return " (its folder is missing or may not be used; for a new one, run its migrations first)"
    return ""
