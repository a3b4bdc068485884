"""Two bands beside PAC labels (Candès et al. 2025) on the data of its own paper: answers of a model with its stated confidence.

There is no training set: the pool is everything, and nothing is peeled. The sizes are fixed before a label is seen, by what the stated
confidences let expect; PAC labels get a uniform V of the size of our one band.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mcal_engine import streams
from mcal_engine.bench.validity import rules
from mcal_engine.bench.validity.worlds import Row
from mcal_engine.certificates import bands, peel
from mcal_engine.certificates.peel import Sample
from mcal_engine.certificates.uniform import allowance
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.truth import true_largest_machine_set
from mcal_engine.types import BoolArray, CertificateOutcome, FloatArray, IntArray

TARGET = LEVEL = 0.05
COLUMNS = ("label", "predicted", "confidence")


def read_answers(file: Path) -> tuple[BoolArray, FloatArray]:
    """Whether the model is wrong, and its confidence, surest first; equal confidences in an order that a fixed seed shuffles.

    Raises:
        InvalidValue: the file has no such columns, or no rows.
    """
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if absent:
            raise InvalidValue(f"{file} has no column named {', '.join(absent)}; its first line must name {', '.join(COLUMNS)}")
        rows = [(row["label"] != row["predicted"], float(row["confidence"])) for row in reader]
    if not rows:
        raise InvalidValue(f"{file} has no rows")
    wrong, confidence = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    shuffled = streams.generator(0, "bench_pac").permutation(len(rows))
    order = shuffled[np.argsort(-confidence[shuffled], kind="stable")]
    return wrong[order], confidence[order]


def true_comparison(name: str, wrong: BoolArray, confidence: FloatArray, draws: int) -> Row:
    """Machine labels as a share of all items, mean and standard deviation, and broken promises, of each rule over ``draws`` draws of V."""
    n_items, allowed = len(wrong), allowance(TARGET, len(wrong))
    plans = {}
    for rule, n_bands in (("bands", 2), ("uniform", 1)):
        plan = bands.plan(n_items, allowed=allowed, level=LEVEL, expected=1 - np.clip(confidence, 0, 1), n_bands=n_bands)
        if plan is None:
            raise InvalidValue(f"{name}: no certificate at {TARGET:.0%} is possible for {n_items:,} items")
        plans[rule] = plan
    found: dict[str, list[tuple[int, int]]] = {"bands": [], "uniform": [], "pac_labels": []}
    generator = streams.generator(1, "bench_pac")

    def note(rule: str, n_ranked: int, ranks: IntArray) -> None:
        machine = np.ones(n_ranked, dtype=np.bool_)
        machine[ranks[ranks < n_ranked]] = False
        found[rule].append((int(machine.sum()), int(wrong[:n_ranked][machine].sum())))

    for _ in range(draws):
        for rule, plan in plans.items():
            ranks = peel.draw(plan, int(generator.integers(2**63)))
            note(rule, peel.static_cut(plan, Sample(ranks, wrong[ranks])), ranks)
        outcome = CertificateOutcome(1, n_items, ranks, wrong[ranks], 0)  # the uniform V
        note("pac_labels", rules.cross_checks(outcome, allowed, LEVEL)["pac_labels"], ranks)
    return {
        "data": name,
        "n_items": n_items,
        "allowed": allowed,
        "n_certificate": {rule: plan.n_sample for rule, plan in plans.items()} | {"pac_labels": plans["uniform"].n_sample},
        "draws": draws,
        "oracle": true_largest_machine_set(wrong, allowed) / n_items,
        "machine": {rule: float(np.mean([one[0] for one in each])) / n_items for rule, each in found.items()},
        "spread": {rule: float(np.std([one[0] for one in each], ddof=1)) / n_items if draws > 1 else 0.0 for rule, each in found.items()},
        "broken": {rule: sum(errors > allowed for _, errors in each) for rule, each in found.items()},
    }
