"""Rows in and out in bulk: 100,000 rows are one statement run many times, or with many rows at once, never one object each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

AT_ONCE = 10_000  # rows per statement on PostgreSQL


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
    if len(parameters) > 1 and connection.dialect.name == "postgresql":
        for some in _portions(parameters):
            connection.execute(_from_arrays(postgresql.insert(table), some), _arrays(some))
    elif parameters:
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
    on_postgresql = connection.dialect.name == "postgresql"
    statement = (postgresql if on_postgresql else sqlite).insert(table)
    keys = [column.name for column in table.primary_key]
    new = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    for name, expression in (keep or {}).items():
        new[name] = expression(statement.excluded)
    if not on_postgresql:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), parameters)
        return
    # One statement may not touch a row twice.
    unique = list({tuple(row[key] for key in keys): row for row in parameters}.values())
    for some in _portions(unique):
        connection.execute(_from_arrays(statement, some).on_conflict_do_update(index_elements=keys, set_=new), _arrays(some))


def upsert_row_if(connection: Connection, table: Table, row: dict[str, Any], condition: ColumnElement[bool]) -> bool:
    """Insert, or overwrite the row with the same primary key where ``condition`` holds for it; whether the row is now ours."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(row)
    keys = [column.name for column in table.primary_key]
    new = {name: statement.excluded[name] for name in row if name not in keys}
    # What the statement returns, not its row count: that is not told for inserts on PostgreSQL.
    upsert = statement.on_conflict_do_update(index_elements=keys, set_=new, where=condition).returning(*table.primary_key)
    return connection.execute(upsert).one_or_none() is not None


def _portions(parameters: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(parameters), AT_ONCE):
        yield parameters[start : start + AT_ONCE]


def _from_arrays(statement: postgresql.Insert, rows: list[dict[str, Any]]) -> postgresql.Insert:
    """PostgreSQL's quickest INSERT that may have conflicts: one array per column, unnested on the server."""
    names = list(rows[0])
    table = statement.table
    assert isinstance(table, Table)
    arrays = [bindparam(f"all_{name}", type_=postgresql.ARRAY(table.c[name].type, dimensions=1)) for name in names]
    return statement.from_select(names, select(func.unnest(*arrays).table_valued(*names).render_derived()))


def _arrays(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {f"all_{name}": [row[name] for row in rows] for name in rows[0]}
