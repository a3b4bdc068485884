"""What answers of a model from outside save at a price, and that its certificate holds: recorded answers played as whole campaigns.

Who races is chosen: the model alone; ``free``, a least-squares head on the frozen encoder's features of the texts, alone; both; or both and
the model's answers in a learned order. Beside the model as it is there are three that are worse than they say: ``wrong`` is surest where it
errs; ``inverted`` is surest where it was least sure; of ``fickle``, a tenth of the answers are others in every campaign.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from mcal_engine import streams
from mcal_engine.bench.validity.ridge import DIMENSIONS, Float32Array, RidgeClassifier, reduced_features
from mcal_engine.classifiers import make
from mcal_engine.classifiers.base import ProgressCallback
from mcal_engine.classifiers.outside import OutsideClassifier
from mcal_engine.classifiers.texts.text_cache import ListTexts
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.campaign import simulate
from mcal_engine.simulator.labelled_texts import LabelledTexts
from mcal_engine.simulator.machines import Machine
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.truth import true_overall_error
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import FloatArray, IntArray, LabelByMachine

Row = dict[str, Any]
NAME, FREE = "llm:recorded", "frozen"
RACES = {"model": (NAME,), "free": (FREE,), "both": (FREE, NAME), "ordered": (FREE, NAME, f"ordered:{NAME}")}
KINDS = ("as it is", "wrong", "inverted", "fickle")
EXCHANGED = 0.1  # of a fickle model's answers
SURE = 0.001  # chance that a sound certificate turns the benchmark red


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Answers of a model and people's labels, shape (n,) each; ``texts``: what was labelled, where that is recorded."""

    name: str
    truth: IntArray
    labels: IntArray
    confidences: FloatArray
    n_classes: int
    texts: tuple[str, ...] = ()

    def as_kind(self, kind: str, seed: int) -> Recorded:
        """The model as it is, or a worse one; see the module."""
        if kind == "inverted":
            return replace(self, confidences=1 - self.confidences)
        if kind == "wrong":
            right = self.labels == self.truth
            return replace(self, confidences=np.where(right, 0.5 * self.confidences, 0.9 + 0.1 * self.confidences))
        if kind == "fickle":
            draw = streams.generator(seed, "bench_pac", 2)  # other answers in each campaign
            other = draw.integers(0, self.n_classes, len(self.labels))
            return replace(self, labels=np.where(draw.random(len(self.labels)) < EXCHANGED, other, self.labels))
        return self

    def ask(self, rows: IntArray, progress: ProgressCallback | None) -> Recorded:
        """See :data:`mcal_engine.classifiers.outside.Ask`."""
        return replace(self, labels=self.labels[rows], confidences=self.confidences[rows])


