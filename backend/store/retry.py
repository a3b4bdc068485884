"""The answer to a :class:`Conflict`: read again, work it out again, append again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from backend.store.rows import Conflict

ATTEMPTS = 6  # at a step that others' events may overtake: the worker's, an admin's, a person's labels
T = TypeVar("T")


def retried(what: str, step: Callable[[], T]) -> T:
    """Take a step that appends on the condition that nobody else has appended since it read; take it again where somebody was faster.

    Args:
        what: is changing, for the error: ``campaign 3``.
        step: reads what it needs each time it is called, and may be taken again after a Conflict.

    Raises:
        Conflict: others were faster :data:`ATTEMPTS` times in a row.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return step()
        except Conflict:
            continue
    try:
        return step()
    except Conflict as error:
        raise Conflict(f"{what} is changing too fast: {error}; try again") from None
