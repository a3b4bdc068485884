"""The certificate sample V in two bands: how many items of each are drawn, and how many errors of V may stay in the machine's set.

The frozen order of the pool U, M items, is cut in two: band 1 is the surest half (M1 items), band 2 the rest (M2). V is a uniform draw
without replacement in each: n1 of band 1, n2 of band 2, a larger share of band 2. Let s be V's errors in band 1. Then the machine may label

* with s > c1: band 1 in front of its (c1 + 1)-th error of V;
* with no t[s]: band 1;
* else: band 1, and what is left of band 2 once at most t[s] errors of V are left in it (see :mod:`mcal_engine.certificates.peel`).

c1 and the table t[0] ≥ t[1] ≥ … are fixed before V is drawn, by M1, n1, M2, n2, the allowance E and the level a alone. The proof, in two
sentences: if more than E wrong labels hide in the machine's set, then V would have shown more errors than the table tolerates in all but a
share a of its draws, wherever they hide. The table is filled so that the worst place to hide, which is computed, still keeps to a.
The whole proof is in ``CERTIFICATE.md``; its equation numbers stand beside the lines here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.types import Bands, FloatArray, IntArray
from mcal_engine.words import counted

SURE_SHARE = 0.5  # of the pool: band 1
SURE_DENSITY, UNSURE_DENSITY = 0.75, 1.30  # of q, the sample's share of a band
FACTOR = 1.1  # q = FACTOR / √E
SMALL_ALLOWANCE = 200  # below this E, where whole numbers matter, the factor and the number of bands are chosen by guessed value
FACTORS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 1.8, 2.2)
MORE_FACTORS = (2.2, 2.8, 3.6)  # for a guess without an unsure end
STEEPNESS = 5.0  # guess: errors are e⁵ times as dense at the unsure end as at the sure one; steers savings, never validity
ARITHMETIC = 1e-6  # relative: what the worst case is kept below the level by, far more than floats can err
_POINTS = 512  # numbers of errors at which the table is steered; all of them are checked in the end
_GROUPS = 48  # of numbers of errors in band 1 that share one entry of a long table
_STEPS = 400  # of the sample, at least, by which a long table is filled at first; finer ones follow
_BLOCK = 64  # terms of a recurrence before it starts anew from logarithms


def plan(
    n_pool: int,
    *,
    allowed: int,
    level: float,
    expected: FloatArray | None = None,
    n_bands: int | None = None,
    n_sample: int | None = None,
) -> Bands | None:
    """The sample for a pool of ``n_pool`` items and its table; ``None`` where no sample certifies anything.

    Args:
        n_pool: M.
        allowed: E.
        level: a.
        expected: shape (n_pool,). The chance of an error that is guessed for each item, in the frozen order, before V is drawn: the factor
            and the number of bands are then those of the largest :func:`guessed_value`. ``None``: q = 1.1/√E, but for E below 200, where
            whole numbers matter, they are chosen in the same way, by the guess that e⁵ describes. Validity rests on no guess.
        n_bands: 1 or 2, where only one of them is wanted: one band where nobody has checked that sure items are right.
        n_sample: items of V, where somebody has said how many; the number of bands is then all that is chosen.
    """
    if n_pool < 0 or allowed < 0 or not 0 < level < 1:
        raise InvalidValue(f"n_pool and allowed must be 0 or more and level in (0, 1), got {n_pool}, {allowed} and {level}")
    if expected is not None and len(expected) != n_pool:
        raise InvalidValue(f"expected must have one chance for each of the {counted(n_pool, 'item')}, got {len(expected)}")
    if n_pool <= allowed:
        return table(n_pool, 0, 0, 0, allowed=allowed, level=level)
    if n_bands not in {None, 1, 2}:
        raise InvalidValue(f"n_bands must be 1 or 2, got {n_bands}")
    if allowed >= SMALL_ALLOWANCE and expected is None and n_bands != 1 and n_sample is None:
        found = table(n_pool, *sizes(n_pool, allowed, FACTOR), allowed=allowed, level=level)
        if found is not None:
            return found
    factors = FACTORS if expected is None else FACTORS[::2] + MORE_FACTORS
    guess = None if expected is None else np.concatenate([[0.0], np.cumsum(expected)])
    if n_sample is None:
        candidates = [sizes(n_pool, allowed, factor, two) for factor in factors for two in (True, False)] if allowed else []
    else:
        candidates = [_split(n_pool, min(n_sample, n_pool)), (0, 0, min(n_sample, n_pool))]
    if n_bands is not None:
        candidates = [each for each in candidates if (each[0] > 0) == (n_bands == 2)]
    if n_bands != 2 and n_sample is None:
        candidates += [(0, 0, n) for n in _just_enough(n_pool, allowed, level)]
    tables = [table(n_pool, *each, allowed=allowed, level=level, guess=guess) for each in dict.fromkeys(candidates)]
    return max((each for each in tables if each is not None), key=lambda each: guessed_value(each, guess), default=None)


@lru_cache(maxsize=64)
def plan_by_size(n_pool: int, allowed: int, level: float, n_sample: int | None) -> Bands | None:
    """:func:`plan` where nothing is expected: kept, since a campaign asks for the same one at each replay."""
    return plan(n_pool, allowed=allowed, level=level, n_sample=n_sample)


def _split(n_pool: int, n_sample: int) -> tuple[int, int, int]:
    """M1, n1 and n2 for a sample of so many items, its densities in the two bands as :func:`sizes` has them."""
    n_sure = math.floor(SURE_SHARE * n_pool + 0.5)
    wanted = math.floor(n_sample * SURE_DENSITY / (SURE_DENSITY + UNSURE_DENSITY) + 0.5)
    sure = min(max(wanted, n_sample - (n_pool - n_sure)), n_sure)
    return n_sure, sure, n_sample - sure


def sizes(n_pool: int, allowed: int, factor: float, two: bool = True) -> tuple[int, int, int]:
    """M1, n1 and n2 for q = factor/√E."""
    q = min(factor / math.sqrt(allowed), 1.0)
    if not two:
        return 0, 0, math.floor(q * n_pool + 0.5)
    n_sure = math.floor(SURE_SHARE * n_pool + 0.5)
    shares = (min(SURE_DENSITY * q, 1.0) * n_sure, min(UNSURE_DENSITY * q, 1.0) * (n_pool - n_sure))
    return n_sure, math.floor(shares[0] + 0.5), math.floor(shares[1] + 0.5)


def table(
    n_pool: int,
    n_sure: int,
    sample_sure: int,
    sample_unsure: int,
    *,
    allowed: int,
    level: float,
    guess: FloatArray | None = None,
) -> Bands | None:
    """The table for given sizes, filled as far as the level allows; ``None`` where band 1 tolerates not even 0 errors.

    ``guess``: shape (n_pool + 1,). Errors guessed in front of each rank, which steer the filling; ``None``: as :class:`_Guess` says.
    """
    n_unsure = n_pool - n_sure
    if not (0 <= sample_sure <= n_sure and 0 <= sample_unsure <= n_unsure):
        raise InvalidValue(f"a sample of {sample_sure} of {n_sure} and {sample_unsure} of {counted(n_unsure, 'item')} cannot be drawn")
    limit = level * (1 - ARITHMETIC)
    sure_tolerated = _sure_tolerated(n_sure, sample_sure, allowed, limit)  # (4)
    if sure_tolerated is None:
        return None

    def made(tolerated: tuple[int, ...]) -> Bands:
        return Bands(n_pool, n_sure, sample_sure, sample_unsure, allowed, level, sure_tolerated, tolerated, 0.0)

    steered = limit
    for _ in range(20):
        filled = _Filling(made(()), steered, guess).fill()
        worst = worst_case(made(filled))
        if worst <= limit:
            return None if n_sure == 0 and not filled else replace(made(filled), worst_case=worst)
        steered *= limit / worst * (1 - 1e-4)  # the worst number of errors lay between those that steered
    raise AssertionError("a table that is steered lower each time does not stay above the level")


def worst_case(bands: Bands) -> float:
    """Max W(k) over every number k of errors in band 1, eq. (5): the chance of more than E wrong machine labels, at its largest."""
    return float(chance_by_errors(bands).max())


def chance_by_errors(bands: Bands) -> FloatArray:
    """W(k) for k = 0, 1 … min(M1, E + c1 + 1), eq. (5); for larger k it is what it is at the last."""
    allowed, c1 = bands.allowed, bands.sure_tolerated
    k = np.arange(min(bands.n_sure, allowed + c1 + 1) + 1)
    chance = np.zeros(len(k))
    reach = _Reaching(bands, np.arange(1, allowed + 2))
    log_factorial = _log_factorials(max(bands.n_sure, 1))
    for s in range(min(c1, bands.sample_sure), -1, -1):  # from many to few errors, so that t[s] only grows
        of_s = _hypergeometric(s, bands.n_sure, k, bands.sample_sure, log_factorial)  # P[s | k]
        sure_alone = k - s > allowed
        if s < len(bands.tolerated):
            needed = np.maximum(allowed + 1 - k + s, 1)  # undrawn errors of band 2 that break the promise
            share = np.where(needed <= allowed + 1, reach.at_most(bands.tolerated[s])[np.minimum(needed, allowed + 1) - 1], 0.0)
            chance += of_s * np.where(sure_alone, 1.0, share)
        else:
            chance += of_s * sure_alone
    return chance


def guessed_value(bands: Bands, guess: FloatArray | None = None) -> float:
    """Expected items of the machine, if errors lie as guessed: for choices made before V. ``guess``: as for :func:`table`."""
    made = _Guess(bands, guess)
    sure = made.in_sure(bands.sure_tolerated)
    weights = made.weights(len(bands.tolerated))
    gained = made.unsure_items(np.array(bands.tolerated, dtype=np.int64)) if bands.tolerated else np.zeros(0)
    return sure + float(weights @ gained)


class _Guess:
    """Where errors are guessed to lie: as told, or E in all with a density that grows as e^(5x) from the sure end x = 0 to x = 1."""

    def __init__(self, bands: Bands, told: FloatArray | None) -> None:
        def in_front(rank: FloatArray) -> FloatArray:
            if told is not None:
                return np.asarray(np.interp(rank, np.arange(len(told)), told))
            return np.asarray(bands.allowed * np.expm1(STEEPNESS * rank / max(bands.n_pool, 1)) / math.expm1(STEEPNESS))

        self._bands = bands
        x = (np.arange(256) + 0.5) / 256
        sure_share = bands.sample_sure / max(bands.n_sure, 1)
        unsure_share = bands.sample_unsure / max(bands.n_unsure, 1)
        self._all_sure = sure_share * float(in_front(np.array(float(bands.n_sure))))
        self._sure_errors = sure_share * in_front(bands.n_sure * x)
        self._unsure_errors = unsure_share * (in_front(bands.n_sure + bands.n_unsure * x) - in_front(np.array(float(bands.n_sure))))

    def weights(self, n: int) -> FloatArray:
        """P[s] for s < n."""
        from scipy import stats

        return np.asarray(stats.poisson.pmf(np.arange(n), self._all_sure), dtype=np.float64)

    def in_sure(self, tolerated: int) -> float:
        """Undrawn items of band 1 in front of error number ``tolerated`` + 1 of V."""
        from scipy import special

        left = self._bands.n_sure - self._bands.sample_sure
        return left * float(special.pdtr(tolerated, self._sure_errors).mean())

    def unsure_items(self, tolerated: IntArray) -> FloatArray:
        """Undrawn items of band 2 in front of error number t + 1 of V in it, for each t."""
        from scipy import special

        left = self._bands.n_unsure - self._bands.sample_unsure
        return np.asarray(left * special.pdtr(np.asarray(tolerated)[:, None], self._unsure_errors[None]).mean(axis=1))


class _Filling:
    """Fill the table greedily: raise the entry with the most guessed gain per largest relative use of what is left of the level."""

    def __init__(self, bands: Bands, limit: float, guess: FloatArray | None) -> None:
        self._limit, self._most = limit, bands.sample_unsure
        allowed, c1 = bands.allowed, min(bands.sure_tolerated, bands.sample_sure)
        last = min(bands.n_sure, allowed + bands.sure_tolerated + 1)
        self._k = np.unique(np.round(np.linspace(0, last, min(last + 1, _POINTS))).astype(np.int64))
        self._u = np.unique(np.round(np.linspace(1, allowed + 1, min(allowed + 1, _POINTS))).astype(np.int64))
        self._groups = np.array_split(np.arange(c1 + 1), min(c1 + 1, _GROUPS))
        s = np.arange(c1 + 1)[:, None]
        self._needed = allowed + 1 - self._k + s
        self._of_s = _hypergeometric(s, bands.n_sure, self._k[None], bands.sample_sure, None) * (self._needed >= 1)
        alone = _hypergeometric(s, bands.n_sure, self._k[None], bands.sample_sure, None) * (self._needed < 1)
        self._spent = alone.sum(axis=0)
        self._reach = _Reaching(bands, self._u)
        self._shares: list[FloatArray] = []
        self._guess = _Guess(bands, guess)
        self._weights = self._guess.weights(c1 + 1)
        self._items: FloatArray = self._guess.unsure_items(np.arange(min(self._most, 8) + 1))

    def fill(self) -> tuple[int, ...]:
        """t[0], t[1] … as long as there are any."""
        n = len(self._groups)
        filled, step = [-1] * n, 1
        while step * _STEPS < self._most:
            step *= 2
        used: list[FloatArray] = [np.zeros(len(self._k)) for _ in range(n)]
        while step:
            ahead = [self._use(group, filled[group] + step) for group in range(n)]
            while (best := self._best(filled, step, used, ahead)) is not None:
                self._spent = self._spent + ahead[best] - used[best]
                used[best], filled[best] = ahead[best], filled[best] + step
                ahead[best] = self._use(best, filled[best] + step)
            step //= 2
        wide = [t for t, group in zip(filled, self._groups, strict=True) for _ in group]
        return tuple(t for t in wide if t >= 0)

    def _best(self, filled: list[int], step: int, used: list[FloatArray], ahead: list[FloatArray]) -> int | None:
        slack = np.maximum(self._limit - self._spent, 1e-300)
        best, chosen = 0.0, None
        for group in range(len(filled)):
            to = filled[group] + step
            if to > (filled[group - 1] if group else self._most):
                continue
            use = float(((ahead[group] - used[group]) / slack).max())
            if use > 1:
                continue
            # An entry that is guessed to bring next to nothing still comes before none at all.
            gain = (self._gain(group, filled[group], to) + 1e-12) / max(use, 1e-12)
            if gain > best:
                best, chosen = gain, group
        return chosen

    def _gain(self, group: int, now: int, to: int) -> float:
        while len(self._items) <= to:
            more = np.arange(len(self._items), min(2 * len(self._items), self._most + 1))
            self._items = np.concatenate([self._items, self._guess.unsure_items(more)])
        before = self._items[now] if now >= 0 else 0.0
        return float(self._weights[self._groups[group]].sum() * (self._items[to] - before))

    def _use(self, group: int, to: int) -> FloatArray:
        """Σ over the group's s of P[s | k]·P[before(E + 1 − k + s; M2, n2) ≤ t], at the steering k."""
        if to > self._most:
            return np.full(len(self._k), np.inf)
        while len(self._shares) <= to:
            self._shares.append(self._reach.at_most(len(self._shares)).copy())
        rows = self._groups[group]
        share = np.interp(self._needed[rows], self._u, self._shares[to], right=0.0)
        return np.asarray((self._of_s[rows] * share).sum(axis=0))


