"""What other strategies cost on the same items: people alone, plain active learning, the paper's settings, no active learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mcal_engine.certificates.uniform import allowance
from mcal_engine.cost import money
from mcal_engine.simulator.campaign import SimulatedCampaign, simulate
from mcal_engine.simulator.labelled_images import LabelledData
from mcal_engine.simulator.machines import Machine
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.trajectory import true_steps
from mcal_engine.simulator.truth import true_overall_error
from mcal_engine.spec import CampaignSpec, preset_values
from mcal_engine.types import IntArray
from mcal_engine.words import counted

DELTAS = (0.01, 0.017, 0.033, 0.067, 0.10, 0.133, 0.167, 0.20)  # the paper's range, its Table 2 names most of them
Row = dict[str, Any]


def compare(
    data: LabelledData,
    ids: IntArray,
    spec: CampaignSpec,
    machines: Sequence[Machine],
    campaign: SimulatedCampaign,
    say: Callable[[str], None] = lambda _: None,
    deltas: Sequence[float] = DELTAS,
) -> list[Row]:
    """Rows for a table, ``campaign`` among them; every strategy gets the same items, price, ε and classifiers."""
    rows = [people_alone(spec, len(ids)), row_of("MCAL, these settings", campaign, data.labels)]
    paper = preset_values("paper", len(ids))
    kept = {name: paper[name] for name in paper if name not in {"target_error", "price_per_label", "machine_price_per_hour"}}
    for name, changes in (("MCAL, the paper's preset", kept), ("MCAL, random draws (no active learning)", {"acquisition": "random"})):
        say(f"Baseline: {name}")
        other = CampaignSpec.parse(spec.model_dump() | changes)
        rows.append(row_of(name, simulate(ids, data.n_classes, Annotators(data.labels), other, machines, parts=data.parts), data.labels))
    leader = next((machine for machine in machines if machine.name == getattr(campaign.decision, "classifier", None)), machines[0])
    plain = []
    for delta in deltas:
        say(f"Baseline: active learning with δ = {delta:.1%}")
        plain.append(true_active_learning(data, ids, spec, leader, delta))
    best = min(plain, key=lambda row: float(row["total_cost"]))
    return [*rows, *plain, best | {"name": f"active learning, oracle δ = {best['delta']:.1%}"}] if plain else rows


def people_alone(spec: CampaignSpec, n_items: int) -> Row:
    return _row("people alone", spec, n_items, 0, 0, 0.0, n_items, 0.0, "")


def row_of(name: str, campaign: SimulatedCampaign, labels: IntArray) -> Row:
    """A campaign of the engine as a row."""
    return _row(
        name,
        campaign.spec,
        len(campaign.ids),
        len(campaign.train_ids),
        len(campaign.machine_ids),
        campaign.training_seconds,
        campaign.n_labels_paid,
        true_overall_error(labels, campaign),
        f"T {len(campaign.test_ids):,}, V {len(campaign.certificate_ids):,}, {counted(len(campaign.observations), 'round')}",
    )


def true_active_learning(data: LabelledData, ids: IntArray, spec: CampaignSpec, machine: Machine, delta: float) -> Row:
    """Plain active learning with a fixed batch: train until the classifier may label all of the rest, then let it.

    The paper's Table 2 and Figs. 8 to 10 ("until the desired overall labeling error constraint was met"). It stops by the true error, so
    it needs neither T nor V and is never wrong about stopping: a bound on what any such strategy could cost, not something to buy.
    """
    allowed = allowance(spec.target_error, len(ids))
    steps = true_steps(data, ids, spec, machine, delta, lambda step: step["true_pool_errors"] <= allowed)
    last = steps[-1]
    met = last["true_pool_errors"] <= allowed
    n_train = last["n_train"] if met else len(ids)
    return _row(
        f"active learning, δ = {delta:.1%}",
        spec,
        len(ids),
        n_train,
        len(ids) - n_train,
        sum(step["seconds"] for step in steps),
        n_train,
        last["true_pool_errors"] / len(ids) if met else 0.0,
        f"{counted(len(steps), 'round')}, stops by the true error, pays neither T nor V",
    ) | {"delta": delta}


def _row(
    name: str, spec: CampaignSpec, n_items: int, n_train: int, n_machine: int, seconds: float, n_paid: int, error: float, note: str
) -> Row:
    training = float(money(seconds, spec.machine_price_per_hour))
    total = spec.price_per_label * n_paid + training
    return {
        "name": name,
        "total_cost": total,
        "savings": 1 - total / (spec.price_per_label * n_items),
        "n_train": n_train,
        "train_share": n_train / n_items,
        "n_machine": n_machine,
        "machine_share": n_machine / n_items,
        "true_overall_error": error,
        "training_cost": training,
        "training_seconds": seconds,
        "human_labels": n_paid,
        "note": note,
    }
