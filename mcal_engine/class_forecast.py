"""What a bound per predicted class will leave of the machine's set, forecast from the test items.

The more items of V the set holds, the more can be shown of each class, so the more is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcal_engine.curves import error_curve
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import BoolArray, FloatArray, Measurement, Observation

PRIOR = 4.0  # test items with the average error that each class is taken to have besides its own: few items show little
QUANTILES = np.array([1, 3, 5]) / 6  # of what a class's error may be
PARTS = (0.8, 0.9, 1.0)  # of the set: where classes may be cut
SAMPLED: FloatArray = np.geomspace(10, 1e6, 50).astype(np.float64)  # of V's items in the set
FACTORS: FloatArray = np.geomspace(1 / 16, 4, 7).astype(np.float64)  # on today's errors in the set


@dataclass(frozen=True, slots=True)
class Kept:
    """The share of the machine's set that is left to it.

    Attributes:
        error: of today's set, a share of it.
        share: shape (n_factors, n_sampled). For sets with ``FACTORS`` times this error, of which V holds ``SAMPLED`` items.
    """

    error: float
    share: FloatArray

    def at(self, sampled: FloatArray, error: FloatArray) -> FloatArray:
        """The share that is left of sets, by linear interpolation between the logarithms of ``FACTORS`` and ``SAMPLED``.

        Args:
            sampled: any shape. V's items in the set; 0 is left where they are fewer than the least that was tried.
            error: the same shape. The share of the set that is wrong.
        """
        nothing = sampled < SAMPLED[0]
        row = _place(np.log(np.maximum(error, 1e-12) / self.error), np.log(FACTORS))
        column = _place(np.log(np.maximum(sampled, 1e-12)), np.log(SAMPLED))
        above, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
        below, right = np.minimum(above + 1, len(FACTORS) - 1), np.minimum(left + 1, len(SAMPLED) - 1)
        upper = self.share[above, left] * (1 - column + left) + self.share[above, right] * (column - left)
        lower = self.share[below, left] * (1 - column + left) + self.share[below, right] * (column - left)
        return np.where(nothing, 0.0, upper * (1 - row + above) + lower * (row - above))


def _place(value: FloatArray, grid: FloatArray) -> FloatArray:
    """Where values stand on an evenly spaced grid, in steps, within it."""
    return np.asarray(np.clip((value - grid[0]) / (grid[1] - grid[0]), 0, len(grid) - 1))


def kept_by_classes(
    spec: CampaignSpec, observation: Observation, measurement: Measurement, curve: tuple[FloatArray, FloatArray], level: float
) -> Kept | None:
    """What the bound will leave of sets with the classes of today's, to which ε leads on the measured ``curve``.

    A class with the share w of the set has about w·z of V's z items there. It passes if as many errors among these as its test items
    foretell would be too few for a share 1 − p (Clopper and Pearson, at its part of the level); see ``certificates.per_class``.
    That is asked of the whole set and of smaller ones, as classes may be cut. Where sets to come have fewer errors, each class has.

    Args:
        spec: for p (``min_class_precision``) and ε.
        observation, measurement: the last round, and the candidate.
        curve: θ and ε_θ, shapes (n_points,), of the pool that was measured.
        level: what all classes together may spend.

    Returns:
        ``None`` where there is no bound or nothing is known of classes.
    """
    p = spec.min_class_precision
    if p is None or not len(measurement.predicted):
        return None
    shares, errors = curve
    reached = max(int(np.flatnonzero(errors <= spec.target_error)[-1]), len(shares) // 4)
    theta = np.append(error_curve.theta_grid(spec.theta_step), shares[-1])[measurement.level]  # where each test item joins the set
    kept = [
        part * _passing(measurement, observation.survivors & (theta <= part * shares[reached] + 1e-9), p, level, part * SAMPLED)
        for part in PARTS
    ]
    error = float(errors[reached] / max(shares[reached], 1e-9))
    return Kept(max(error, 1e-6), np.max(kept, axis=0))


def _passing(measurement: Measurement, inside: BoolArray, p: float, level: float, sampled: FloatArray) -> FloatArray:
    """The share of the set of these test items whose classes pass, of shape (n_factors, n_sampled)."""
    from scipy import special  # here, so that a command line that only reads does not wait for it

    items = np.bincount(measurement.predicted[inside])
    wrong = np.bincount(measurement.predicted[inside & ~measurement.correct], minlength=len(items))
    # Classes with the same counts are forecast once: there may be a thousand of them, and few test items of each.
    (n, errors), times = np.unique(np.stack([items, wrong])[:, items > 0], axis=1, return_counts=True)
    if not len(n):
        return np.zeros((len(FACTORS), len(sampled)))
    share = n / items.sum()
    of_class = sampled[:, None] * share
    # As many classes share the level as could pass without an error, the largest first; without one the tail is p to the power of n.
    at_least = np.cumsum(times[::-1])[::-1]  # classes that are no smaller; counts ascend
    n_sharing = np.minimum(at_least, np.floor(level * np.exp(np.minimum(-np.log(p) * of_class, 50.0)))).max(axis=1)
    each = level / np.maximum(n_sharing, 1)
    counted = errors + PRIOR * wrong.sum() / items.sum()
    error = special.gammaincinv(counted + 0.5, QUANTILES[:, None]) / (n + PRIOR)
    made = np.zeros((len(FACTORS), len(sampled)))
    for row, factor in enumerate(FACTORS):
        expected = np.minimum(factor * error, 1.0)[None] * of_class[:, None]
        tail = special.betainc(np.maximum(of_class[:, None] - expected, 1e-9), expected + 1.0, p)
        passing = (tail <= each[:, None, None]) & (n_sharing > 0)[:, None, None]
        made[row] = passing.mean(axis=1) @ (share * times)
    return made
