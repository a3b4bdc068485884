"""What people's work really takes: lead times by kind of queue, the price per label that follows from an hourly rate, hours paid. Pure.

A lead time is Label Studio's: seconds from the moment a task is shown until its label is sent, breaks included. So one that is longer than
:data:`CAP` medians counts as that many: somebody took a break. What is left is summed up by its mean, not its median, since hours are paid
by their sum.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

import numpy as np

from backend.campaign.events import QueueKind
from backend.campaign.state import State
from backend.store import Item
from mcal_engine.types import FloatArray

CAP = 5.0  # medians of its kind that one lead time may count for
ENOUGH = 30  # lead times from which on they are believed more than the price that was set
Kind = Literal[QueueKind, "other"]
KINDS: tuple[Kind, ...] = ("start", "train", "certificate", "peel", "residual", "audit", "other")


class LeadTimes(TypedDict):
    """Lead times of one kind of queue, in seconds, capped. ``low`` and ``high`` are quartiles.

    ``assisted``: people saw the model's suggestion; ``kept`` is the share of suggestions that they left as they were.
    """

    kind: Kind
    assisted: bool
    n: int
    n_capped: int
    mean: float
    median: float
    low: float
    high: float
    kept: float | None


class Labour(TypedDict):
    """The work of all labels that were paid for.

    Attributes:
        n: lead times known, of which ``n_capped`` were cut to :data:`CAP` medians; ``n_assumed`` labels have none and count as the mean.
        seconds_per_label: the capped mean, with its 90 % interval; ``None`` without lead times.
        price_per_hour: the setting; without it the fields below are ``None``.
        price_per_label: what the lead times make of it, with its 90 % interval. It feeds the next decision once ``measured``.
        hours: paid, labels without a lead time included.
    """

    n: int
    n_capped: int
    n_assumed: int
    cap: float
    enough: int
    seconds_per_label: float | None
    seconds_low: float | None
    seconds_high: float | None
    hours: float | None
    measured: bool
    price_per_hour: float | None
    price_per_label: float | None
    price_low: float | None
    price_high: float | None
    human_cost: float | None
    kinds: list[LeadTimes]


@dataclass(frozen=True, slots=True)
class _Group:
    """The lead times of one kind, as they were and capped."""

    kind: Kind
    assisted: bool
    seconds: FloatArray
    kept: float | None

    @property
    def capped(self) -> FloatArray:
        return np.minimum(self.seconds, CAP * float(np.median(self.seconds)))


def labour(state: State) -> Labour:
    """Measure the work of every label that this campaign paid for; those of deleted tasks were paid as well."""
    groups = _groups(state)
    capped = np.concatenate([group.capped for group in groups]) if groups else np.zeros(0)
    n_capped = sum(int((group.capped < group.seconds).sum()) for group in groups)
    n_assumed = state.n_labels_paid - len(capped)
    rate = state.settings.price_per_hour
    mean = float(capped.mean()) if len(capped) else None
    spread = 1.645 * float(capped.std(ddof=1)) / math.sqrt(len(capped)) if len(capped) > 1 else None
    low, high = (None, None) if mean is None or spread is None else (max(mean - spread, 0.0), mean + spread)
    each = mean if mean is not None else None if rate is None else 3600 * state.settings.price_per_label / rate
    hours = None if each is None else (float(capped.sum()) + n_assumed * each) / 3600
    return Labour(
        n=len(capped),
        n_capped=n_capped,
        n_assumed=n_assumed,
        cap=CAP,
        enough=ENOUGH,
        seconds_per_label=mean,
        seconds_low=low,
        seconds_high=high,
        hours=hours,
        measured=rate is not None and len(capped) >= ENOUGH,
        price_per_hour=rate,
        price_per_label=_price(rate, mean),
        price_low=_price(rate, low),
        price_high=_price(rate, high),
        human_cost=None if rate is None or hours is None else rate * hours,
        kinds=[_row(group) for group in groups],
    )


def _price(rate: float | None, seconds: float | None) -> float | None:
    return None if rate is None or seconds is None else rate * seconds / 3600


def _groups(state: State) -> list[_Group]:
    asked = _asked(state)
    seconds: dict[tuple[Kind, bool], list[float]] = defaultdict(list)
    kept: dict[tuple[Kind, bool], list[bool]] = defaultdict(list)
    for item in state.own.values():
        if item.label is None or item.preexisting or item.lead_time is None or not 0 < item.lead_time < math.inf:
            continue
        kind, shown = asked.get(item.task_id, ("other", None))
        key = (kind, shown is not None)
        seconds[key].append(item.lead_time)
        if shown is not None:
            kept[key].append(item.label == shown)
    order = sorted(seconds, key=lambda key: (KINDS.index(key[0]), key[1]))
    return [_Group(*key, np.array(seconds[key]), sum(kept[key]) / len(kept[key]) if kept[key] else None) for key in order]


def _asked(state: State) -> Mapping[int, tuple[Kind, int | None]]:
    """Task → the kind of queue that its label answered, and the class that was suggested with it."""
    found: dict[int, tuple[Kind, int | None]] = {}
    for queue in state.queues:
        for task in queue.ids:
            if task not in found or _since(state.items.get(task), queue.opened_at):
                found[task] = (queue.kind, queue.suggestions.get(task))
    return found


def _since(item: Item | None, opened: datetime | None) -> bool:
    """Whether a label came after a later queue asked for its task again."""
    learned = None if item is None else item.learned_at
    return learned is not None and opened is not None and learned >= opened


def _row(group: _Group) -> LeadTimes:
    capped = group.capped
    low, median, high = np.quantile(capped, [0.25, 0.5, 0.75]).tolist()
    return LeadTimes(
        kind=group.kind,
        assisted=group.assisted,
        n=len(capped),
        n_capped=int((capped < group.seconds).sum()),
        mean=float(capped.mean()),
        median=median,
        low=low,
        high=high,
        kept=group.kept,
    )
