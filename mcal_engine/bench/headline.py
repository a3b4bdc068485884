"""The headline: what a certified campaign saves with everything paid, beside what the paper claims for the same data.

A run is one campaign on all of a data set (or a random part of it); it is named by its key, and a line with that key is not run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mcal_engine.bench.paper.runs import Row, append_row, read_rows
from mcal_engine.bench.paper.table import PAPER, paper_name
from mcal_engine.simulator.campaign import RoundView
from mcal_engine.simulator.data import subset
from mcal_engine.simulator.labelled_images import LabelledData
from mcal_engine.simulator.machines import Machine
from mcal_engine.simulator.session import play
from mcal_engine.spec import SERVICE_PRICES, CampaignSpec

SCHEMA_VERSION = 1
MACHINE_PRICE = 0.20  # USD per hour of the 2-core machine that the figures are made on
PRICES: dict[str | None, tuple[float, ...]] = {"fashion": (SERVICE_PRICES["amazon"], SERVICE_PRICES["satyam"])}
HONEST = {("fashion", 0.04): 0.84, ("cifar10", 0.04): 0.64}  # savings by the paper's own Eq. 1, from the shares in its Table 1


@dataclass(frozen=True, slots=True)
class HeadlineRun:
    """One campaign. ``settings``: what differs from the engine's defaults, as (name, value) pairs."""

    seed: int
    price_per_label: float
    classifiers: tuple[str, ...]
    target_error: float = 0.05
    machine_price_per_hour: float = MACHINE_PRICE
    settings: tuple[tuple[str, Any], ...] = ()

    def spec(self) -> CampaignSpec:
        values = asdict(self)
        return CampaignSpec.parse(dict(values.pop("settings")) | values)


def prices_of(data: LabelledData) -> tuple[float, ...]:
    """The prices per label at which a data set is in the headline."""
    return PRICES.get(paper_name(data.name), (SERVICE_PRICES["amazon"],))


def play_all(
    data: LabelledData,
    items: int | None,
    runs: Sequence[HeadlineRun],
    machines: Callable[[tuple[str, ...]], Sequence[Machine]],
    out: Path,
    say: Callable[[str], None],
) -> list[Row]:
    """Play what is not in ``out`` yet; return the rows of all ``runs``. ``machines`` opens candidates by name when they are needed."""
    done = {row["key"]: row for row in read_rows(out)}
    rows = []
    for run in runs:
        key = key_of(data, items, run)
        if key not in done:
            say(f"{data.name}: {run.price_per_label:g} per label, {', '.join(run.classifiers)}, seed {run.seed}")
            done[key] = _play(data, items, run, machines(run.classifiers), say) | {"key": key}
            append_row(out, done[key])
        rows.append(done[key])
    return rows


def key_of(data: LabelledData, items: int | None, run: HeadlineRun) -> str:
    """Names a run and all it depends on."""
    settings = sorted((name, str(value)) for name, value in run.settings)  # as text, which is how the command line gives them
    parts = (SCHEMA_VERSION, "headline", data.digest, items, asdict(run) | {"settings": settings})
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _play(data: LabelledData, items: int | None, run: HeadlineRun, machines: Sequence[Machine], say: Callable[[str], None]) -> Row:
    def follow(view: RoundView) -> None:
        plan = view.decision.plan
        forecast = "" if plan is None else f", finishing now {plan.total_cost_now:,.2f}, best plan {plan.total_cost:,.2f}"
        seconds = sum(one.training_seconds for one in view.scored)
        say(f"  round {view.observation.round}: |B| {view.observation.n_train:,}, {seconds:,.0f} s{forecast}")

    played = play(data, subset(data, items, 0), run.spec(), machines, [follow])
    return {"data": data.name, "digest": data.digest, "run": asdict(run), "result": played.report, "trajectory": played.trajectory}


