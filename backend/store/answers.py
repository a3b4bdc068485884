"""What models from outside answered. The first answer to a question stays: it may have been paid for, and a restart must not change it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from backend.store.rows import Answer
from backend.store.schema import answers
from backend.store.tables import as_parameters

ASKED_AT_ONCE = 500  # keys in one query


def known(connection: Connection, asked: Sequence[str]) -> dict[str, Answer]:
    """The answers to these questions, as far as there are any."""
    columns = [answers.c[name] for name in Answer.__slots__]
    found = {}
    for start in range(0, len(asked), ASKED_AT_ONCE):
        query = select(*columns).where(answers.c.asked.in_(asked[start : start + ASKED_AT_ONCE]))
        found.update({row.asked: Answer(*row) for row in connection.execute(query)})
    return found


def keep(connection: Connection, campaign_id: int, rows: Sequence[Answer]) -> None:
    """Add answers; one that is there already stays as it is."""
    if rows:
        insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(answers)
        connection.execute(insert.on_conflict_do_nothing(index_elements=["asked"]), as_parameters(campaign_id, rows))


def paid(connection: Connection, campaign_id: int) -> dict[str, tuple[int, float]]:
    """By model: how many answers this campaign has bought, and what it paid for them."""
    query = select(answers.c.model, func.count(), func.sum(answers.c.price)).where(answers.c.campaign_id == campaign_id)
    return {model: (int(n), float(price)) for model, n, price in connection.execute(query.group_by(answers.c.model))}
