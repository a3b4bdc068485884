"""The whole database as one portable file, and back: from SQLite to PostgreSQL, from an older version's tables to today's.

The file is gzipped JSON lines: a header, then for each table an object that names its columns and one array per row, at last an object
with the number of rows of each table. Leases are left out: they are rights of processes that will be gone.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, DateTime, Integer, MetaData, Table, func, inspect, select, text
from sqlalchemy.exc import IntegrityError

from backend.store.database import Database, StoreUnavailable
from backend.store.migrate import config, lock, revision, upgrade
from backend.store.schema import UTCDateTime, campaigns, leases, metadata, workers
from backend.store.tables import insert_rows
from mcal_engine import __version__
from mcal_engine.errors import InvalidValue

FORMAT, FORMAT_VERSION = "mcal-backup", 1
LEFT_OUT = frozenset({leases.name, workers.name})
ROWS_AT_ONCE = 2000
NOT_WHOLE = "the backup is damaged or cut off; nothing was changed"


def write_backup(database: Database, target: IO[bytes]) -> dict[str, int]:
    """Write everything, as of one moment, while others go on working; returns the number of rows by table."""
    counts: dict[str, int] = {}
    with database.snapshot() as connection, gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as file:
        header = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "revision": _known_revision(connection, database),
            "program": __version__,
            "made_at": datetime.now(UTC).isoformat(),
        }
        _put(file, header)
        for table in _tables():
            _put(file, {"table": table.name, "columns": [column.name for column in table.columns]})
            counts[table.name] = 0
            rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table).order_by(*table.primary_key))
            for row in rows:
                _put(file, [value.isoformat() if isinstance(value, datetime) else value for value in row])
                counts[table.name] += 1
        _put(file, {"rows": counts})
    return counts


def restore_backup(database: Database, source: IO[bytes], *, replace: bool) -> dict[str, int]:
    """Put a backup in the place of what the database has, all or nothing; returns the number of rows by table.

    Args:
        replace: also where the database has campaigns, which are then gone.

    Raises:
        InvalidValue: the database has campaigns, a worker is at work on one, or the file is no whole backup of a version known here.
    """
    lines = _lines(source)
    wanted = _revision_of(next(lines, None))
    database.make_directory()
    with database.writing() as connection:
        lock(connection)
        _refuse_to_lose(connection, replace)
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        upgrade(connection, wanted)
        try:
            counts = _fill(connection, lines)
        except IntegrityError as error:
            raise InvalidValue(f"{NOT_WHOLE} ({str(error.orig).splitlines()[0]})") from None
        upgrade(connection, "head")
        return counts


def _tables() -> list[Table]:
    return [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]


def _known_revision(connection: Connection, database: Database) -> str:
    found, newest = revision(connection), ScriptDirectory.from_config(config()).get_current_head()
    if found is None:
        raise StoreUnavailable(f"database {database.shown_url} has no tables: there is nothing to back up")
    if found != newest:
        raise StoreUnavailable(f"database {database.shown_url} has the tables of another version of this program ({found}, not {newest})")
    return str(found)


def _revision_of(header: Any) -> str:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InvalidValue("this is no backup made by mcal backup")
    if header.get("format_version") != FORMAT_VERSION:
        raise InvalidValue(f"the backup has format {header.get('format_version')}, this version reads {FORMAT_VERSION}: use a newer one")
    try:
        found = ScriptDirectory.from_config(config()).get_revision(str(header.get("revision")))
    except CommandError:
        made_by = f"version {header.get('program')} (tables of revision {header.get('revision')})"
        raise InvalidValue(f"the backup was made by {made_by}, newer than this one: restore it with that version") from None
    return str(found.revision)


def _refuse_to_lose(connection: Connection, replace: bool) -> None:
    there = set(inspect(connection).get_table_names())
    if campaigns.name not in there:
        return
    total, live = (
        connection.execute(select(func.count()).select_from(campaigns).where(*where)).scalar_one() for where in ((), (campaigns.c.live,))
    )
    if total and not replace:
        raise InvalidValue(
            f"the database has {total} campaigns, {live} of them live, which would be lost; make a backup of it, then use --force"
        )
    held = connection.execute(select(leases.c.campaign_id).where(leases.c.expires_at > datetime.now(UTC))).scalars().all()
    if held:
        raise InvalidValue(
            f"a worker is at work on campaign {held[0]}: stop all workers, then try again (one that was killed: in a minute)"
        )


def _fill(connection: Connection, lines: Iterator[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    table: Table | None = None
    names: list[str] = []
    batch: list[dict[str, Any]] = []
    for line in lines:
        if isinstance(line, list) and table is not None and len(line) == len(names):
            batch.append({name: _value(table, name, value) for name, value in zip(names, line, strict=True)})
            counts[table.name] += 1
            if len(batch) >= ROWS_AT_ONCE:
                insert_rows(connection, table, batch)
                batch = []
            continue
        if table is not None:
            insert_rows(connection, table, batch)
            _continue_numbering(connection, table)
            batch = []
        if isinstance(line, dict) and "table" in line:
            table, names = _as_it_was(connection, line["table"]), line["columns"]
            counts[table.name] = 0
        elif isinstance(line, dict) and line.get("rows") == counts:
            return counts
        else:
            break
    raise InvalidValue(NOT_WHOLE)


def _as_it_was(connection: Connection, name: str) -> Table:
    """The table at the revision that the database has now, with this program's way of keeping times."""
    table = Table(name, MetaData(), autoload_with=connection)
    for column in table.columns:
        if isinstance(column.type, DateTime):
            column.type = UTCDateTime()
    return table


def _value(table: Table, name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if value is not None and isinstance(table.c[name].type, UTCDateTime) else value


def _continue_numbering(connection: Connection, table: Table) -> None:
    """PostgreSQL's sequences do not notice rows that bring their number along; SQLite's do."""
    keys = list(table.primary_key)
    if connection.dialect.name != "postgresql" or len(keys) != 1 or not isinstance(keys[0].type, Integer):
        return
    sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, keys[0].name))).scalar_one()
    last = connection.execute(select(func.max(keys[0]))).scalar_one()
    if sequence is not None and last is not None:
        connection.execute(select(func.setval(sequence, last)))


def _put(file: gzip.GzipFile, line: Any) -> None:
    file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def _lines(source: IO[bytes]) -> Iterator[Any]:
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as file:
            for line in file:
                yield json.loads(line)
    except gzip.BadGzipFile:
        raise InvalidValue("this is no backup made by mcal backup, or it is damaged; nothing was changed") from None
    except (EOFError, zlib.error, ValueError):
        raise InvalidValue(NOT_WHOLE) from None
