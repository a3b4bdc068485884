"""How often a forecast's 90 % band holds the law, when T itself is drawn anew: measured, with what counting luck allows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mcal_engine.bench.law.world import Law, rows_after
from mcal_engine.curves import error_curve, learning_curve
from mcal_engine.curves.learning_curve import FitFailed
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import FloatArray, Observation

LAW = Law(20_000, 10, alpha=3.0, gamma=0.35, power=2.0)
SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04, theta_step=0.1)
N_TEST, BATCH, N_ROUNDS, N_DRAWS = 600, 300, 8, 120
THETAS = (4, 6)  # indices of the grid: θ = 0.5 and 0.7; the pool ends at 0.79


def forecasts() -> Iterator[tuple[FloatArray, list[Observation]]]:
    """For each T: ε at 1.5 times the last |B|, per replicate and θ, shape (R, n_points)."""
    for seed in range(N_DRAWS):
        history = rows_after(LAW, SPEC, N_TEST, N_ROUNDS, BATCH, seed=seed)
        model = error_curve.model(history, "frozen", SPEC.theta_step, seed)
        assert not isinstance(model, FitFailed)
        n_train = 1.5 * N_ROUNDS * BATCH
        yield model.at(np.array([n_train]), np.array([LAW.n_items - N_TEST - n_train]), LAW.n_items)[1][:, 0], history


def true_error(theta: float, n_train: float) -> float:
    """The law's ε_θ: errors among the θ·|X| surest pool items, as a share of X."""
    n_pool = LAW.n_items - N_TEST - n_train
    quantile = (np.arange(20_000) + 0.5) / 20_000 * theta * LAW.n_items / n_pool * LAW.reach(int(n_pool), N_TEST)
    return float(LAW.error_at(quantile, n_train).mean()) * theta


@pytest.mark.slow
def test_the_bootstrap_band_over_test_items_holds_the_law_about_as_often_as_it_says() -> None:
    """Replicates draw test items, so all rounds and θ move together; a band of independent counts would be far too narrow."""
    held, held_by_independent = np.zeros((N_DRAWS, len(THETAS))), np.zeros((N_DRAWS, len(THETAS)))
    n_train = 1.5 * N_ROUNDS * BATCH
    grid = error_curve.theta_grid(SPEC.theta_step)
    truth = [true_error(float(grid[index]), n_train) for index in THETAS]
    generator = np.random.default_rng(0)
    for draw, (curves, history) in enumerate(forecasts()):
        low, high = np.quantile(curves[1:], [0.05, 0.95], axis=0)
        counts = [error_curve.count(row, row.measurements[0], len(grid)) for row in history]
        sizes, scale = np.array([float(row.n_train) for row in history]), np.array([row.n_items / row.n_pool for row in history])
        for place, index in enumerate(THETAS):
            held[draw, place] = low[index + 1] <= truth[place] <= high[index + 1]  # point 0 is θ = 0
            errors, trials = np.array([one.errors[index] for one in counts]), np.array([one.trials[0] for one in counts])
            again = generator.binomial(trials.astype(int), errors / trials, (60, N_ROUNDS)).astype(float)
            law = learning_curve.fit(sizes, again, trials, scale)
            assert not isinstance(law, FitFailed)
            narrow = np.quantile(law(np.array([n_train]))[:, 0], [0.05, 0.95])
            held_by_independent[draw, place] = narrow[0] <= truth[place] <= narrow[1]
    coverage, independent = held.mean(axis=0), held_by_independent.mean(axis=0)
    print(f"coverage of the 90 % band at θ = 0.5 and 0.7: {coverage}; of independent counts: {independent}")
    allowance = 3 * np.sqrt(0.9 * 0.1 / N_DRAWS)
    assert np.all(coverage >= 0.9 - allowance - 0.03)
    assert np.all(independent < coverage)
