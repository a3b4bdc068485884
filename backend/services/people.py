"""How fast people label, who they are, and when they will be through. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TypedDict

from backend.services.state import State
from backend.store import Item
from mcal_engine.types import Acquire, Certify, MachineLabel

RECENT = 200  # labels that the present pace is read from
BREAK = timedelta(minutes=10)  # a longer gap between two labels is a break and counts as this much


class Annotator(TypedDict):
    """One person's part. Lead times are Label Studio's, in seconds."""

    annotator: int
    labels: int
    median_lead_time: float | None
    last_label_at: str | None


class Pace(TypedDict):
    """Labels per hour of work of all people together, over the last labels; and what is left at that pace."""

    labels_per_hour: float | None
    n_left: int
    hours_left: float | None


def annotators(state: State) -> list[Annotator]:
    """Everybody who labelled for this campaign, the busiest first; labels from before it do not count."""
    by_person: dict[int, list[Item]] = defaultdict(list)
    for item in _labelled(state):
        if item.annotator is not None:
            by_person[item.annotator].append(item)
    rows = []
    for person, items in by_person.items():
        lead_times = [item.lead_time for item in items if item.lead_time is not None]
        last = max((item.labelled_at for item in items if item.labelled_at is not None), default=None)
        rows.append(
            Annotator(
                annotator=person,
                labels=len(items),
                median_lead_time=median(lead_times) if lead_times else None,
                last_label_at=None if last is None else last.isoformat(),
            )
        )
    return sorted(rows, key=lambda row: (-row["labels"], row["annotator"]))


def pace(state: State) -> Pace:
    """How long people need for what the forecast leaves to them."""
    left = labels_left(state)
    rate = labels_per_hour(sorted(item.labelled_at for item in _labelled(state) if item.labelled_at is not None))
    return Pace(labels_per_hour=rate, n_left=left, hours_left=None if rate is None else left / rate)


def labels_per_hour(times: Sequence[datetime]) -> float | None:
    """The pace over the last :data:`RECENT` labels, breaks shortened; ``None`` where there are too few to tell.

    Args:
        times: when each label was given, ascending.
    """
    recent = times[-RECENT:]
    if len(recent) < 5:
        return None
    working = sum((min(later - earlier, BREAK) for earlier, later in pairwise(recent)), timedelta())
    return None if not working else (len(recent) - 1) / (working.total_seconds() / 3600)


def labels_left(state: State) -> int:
    """Labels that people still have to give until the end, with what the forecast gives to the machine taken off."""
    if state.ended:
        return 0
    left = len(state.unlabelled)
    decision = state.decision
    if isinstance(decision, Acquire | Certify) and decision.plan is not None:
        left -= decision.plan.n_machine
    elif isinstance(decision, MachineLabel):
        left -= sum(row.state == "planned" for row in state.machine_labels)
    return max(left, 0)


def _labelled(state: State) -> Iterable[Item]:
    return (item for item in state.live if item.label is not None and not item.preexisting)
