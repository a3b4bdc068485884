"""The mirror of Label Studio's tasks and labels, and the state of the machine labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, select, update

from backend.store.rows import Duplicate, Item
from backend.store.schema import campaigns, duplicates, items
from backend.store.tables import as_parameters, upsert_rows
from mcal_engine.errors import InvalidValue


def upsert_items(connection: Connection, campaign_id: int, rows: Sequence[Item]) -> None:
    # That an image is unreadable is our finding, not Label Studio's: news without it leave it standing while the image is the same.
    def unreadable(new: Any) -> Any:
        return func.coalesce(new.unreadable, case((items.c.image == new.image, items.c.unreadable)))

    upsert_rows(connection, items, as_parameters(campaign_id, rows), keep={"unreadable": unreadable})


def mark_deleted(connection: Connection, campaign_id: int, task_ids: Iterable[int]) -> None:
    _update_items(connection, campaign_id, {"deleted": True}, [{"of_task": task_id} for task_id in task_ids])


def mark_unreadable(connection: Connection, campaign_id: int, reasons: Mapping[int, str | None]) -> None:
    parameters = [{"of_task": task_id, "reason": reason} for task_id, reason in reasons.items()]
    _update_items(connection, campaign_id, {"unreadable": bindparam("reason")}, parameters)


def upsert_duplicates(connection: Connection, campaign_id: int, rows: Sequence[Duplicate], of_tasks: Collection[int]) -> None:
    if of_tasks:
        gone = delete(duplicates).where(duplicates.c.campaign_id == campaign_id, duplicates.c.task_id == bindparam("of_task"))
        connection.execute(gone, [{"of_task": task_id} for task_id in of_tasks])
    upsert_rows(connection, duplicates, as_parameters(campaign_id, rows))


def watermark(connection: Connection, campaign_id: int) -> datetime | None:
    row = connection.execute(select(campaigns.c.watermark).where(campaigns.c.id == campaign_id)).one_or_none()
    if row is None:
        raise InvalidValue(f"there is no campaign {campaign_id}")
    when: datetime | None = row[0]
    return when


def set_watermark(connection: Connection, campaign_id: int, when: datetime) -> None:
    if connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(watermark=when)).rowcount != 1:
        raise InvalidValue(f"there is no campaign {campaign_id}")


def _update_items(connection: Connection, campaign_id: int, values: dict[str, Any], parameters: list[dict[str, Any]]) -> None:
    if parameters:
        where = (items.c.campaign_id == campaign_id, items.c.task_id == bindparam("of_task"))
        connection.execute(update(items).where(*where).values(values), parameters)
