"""Whom Label Studio hands a task to when several people ask at once: on PostgreSQL to one of them."""

from __future__ import annotations

from tests.databases import needs_postgresql
from tests.e2e import doubles


@needs_postgresql
def test_on_postgresql_no_task_is_handed_to_two_people_however_fast_they_ask() -> None:
    with doubles.label_studio_on("postgresql") as server:
        users = doubles.sign_up(server, 4)
        found = doubles.play(server, users, database="postgresql", pace=0, n_tasks=60, seed=0)
    assert (found.labels, found.doubles, found.outside, found.late) == (60, 0, 0, 0)
