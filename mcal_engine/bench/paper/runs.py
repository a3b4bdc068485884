"""The benchmark: every run that a row of the paper's tables or a point of its figures needs, each kept as one JSON line.

A run is named by its key; a line with that key is not run again, so a benchmark that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mcal_engine import streams
from mcal_engine.curves import error_curve
from mcal_engine.simulator.data import subset
from mcal_engine.simulator.labelled_images import LabelledData
from mcal_engine.simulator.machines import Machine
from mcal_engine.simulator.report import versions
from mcal_engine.simulator.session import Played, play
from mcal_engine.simulator.trajectory import Step, true_steps
from mcal_engine.spec import SERVICE_PRICES, CampaignSpec, preset_values
from mcal_engine.types import IntArray

SCHEMA_VERSION = 2
DELTAS = (0.01, 0.017, 0.033, 0.067, 0.10, 0.133, 0.167, 0.20)
OTHER_ACQUISITIONS = ("entropy", "least_confidence", "k_center", "diverse_margin", "random")
PER_CLASS_SHARES = (1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6)  # the paper: 1,000 … 5,000 of the 6,000 items per class of CIFAR-10
BUDGET_SHARES = (0.15, 0.25, 0.40)  # of what people alone would cost
BINS = 20
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark.

    Attributes:
        kind: ``campaign`` (the engine, to its end) or ``active_learning`` (a fixed batch δ, the truth beside it).
        delta: δ as a share of X, for ``active_learning``.
        class_share: the part of each class that is X; 1 is all of it.
        budget_share: the budget as a share of what people alone would cost; 0 is no budget.
    """

    kind: str
    seed: int
    preset: str = "default"
    service: str = "amazon"
    target_error: float = 0.05
    acquisition: str = "margin"
    delta: float = 0.0
    class_share: float = 1.0
    budget_share: float = 0.0


def paper_runs(seeds: Sequence[int]) -> list[Run]:
    """Everything that Tables 1 to 3 and the figures need, the tables first."""
    runs: list[Run] = []
    for seed in seeds:
        for preset in ("default", "paper"):
            runs += [Run("campaign", seed, preset, service) for service in SERVICE_PRICES]
            runs.append(Run("campaign", seed, preset, target_error=0.10))
        runs += [Run("active_learning", seed, delta=delta) for delta in reversed(DELTAS)]
        runs += [Run("campaign", seed, service=service, acquisition="random") for service in SERVICE_PRICES]
        runs += [Run("campaign", seed, acquisition=name) for name in OTHER_ACQUISITIONS if name != "random"]
        runs += [Run("campaign", seed, class_share=share) for share in PER_CLASS_SHARES]
        runs += [Run("campaign", seed, budget_share=share) for share in BUDGET_SHARES]
    return runs


@dataclass(frozen=True)
class Bench:
    """Runs on one data set with one classifier, written to one file."""

    data: LabelledData
    items: int | None
    machine: Machine
    machine_price_per_hour: float
    out: Path

    def key(self, run: Run) -> str:
        """Names the run and all it depends on."""
        parts = (SCHEMA_VERSION, self.data.digest, self.items, self.machine.name, self.machine_price_per_hour, asdict(run))
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()

    def go(self, runs: Sequence[Run], say: Callable[[str], None]) -> list[Row]:
        """Do what is not in the file yet; return the rows of all ``runs``."""
        done = {row["key"]: row for row in read_rows(self.out)}
        for number, run in enumerate(runs, 1):
            key = self.key(run)
            if key not in done:
                say(f"{number} of {len(runs)}: {describe(run)}")
                done[key] = self._row(run, key)
                append_row(self.out, done[key])
        return [done[self.key(run)] for run in runs]

    def _row(self, run: Run, key: str) -> Row:
        ids = self._items(run)
        values = preset_values(run.preset, len(ids)) | {
            "target_error": run.target_error,
            "price_per_label": SERVICE_PRICES[run.service],
            "machine_price_per_hour": self.machine_price_per_hour,
            "acquisition": run.acquisition,
            "classifiers": (self.machine.name,),
            "seed": run.seed,
        }
        if run.budget_share:
            values["budget"] = run.budget_share * values["price_per_label"] * len(ids)
        spec = CampaignSpec.parse(values)
        result = self._campaign(ids, spec) if run.kind == "campaign" else self._active_learning(ids, spec, run.delta)
        return {
            "key": key,
            "run": asdict(run),
            "data": {"name": self.data.name, "digest": self.data.digest, "notes": list(self.data.notes)},
            "n_items": len(ids),
            "n_classes": self.data.n_classes,
            "classifier": self.machine.name,
            "machine_price_per_hour": self.machine_price_per_hour,
            "versions": versions(),
            "result": result,
        }

    def _items(self, run: Run) -> IntArray:
        ids = subset(self.data, self.items, 0)
        if run.class_share < 1:
            order = streams.generator(0, "paper_order").permutation(ids)
            by_class = [order[self.data.labels[order] == label] for label in range(self.data.n_classes)]
            ids = np.sort(np.concatenate([rows[: max(round(run.class_share * len(rows)), 1)] for rows in by_class]))
        return ids

    def _campaign(self, ids: IntArray, spec: CampaignSpec) -> Row:
        played = play(self.data, ids, spec, [self.machine])
        edges = np.linspace(0, len(played.wrong), min(BINS, max(len(played.wrong), 1)) + 1).astype(int)
        bins = [float(played.wrong[low:high].mean()) for low, high in pairwise(edges) if high > low]
        return played.report | {
            "trajectory": played.trajectory,
            "error_curves": measured_curves(played),
            "true_error_by_margin": bins,
        }

    def _active_learning(self, ids: IntArray, spec: CampaignSpec, delta: float) -> Row:
        def enough(step: Step) -> bool:
            # Past the looser target in any case, and past the stricter one: both tables are read off the same run.
            return bool(step["true_pool_errors"] <= spec.target_error * len(ids))

        return {"steps": true_steps(self.data, ids, spec, self.machine, delta, enough)}


def measured_curves(played: Played) -> list[Row]:
    """Per round, what a learning curve is fitted to: |B|, the survivors, and the errors among them inside each S_θ."""
    spec = played.campaign.spec
    rows = []
    for observation in played.campaign.observations:
        counts = error_curve.count(observation, observation.measurements[0], len(error_curve.theta_grid(spec.theta_step)))
        rows.append(
            {
                "n_train": observation.n_train,
                "n_pool": observation.n_pool,
                "n_survivors": int(counts.trials[0]),
                "errors": [int(error) for error in counts.errors],
            }
        )
    return rows


def append_row(file: Path, row: Row) -> None:
    """Write one line; after a line that a kill cut off, on a line of its own."""
    with file.open("ab+") as stream:
        if stream.seek(0, 2) > 0:
            stream.seek(-1, 2)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def read_rows(file: Path) -> list[Row]:
    """The rows of a result file; the last line of a killed benchmark may be cut off and is left out."""
    return list(_lines(file)) if file.exists() else []


def _lines(file: Path) -> Iterator[Row]:
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "key" in row:
            yield row


def describe(run: Run) -> str:
    """A run in words."""
    what = f"active learning, δ = {run.delta:.1%}" if run.kind == "active_learning" else f"MCAL, {run.preset} settings, {run.acquisition}"
    part = f", {run.class_share:.0%} of each class" if run.class_share < 1 else ""
    part += f", a budget of {run.budget_share:.0%}" if run.budget_share else ""
    return f"{what}, {run.service}, ε = {run.target_error:.0%}{part}, seed {run.seed}"
