"""Checks by eye: a random sample of machine labels that a reviewer judges right or wrong, with the machine's label in sight. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from backend.campaign import events
from backend.campaign.audit_bounds import Bounds, bounds
from backend.campaign.events import Happening
from backend.campaign.history import Entry


@dataclass(frozen=True)
class Check:
    """One check. It says something once every item of its sample is judged; what is judged by then is final.

    Attributes:
        ids, choices: the sample and the machine's class of each of its items.
        n_machine: machine labels that it was drawn from.
        n_items, allowed, target_error: what the verdict is measured by, fixed when the sample was drawn.
        judged: task → whether its machine label is right, in the reviewer's eyes.
        given_up: another check was begun before this one was done.
    """

    number: int
    ids: tuple[int, ...]
    choices: tuple[int, ...]
    n_machine: int
    n_items: int
    allowed: int
    target_error: float
    confidence_level: float
    by: str
    opened_at: datetime
    judged: dict[int, bool] = field(default_factory=dict)
    given_up: bool = False

    @property
    def done(self) -> bool:
        return len(self.judged) == len(self.ids)

    @property
    def open(self) -> bool:
        return not self.done and not self.given_up

    @property
    def result(self) -> Bounds | None:
        """What the judgements say; ``None`` before the last one is in."""
        wrong = sum(not right for right in self.judged.values())
        level = round(1 - self.confidence_level, 12)
        return bounds(wrong, wrong, n_pool=self.n_machine, n_sample=len(self.ids), level=level, allowed=self.allowed) if self.done else None


class Checks:
    """A campaign's checks, read event by event."""

    def __init__(self) -> None:
        self.rows: list[Check] = []

    def read(self, entry: Entry[Happening]) -> None:
        """Take note of one event; others than checks' are passed over."""
        match event := entry.event:
            case events.CheckOpened():
                self.rows = [replace(row, given_up=not row.done) for row in self.rows]
                self.rows.append(
                    Check(
                        number=event.check,
                        ids=event.ids,
                        choices=event.choices,
                        n_machine=event.n_machine,
                        n_items=event.n_items,
                        allowed=event.allowed,
                        target_error=event.target_error,
                        confidence_level=event.confidence_level,
                        by=event.by,
                        opened_at=entry.at,
                    )
                )
            case events.CheckJudged():
                row = self.rows[event.check - 1]  # they are numbered 1, 2, 3 …
                said = dict.fromkeys(event.right, True) | dict.fromkeys(event.wrong, False)
                self.rows[event.check - 1] = replace(row, judged=row.judged | said)


def open_check(checks: Sequence[Check]) -> Check | None:
    """The one that is being judged."""
    return checks[-1] if checks and checks[-1].open else None
