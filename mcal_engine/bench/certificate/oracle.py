"""What somebody who knows every label would pay: without a proof, with one by a uniform V, and the least that any proof takes."""

from __future__ import annotations

import numpy as np

from mcal_engine.simulator.truth import true_certified_machine_set, true_largest_machine_set
from mcal_engine.types import BoolArray

MEDIAN = 0.5  # the chance with which the floor's certificate comes out at least this good


class Oracle:
    """Fewest human labels over all sizes of B that it is shown.

    Attributes:
        plain: with S* known and nothing proven.
        uniform: with the best size of a uniform V, in the mean.
        floor: of any certificate of the promise, however it samples; eq. (6) of ``CERTIFICATE.md``.
    """

    def __init__(self, n_items: int, allowed: int, level: float) -> None:
        self.n_items, self.allowed, self.level = n_items, allowed, level
        self.plain = self.uniform = self.floor = n_items

    def look(self, wrong: BoolArray) -> None:
        """``wrong``: shape (n_pool,). Whether the machine is wrong, in the frozen order, surest first."""
        certified = true_certified_machine_set(wrong, self.allowed, self.level)
        self.plain = min(self.plain, self.n_items - true_largest_machine_set(wrong, self.allowed))
        self.uniform = min(self.uniform, round(self.n_items - certified))
        self.floor = min(self.floor, round(self.n_items - self._provable(wrong)))

    def _provable(self, wrong: BoolArray) -> float:
        """The most machine labels, over the number R of errors among them: k_R·(a/p)^(1/D) with D = E + 1 − R, eq. (6)."""
        if len(wrong) <= self.allowed:
            return float(len(wrong))
        errors = np.flatnonzero(wrong)[: self.allowed + 1]
        ends = np.concatenate([errors, [len(wrong)] * (self.allowed + 1 - len(errors))])  # in front of error R + 1
        left = self.allowed + 1 - np.arange(len(ends))
        return float((ends * (self.level / MEDIAN) ** (1 / left)).max())
