"""The regimes of CIFAR-100 and ImageNet, in worlds whose optimum is known: the engine against brute force, and how long it thinks."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mcal_engine.engine import decide, default_batch_size, default_test_size
from mcal_engine.error_curve import theta_grid
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import HumanLabelAll, MachineLabel, Measurement, Observation
from tests.engine.law_world import Law, best_total, play

ESTIMATE = CampaignSpec(target_error=0.05, price_per_label=0.04, machine_price_per_hour=3.6, guarantee="estimate")

# name: law, and whether machine labels can pay in it at all
WORLDS = {
    "ten classes, 60,000": Law(60_000, 10, alpha=6.0, gamma=0.42, fixed_seconds=60, seconds_per_item=0.05),
    "100 classes, 60,000": Law(60_000, 100, alpha=4.0, gamma=0.20, fixed_seconds=60, seconds_per_item=0.05),
    "100 classes, 60,000, errors everywhere": Law(60_000, 100, alpha=2.2, gamma=0.13, power=0.7, fixed_seconds=60, seconds_per_item=0.1),
    "1,000 classes, 1.2 M": Law(1_200_000, 1000, alpha=5.0, gamma=0.15, fixed_seconds=600, seconds_per_item=0.2),
    "1,000 classes, 1.2 M, cheap training": Law(1_200_000, 1000, alpha=12.0, gamma=0.27, fixed_seconds=60, seconds_per_item=0.002),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_the_total_is_close_to_the_least_that_brute_force_finds(name: str) -> None:
    law = WORLDS[name]
    batch = default_batch_size(law.n_items, law.n_classes)
    least = best_total(law, ESTIMATE, default_test_size(law.n_items), batch)
    ratios = []
    for seed in range(3):
        spec = ESTIMATE.model_copy(update={"seed": seed})
        _, outcome = play(Law(**{**law.__dict__, "seed": seed}), spec)
        ratios.append(outcome.total(spec) / least)
        print(name, seed, type(outcome.decision).__name__, outcome.n_train, outcome.n_paid, round(outcome.training_cost), outcome.n_rounds, round(least), ratios[-1])
    assert np.mean(ratios) <= 1.02


def test_one_decision_at_1_2_million_items_after_50_rounds_takes_at_most_a_second() -> None:
    law, spec = WORLDS["1,000 classes, 1.2 M, cheap training"], ESTIMATE
    generator = np.random.default_rng(0)
    n_test = default_test_size(law.n_items)
    quantiles, luck = generator.random(n_test), generator.random(n_test)
    grid = theta_grid(spec.theta_step)
    history = []
    for number in range(50):
        n_train = 12_000 * (number + 1)
        n_pool = law.n_items - n_test - n_train
        level = np.minimum((quantiles * n_pool / (spec.theta_step * law.n_items)).astype(np.int64), len(grid))
        measurement = Measurement("frozen", level, luck >= law.error_at(quantiles, n_train), 60.0)
        everyone = np.ones(n_test, dtype=np.bool_)
        history.append(
            Observation(number, law.n_items, 1000, n_train, n_pool, 0, 0, n_test + n_train, np.arange(n_test), everyone, (measurement,))
        )
    began = time.process_time()
    decide(spec, history)
    assert time.process_time() - began <= 1.0
