"""Fits of Eq. 3 against known laws and against a general-purpose optimiser."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from mcal_engine.curves import learning_curve
from mcal_engine.curves.learning_curve import FitFailed, PowerLaws
from mcal_engine.errors import InvalidValue

SIZES = np.array([100.0, 200, 400, 800, 1600])


def fitted(result: PowerLaws | FitFailed) -> PowerLaws:
    assert isinstance(result, PowerLaws), result
    return result


@pytest.mark.parametrize(("alpha", "gamma", "k"), [(3.0, 0.5, 3000.0), (1.0, 0.2, 900.0), (8.0, 0.9, 50_000.0)])
def test_noiseless_counts_give_back_the_law_they_came_from(alpha: float, gamma: float, k: float) -> None:
    error = alpha * SIZES**-gamma * np.exp(-SIZES / k)
    law = fitted(learning_curve.fit(SIZES, 1e9 * 1.2 * error, np.full(5, 1e9), np.full(5, 1.2)))
    assert law.alpha[0] == pytest.approx(alpha, rel=1e-3)
    assert law.gamma[0] == pytest.approx(gamma, rel=1e-3)
    assert law.k[0] == pytest.approx(k, rel=1e-2)


def test_a_plain_power_law_has_no_decay_and_a_flat_curve_has_neither() -> None:
    plain = fitted(learning_curve.fit(SIZES, 1e8 * 2 * SIZES**-0.4, np.full(5, 1e8), np.ones(5), truncated=False))
    assert plain.gamma[0] == pytest.approx(0.4, rel=1e-3)
    assert np.isinf(plain.k[0])
    rising = fitted(learning_curve.fit(SIZES, 1e6 * np.array([0.1, 0.12, 0.13, 0.15, 0.2]), np.full(5, 1e6), np.ones(5)))
    assert rising.gamma[0] == pytest.approx(0, abs=1e-2)
    assert rising.decay[0] == pytest.approx(0, abs=1e-2)


@pytest.mark.slow
def test_a_batch_of_fits_reaches_the_optimum_that_a_general_optimiser_finds() -> None:
    generator = np.random.default_rng(1)
    trials, scale = np.full(5, 300.0), np.linspace(1.05, 1.5, 5)
    counts = generator.binomial(300, np.minimum(4 * SIZES**-0.6 * scale, 0.9), size=(20, 5)).astype(float)
    law = fitted(learning_curve.fit(SIZES, counts, trials, scale))

    for row in range(len(counts)):
        k = counts[row] + 0.1

        def loss(w: np.ndarray, k: np.ndarray = k) -> float:
            log_p = w[0] - w[1] * np.log(SIZES / law.reference) - w[2] * SIZES / law.reference + np.log(scale)
            if np.any(log_p >= 0):
                return 1e9
            prior = 0.5 * ((w[1] - 0.5) ** 2 + w[2] ** 2) / 0.25
            return float(-(k * log_p + (trials - k) * np.log1p(-np.exp(log_p))).sum() + prior)

        best = min(
            optimize.minimize(loss, [np.log(0.1), g, d], method="L-BFGS-B", bounds=[(None, None), (0, None), (0, None)]).fun
            for g in (0.1, 0.8)
            for d in (0.0, 0.5)
        )
        assert loss(np.array([law.log_alpha[row], law.gamma[row], law.decay[row]])) <= best + 1e-4


def test_zero_errors_are_ordinary_data() -> None:
    law = fitted(learning_curve.fit(SIZES, np.zeros(5), np.full(5, 150.0), np.ones(5)))
    assert 0 < law(np.array([800.0]))[0, 0] < 1 / 150


def test_too_few_sizes_or_no_survivors_are_a_value_that_says_why() -> None:
    few = learning_curve.fit(SIZES[:3], np.ones(3), np.full(3, 50.0), np.ones(3))
    assert isinstance(few, FitFailed)
    assert "4 training sizes, there are 3" in few.reason
    assert isinstance(learning_curve.fit(SIZES, np.zeros(5), np.zeros(5), np.ones(5)), FitFailed)
    with pytest.raises(InvalidValue, match="5 sizes"):
        learning_curve.fit(SIZES, np.ones(4), np.full(4, 50.0), np.ones(5))


def test_predicted_errors_never_rise_with_more_labels() -> None:
    generator = np.random.default_rng(2)
    counts = generator.binomial(80, 0.2, size=(200, 5)).astype(float)
    law = fitted(learning_curve.fit(SIZES, counts, np.full(5, 80.0), np.ones(5)))
    assert np.all(np.diff(law(np.array([100.0, 500, 2500, 12500])), axis=1) <= 1e-12)