def summary(rows: Sequence[Row]) -> list[Row]:
    """One row per data set, price and race, over all seeds; spreads are (mean, lowest, highest)."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        run = row["run"]
        settings = tuple(tuple(pair) for pair in run["settings"])
        key = (row["data"], row["result"]["n_items"], run["price_per_label"], run["target_error"], tuple(run["classifiers"]), settings)
        groups.setdefault(key, []).append(row["result"])
    return [
        {
            "data": data,
            "n_items": n_items,
            "price_per_label": price,
            "target_error": target,
            "classifiers": list(classifiers),
            "settings": dict(settings),
            "n_runs": len(found),
            "n_certified": sum(bool(one["certified"]) for one in found),
            "n_broken": sum(one["true_overall_error"] > one["target_error"] for one in found),
            "savings": _spread([one["savings"] for one in found]),
            "human_share": _spread([one["human_items"] / n_items for one in found]),
            "n_test": _spread([one["n_test"] for one in found]),
            "n_train": _spread([one["n_train"] for one in found]),
            "n_certificate": _spread([one["n_certificate"] for one in found]),
            "n_residual": _spread([one["n_residual"] for one in found]),
            "training_cost": _spread([one["training_cost"] for one in found]),
            "true_overall_error": _spread([one["true_overall_error"] for one in found]),
            "wall_seconds": _spread([one["wall_seconds"] for one in found]),
            "paper_claims": _claimed(data, price, target),
            "paper_by_its_eq_1": HONEST.get((paper_name(data) or "", price)) if target == 0.05 else None,
            "machine": found[0]["versions"]["machine"],
        }
        for (data, n_items, price, target, classifiers, settings), found in groups.items()
    ]


def _claimed(data: str, price: float, target: float) -> float | None:
    service = next((name for name, known in SERVICE_PRICES.items() if known == price), "")
    known = PAPER.get(paper_name(data) or "", {}).get((service, target))
    return None if known is None else known[3]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return (sum(values) / len(values), min(values), max(values))


COLUMNS = (
    "data",
    "n",
    "price",
    "race",
    "seeds",
    "saved",
    "paper claims / by its Eq. 1",
    "people",
    "T / B / V / rest",
    "machine cost",
    "true error",
    "certified",
    "minutes",
)


def cells(row: Row) -> list[str]:
    """A row of :func:`summary` as text, in the order of ``COLUMNS``."""
    settings = "".join(f", {name} {value}" for name, value in row["settings"].items())
    paper = " / ".join("–" if value is None else f"{value:.0%}" for value in (row["paper_claims"], row["paper_by_its_eq_1"]))
    parts = (f"{row[name][0]:,.0f}" for name in ("n_test", "n_train", "n_certificate", "n_residual"))
    return [
        row["data"],
        f"{row['n_items']:,}",
        f"{row['price_per_label']:g}",
        ", ".join(row["classifiers"]) + settings,
        str(row["n_runs"]),
        _range(row["savings"], ".1%"),
        paper,
        _range(row["human_share"], ".1%"),
        " / ".join(parts),
        f"{row['training_cost'][0]:.3f}",
        _range(row["true_overall_error"], ".2%"),
        f"{row['n_certified']} of {row['n_runs']}" + (f", {row['n_broken']} BROKE ε" if row["n_broken"] else ""),
        f"{row['wall_seconds'][0] / 60:.0f}",
    ]


def markdown(rows: Sequence[Row]) -> str:
    """The table of :func:`summary` with what it was made on."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*lines, "", *made_on(rows)]) + "\n"


def made_on(rows: Sequence[Row]) -> list[str]:
    """What the figures stand on, as sentences."""
    machines = sorted({row["machine"] for row in rows})
    return [
        f"Made on {'; '.join(machines)}. Mean over seeds, lowest to highest in brackets; everything is paid: T, B, V, the residual, "
        "training, embedding, scoring and losing candidates."
    ]


def _range(spread: tuple[float, float, float], form: str) -> str:
    mean, low, high = spread
    return f"{mean:{form}}" if low == high else f"{mean:{form}} ({low:{form}} to {high:{form}})"
