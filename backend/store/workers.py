"""When each worker was seen last. Nothing depends on it but what people are told."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from backend.store.schema import UTCDateTime, workers
from backend.store.tables import upsert_rows

FORGOTTEN_AFTER = timedelta(days=1)  # a worker that was killed leaves its row behind


def beat(connection: Connection, name: str, now: datetime) -> None:
    upsert_rows(connection, workers, [{"name": name, "seen_at": now}])
    connection.execute(delete(workers).where(workers.c.seen_at < now - FORGOTTEN_AFTER))


def forget(connection: Connection, name: str) -> None:
    connection.execute(delete(workers).where(workers.c.name == name))


def last_seen(connection: Connection) -> datetime | None:
    seen: datetime | None = connection.execute(select(func.max(workers.c.seen_at, type_=UTCDateTime))).scalar_one()
    return seen
