"""Training cost: what each further round will cost, from what the rounds so far did cost (Eq. 4, with measured parts)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mcal_engine.types import FloatArray, Observation

SECONDS_PER_HOUR = 3600.0


class CostModel(Protocol):
    """What training will cost: the measured :class:`TrainingCost`, or a user's own law."""

    def path(self, n_train: int, targets: FloatArray, batch: FloatArray | float) -> FloatArray:
        """Seconds of all trainings on the way from ``n_train`` to each of ``targets`` in steps of ``batch``; shape of ``targets``.

        Args:
            n_train: |B| now, items.
            targets: shape (n_targets,). |B| at the end of each way, items; one that is not above ``n_train`` costs 0.
            batch: δ, items above 0; one for all ways or one for each. The last step may be shorter.
        """


CostLaw = Callable[[Sequence[Observation], str], CostModel]
"""Makes a cost model out of the rounds so far and a classifier's name; must be a pure function of them."""


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Seconds of one round as ``fixed + per_item·|B|^power``.

    With ``power`` 1, ``fixed`` 0 and a constant batch δ the whole path is Eq. 4; ``power`` 2 is for epochs that grow with |B|, where
    the path is cubic in |B|.
    """

    fixed: float
    per_item: float
    power: int = 1

    def path(self, n_train: int, targets: FloatArray, batch: FloatArray | float) -> FloatArray:
        """See :class:`CostModel`; the sums over rounds are in closed form.

        With N = ⌈(target − |B|)/δ⌉ rounds the sizes trained on are |B| + δ, |B| + 2δ … and at last the target. For |B| = 0 and
        fixed = 0 their sum is ½·target·(target/δ + 1): Eq. 4.
        """
        grow = np.maximum(np.asarray(targets, dtype=np.float64) - n_train, 0.0)
        step = np.asarray(batch, dtype=np.float64)
        rounds = np.ceil(grow / step - 1e-9)
        full = np.maximum(rounds - 1, 0.0)
        first, second = full * (full + 1) / 2, full * (full + 1) * (2 * full + 1) / 6  # Σ j and Σ j², j = 1 … N − 1
        last = np.where(rounds > 0, n_train + grow, 0.0)
        if self.power == 1:
            sizes = full * n_train + step * first + last  # Σ (|B| + jδ), then the target: Eq. 4
        else:
            # Σ (|B| + jδ)², then the target's square: epochs that grow with |B|
            sizes = full * float(n_train) ** 2 + 2 * n_train * step * first + step**2 * second + last**2
        return np.asarray(rounds * self.fixed + self.per_item * sizes)


def training_cost(observations: Sequence[Observation], classifier: str, power: int = 1) -> TrainingCost:
    """Non-negative least squares over the measured rounds of one classifier; one-off parts (embedding once) are left out.

    So are rounds on the same B as the one before: their net was there already.

    Args:
        observations: the rounds so far, at least one with this classifier (Algorithm 1, lines 4 and 13).
        classifier: whose seconds.
        power: 1, or 2 for epochs that grow with |B|.
    """
    from scipy import optimize  # here, so that a command line that only reads does not wait for it

    measured = [
        (o.n_train, m.training_seconds - m.one_off_seconds) for o in observations for m in o.measurements if m.classifier == classifier
    ]
    rows = [row for place, row in enumerate(measured) if place == 0 or row[0] != measured[place - 1][0]]
    sizes, seconds = np.array([r[0] for r in rows], dtype=np.float64), np.array([r[1] for r in rows])
    if len(np.unique(sizes)) < 2:
        return TrainingCost(float(seconds.mean()), 0.0, power)
    # Scaled columns: |B| may be a million, and the solver's tolerance is absolute.
    scaled = (sizes / sizes.max()) ** power
    (fixed, slope), _ = optimize.nnls(np.stack([np.ones_like(sizes), scaled], axis=1), np.maximum(seconds, 0.0))
    return TrainingCost(float(fixed), float(slope / sizes.max() ** power), power)


def money(seconds: FloatArray | float, price_per_hour: float) -> FloatArray:
    """Seconds of the training machine in money, in the shape of ``seconds``; ``price_per_hour`` is in the campaign's currency."""
    return np.asarray(seconds, dtype=np.float64) * (price_per_hour / SECONDS_PER_HOUR)
