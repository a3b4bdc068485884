"""Rows in and out in bulk: 100,000 rows are one statement run many times, never one object each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite


def as_parameters(campaign_id: int, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Dataclass rows of one type as statement parameters, the campaign's id added."""
    if not rows:
        return []
    names = [field.name for field in fields(rows[0])]
    values = attrgetter(*names)
    return [dict(zip(names, values(row), strict=True), campaign_id=campaign_id) for row in rows]


def select_rows(table: Table, row_type: type[Any], campaign_id: int, *where: ColumnElement[bool]) -> Select[Any]:
    """A campaign's rows with the columns in the order of the dataclass, so that ``row_type(*row)`` is the row."""
    columns = [table.c[field.name] for field in fields(row_type)]
    return select(*columns).where(table.c.campaign_id == campaign_id, *where)


def insert_rows(connection: Connection, table: Table, parameters: list[dict[str, Any]]) -> None:
    if parameters:
        connection.execute(table.insert(), parameters)


def upsert_rows(
    connection: Connection,
    table: Table,
    parameters: list[dict[str, Any]],
    *,
    keep: dict[str, Callable[[Any], Any]] | None = None,
) -> None:
    """Insert, or overwrite the row with the same primary key; within one call the later row wins.

    Args:
        keep: for some columns, what an existing row gets instead of the new value: a function of the statement's ``excluded`` row.
    """
    if not parameters:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    new = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    for name, expression in (keep or {}).items():
        new[name] = expression(statement.excluded)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), parameters)


def upsert_row_if(connection: Connection, table: Table, row: dict[str, Any], condition: ColumnElement[bool]) -> bool:
    """Insert, or overwrite the row with the same primary key where ``condition`` holds for it; whether the row is now ours."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(row)
    keys = [column.name for column in table.primary_key]
    new = {name: statement.excluded[name] for name in row if name not in keys}
    # What the statement returns, not its row count: that is not told for inserts on PostgreSQL.
    upsert = statement.on_conflict_do_update(index_elements=keys, set_=new, where=condition).returning(*table.primary_key)
    return connection.execute(upsert).one_or_none() is not None
