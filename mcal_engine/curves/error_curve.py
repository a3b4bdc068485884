"""Error curves ε_θ(B): how many errors the θ·|X| surest pool items hold, counted on the test items that stand for the pool.

The surviving test items T_A and the pool U are exchangeable, so k wrong ones of n inside S_θ estimate the pool's share of wrong
items inside S_θ, which is ε_θ·|X| / |U| (ε_θ is a share of X). The numbers of equations are the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine import streams
from mcal_engine.curves import learning_curve
from mcal_engine.curves.learning_curve import FitFailed, PowerLaws
from mcal_engine.types import FloatArray, Measurement, Observation

MAX_REPLICATES, MIN_REPLICATES, WEIGHTS_PER_DECISION = 60, 20, 600_000


def unseen(theta: FloatArray, top: float) -> FloatArray:
    """One error more than was counted, at the unsure end: no count of test items shows that there are none.

    Without it a pool in which T found nothing would be planned as if it were free of errors. Errors get denser towards the unsure end;
    the fourth power is about what classifiers do.

    Args:
        theta: any shape. Shares of X, 0 to ``top``.
        top: |U| / |X|.

    Returns:
        Errors among the test items inside S_θ, in the shape of ``theta``: 0 to 1.
    """
    return np.asarray(np.minimum(theta / top, 1.0) ** 4)


def theta_grid(step: float) -> FloatArray:
    """The machine-labelled shares θ that are tracked: step, 2·step … 1 (Algorithm 1, line 5)."""
    return np.round(np.arange(1, round(1 / step) + 1) * step, 9)


@dataclass(frozen=True, slots=True)
class Counts:
    """Errors of one classifier in one round.

    Attributes:
        errors: shape (..., n_theta + 1). Wrong survivors inside S_θ; the last column is the whole pool.
        trials: shape (..., 1). Survivors.
    """

    errors: FloatArray
    trials: FloatArray


def count(observation: Observation, measurement: Measurement, n_theta: int, weights: FloatArray | None = None) -> Counts:
    """Count errors per θ (Algorithm 1, lines 6 and 15).

    Args:
        observation, measurement: one round, and one of its candidates.
        n_theta: points of the θ grid.
        weights: shape (R, n_test). Makes R bootstrap replicates of the count; ``None``: the count itself.
    """
    wrong = observation.survivors & ~measurement.correct
    if weights is None:
        histogram = np.bincount(measurement.level[wrong], minlength=n_theta + 1).astype(np.float64)
        return Counts(np.cumsum(histogram), np.array([float(observation.survivors.sum())]))
    inside = np.zeros((int(wrong.sum()), n_theta + 1))
    inside[np.arange(len(inside)), measurement.level[wrong]] = 1.0
    trials = weights[:, observation.survivors].sum(axis=1, keepdims=True)
    return Counts(np.cumsum(weights[:, wrong] @ inside, axis=-1), trials)


def measured(observation: Observation, counts: Counts, grid: FloatArray, *, allow_unseen: bool = True) -> tuple[FloatArray, FloatArray]:
    """The error curve of this round as it was measured.

    Args:
        observation: the round.
        counts: its errors per θ, without replicates.
        grid: shape (n_theta,). The θ that they belong to.
        allow_unseen: count one error more, see :func:`unseen`.

    Returns:
        θ, ascending from 0 to |U|/|X|, and ε_θ at each of them; both shares of X, of one shape (n_points,).
    """
    top = observation.n_pool / observation.n_items
    usable = grid < top
    shares = np.concatenate([[0.0], grid[usable], [top]])
    errors = np.concatenate([[0.0], counts.errors[:-1][usable], counts.errors[-1:]])
    if allow_unseen:
        errors = errors + unseen(shares, top)
    return shares, errors * top / np.maximum(counts.trials[0], 1.0)  # ε_θ = (k / n)·|U| / |X|


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Learning curves of one classifier, one per θ and one for the whole pool, for each of R replicates (replicate 0 is the data).

    Attributes:
        grid: shape (n_theta,).
        laws: R·(n_theta + 1) curves, replicate by replicate; the last of each replicate is the error rate of the whole pool.
    """

    grid: FloatArray
    laws: PowerLaws
    n_replicates: int

    def at(self, n_train: FloatArray, n_pool: FloatArray, n_items: int) -> tuple[FloatArray, FloatArray]:
        """Error curves after growing B: θ of shape (n_sizes, n_theta + 2) and ε of shape (R, n_sizes, n_theta + 2).

        A θ beyond |U|/|X| is folded onto the whole pool, and ε is made non-decreasing in θ (§3.1).

        Args:
            n_train: shape (n_sizes,). |B|, items.
            n_pool: shape (n_sizes,). |U| that each size leaves, items.
            n_items: |X|.
        """
        # Eq. 3 for each θ; the last column is the rate of the whole pool
        error = self.laws(n_train).reshape(self.n_replicates, len(self.grid) + 1, len(n_train)).transpose(0, 2, 1)
        top = n_pool / n_items
        theta = np.minimum(self.grid[None, :], top[:, None])
        whole = error[:, :, -1] * top
        beyond = self.grid[None, :] >= top[:, None]
        inner = np.where(beyond[None], whole[:, :, None], np.minimum(error[:, :, :-1], np.maximum(whole, 0)[:, :, None]))
        zero = np.zeros((self.n_replicates, len(n_train), 1))
        curve = np.concatenate([zero, inner, whole[:, :, None]], axis=2)
        shares = np.concatenate([np.zeros((len(n_train), 1)), theta, top[:, None]], axis=1)
        return shares, np.maximum.accumulate(curve, axis=2)