class _Reaching:
    """P[before(u; M2, n2) ≤ t] for a fixed array of u and t = 0, 1, 2 … in turn, eqs. (2) and (3).

    before(u) counts the drawn errors in front of the u-th undrawn one:  P[= j] = C(u−1+j, j)·C(M−u−j, n−j) / C(M, n).
    """

    def __init__(self, bands: Bands, u: IntArray) -> None:
        self._u, self._m, self._n = np.asarray(u, dtype=np.int64), bands.n_unsure, bands.sample_unsure
        self._there = self._u <= self._m - self._n  # else there is no u-th undrawn item
        self._sum: FloatArray = np.zeros(len(self._u))
        self._term: FloatArray = np.zeros(len(self._u))
        self._next = 0

    def at_most(self, t: int) -> FloatArray:
        """The cumulated chance; ``t`` may not fall from call to call."""
        while self._next <= min(t, self._n):
            j = self._next
            if j % _BLOCK == 0:
                self._term = self._from_logarithms(j)
            else:  # P[= j] from P[= j − 1]
                ratio = (self._u + j - 1) * (self._n - j + 1) / (j * np.maximum(self._m - self._u - j + 1, 1))
                self._term = self._term * ratio
            self._sum = self._sum + self._term
            self._next += 1
        return self._sum

    def _from_logarithms(self, j: int) -> FloatArray:
        from scipy.special import gammaln

        u, m, n = self._u, self._m, self._n
        rest = np.maximum(m - u - j, 0)
        ways = gammaln(u + j) - gammaln(j + 1) - gammaln(u)  # C(u−1+j, j)
        ways = ways + gammaln(rest + 1) - gammaln(n - j + 1) - gammaln(np.maximum(rest - (n - j), 0) + 1)  # C(M−u−j, n−j)
        ways = ways - (gammaln(m + 1) - gammaln(n + 1) - gammaln(m - n + 1))
        return np.where(self._there, np.exp(ways), 0.0)


