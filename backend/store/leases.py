"""The right to work on a campaign: one owner at a time, by compare-and-set, lost when it is not renewed in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, or_, select, update

from backend.store.rows import LeaseLost
from backend.store.schema import UTCDateTime, leases
from backend.store.tables import upsert_row_if
from mcal_engine.errors import InvalidValue


def acquire(connection: Connection, campaign_id: int, owner: str, seconds: float, now: datetime) -> bool:
    row = {"campaign_id": campaign_id, "owner": owner, "expires_at": _expiry(now, seconds)}
    return upsert_row_if(connection, leases, row, or_(leases.c.owner == owner, leases.c.expires_at <= now))


def renew(connection: Connection, campaign_id: int, owner: str, seconds: float, now: datetime) -> bool:
    # A lease that ran out unnoticed is still the owner's: whoever took it in between would stand in the row.
    expires_at = _expiry(now, seconds)
    mine = (leases.c.campaign_id == campaign_id, leases.c.owner == owner)
    return connection.execute(update(leases).where(*mine).values(expires_at=expires_at)).rowcount == 1


def release(connection: Connection, campaign_id: int, owner: str) -> None:
    connection.execute(delete(leases).where(leases.c.campaign_id == campaign_id, leases.c.owner == owner))


def holder(connection: Connection, campaign_id: int, *, lock: bool = False) -> str | None:
    """Who stands in the row. ``lock``: nobody else can take the lease before the transaction ends."""
    found = select(leases.c.owner).where(leases.c.campaign_id == campaign_id)
    # FOR SHARE is PostgreSQL's; on SQLite a transaction that writes already holds the only write lock there is.
    owner: str | None = connection.execute(found.with_for_update(read=True) if lock else found).scalar_one_or_none()
    return owner


def require(connection: Connection, campaign_id: int, owner: str) -> None:
    """Raise :class:`LeaseLost` unless the lease is this owner's, and keep it so until the transaction ends."""
    if holder(connection, campaign_id, lock=True) != owner:
        raise LeaseLost(f"campaign {campaign_id}: another worker has taken over; nothing was written")


def _expiry(start: datetime, seconds: float) -> datetime:
    if not seconds > 0:
        raise InvalidValue(f"a lease must last longer than 0 seconds, got {seconds}")
    return start + timedelta(seconds=seconds)


def clock(connection: Connection, here: Callable[[], datetime]) -> datetime:
    """The one clock that every worker of this database shares: the server's on PostgreSQL, this machine's (``here``) on SQLite."""
    if connection.dialect.name != "postgresql":
        return here()
    # clock_timestamp: now() would be the start of a transaction that may have waited for its turn.
    return connection.execute(select(func.clock_timestamp(type_=UTCDateTime))).scalar_one()