def model(observations: Sequence[Observation], classifier: str, step: float, seed: int) -> ErrorModel | FitFailed:
    """Fit every θ of one classifier over all its rounds, with bootstrap replicates over test items.

    The same test items serve every round and every θ, so a replicate draws a weight per test item once and uses it throughout;
    bands from independent noise would be too narrow.

    Args:
        observations: the rounds so far.
        classifier: whose errors.
        step: of the θ grid, a share of X.
        seed: the campaign's; the bootstrap has a random stream of its own.

    Returns:
        The curves (Eq. 3; Algorithm 1, line 16), or why they cannot be fitted.
    """
    grid = theta_grid(step)
    rounds = [(o, m) for o in observations for m in o.measurements if m.classifier == classifier and o.survivors.any() and o.n_pool > 0]
    if len({o.n_train for o, _ in rounds}) < learning_curve.MIN_SIZES:
        sizes = len({o.n_train for o, _ in rounds})
        return FitFailed(f"a learning curve needs {learning_curve.MIN_SIZES} training sizes, there are {sizes}")
    identifiers = np.unique(np.concatenate([o.test_ids for o, _ in rounds]))
    generator = streams.generator(seed, "bootstrap", len(rounds))
    replicates = int(np.clip(WEIGHTS_PER_DECISION // len(identifiers), MIN_REPLICATES, MAX_REPLICATES))
    weights = np.concatenate([np.ones((1, len(identifiers))), generator.poisson(1.0, (replicates, len(identifiers)))])
    errors, trials = [], []
    for observation, measurement in rounds:
        counts = count(observation, measurement, len(grid), weights[:, np.searchsorted(identifiers, observation.test_ids)])
        errors.append(counts.errors + unseen(np.append(grid, 1.0), observation.n_pool / observation.n_items))
        trials.append(np.maximum(np.broadcast_to(counts.trials, counts.errors.shape), 1.0))
    shape = (len(weights) * (len(grid) + 1), len(rounds))
    scale = np.array([o.n_items / o.n_pool for o, _ in rounds])
    # The last column is a rate of the pool itself: its scale is 1. Dividing by each column's own scale needs two fits.
    stacked, n = np.stack(errors, axis=-1), np.stack(trials, axis=-1)
    sizes_of = np.array([float(o.n_train) for o, _ in rounds])
    inner = learning_curve.fit(sizes_of, stacked[:, :-1].reshape(-1, shape[1]), n[:, :-1].reshape(-1, shape[1]), scale)
    whole = learning_curve.fit(sizes_of, stacked[:, -1], n[:, -1], np.ones(shape[1]))
    if isinstance(inner, FitFailed):
        return inner
    if isinstance(whole, FitFailed):
        return whole
    return ErrorModel(grid, _merge(inner, whole, len(weights), len(grid)), len(weights))


def _merge(inner: PowerLaws, whole: PowerLaws, n_replicates: int, n_theta: int) -> PowerLaws:
    def join(name: str) -> FloatArray:
        left = getattr(inner, name).reshape(n_replicates, n_theta)
        return np.asarray(np.concatenate([left, getattr(whole, name)[:, None]], axis=1).reshape(-1))

    return PowerLaws(join("log_alpha"), join("gamma"), join("decay"), inner.reference)
