"""How many machine labels a random sample of them lets be wrong: the arithmetic of audits and of checks by eye. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcal_engine.certificates import uniform

Verdict = Literal["holds", "not_shown", "broken"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Wrong labels among all that the sample was drawn from: at most and at least. Each is wrong with probability ``level`` at most."""

    max_errors: int
    min_errors: int
    verdict: Verdict


def bounds(most: int, fewest: int, *, n_pool: int, n_sample: int, level: float, allowed: int) -> Bounds:
    """The exact hypergeometric bounds, and whether they keep to what is allowed.

    Args:
        most, fewest: errors in the sample: at most and at least, which differ where items have no answer.
        n_pool: machine labels that the sample was drawn from; ``n_sample`` of them are in it.
        level: 1 − confidence, for each bound.
        allowed: errors that the target allows.
    """
    upper = uniform.most_errors(most, n_pool=n_pool, n_sample=n_sample, level=level)
    lower = n_pool - uniform.most_errors(n_sample - fewest, n_pool=n_pool, n_sample=n_sample, level=level)
    return Bounds(upper, lower, "holds" if upper <= allowed else "broken" if lower > allowed else "not_shown")
