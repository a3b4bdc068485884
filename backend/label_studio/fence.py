"""Label Studio for one owner of a campaign: before each request that changes something, the owner's right to it is asked for again.

A process may be stopped between any two lines, for longer than its lease lasts. What it would send afterwards must not be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from backend.label_studio.port import LabelStudioPort

READS = frozenset(
    {"current_user", "users", "version", "project", "projects", "webhooks", "fetch_media"}
    | {"tasks", "tasks_by_id", "task_ids", "task_times", "task_data", "predicted_task_ids"}
)
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_require: ContextVar[Callable[[], None] | None] = ContextVar("require", default=None)


def fenced(port: LabelStudioPort, require: Callable[[], None]) -> LabelStudioPort:
    """``port``, with ``require`` called before each change: what it raises comes out, and nothing is sent."""
    return cast(LabelStudioPort, _Fenced(port, require))


def before_request(method: str) -> None:
    """For whoever sends requests: ask again before each one that changes something, also before one that is sent once more."""
    require = _require.get()
    if require is not None and method not in _READING:
        require()


class _Fenced:
    def __init__(self, inner: LabelStudioPort, require: Callable[[], None]) -> None:
        self._inner, self._ask = inner, require

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name in READS or not callable(found):
            return found

        def change(*args: Any, **kwargs: Any) -> Any:
            with _requiring(self._ask):
                self._ask()
                return found(*args, **kwargs)

        return change


@contextmanager
def _requiring(require: Callable[[], None]) -> Iterator[None]:
    token = _require.set(require)
    try:
        yield
    finally:
        _require.reset(token)
