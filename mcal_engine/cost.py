"""Training cost: what each further round will cost, from what the rounds so far did cost (Eq. 4, with measured parts)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from mcal_engine.types import FloatArray, Observation

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Seconds of one round as ``fixed + per_item·|B|``; Eq. 4 is ``fixed`` = 0 with a constant batch δ."""

    fixed: float
    per_item: float

    def path(self, n_train: int, targets: FloatArray, batch: FloatArray | float) -> FloatArray:
        """Seconds of all rounds on the way from |B| to each target in steps of ``batch``; the last step may be shorter."""
        grow = np.maximum(np.asarray(targets, dtype=np.float64) - n_train, 0.0)
        rounds = np.ceil(grow / batch - 1e-9)
        full = np.maximum(rounds - 1, 0.0)
        sizes = full * n_train + np.asarray(batch) * full * (full + 1) / 2 + np.where(rounds > 0, n_train + grow, 0.0)
        return np.asarray(rounds * self.fixed + self.per_item * sizes)


def training_cost(observations: Sequence[Observation], classifier: str) -> TrainingCost:
    """Non-negative least squares over the measured rounds of one classifier; one-off parts (embedding once) are left out."""
    rows = [(o.n_train, m.training_seconds - m.one_off_seconds) for o in observations for m in o.measurements if m.classifier == classifier]
    sizes, seconds = np.array([r[0] for r in rows], dtype=np.float64), np.array([r[1] for r in rows])
    if len(np.unique(sizes)) < 2:
        return TrainingCost(float(seconds.mean()), 0.0)
    # Scaled columns: |B| may be a million, and the solver's tolerance is absolute.
    (fixed, slope), _ = optimize.nnls(np.stack([np.ones_like(sizes), sizes / sizes.max()], axis=1), np.maximum(seconds, 0.0))
    return TrainingCost(float(fixed), float(slope / sizes.max()))


def money(seconds: FloatArray | float, price_per_hour: float) -> FloatArray:
    """Seconds of the training machine in money."""
    return np.asarray(seconds, dtype=np.float64) * (price_per_hour / SECONDS_PER_HOUR)
