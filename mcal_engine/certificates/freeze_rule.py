"""When to stop buying training labels without a test set: when the pool holds about as many errors as a certificate can live with.

The errors of the pool are estimated from items whose predictions were made without their own labels: the random first training items, by
classifiers that did not learn from them, as far as acquisition would have left them in the pool; and the last batches, as they were
predicted before they were trained on. The first are few and stand for the whole pool; the second are many and stand for its unsure
end. One logistic curve of the error on the margin joins them and is summed over the pool.

Nothing that is promised depends on this rule: the certificate holds wherever it stops. It decides about money only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.types import BoolArray, FloatArray

POOL_ERRORS = 1.5  # times E: freeze when the estimate is at most that; chosen on texts that no figure is made of
RECENT_BATCHES = 3  # whose predictions still say something of today's classifier
FOLDS = 10  # of the first training items
_PRIOR = 1e-2  # ridge on both coefficients: keeps a curve without a single error finite


@dataclass(frozen=True, slots=True)
class Foretold:
    """Predictions that were made without the labels they are judged by.

    Attributes:
        surety: shape (n,). Margins of the two best classes' logits.
        wrong: shape (n,). Whether the prediction differs from the label.
    """

    surety: FloatArray
    wrong: BoolArray


def first_size(n_items: int) -> int:
    """Random training items to begin with, 2·√|X|: as many as a small test set would have, and they are trained on."""
    return min(round(2 * math.sqrt(n_items)), n_items)


def batch_size(n_items: int) -> int:
    """Items of each further batch, √|X|, where training is cheap."""
    return max(round(math.sqrt(n_items)), 1)


def pool_errors(foretold: Foretold, pool_surety: FloatArray) -> float:
    """Expected errors among pool items of the given margins.

    P[wrong | margin m] = 1 / (1 + exp(−(α − β·log(1 + m)))), fitted to ``foretold`` by penalised maximum likelihood.
    """
    if len(foretold.surety) != len(foretold.wrong):
        raise InvalidValue(f"surety and wrong must have one length, got {len(foretold.surety)} and {len(foretold.wrong)}")
    if len(foretold.surety) == 0:
        return float(len(pool_surety))  # nothing is known: no label can be trusted
    coefficients = _logistic(_design(foretold.surety), foretold.wrong.astype(np.float64))
    return float(_chance(_design(pool_surety) @ coefficients).sum())


def is_due(expected_errors: float, allowed: int) -> bool:
    """Whether the classifier should be frozen, given the pool's expected errors and E."""
    return expected_errors <= POOL_ERRORS * allowed


def _design(surety: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(surety)), np.log1p(np.maximum(surety, 0.0))])


def _chance(score: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-np.clip(score, -500, 500)))


def _logistic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Newton's method; steps are bounded, since a curve through separable data runs off."""
    coefficients: FloatArray = np.zeros(x.shape[1])
    for _ in range(50):
        chance = _chance(x @ coefficients)
        slope = x.T @ (y - chance) - _PRIOR * coefficients
        curvature = (x * (chance * (1 - chance))[:, None]).T @ x + _PRIOR * np.eye(x.shape[1])
        step = np.clip(np.linalg.solve(curvature, slope), -3, 3)
        coefficients = np.asarray(coefficients + step)
        if float(np.abs(step).max()) < 1e-8:
            break
    return np.asarray(coefficients)
