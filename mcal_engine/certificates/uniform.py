"""The certificate: how many machine labels a blind random sample V of the pool allows, exactly.

The pool U is ordered once, surest first, before V is drawn. With the allowance E = ⌊ε·|X|⌋, the machine may label the items of
U∖V above the (c0 + 1)-th error of V, where c0 is the largest c with

    f(c) = P[ Hypergeometric(population |U|, successes E + 1 + c, draws n) ≤ c ] ≤ a.

More than E machine errors need at most c0 of the first E + 1 + c0 errors of U to have fallen into V, which has probability
f(c0) ≤ a, whatever the classifier and the data. So ε of the paper's Eq. 2 holds with probability 1 − a over the draw of V. It is
the fixed-sequence scan of risk-controlling prediction sets (Bates et al. 2021) in closed form.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.types import BoolArray, CertificateOutcome, FloatArray, IntArray


def level_of_look(confidence_level: float, look: int, max_looks: int | None = None) -> float:
    """The share of ``1 − confidence_level`` that look 1, 2, … may spend; over all looks it sums to the whole.

    Each look has four fifths of what is left, the last of ``max_looks`` all of it.

    Args:
        confidence_level: in (0, 1).
        look: 1, 2, …
        max_looks: looks that there may be; ``None``: any number.

    Raises:
        InvalidValue: a look before the first.
    """
    if look < 1:
        raise InvalidValue(f"look must be 1 or more, got {look}")
    left = (1 - confidence_level) * 0.2 ** (look - 1)
    return round(left if look == max_looks else 0.8 * left, 15)


def next_level(confidence_level: float, spent: Sequence[float], max_looks: int) -> float:
    """The level of the look after those that ``spent`` theirs: its share, and no more than what they have left of 1 − confidence_level.

    0 where they have left nothing, as may be after ``confidence_level`` or ``max_looks`` was raised between two looks.
    """
    left = round(1 - confidence_level - sum(spent), 15)
    return max(min(level_of_look(confidence_level, len(spent) + 1, max_looks), left), 0.0)


def allowance(target_error: float, n_labels: int) -> int:
    """E = ⌊ε·n⌋, the machine errors that ε allows among n labels (Eq. 2); rounded first, so that 0.05 × 100 is 5 and not 4."""
    return math.floor(round(target_error * n_labels, 9))


def miss_probability(c: int | IntArray, *, n_pool: int, n_sample: int, allowed: int) -> FloatArray:
    """f(c): the chance that V holds at most ``c`` of the first ``allowed + 1 + c`` errors.

    Args:
        c: errors of V; a number or an array of any shape.
        n_pool, n_sample: |U| and |V|, items.
        allowed: E.

    Returns:
        Probabilities in the shape of ``c``; 0 where the pool cannot hold so many errors.
    """
    from scipy import stats  # here: importing scipy takes seconds, which commands and servers that only show campaigns need not wait for

    count = np.asarray(c, dtype=np.int64)
    errors = allowed + 1 + count
    with np.errstate(all="ignore"):
        chance = stats.hypergeom.cdf(count, n_pool, np.minimum(errors, n_pool), n_sample)
    return np.where(errors > n_pool, 0.0, chance)


def tolerated_errors(*, n_pool: int, n_sample: int, allowed: int, level: float) -> int | None:
    """c0, the largest c with f(c) ≤ ``level``; ``None`` where a sample of this size certifies nothing. f grows with c.

    Args:
        n_pool, n_sample: |U| and |V|, items.
        allowed: E.
        level: a, the chance of a broken promise that may be spent.
    """

    def too_many(c: int) -> bool:
        return bool(miss_probability(c, n_pool=n_pool, n_sample=n_sample, allowed=allowed) > level)

    n_fine = bisect_left(range(n_sample + 1), True, key=too_many)
    return n_fine - 1 if n_fine else None


def sample_share(c: int | IntArray, *, allowed: int, level: float) -> FloatArray:
    """The share q of the pool that V needs so that ``c`` errors are tolerated.

    Each of the first E + 1 + c errors falls into V with chance q; the binomial tail at c equals ``level`` where the regularised
    incomplete beta function I_q(c + 1, E + 1) is 1 − level. The hypergeometric tail is thinner, so q errs on the safe side.

    Args:
        c: errors to tolerate; a number or an array of any shape.
        allowed: E.
        level: the look's share of 1 − confidence_level.

    Returns:
        q in (0, 1), in the shape of ``c``.
    """
    from scipy import special

    count = np.asarray(c, dtype=np.float64)
    return np.asarray(special.betaincinv(count + 1, allowed + 1.0, 1 - level), dtype=np.float64)


def sample_size(c: int, *, n_pool: int, allowed: int, level: float) -> int | None:
    """The smallest n = |V| with f(c) ≤ ``level``, or ``None`` if only the whole pool would do.

    Args:
        c: errors of V to tolerate.
        n_pool: |U|, items.
        allowed: E.
        level: the look's share of 1 − confidence_level.
    """

    def enough(n_sample: int) -> bool:
        return bool(miss_probability(c, n_pool=n_pool, n_sample=n_sample, allowed=allowed) <= level)

    found = 1 + bisect_left(range(1, n_pool), True, key=enough)
    return found if found < n_pool else None


@dataclass(frozen=True, slots=True)
class Certified:
    """What V allows.

    Attributes:
        n_ranked: length of the certified prefix of the frozen order, items of V in it included.
        n_machine: items of U∖V in that prefix: S*.
        tolerated: c0; ``None`` if this sample size can certify nothing.
        errors_in_prefix: errors of V inside the prefix.
        max_errors: machine errors in S* that the certificate excludes going beyond, at the look's level.
    """

    n_ranked: int
    n_machine: int
    tolerated: int | None
    errors_in_prefix: int
    max_errors: int


def certify(outcome: CertificateOutcome, *, allowed: int, level: float) -> Certified:
    """Apply the rule of the module's head to an answered sample.

    Args:
        outcome: V in the frozen order.
        allowed: E.
        level: the look's share of 1 − confidence_level.

    Raises:
        InvalidValue: ranks that do not ascend within the pool, or not one error flag for each.
    """
    n_sample = len(outcome.ranks)
    _check(outcome.ranks, outcome.errors, outcome.n_pool)
    if outcome.n_pool - n_sample <= allowed:
        return Certified(outcome.n_pool, outcome.n_pool - n_sample, n_sample, int(outcome.errors.sum()), outcome.n_pool - n_sample)
    tolerated = tolerated_errors(n_pool=outcome.n_pool, n_sample=n_sample, allowed=allowed, level=level)
    if tolerated is None:
        return Certified(0, 0, None, 0, 0)
    error_ranks = outcome.ranks[outcome.errors]
    if len(error_ranks) <= tolerated:
        bound = _whole_pool_bound(len(error_ranks), outcome.n_pool, n_sample, allowed, level)
        return Certified(outcome.n_pool, outcome.n_pool - n_sample, tolerated, len(error_ranks), bound)
    n_ranked = int(error_ranks[tolerated])
    n_sampled_inside = int(np.searchsorted(outcome.ranks, n_ranked))
    return Certified(n_ranked, n_ranked - n_sampled_inside, tolerated, tolerated, min(allowed, n_ranked - n_sampled_inside))


def most_errors(seen: int, *, n_pool: int, n_sample: int, level: float) -> int:
    """The largest number of errors in a pool that is compatible, at ``level``, with ``seen`` errors in a uniform sample of it.

    The exact upper bound that inverts the hypergeometric test: P[Hyp(n_pool, K, n_sample) ≤ seen] > level for every K up to it and for none
    beyond, so the true number lies above it with probability ``level`` at most. By symmetry ``n_pool − most_errors(n_sample − seen)`` is
    the exact lower bound.

    Args:
        seen: errors in the sample.
        n_pool, n_sample: items of the pool and of the sample.
        level: the chance of being wrong, in (0, 1).

    Raises:
        InvalidValue: more errors than the sample holds, or a sample larger than the pool.
    """
    if not 0 <= seen <= n_sample <= n_pool:
        raise InvalidValue(f"seen ≤ n_sample ≤ n_pool must hold, got {seen}, {n_sample}, {n_pool}")

    def refuted(more: int) -> bool:
        return bool(miss_probability(seen, n_pool=n_pool, n_sample=n_sample, allowed=more) <= level)

    return seen + bisect_left(range(n_pool - n_sample), True, key=refuted)


def audit_size(expected: int, *, n_pool: int, allowed: int, level: float, power: float = 0.8) -> int | None:
    """A sample just large enough to show "at most ``allowed`` errors in the pool" with chance ``power`` if there are ``expected``.

    ``None`` where no sample of up to half the pool does: with so many errors nothing can be shown cheaply. The chance rises with the size
    in a saw-tooth, as the errors tolerated are whole numbers; bisection finds one of the sizes at which it crosses ``power``.

    Args:
        expected: errors that the pool is taken to hold.
        n_pool: items.
        allowed: errors that are to be shown not to be exceeded.
        level: the chance of being wrong, in (0, 1).
        power: the chance of showing it, in (0, 1).
    """
    from scipy import stats

    def shows(n_sample: int) -> bool:
        # "At most E" is shown by c errors or fewer where P[Hyp(n_pool, E + 1, n_sample) ≤ c] ≤ level.
        tolerated = int(stats.hypergeom.ppf(level, n_pool, allowed + 1, n_sample))
        if stats.hypergeom.cdf(tolerated, n_pool, allowed + 1, n_sample) > level:
            tolerated -= 1
        return tolerated >= 0 and bool(stats.hypergeom.cdf(tolerated, n_pool, expected, n_sample) >= power)

    if allowed >= n_pool or expected > allowed:
        return 1 if allowed >= n_pool else None
    most = max(n_pool // 2, 1)
    return 1 + bisect_left(range(1, most), True, key=shows) if shows(most) else None


def _whole_pool_bound(seen: int, n_pool: int, n_sample: int, allowed: int, level: float) -> int:
    """Smallest E' ≤ E for which ``seen`` errors are tolerated.

    When the whole pool is taken, "at most E' errors" is claimed only where V holds few enough errors to exclude more; for any true
    number of errors that is one tail event, nested in the one the scan already pays for, so no further level is spent.
    """

    def enough(fewer: int) -> bool:
        return bool(miss_probability(seen, n_pool=n_pool, n_sample=n_sample, allowed=fewer) <= level)

    return bisect_left(range(allowed), True, key=enough)


def _check(ranks: IntArray, errors: BoolArray, n_pool: int) -> None:
    if len(ranks) != len(errors):
        raise InvalidValue(f"ranks and errors must have one length, got {len(ranks)} and {len(errors)}")
    if len(ranks) and (np.any(np.diff(ranks) <= 0) or ranks[0] < 0 or ranks[-1] >= n_pool):
        raise InvalidValue(f"ranks must ascend within [0, {n_pool}), got {ranks[:5].tolist()} …")