def read(file: Path, n: int | None = None) -> Recorded:
    """Recorded answers, in an order that a fixed seed shuffles; the first ``n`` of them.

    Raises:
        InvalidValue: the file has no columns label, predicted and confidence, or too few rows.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        absent = [name for name in ("label", "predicted", "confidence") if name not in (reader.fieldnames or ())]
        if absent:
            raise InvalidValue(f"{file} has no column named {', '.join(absent)}")
        rows = [(row["label"], row["predicted"], float(row["confidence"]), row.get("text") or "") for row in reader]
    if len(rows) < max(n or 0, 100):
        raise InvalidValue(f"{file} must have at least {max(n or 0, 100):,} rows, got {len(rows):,}")
    names = {name: place for place, name in enumerate(sorted({part for label, said, *_ in rows for part in (label, said)}))}
    rows = [rows[place] for place in streams.generator(0, "bench_pac").permutation(len(rows))[:n]]
    truth, said = (np.array([names[row[column]] for row in rows], dtype=np.int64) for column in (0, 1))
    texts = tuple(row[3] for row in rows)
    return Recorded(file.stem, truth, said, np.clip([row[2] for row in rows], 0.0, 1.0), len(names), texts if all(texts) else ())


def features_of(recorded: Recorded, folder: Path) -> Float32Array:
    """What the frozen encoder sees of the texts, computed once and kept in ``folder``.

    Raises:
        InvalidValue: no texts are recorded.
    """
    if not recorded.texts:
        raise InvalidValue(f"{recorded.name} has no column named text, which a free candidate reads")
    digest = LabelledTexts(recorded.name, recorded.texts, recorded.truth, ()).digest
    encoder = make(FREE, ListTexts(recorded.texts), cache_dir=folder / digest, reads="text")
    return reduced_features(encoder, len(recorded.texts), folder / digest / "reduced.npy", DIMENSIONS)


def play(recorded: Recorded, spec: CampaignSpec, price: float, features: Float32Array | None = None) -> dict[str, float]:
    """One campaign: shares of all items, and money as a share of what people alone would cost.

    ``features``: of the items, shape (n, d), where a free candidate races; ``won`` is 1 where the last of the race labels for the machine.
    """
    machines = [Machine(NAME, OutsideClassifier(NAME, recorded.ask, lambda: 0.0), price=price)]
    if features is not None:
        machines.append(Machine(FREE, RidgeClassifier(features)))
    used = [machine for machine in machines if machine.name in spec.classifiers]
    campaign = simulate(np.arange(len(recorded.truth)), recorded.n_classes, Annotators(recorded.truth), spec, used)
    error = true_overall_error(recorded.truth, campaign)
    certified = isinstance(campaign.decision, LabelByMachine) and campaign.decision.certified
    return {
        "human_share": campaign.n_labels_paid / len(recorded.truth),
        "bought_share": sum(row.bought for row in campaign.observations) / campaign.human_only_cost,
        "savings": campaign.savings,
        "true_error": error,
        "broken": float(certified and error > spec.target_error),
        "won": float(isinstance(campaign.decision, LabelByMachine) and campaign.decision.classifier == spec.classifiers[-1]),
    }


def table(
    data: Recorded,
    kinds: Sequence[str],
    prices: Sequence[float],
    seeds: int,
    *,
    races: Sequence[str] = ("model",),
    folder: Path | None = None,
    **settings: Any,
) -> list[Row]:
    """One row per kind of model, price of an answer and race; (mean, standard deviation) over the seeds, and how many campaigns broke ε.

    ``folder``: where the features of a free candidate are kept; needed where one races.
    """
    rows: list[Row] = []
    features = None if folder is None else features_of(data, folder)
    for kind, race in itertools.product(kinds, races):
        for price in prices if race != "free" else (0.0,):
            found = []
            for seed in range(seeds):
                given = {"classifiers": RACES[race], "machine_price_per_hour": 0, "max_looks": 1, "seed": seed, **settings}
                found.append(play(data.as_kind(kind, seed), CampaignSpec.parse(given), price, features))
            columns = {name: np.array([one[name] for one in found]) for name in found[0]}
            spread = {name: (float(all_.mean()), float(all_.std(ddof=min(seeds - 1, 1)))) for name, all_ in columns.items()}
            broken = int(columns["broken"].sum())
            # One-sided: the chance of so many broken promises, were each broken with exactly the probability that is allowed
            chance = float(stats.binom.sf(broken - 1, seeds, 1 - CampaignSpec.parse(given).confidence_level))
            rows.append(
                {
                    "data": data.name,
                    "model": kind,
                    "race": race,
                    "price": price,
                    "seeds": seeds,
                    "broken": broken,
                    "chance": chance,
                    **{name: value for name, value in spread.items() if name != "broken"},
                }
            )
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The rows for readers."""
    lines = [
        "| data | model | race | price of an answer | seeds | human labels | answers | saved | true error | last one won | ε broken |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            f"{100 * row[name][0]:.1f} ± {100 * row[name][1]:.1f} %" for name in ("human_share", "bought_share", "savings", "true_error")
        ]
        named = [str(row["data"]), row["model"], row["race"], f"{row['price']:g}", str(row["seeds"])]
        lines.append(f"| {' | '.join([*named, *cells])} | {row['won'][0]:.0%} | {row['broken']} |")
    return "\n".join(lines)


def findings(rows: Sequence[Row]) -> list[str]:
    """A sentence for each kind of model whose certificate was broken more often than chance allows."""
    return [
        f"{row['data']}, {row['model']}, {row['race']}, {row['price']:g}: ε was broken in {row['broken']} of {row['seeds']} "
        f"(chance {row['chance']:.1e})"
        for row in rows
        if row["chance"] < SURE
    ]
