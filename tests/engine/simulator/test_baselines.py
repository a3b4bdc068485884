"""Baselines: what they cost, what they may know, and that they are compared on the same items."""

from __future__ import annotations

import numpy as np
import pytest

from mcal_engine.simulator.baselines import compare, true_active_learning
from mcal_engine.simulator.campaign import simulate
from mcal_engine.simulator.people import Annotators
from mcal_engine.spec import CampaignSpec
from tests.engine.simulator.toy import toy_data, toy_machines

SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04, machine_price_per_hour=3.6)


def test_active_learning_stops_at_the_first_batch_after_which_the_rest_may_be_machine_labelled() -> None:
    data = toy_data(1000, noise=80)
    machine = toy_machines(data)[0]
    row = true_active_learning(data, np.arange(1000), SPEC, machine, 0.05)
    assert row["true_overall_error"] <= 0.05
    assert row["n_train"] % 50 == 0
    assert row["n_train"] + row["n_machine"] == 1000 == row["human_labels"] + row["n_machine"]
    rounds = row["n_train"] // 50
    assert row["training_seconds"] == pytest.approx(rounds * 0.5 + 1.0)
    assert row["total_cost"] == pytest.approx(0.04 * row["n_train"] + row["training_seconds"] / 3600 * 3.6)
    stricter = true_active_learning(data, np.arange(1000), SPEC.model_copy(update={"target_error": 0.01}), machine, 0.05)
    assert stricter["n_train"] > row["n_train"]


def test_on_hopeless_labels_active_learning_trains_until_people_have_labelled_everything() -> None:
    data = toy_data(400)
    shuffled = data.with_labels(np.random.default_rng(0).permutation(data.labels), "shuffled")
    row = true_active_learning(shuffled, np.arange(400), SPEC.model_copy(update={"target_error": 0.01}), toy_machines(data)[0], 0.2)
    assert row["n_machine"] <= 4 / 0.7
    assert row["savings"] < 0.02


@pytest.mark.slow
def test_the_comparison_has_every_strategy_and_the_oracle_takes_the_cheapest_batch() -> None:
    data = toy_data(1000, noise=80)
    ids, machines = np.arange(1000), toy_machines(data)
    campaign = simulate(ids, data.n_classes, Annotators(data.labels), SPEC, machines)
    said: list[str] = []
    rows = compare(data, ids, SPEC, machines, campaign, said.append, deltas=(0.02, 0.1, 0.2))
    assert [row["name"] for row in rows] == [
        "people alone",
        "MCAL, these settings",
        "MCAL, the paper's preset",
        "MCAL, random draws (no active learning)",
        "active learning, δ = 2.0%",
        "active learning, δ = 10.0%",
        "active learning, δ = 20.0%",
        f"active learning, oracle δ = {rows[-1]['delta']:.1%}",
    ]
    assert rows[0]["savings"] == 0
    assert rows[1]["total_cost"] == pytest.approx(campaign.total_cost)
    assert rows[-1]["total_cost"] == min(row["total_cost"] for row in rows[4:7])
    assert len(said) == 5
