"""The history for people: a sentence for each event, and what was recorded, with long lists counted instead of shown. Pure."""

from __future__ import annotations

from typing import Any, TypedDict

from backend.campaign.history import entry, reading
from backend.store import Event
from mcal_engine.errors import MCALError

LONG = 12  # elements from which on a list is counted


class LogRow(TypedDict):
    """One event. ``payload`` is what was recorded, with long lists as ``{"count": n}``."""

    seq: int
    at: str
    kind: str
    sentence: str
    payload: dict[str, Any]


def log_row(event: Event) -> LogRow:
    """One row; a damaged one says so, and hides none of the others."""
    try:
        with reading(f"event {event.seq}"):
            sentence = entry(event).event.sentence()
    except MCALError as error:
        sentence = str(error)
    return LogRow(
        seq=event.seq,
        at=event.created_at.isoformat(),
        kind=event.kind,
        sentence=sentence,
        payload=_short(event.payload),
    )


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    if isinstance(value, list):
        return {"count": len(value)} if len(value) > LONG else [_short(part) for part in value]
    return {"count": len(value)} if isinstance(value, str) and len(value) > 2000 else value
