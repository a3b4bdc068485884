"""Learning curves: the truncated power law ε(B) = α·B^−γ·e^(−B/k) of Eq. 3, fitted to error counts.

A count of k errors among n test items is Binomial(n, p) with p = scale·ε(B). With a logarithmic link the negative log-likelihood
is convex in (log α, γ, 1/k), so every fit has one optimum; γ ≥ 0 and 1/k ≥ 0 are kept by trying the four active sets. Many curves
(every θ, every bootstrap replicate) are fitted in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.types import BoolArray, FloatArray, IntArray

MIN_SIZES = 4
_NEWTON_STEPS, _HALVINGS = 40, 30
_PRIOR_GAMMA, _PRIOR_SD = 0.5, 0.5


@dataclass(frozen=True, slots=True)
class FitFailed:
    """A fit that cannot be had, and why: a value, never a number that looks like one."""

    reason: str


@dataclass(frozen=True, slots=True)
class PowerLaws:
    """A batch of fitted curves.

    Attributes:
        log_alpha, gamma, decay: shape (n_curves,). log α at the reference size, γ, and reference/k.
        reference: size of B that the parameters are scaled by.
    """

    log_alpha: FloatArray
    gamma: FloatArray
    decay: FloatArray
    reference: float

    def __call__(self, sizes: FloatArray) -> FloatArray:
        """ε at each training size (Eq. 3).

        Args:
            sizes: shape (n_sizes,). |B|, items, above 0.

        Returns:
            Shares of X of shape (n_curves, n_sizes), at most 1.
        """
        relative = np.asarray(sizes, dtype=np.float64)[None, :] / self.reference
        # Eq. 3 in logarithms: log ε = log α − γ·log(B/r) − (r/k)·(B/r), with r the reference size
        log_error = self.log_alpha[:, None] - self.gamma[:, None] * np.log(relative) - self.decay[:, None] * relative
        return np.asarray(np.exp(np.minimum(log_error, 0.0)))

    @property
    def alpha(self) -> FloatArray:
        """α of Eq. 3, in units where B is a count."""
        return np.asarray(np.exp(self.log_alpha + self.gamma * np.log(self.reference)))

    @property
    def k(self) -> FloatArray:
        """The k of Eq. 3; infinite where the curve is a plain power law."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.reference / self.decay)


