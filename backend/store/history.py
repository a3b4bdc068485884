"""Campaigns and their append-only history."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.store.address import same_address
from backend.store.database import dumps
from backend.store.rows import Assignment, Campaign, Conflict, Event, Frozen, MachineLabel, NewEvent, Taken
from backend.store.schema import assignments, campaigns, events, frozen, machine_labels
from backend.store.tables import as_parameters, insert_rows, select_rows, upsert_rows
from mcal_engine.errors import HistoryError, InvalidValue

ENDINGS = frozenset({"finished", "rolled_back", "cancelled", "project_gone"})
_CAMPAIGN = (campaigns.c.id, campaigns.c.project_id, campaigns.c.label_studio_url, campaigns.c.created_at)


def create_campaign(connection: Connection, project_id: int, label_studio_url: str, new: Sequence[NewEvent], now: datetime) -> Campaign:
    url = same_address(label_studio_url)
    if (other := live_campaign(connection, url, project_id)) is not None:
        raise _is_live(other, url, project_id)
    row = {"project_id": project_id, "label_studio_url": url, "created_at": now, "live": not _ends(new)}
    try:
        with connection.begin_nested():  # so that the question below can still be asked on PostgreSQL
            campaign_id = connection.execute(insert(campaigns).values(row).returning(campaigns.c.id)).scalar_one()
    except IntegrityError:
        raise _is_live(live_campaign(connection, url, project_id), url, project_id) from None
    _insert_events(connection, campaign_id, 0, new, now)
    return campaign(connection, campaign_id)


def _is_live(other: Campaign | None, url: str, project_id: int) -> Taken:
    return Taken(
        f"project {project_id} on {url} already has a campaign that is not finished{f' (campaign {other.id})' if other else ''}; "
        "finish it, roll it back or abandon it first"
    )


def all_campaigns(connection: Connection, *, only_live: bool = False) -> list[Campaign]:
    query = select(*_CAMPAIGN).order_by(campaigns.c.id)
    if only_live:
        query = query.where(campaigns.c.live)
    return [Campaign(*row) for row in connection.execute(query)]


def campaign(connection: Connection, campaign_id: int) -> Campaign:
    row = connection.execute(select(*_CAMPAIGN).where(campaigns.c.id == campaign_id)).one_or_none()
    if row is None:
        raise InvalidValue(f"there is no campaign {campaign_id}")
    return Campaign(*row)


def live_campaign(connection: Connection, label_studio_url: str, project_id: int) -> Campaign | None:
    query = select(*_CAMPAIGN).where(campaigns.c.project_id == project_id, campaigns.c.live).order_by(campaigns.c.id)
    wanted = same_address(label_studio_url)
    # Compared here, not there: earlier versions stored addresses as they were written.
    return next((found for row in connection.execute(query) if same_address((found := Campaign(*row)).label_studio_url) == wanted), None)


def read_events(connection: Connection, campaign_id: int, *, after: int, kinds: Collection[str] | None) -> list[Event]:
    query = select_rows(events, Event, campaign_id, events.c.seq > after).order_by(events.c.seq)
    if kinds is not None:
        query = query.where(events.c.kind.in_(sorted(kinds)))
    try:
        return [Event(*row) for row in connection.execute(query)]
    except (ValueError, TypeError) as error:  # a payload that is no JSON any more, a time that is none
        raise HistoryError(f"campaign {campaign_id}: a row of its history is damaged in the database ({error})") from None


def append(
    connection: Connection,
    campaign_id: int,
    new: Sequence[NewEvent],
    *,
    now: datetime,
    expected_seq: int | None,
    new_assignments: Sequence[Assignment],
    freeze: tuple[int, Sequence[Frozen]] | None,
    new_machine_labels: Sequence[MachineLabel],
    ends: bool,
    reopens: bool = False,
) -> list[Event]:
    last = _lock_history(connection, campaign_id)
    if expected_seq is not None and expected_seq != last:
        raise Conflict(f"campaign {campaign_id} has {last} events by now, this step was worked out from {expected_seq}: read again")
    added = _insert_events(connection, campaign_id, last, new, now)
    if new_assignments:
        _assign(connection, campaign_id, new_assignments)
    if freeze is not None:
        _freeze(connection, campaign_id, *freeze)
    upsert_rows(connection, machine_labels, as_parameters(campaign_id, new_machine_labels))
    if ends or _ends(new):
        connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(live=False))
    elif reopens:
        _revive(connection, campaign_id)
    return added


def _revive(connection: Connection, campaign_id: int) -> None:
    mine = campaign(connection, campaign_id)
    try:
        with connection.begin_nested():
            connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(live=True))
    except IntegrityError:
        other = live_campaign(connection, mine.label_studio_url, mine.project_id)
        raise InvalidValue(
            f"campaign {campaign_id} cannot be taken up again: campaign {other.id if other else 'another one'} is running on its project; "
            "wait until it is finished, or roll it back"
        ) from None


def _ends(new: Sequence[NewEvent]) -> bool:
    return bool(new) and new[-1].kind in ENDINGS


def _lock_history(connection: Connection, campaign_id: int) -> int:
    """Keep other writers of this campaign out until this transaction ends; the seq of its last event, 0 before the first."""
    # FOR UPDATE is PostgreSQL's; on SQLite the transaction already holds the only write lock there is.
    lock = select(campaigns.c.id).where(campaigns.c.id == campaign_id).with_for_update()
    if connection.execute(lock).one_or_none() is None:
        raise InvalidValue(f"there is no campaign {campaign_id}")
    last: int = connection.execute(select(func.coalesce(func.max(events.c.seq), 0)).where(events.c.campaign_id == campaign_id)).scalar_one()
    return last


def _insert_events(connection: Connection, campaign_id: int, last: int, new: Sequence[NewEvent], now: datetime) -> list[Event]:
    # Through JSON and back: what the caller gets now is what a later reader gets.
    added = [Event(last + 1 + i, row.kind, _through_json(row), now) for i, row in enumerate(new)]
    insert_rows(connection, events, as_parameters(campaign_id, added))
    return added


def _through_json(row: NewEvent) -> dict[str, Any]:
    value = json.loads(dumps(row.payload))
    if not isinstance(value, dict):
        raise InvalidValue(f"the payload of a {row.kind!r} event must be an object, got {type(row.payload).__name__}")
    return value


def _assign(connection: Connection, campaign_id: int, new: Sequence[Assignment]) -> None:
    taken = set(connection.execute(select(assignments.c.task_id).where(assignments.c.campaign_id == campaign_id)).scalars())
    twice = []
    for row in new:
        if row.task_id in taken:
            twice.append(row.task_id)
        taken.add(row.task_id)
    if twice:
        raise InvalidValue(f"a task gets one role per campaign; {_some(twice)} of campaign {campaign_id} already had one")
    insert_rows(connection, assignments, as_parameters(campaign_id, new))


def _freeze(connection: Connection, campaign_id: int, look: int, rows: Sequence[Frozen]) -> None:
    there = select(frozen.c.rank).where(frozen.c.campaign_id == campaign_id, frozen.c.look == look).limit(1)
    if connection.execute(there).one_or_none() is not None:
        raise InvalidValue(f"look {look} of campaign {campaign_id} is frozen already; a frozen order never changes")
    insert_rows(connection, frozen, [dict(row, look=look) for row in as_parameters(campaign_id, rows)])


def _some(ids: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in ids[:5])
    return f"task{'' if len(ids) == 1 else 's'} {shown}" + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
