"""Audits of written machine labels, as the history tells them: who asked for one, what was drawn, what people said, what followed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from backend.campaign import events
from backend.campaign.events import AuditResult, Happening
from backend.campaign.history import Entry


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The cut that followed an audit, as it was asked for; ``n_removed`` and ``n_kept`` are ``None`` while it is under way."""

    by: str
    n_ranked: int
    n: int
    tolerated: int | None
    max_errors: int
    level: float
    n_removed: int | None = None
    n_kept: int | None = None


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
    result: AuditResult | None = None
    take_back: TakeBack | None = None

    @property
    def look(self) -> int:
        """Where the store keeps the order of the labels that the sample was drawn from; certificates' looks are positive."""
        return -self.number

    @property
    def taking_back(self) -> bool:
        return self.take_back is not None and self.take_back.n_removed is None


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

    def read(self, entry: Entry[Happening]) -> None:
        """Take note of one event; others than audits' are passed over."""
        at = entry.at
        match event := entry.event:
            case events.AuditRequested():
                self.rows.append(Audit(event.audit, event.size, event.confidence_level, event.by, at))
            case events.AuditOpened():
                drawn = replace(self._row(event.audit), ids=event.ids, n_written=event.n_written, n_items=event.n_items, opened_at=at)
                self._put(replace(drawn, allowed=event.allowed, target_error=event.target_error, digest=event.digest))
            case events.QueueOpened(queue="audit"):
                self._put(replace(self.rows[-1], model_version=event.model_version))
            case events.AuditCancelRequested():
                self._put(replace(self._row(event.audit), cancelled_by=event.by))
            case events.AuditCancelled():
                self._put(replace(self._row(event.audit), ended="cancelled", ended_at=at, n_restored=event.n_restored))
            case events.AuditDecided():
                self._put(replace(self._row(event.audit), ended="decided", ended_at=at, labels=event.labels, result=event.result))
            case events.TakeBackStarted():
                cut = TakeBack(event.by, event.n_ranked, event.n, event.tolerated, event.max_errors, event.level)
                self._put(replace(self._row(event.audit), take_back=cut))
            case events.TakeBackDone():
                row = self._row(event.audit)
                if row.take_back is not None:
                    self._put(replace(row, take_back=replace(row.take_back, n_removed=event.n_removed, n_kept=event.n_kept)))

    def _row(self, number: int) -> Audit:
        return self.rows[number - 1]  # they are numbered 1, 2, 3 …

    def _put(self, row: Audit) -> None:
        self.rows[row.number - 1] = row
