"""Audits of written machine labels, as the history tells them: who asked for one, what was drawn, what people said, what followed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypedDict

from backend.store import Event


class Result(TypedDict):
    """What the answered sample says. Counts of errors are of machine labels that differ from what people say.

    Attributes:
        errors: in the sample, those without an answer included; ``different`` are the answered ones alone.
        max_errors: the most among all labels as they were written that the sample is compatible with; ``min_errors`` the fewest. Each of
            the two is wrong with probability 1 − confidence at most.
        max_errors_left: the most that are still the machine's, since what people answered is theirs now.
        verdict: ``holds`` (at most the allowed errors, as written), ``broken`` (more), or ``not_shown``.
    """

    errors: int
    different: int
    unanswered: int
    max_errors: int
    min_errors: int
    max_errors_left: int
    verdict: Literal["holds", "not_shown", "broken"]


class TakeBack(TypedDict):
    """The cut: machine labels from place ``n_ranked`` of the audited order on go to people.

    Attributes:
        n: how many were to be taken back.
        tolerated: errors of the sample that may stand in front of the cut; ``None`` if this sample vouches for nothing.
        max_errors: wrong machine labels in front of the cut, at most, at ``level`` (a statement of its own).
        n_removed, n_kept: what became of them; ``None`` while it is under way.
    """

    by: str
    n_ranked: int
    n: int
    tolerated: int | None
    max_errors: int
    level: float
    n_removed: int | None
    n_kept: int | None


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit. ``ids`` are empty until the sample is drawn, ``model_version`` until its machine labels are out of sight.

    Attributes:
        n_written: machine labels that the sample was drawn from, in an order that is frozen as look −``number``; ``digest`` is its hash.
        n_items, allowed, target_error: what the verdict was to be measured by, fixed when the sample was drawn.
        labels: what people said, in the order of ``ids``; empty until it is decided, then never read again.
    """

    number: int
    size: int
    confidence_level: float
    by: str
    requested_at: datetime
    ids: tuple[int, ...] = ()
    n_written: int = 0
    n_items: int = 0
    allowed: int = 0
    target_error: float = 0.0
    digest: str = ""
    opened_at: datetime | None = None
    model_version: str = ""
    cancelled_by: str | None = None
    ended: Literal["decided", "cancelled"] | None = None
    ended_at: datetime | None = None
    n_restored: int = 0
    labels: tuple[int | None, ...] = ()
    result: Result | None = None
    take_back: TakeBack | None = None

    @property
    def look(self) -> int:
        """Where the store keeps the order of the labels that the sample was drawn from; certificates' looks are positive."""
        return -self.number

    @property
    def taking_back(self) -> bool:
        return self.take_back is not None and self.take_back["n_removed"] is None


class Audits:
    """A campaign's audits, read event by event."""

    def __init__(self) -> None:
        self.rows: list[Audit] = []

    @property
    def active(self) -> Audit | None:
        """The one that is not decided or called off yet."""
        return self.rows[-1] if self.rows and self.rows[-1].ended is None else None

    @property
    def taking_back(self) -> Audit | None:
        return next((row for row in self.rows if row.taking_back), None)

    def read(self, event: Event) -> None:
        """Take note of one event; others than audits' are passed over."""
        payload, at = event.payload, event.created_at
        match event.kind:
            case "audit_requested":
                self.rows.append(Audit(payload["audit"], payload["size"], payload["confidence_level"], payload["by"], at))
            case "audit_opened":
                found = {name: payload[name] for name in ("n_written", "n_items", "allowed", "target_error", "digest")}
                self._change(payload, ids=tuple(payload["ids"]), opened_at=at, **found)
            case "queue_opened" if payload["queue"] == "audit":
                self.rows[-1] = replace(self.rows[-1], model_version=payload["model_version"])
            case "audit_cancel_requested":
                self._change(payload, cancelled_by=payload["by"])
            case "audit_cancelled":
                self._change(payload, ended="cancelled", ended_at=at, n_restored=payload["n_restored"])
            case "audit_decided":
                self._change(payload, ended="decided", ended_at=at, labels=tuple(payload["labels"]), result=payload["result"])
            case "take_back_started":
                self._change(payload, take_back=_cut(payload))
            case "take_back_done":
                cut = self.rows[payload["audit"] - 1].take_back or {}
                self._change(payload, take_back={**cut, "n_removed": payload["n_removed"], "n_kept": payload["n_kept"]})

    def _change(self, payload: Mapping[str, Any], **fields: Any) -> None:
        place = payload["audit"] - 1  # they are numbered 1, 2, 3 …
        self.rows[place] = replace(self.rows[place], **fields)


def _cut(payload: Mapping[str, Any]) -> TakeBack:
    return TakeBack(
        by=payload["by"],
        n_ranked=payload["n_ranked"],
        n=payload["n"],
        tolerated=payload["tolerated"],
        max_errors=payload["max_errors"],
        level=payload["level"],
        n_removed=None,
        n_kept=None,
    )