def fit(
    sizes: FloatArray, errors: FloatArray, trials: FloatArray, scale: FloatArray, *, truncated: bool = True, prior: bool = True
) -> PowerLaws | FitFailed:
    """Fit one curve per row of ``errors``.

    Args:
        sizes: shape (m,). |B| of each round.
        errors: shape (n_curves, m). Test items that are wrong and inside S_θ; bootstrap weights may make them fractional.
        trials: shape (m,) or (n_curves, m). Test items that stand for the pool.
        scale: shape (m,). |X| / |U|: ε is a share of X, the test items stand for U.
        truncated: fit k as well; otherwise the plain power law.
        prior: add γ ~ N(½, ½²) and reference/k ~ N(0, ½²). Four noisy points alone would often fit a curve that falls much too fast; beside
            real counts the prior has no weight.

    Returns:
        The curves, or why there are none: fewer than ``MIN_SIZES`` sizes, no survivors, or a likelihood that is not finite.

    Raises:
        InvalidValue: arrays of different lengths.
    """
    sizes, scale = np.asarray(sizes, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    errors = np.atleast_2d(np.asarray(errors, dtype=np.float64))
    trials = np.broadcast_to(np.asarray(trials, dtype=np.float64), errors.shape)
    if errors.shape[1] != len(sizes) or len(scale) != len(sizes):
        raise InvalidValue(f"{len(sizes)} sizes need as many counts and scales, got {errors.shape[1]} and {len(scale)}")
    if len(np.unique(sizes)) < MIN_SIZES:
        return FitFailed(f"a learning curve needs {MIN_SIZES} training sizes, there are {len(np.unique(sizes))}")
    if np.any(trials <= 0):
        return FitFailed("no test item is left that stands for the pool")
    # Half an error per history keeps log ε finite where none was ever seen; it moves a curve with real errors by next to nothing.
    counts = np.minimum(errors + 0.5 / len(sizes), trials - 0.25)
    reference = float(np.exp(np.mean(np.log(sizes))))
    # Eq. 3 is linear in (log α, γ, reference/k): log ε = design @ weights
    design = np.stack([np.ones_like(sizes), -np.log(sizes / reference), -sizes / reference], axis=1)
    best = np.full(len(counts), np.inf)
    weights = np.zeros((len(counts), 3))
    for use_gamma, use_decay in product((True, False), (True, False) if truncated else (False,)):
        active = np.array([True, use_gamma, use_decay])
        candidate, loss = _newton(design, counts, trials, np.log(scale), active, prior)
        feasible = (candidate[:, 1] >= 0) & (candidate[:, 2] >= 0) & np.isfinite(loss) & (loss < best - 1e-12)
        weights[feasible], best[feasible] = candidate[feasible], loss[feasible]
    if not np.all(np.isfinite(best)):
        return FitFailed(f"{int(np.sum(~np.isfinite(best)))} of {len(best)} curves have no finite likelihood")
    return PowerLaws(weights[:, 0], weights[:, 1], weights[:, 2], reference)


def _newton(
    design: FloatArray, counts: FloatArray, trials: FloatArray, log_scale: FloatArray, active: BoolArray, prior: bool
) -> tuple[FloatArray, FloatArray]:
    """Damped Newton on the convex negative log-likelihood, all curves at once; returns weights (n, 3) and losses (n,).

    The loss of one curve is −Σ k·log p + (n − k)·log(1 − p) with p = scale·ε (Eq. 3), plus the prior's quadratic.
    """
    columns = design[:, active]
    n_active = columns.shape[1]
    outer = (columns[:, :, None] * columns[:, None, :]).reshape(len(columns), -1)
    centre = np.array([0.0, _PRIOR_GAMMA, 0.0])[active]
    precision = np.diag(np.array([0.0, 1.0, 1.0])[active] / _PRIOR_SD**2) * (1.0 if prior else 1e-9)
    weights = np.zeros((len(counts), n_active))
    weights[:, 0] = np.minimum(np.log(counts.sum(1) / trials.sum(1)), np.log(0.9)) - np.max(log_scale)

    def loss(at: FloatArray, rows: IntArray) -> FloatArray:
        log_p = at @ columns.T + log_scale
        inside = log_p < -1e-9
        safe = np.where(inside, log_p, -1.0)
        value = -(counts[rows] * safe + right[rows] * np.log(-np.expm1(safe))).sum(1)
        pull = at - centre
        return np.where(inside.all(1), value + 0.5 * np.einsum("ni,ij,nj->n", pull, precision, pull), np.inf)

    right = trials - counts
    moving = np.arange(len(weights))  # curves that the last step still improved
    current = loss(weights, moving)
    for _ in range(_NEWTON_STEPS):
        at = weights[moving]
        p = np.exp(at @ columns.T + log_scale)
        slope = -counts[moving] + right[moving] * p / (1 - p)
        curvature = right[moving] * p / (1 - p) ** 2
        gradient = slope @ columns + (at - centre) @ precision
        hessian = (curvature @ outer).reshape(-1, n_active, n_active) + precision + 1e-9 * np.eye(n_active)
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        before, length = current[moving], 1.0
        short = np.arange(len(moving))  # curves for which the step is still too long
        for _halving in range(_HALVINGS):
            trial = at[short] - length * step[short]
            value = loss(trial, moving[short])
            better = value < before[short]
            weights[moving[short[better]]], current[moving[short[better]]] = trial[better], value[better]
            short = short[~(value <= before[short])]
            if len(short) == 0:
                break
            length *= 0.5
        with np.errstate(invalid="ignore"):  # a curve that starts at an infinite loss and stays there has gained nothing
            gain = before - current[moving]
        moving = moving[gain >= 1e-10 * (1 + np.abs(current[moving]))]
        if len(moving) == 0:
            break
    full = np.zeros((len(counts), 3))
    full[:, active] = weights
    return full, current
