"""A store that remembers what it has read until something is written: most of a life's time would otherwise go into the same reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backend.store import Store

REMEMBERED = frozenset(
    {"campaign", "campaigns", "live_campaign", "live_campaigns", "events", "items", "assignments", "duplicates", "has_duplicates"}
    | {"machine_labels", "frozen", "watermark"}
)
CHANGED: dict[str, frozenset[str]] = {  # by what writes; anything else may change all
    "append": REMEMBERED - {"items", "duplicates", "has_duplicates", "watermark"},
    "upsert_items": frozenset({"items"}),
    "mark_deleted": frozenset({"items"}),
    "mark_unreadable": frozenset({"items"}),
    "upsert_duplicates": frozenset({"duplicates", "has_duplicates"}),
    "set_machine_labels": frozenset({"machine_labels"}),
    "set_watermark": frozenset({"watermark"}),
}
NEITHER = frozenset({"ping", "holds_lease", "beat", "forget_worker", "worker_seen", "answers", "answers_paid", "keep_answers"})


class Reads:
    """Stands in for the store. Leases are no part of what is remembered: they may come and go."""

    def __init__(self, store: Store, remembered: dict[Any, Any] | None = None) -> None:
        self._store = store
        self._remembered: dict[Any, Any] = {} if remembered is None else remembered

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found) or name in NEITHER or name.endswith("_lease"):
            return found
        if name == "fenced":
            return lambda *args: Reads(found(*args), self._remembered)
        return self._read(name, found) if name in REMEMBERED else self._write(CHANGED.get(name, REMEMBERED), found)

    def _read(self, name: str, read: Callable[..., Any]) -> Callable[..., Any]:
        def remembered(*args: Any, **kwargs: Any) -> Any:
            asked = name, args, tuple(sorted(kwargs.items()))
            if asked not in self._remembered:
                self._remembered[asked] = read(*args, **kwargs)
            found = self._remembered[asked]
            return list(found) if isinstance(found, list) else found

        return remembered

    def _write(self, changed: frozenset[str], write: Callable[..., Any]) -> Callable[..., Any]:
        def forgetful(*args: Any, **kwargs: Any) -> Any:
            try:
                return write(*args, **kwargs)
            finally:  # also where it failed: it may have written before
                for asked in [asked for asked in self._remembered if asked[0] in changed]:
                    del self._remembered[asked]

        return forgetful
