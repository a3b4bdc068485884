"""The certificate benchmark's tables for readers and its summary for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from mcal_engine.bench.certificate.campaign import LEVEL
from mcal_engine.bench.validity.worlds import Row

RULES = ("bands", "peeling")
COLUMNS = (
    "data",
    "items",
    "ε",
    "seeds × draws",
    "as built",
    "two bands",
    "with peeling",
    "oracle, uniform V",
    "floor",
    "oracle",
    "B / V",
    "pool errors / E at the freeze",
    "trainings of a peel",
    "broken: bands, peeling",
)


def summary(rows: Sequence[Row]) -> list[Row]:
    """One row per data set, size and target; human labels are shares of X, as (mean, standard deviation) over the seeds."""
    groups: dict[tuple[str, int, float], list[tuple[Row, Row]]] = {}
    for row in rows:
        for reading in row["result"]["readings"]:
            groups.setdefault((row["data"], row["result"]["n_items"], reading["target_error"]), []).append((row, reading))
    return [_summed(*key, found) for key, found in groups.items()]


def _summed(data: str, n_items: int, target: float, found: list[tuple[Row, Row]]) -> Row:
    readings = [reading for _, reading in found]
    draws = sum(len(reading["rules"]["bands"]) for reading in readings)
    summed: Row = {"data": data, "n_items": n_items, "target_error": target, "seeds": len(readings), "draws": draws}
    for rule in RULES:
        summed[rule] = _spread([np.mean([labels for labels, _ in reading["rules"][rule]]) / n_items for reading in readings])
        broken = sum(errors > reading["allowed"] for reading in readings for _, errors in reading["rules"][rule])
        summed[f"{rule}_broken"] = [broken, draws, float(stats.binom.sf(broken - 1, draws, LEVEL))]
    for name in ("uniform_oracle", "floor", "oracle", "n_train", "n_certificate"):
        summed[name] = _spread([reading[name] / n_items for reading in readings])
    if all("as_built" in reading for reading in readings):
        summed["as_built"] = _spread([reading["as_built"]["human_labels"] / n_items for reading in readings])
    summed["pool_errors"] = _spread([reading["pool_errors"] / max(reading["allowed"], 1) for reading in readings])
    summed["trainings"] = float(np.mean([reading["trainings"] for reading in readings]))
    return summed


def markdown(rows: Sequence[Row]) -> str:
    """The table of :func:`summary`."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for one in summary(rows):
        cells = [one["data"], f"{one['n_items']:,}", f"{one['target_error']:.0%}", f"{one['seeds']} × {one['draws'] // one['seeds']}"]
        cells += [_share(one.get(name)) for name in ("as_built", "bands", "peeling", "uniform_oracle", "floor", "oracle")]
        cells += [f"{one['n_train'][0]:.1%} / {one['n_certificate'][0]:.1%}", f"{one['pool_errors'][0]:.2f} ± {one['pool_errors'][1]:.2f}"]
        cells += [f"{one['trainings']:.1f}", ", ".join(f"{one[f'{rule}_broken'][0]} of {one[f'{rule}_broken'][1]}" for rule in RULES)]
        lines.append("| " + " | ".join(cells) + " |")
    notes = (
        "Human labels as a share of all items, mean ± standard deviation over the seeds; least squares on the frozen encoder's features."
    )
    return "\n".join([*lines, "", notes]) + "\n"


PAC_RULES = {"bands": "two bands", "uniform": "one band", "pac_labels": "PAC labels"}


def pac_markdown(rows: Sequence[Row]) -> str:
    """Machine labels as a share of all items on the data of the PAC labels paper, their spread, and how often the promise was broken."""
    lines = ["| data | items | V | " + " | ".join(PAC_RULES.values()) + " | oracle | broken |", "|" + "---|" * (5 + len(PAC_RULES))]
    for row in rows:
        sizes = " / ".join(f"{row['n_certificate'][rule]:,}" for rule in PAC_RULES)
        shares = " | ".join(_share([row["machine"][rule], row["spread"][rule]]) for rule in PAC_RULES)
        broken = " / ".join(str(row["broken"][rule]) for rule in PAC_RULES)
        lines.append(f"| {row['data']} | {row['n_items']:,} | {sizes} | {shares} | {row['oracle']:.1%} | {broken} of {row['draws']:,} |")
    return "\n".join(lines) + "\n"


def findings(rows: Sequence[Row]) -> list[str]:
    """Cells in which the promise was broken more often than chance allows, at 1 % per cell."""
    return [
        f"{one['data']}, {one['n_items']:,} items, ε = {one['target_error']:.0%}, {rule}: broken in {one[f'{rule}_broken'][0]} of "
        f"{one[f'{rule}_broken'][1]} draws, p = {one[f'{rule}_broken'][2]:.2g}"
        for one in summary(rows)
        for rule in RULES
        if one[f"{rule}_broken"][2] < 0.01
    ]


def _spread(values: Sequence[Any]) -> list[float]:
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]


def _share(spread: list[float] | None) -> str:
    return "–" if spread is None else f"{spread[0]:.1%} ± {spread[1]:.1%}"
