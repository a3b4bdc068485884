"""The forecast after each round as a drawing that needs no script: places in per cent of its width and height, from the upper left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

HEAD = 1.12  # of the largest amount: what stands above it


class RoundsChart(TypedDict):
    """``forecast``, ``now`` and ``band`` are the points of a line or an area, as SVG writes them; the other values are per cent or money.

    Attributes:
        alone: height of the line of what people alone would cost.
        first, last: training labels at the left and at the right end.
    """

    forecast: str
    now: str
    band: str
    alone: float
    first: int
    last: int


def rounds_chart(rounds: Sequence[Mapping[str, Any]], human_only: float | None) -> RoundsChart | None:
    """The drawing of a report's ``rounds``; ``None`` where fewer than two have a forecast."""
    rows = [(row["n_train"], row["plan"]) for row in rounds if row["plan"] is not None]
    if len(rows) < 2 or not human_only:
        return None
    amounts = [plan[name] for _, plan in rows for name in ("total_cost", "total_cost_now", "high") if plan[name] is not None]
    most = max(human_only, *amounts)
    first, last = min(n for n, _ in rows), max(n for n, _ in rows)

    def place(n: int, amount: float) -> tuple[float, float]:
        across = 100 * (n - first) / (last - first) if last > first else 50.0
        return round(across, 2), round(100 * (1 - amount / (HEAD * most)), 2)

    def line(points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in points)

    banded = [(n, plan) for n, plan in rows if plan["low"] is not None]
    upper = [place(n, plan["high"]) for n, plan in banded]
    lower = [place(n, plan["low"]) for n, plan in banded]
    return RoundsChart(
        forecast=line(place(n, plan["total_cost"]) for n, plan in rows),
        now=line(place(n, plan["total_cost_now"]) for n, plan in rows),
        band=line([*upper, *reversed(lower)]),
        alone=place(first, human_only)[1],
        first=first,
        last=last,
    )
