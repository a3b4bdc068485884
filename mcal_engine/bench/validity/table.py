"""The validity benchmark's tables for readers and its summary for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from mcal_engine.bench.validity import rules
from mcal_engine.bench.validity.findings import NAMES, Cell, broken, cell_of, estimates, findings, pooled, readings, standard_error
from mcal_engine.bench.validity.worlds import Row
from mcal_engine.types import FloatArray


def markdown(rows: Sequence[Row]) -> str:
    """The tables, with what they rest on."""
    parts = [validity_table(rows), estimate_table(rows), price_table(rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def validity_table(rows: Sequence[Row]) -> str:
    """One row per cell: how often ε was broken by each rule."""
    shares = broken([row for row in rows if row["task"]["kind"] == "fixed"])
    columns = [rule for rule in (*rules.ESTIMATES, *rules.CERTIFICATES, *rules.CROSS_CHECKS) if rule in shares]
    if not columns:
        return ""
    lines = [_header(["data", "items", "ε", "runs", *(NAMES[rule] for rule in columns)])]
    for cell in shares["survivors"]:
        found = [shares[rule].get(cell) for rule in columns]
        lines.append(_line([*_cell_columns(cell), f"{shares['survivors'][cell].n:,}", *(str(share) if share else "" for share in found)]))
    everything = [pooled(shares[rule]) for rule in columns]
    lines.append(_line(["all", "", "", f"{pooled(shares['survivors']).n:,}", *(str(share) for share in everything)]))
    return "\n".join(lines)


def estimate_table(rows: Sequence[Row]) -> str:
    """Mean true error of the survivors' estimate as a share of ε, where ε binds."""
    found = estimates(rows, "fixed"), estimates(rows, "fixed", "engine_estimate"), estimates(rows, "price")
    cells = [cell for cell in dict.fromkeys([*found[0], *found[2]]) if any(cell in one and one[cell].binds for one in found)]
    if not cells:
        return ""
    titles = ["survivors' mean error / ε, fixed schedule", "the engine's estimate, fixed schedule", "survivors, the engine's schedule"]
    lines = [_header(["data", "items", "ε", *titles])]
    for cell in cells:
        texts = [f"{one[cell].ratio:.3f} ± {one[cell].error:.3f}" if cell in one and one[cell].binds else "" for one in found]
        lines.append(_line([*_cell_columns(cell), *texts]))
    return "\n".join(lines)


def price_table(rows: Sequence[Row]) -> str:
    """Human labels as a share of X, mean ± standard deviation over the seeds, and how often ε was broken."""
    groups: dict[Cell, list[Row]] = {}
    for row, reading in readings(rows, "price"):
        groups.setdefault(cell_of(row, reading), []).append(reading)
    if not groups:
        return ""
    titles = [
        "certified default",
        "paper's preset",
        "oracle",
        "oracle that certifies",
        "certified − preset",
        "default broke ε",
        "preset broke ε",
    ]
    lines = [_header(["data", "items", "ε", "seeds", *titles])]
    for cell, same in groups.items():

        def share(value: Callable[[Row], Any], same: list[Row] = same, n_items: int = cell[1]) -> FloatArray:
            return np.array([float(value(reading)) for reading in same]) / n_items

        certified, preset = (
            share(lambda reading: reading["default"]["human_labels"]),
            share(lambda reading: reading["paper"]["human_labels"]),
        )
        times = [sum(reading[name]["errors"] > reading["allowed"] for reading in same) for name in ("default", "paper")]
        spreads = [
            _spread(certified),
            _spread(preset),
            _spread(share(itemgetter("oracle"))),
            _spread(share(itemgetter("certified_oracle"))),
            f"{(certified - preset).mean():+.1%} ± {standard_error(certified - preset):.1%}",
        ]
        lines.append(_line([*_cell_columns(cell), str(len(same)), *spreads, *(f"{k} of {len(same)}" for k in times)]))
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The summary as JSON values."""
    shares = broken(rows)
    return {
        "green": all(finding.good for finding in findings(rows)),
        "findings": [{"good": finding.good, "sentence": finding.sentence} for finding in findings(rows)],
        "broken": [
            {
                "rule": rule,
                "data": cell[0],
                "n_items": cell[1],
                "target_error": cell[2],
                "k": share.k,
                "n": share.n,
                "interval": share.interval,
            }
            for rule, cells in shares.items()
            for cell, share in cells.items()
        ],
        "estimates": [
            {
                "schedule": kind,
                "data": cell[0],
                "n_items": cell[1],
                "target_error": cell[2],
                "ratio": one.ratio,
                "standard_error": one.error if np.isfinite(one.error) else None,
                "binds": one.binds,
            }
            for kind in ("fixed", "price")
            for cell, one in estimates(rows, kind).items()
        ],
        "seconds_per_campaign": seconds_per_campaign(rows),
        "versions": rows[0]["versions"] if rows else {},
    }


def seconds_per_campaign(rows: Sequence[Row]) -> dict[str, float]:
    """Mean wall time of a campaign, per kind and size."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(f"{row['task']['kind']}, {row['result']['n_items']:,} items", []).append(row["result"]["seconds"])
    return {name: round(float(np.mean(seconds)), 2) for name, seconds in groups.items()}


def _spread(values: FloatArray) -> str:
    return f"{values.mean():.1%} ± {values.std(ddof=1) if len(values) > 1 else 0.0:.1%}"


def _cell_columns(cell: Cell) -> list[str]:
    return [cell[0], f"{cell[1]:,}", f"{cell[2]:.0%}"]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _header(cells: Sequence[str]) -> str:
    return _line(cells) + "\n" + _line(["---"] * len(cells))