def _sure_tolerated(n_sure: int, sample: int, allowed: int, limit: float) -> int | None:
    """c1, eq. (4): the largest c with P[before(E + 1; M1, n1) ≤ c] ≤ a; 0 where band 1 is too small to break the promise alone."""
    if n_sure - sample <= allowed:
        return sample
    reach = _Reaching(Bands(n_sure, 0, 0, sample, allowed, limit, 0, (), 0.0), np.array([allowed + 1]))
    found = None
    for c in range(sample + 1):
        if float(reach.at_most(c)[0]) > limit:
            break
        found = c
    return found


def _just_enough(n_pool: int, allowed: int, level: float) -> list[int]:
    """Sizes of one uniform sample that tolerate 0, 1, 2 … errors, for allowances so small that a share of the pool is no measure."""
    from mcal_engine.certificates import uniform

    found = (uniform.sample_size(c, n_pool=n_pool, allowed=allowed, level=level * (1 - 2 * ARITHMETIC)) for c in range(4))
    return [n for n in found if n is not None]


def _log_factorials(n: int) -> FloatArray:
    from scipy.special import gammaln

    return np.asarray(gammaln(np.arange(n + 2, dtype=np.float64) + 1))


def _hypergeometric(s: int | IntArray, m: int, k: IntArray, n: int, log_factorial: FloatArray | None) -> FloatArray:
    """P[Hyp(population m, successes k, draws n) = s], eq. (1)."""
    from scipy.special import gammaln

    def lf(x: IntArray | int) -> FloatArray:
        values = np.maximum(x, 0)
        return np.asarray(gammaln(values + 1.0) if log_factorial is None else log_factorial[values])

    possible = (s <= k) & (s <= n) & (n - s <= m - k)
    ways = lf(k) - lf(np.asarray(s)) - lf(k - s) + lf(m - k) - lf(n - np.asarray(s)) - lf(m - k - n + s)
    ways = ways - (lf(np.asarray(m)) - lf(np.asarray(n)) - lf(np.asarray(m - n)))
    return np.where(possible, np.exp(np.where(possible, ways, 0.0)), 0.0)
