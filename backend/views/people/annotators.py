"""How fast people label, who they are, and when they will be through. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TypedDict

from backend.campaign.state import State
from backend.store import Duplicate, Item
from backend.views.people.labour import CAP, Labour

RECENT = 200  # labels that the present pace is read from
BREAK = timedelta(minutes=10)  # a longer gap between two labels is a break and counts as this much
DAY = timedelta(hours=24)  # what today's pace is read from: nights, meetings and waiting for the machine are in it
FEWEST = 5  # labels that tell a pace


class Annotator(TypedDict):
    """One person's part: ``today`` counts the labels of the last 24 h, ``labels_per_hour`` is the pace while at work, over the last labels.

    ``labels`` are those that count, ``second_labels`` those that were asked for to be compared with somebody else's; both are work.
    ``name`` is "" where Label Studio does not tell it. Lead times are Label Studio's, in seconds. ``minutes`` is the sum of
    those of ``labels``; one that is longer than ``CAP`` of the person's medians counts as that. Second labels carry no lead time.
    """

    annotator: int
    name: str
    labels: int
    second_labels: int
    today: int
    labels_per_hour: float | None
    median_lead_time: float | None
    minutes: float | None
    last_label_at: str | None


class Pace(TypedDict):
    """What is left for people, and how long it takes.

    Attributes:
        labels_per_hour: of all people together while they are at work, over the last labels; ``hours_left`` at that pace.
        work_hours_left: of one person's work, by lead times.
        people_today, labels_today: who labelled in the last 24 h, and how much.
        finish_at: when the last label is in if every day goes like these 24 h; ``None`` if hardly anybody labelled in them.
    """

    labels_per_hour: float | None
    n_left: int
    hours_left: float | None
    work_hours_left: float | None
    people_today: int
    labels_today: int
    finish_at: str | None


def annotators(state: State) -> list[Annotator]:
    """Everybody who labelled for this campaign, the busiest first; labels from before it do not count."""
    by_person: dict[int, list[Item]] = defaultdict(list)
    for item in _labelled(state):
        if item.annotator is not None:
            by_person[item.annotator].append(item)
    second: dict[int, list[Duplicate]] = defaultdict(list)
    for row in state.second_labels.values():
        second[row.annotator].append(row)
    rows = []
    for person in {**by_person, **second}:
        items = by_person[person]
        lead_times = [item.lead_time for item in items if item.lead_time is not None]
        times = _times(items, second[person])
        rows.append(
            Annotator(
                annotator=person,
                name=state.names.get(person, ""),
                labels=len(items),
                second_labels=len(second[person]),
                today=len(_today(times, state.at)),
                labels_per_hour=labels_per_hour(times),
                median_lead_time=median(lead_times) if lead_times else None,
                minutes=_minutes(lead_times),
                last_label_at=times[-1].isoformat() if times else None,
            )
        )
    return sorted(rows, key=lambda row: (-row["labels"] - row["second_labels"], row["annotator"]))


def _minutes(lead_times: Sequence[float]) -> float | None:
    if not lead_times:
        return None
    longest = CAP * median(lead_times)
    return sum(min(seconds, longest) for seconds in lead_times) / 60


def pace(state: State, work: Labour, left: int) -> Pace:
    """How long people need for the ``left`` labels that they still have to give; ``work`` is what a label takes."""
    given = [(item.annotator, item.labelled_at) for item in _labelled(state)]
    given += [(row.annotator, row.created_at) for row in state.second_labels.values()]
    times = sorted(when for _, when in given if when is not None)
    rate = labels_per_hour(times)
    today = _today(times, state.at)
    seconds = work["seconds_per_label"]
    return Pace(
        labels_per_hour=rate,
        n_left=left,
        hours_left=None if rate is None else left / rate,
        work_hours_left=None if seconds is None else left * seconds / 3600,
        people_today=len({person for person, when in given if when is not None and when > state.at - DAY}),
        labels_today=len(today),
        finish_at=_finish(state, left, times, len(today)),
    )


def _finish(state: State, left: int, times: Sequence[datetime], n_today: int) -> str | None:
    """The end if every day goes like the last 24 h, or like the time since the first label where that is shorter."""
    if not left or n_today < FEWEST:
        return None
    since = max(times[0], state.at - DAY)
    try:
        return (state.at + (state.at - since) * (left / n_today)).isoformat()
    except OverflowError:  # beyond the calendar
        return None


def labels_per_hour(times: Sequence[datetime]) -> float | None:
    """The pace over the last :data:`RECENT` labels, breaks shortened; ``None`` where there are too few to tell.

    Args:
        times: when each label was given, ascending.
    """
    recent = times[-RECENT:]
    if len(recent) < FEWEST:
        return None
    working = sum((min(later - earlier, BREAK) for earlier, later in pairwise(recent)), timedelta())
    return None if not working else (len(recent) - 1) / (working.total_seconds() / 3600)


def _times(items: Iterable[Item], second: Iterable[Duplicate]) -> list[datetime]:
    return sorted([*(item.labelled_at for item in items if item.labelled_at is not None), *(row.created_at for row in second)])


def _today(times: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    return times[bisect_right(times, now - DAY) :]


def _labelled(state: State) -> Iterable[Item]:
    return (item for item in state.live if item.label is not None and not item.preexisting)
