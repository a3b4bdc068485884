"""The table of two bands against exact fractions and against every sample with every pattern of errors."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcal_engine.certificates import bands, uniform
from mcal_engine.certificates.peel import Sample, static_cut
from mcal_engine.errors import InvalidValue
from mcal_engine.types import Bands

LEVELS = (Fraction(1, 20), Fraction(1, 5), Fraction(2, 5))


def hypergeometric(s: int, m: int, k: int, n: int) -> Fraction:
    if not (0 <= s <= k and 0 <= n - s <= m - k):
        return Fraction(0)
    return Fraction(comb(k, s) * comb(m - k, n - s), comb(m, n))


def before(u: int, m: int, n: int, t: int) -> Fraction:
    """P[at most t drawn ones in front of the u-th undrawn one]: at most t of the first u + t are drawn; none where there is no such one."""
    if u > m - n:
        return Fraction(0)
    return sum((hypergeometric(j, m, min(u + t, m), n) for j in range(t + 1)), Fraction(0))


def exact_chance(plan: Bands, k: int) -> Fraction:
    """W(k) in whole numbers, written from its definition."""
    total = Fraction(0)
    for s in range(plan.sure_tolerated + 1):
        of_s = hypergeometric(s, plan.n_sure, k, plan.sample_sure)
        if k - s > plan.allowed:
            total += of_s
        elif s < len(plan.tolerated):
            total += of_s * before(plan.allowed + 1 - k + s, plan.n_unsure, plan.sample_unsure, plan.tolerated[s])
    return total


DESIGNS = [
    (40, 20, 6, 10, 4, 0.2),
    (100, 50, 14, 26, 8, 0.05),
    (120, 60, 20, 35, 12, 0.1),
    (300, 150, 30, 55, 20, 0.05),
    (90, 0, 0, 40, 5, 0.05),
    (31, 11, 4, 9, 3, 0.3),
]


@pytest.mark.parametrize(("n_pool", "n_sure", "n1", "n2", "allowed", "level"), DESIGNS)
def test_the_chance_by_errors_equals_exact_fractions_and_its_largest_keeps_to_the_level(
    n_pool: int, n_sure: int, n1: int, n2: int, allowed: int, level: float
) -> None:
    plan = bands.table(n_pool, n_sure, n1, n2, allowed=allowed, level=level)
    assert plan is not None
    found = bands.chance_by_errors(plan)
    for k, chance in enumerate(found):
        assert chance == pytest.approx(float(exact_chance(plan, k)), rel=1e-9, abs=1e-15)
    worst = max(exact_chance(plan, k) for k in range(len(found)))
    assert plan.worst_case == pytest.approx(float(worst), rel=1e-9)
    assert worst <= Fraction(level)
    assert list(plan.tolerated) == sorted(plan.tolerated, reverse=True)


@pytest.mark.parametrize(("n_pool", "n_sure", "n1", "n2", "allowed", "level"), DESIGNS)
def test_no_entry_of_a_table_can_be_raised_within_the_level(n_pool: int, n_sure: int, n1: int, n2: int, allowed: int, level: float) -> None:
    plan = bands.table(n_pool, n_sure, n1, n2, allowed=allowed, level=level)
    assert plan is not None
    for s in range(min(len(plan.tolerated) + 1, plan.sure_tolerated + 1)):
        raised = [*plan.tolerated, *[-1][: s + 1 - len(plan.tolerated)]]
        raised[s] += 1
        if raised[s] > plan.sample_unsure or (s and raised[s] > raised[s - 1]):
            continue
        other = Bands(n_pool, n_sure, n1, n2, allowed, level, plan.sure_tolerated, tuple(raised), 0.0)
        assert max(exact_chance(other, k) for k in range(allowed + plan.sure_tolerated + 2) if k <= n_sure) > Fraction(level) * (
            1 - Fraction(1, 10**6)
        )


def monotone_tables(c1: int, n2: int) -> list[tuple[int, ...]]:
    """Every table of up to two rows, and the empty one."""
    rows: list[tuple[int, ...]] = [()]
    rows += [(t,) for t in range(n2 + 1)]
    if c1:
        rows += [(t, u) for t in range(n2 + 1) for u in range(t + 1)]
    return rows


@pytest.mark.slow
@pytest.mark.parametrize(("m1", "n1", "m2", "n2"), [(4, 2, 4, 2), (3, 1, 5, 3), (5, 2, 3, 1), (0, 0, 7, 3)])
def test_over_every_sample_and_every_pattern_of_errors_no_table_is_broken_more_often_than_was_computed(
    m1: int, n1: int, m2: int, n2: int
) -> None:
    """And the bound is met: some pattern of errors breaks each table exactly as often as the worst case says."""
    samples = [(*sure, *(m1 + place for place in unsure)) for sure in combinations(range(m1), n1) for unsure in combinations(range(m2), n2)]
    patterns = np.array(list(product([False, True], repeat=m1 + m2)), dtype=np.bool_)
    for allowed, c1 in product((0, 1, 2), range(n1 + 1)):
        if before(allowed + 1, m1, n1, c1) > Fraction(1, 2):
            continue
        for tolerated in monotone_tables(c1, n2):
            plan = Bands(m1 + m2, m1, n1, n2, allowed, 0.5, c1, tolerated, 0.0)
            computed = max(exact_chance(plan, k) for k in range(m1 + 1))
            computed = max(computed, before(allowed + 1, m1, n1, c1) if m1 else Fraction(0))
            assert Fraction(int(_broken(plan, patterns, samples).max()), len(samples)) == computed
            assert bands.worst_case(plan) == pytest.approx(float(computed), rel=1e-9, abs=1e-15)


def _broken(plan: Bands, patterns: np.ndarray, samples: list[tuple[int, ...]]) -> np.ndarray:
    """For each pattern of errors: the number of samples after which more than E machine labels are wrong."""
    broken = np.zeros(len(patterns), dtype=np.int64)
    for sample in samples:
        ranks, inside = np.array(sample, dtype=np.int64), np.ones(plan.n_pool, dtype=np.bool_)
        inside[ranks] = False
        seen = patterns[:, ranks]
        cut_of = {errors: static_cut(plan, Sample(ranks, np.array(errors))) for errors in product([False, True], repeat=len(ranks))}
        cuts = np.array([cut_of[tuple(row)] for row in seen.tolist()])
        broken += (patterns & inside & (np.arange(plan.n_pool) < cuts[:, None])).sum(axis=1) > plan.allowed
    return broken


@pytest.mark.parametrize("level", LEVELS)
def test_a_planned_table_keeps_to_its_level_whatever_the_pool(level: Fraction) -> None:
    for n_pool, allowed in [(9, 0), (9, 2), (30, 1), (60, 3), (150, 8), (400, 20), (700, 41)]:
        plan = bands.plan(n_pool, allowed=allowed, level=float(level))
        if plan is None:
            assert all(before(allowed + 1, n_pool, n, 0) > level for n in range(n_pool - allowed))
            continue
        last = min(plan.n_sure, allowed + plan.sure_tolerated + 1)
        assert max(exact_chance(plan, k) for k in range(last + 1)) <= level


def test_one_band_is_the_rule_of_a_uniform_sample() -> None:
    for n_pool, n_sample, allowed in [(60, 20, 3), (100, 30, 5), (400, 90, 20), (3000, 200, 150)]:
        plan = bands.table(n_pool, 0, 0, n_sample, allowed=allowed, level=0.04)
        tolerated = uniform.tolerated_errors(n_pool=n_pool, n_sample=n_sample, allowed=allowed, level=0.04)
        assert (None if plan is None else plan.tolerated[0]) == tolerated


def test_a_pool_no_larger_than_the_allowance_is_the_machine_s_without_a_sample() -> None:
    plan = bands.plan(12, allowed=12, level=0.05)
    assert plan is not None
    assert (plan.n_sample, plan.worst_case) == (0, 0.0)
    assert static_cut(plan, Sample(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_))) == 12


def test_where_no_error_is_allowed_the_sample_is_nearly_all_of_the_pool_or_there_is_none() -> None:
    plan = bands.plan(100, allowed=0, level=0.05)
    assert plan is not None
    assert (plan.sample_unsure, plan.tolerated) == (96, (0,))  # 95 leave an error out with a chance of 5 % exactly, and floats may err
    assert bands.plan(15, allowed=0, level=0.05) is None


@pytest.mark.slow
@settings(max_examples=40)
@given(n_pool=st.integers(1, 3000), allowed=st.integers(0, 200), level=st.sampled_from([0.005, 0.045, 0.05, 0.2]))
def test_a_plan_s_sizes_fit_its_bands_and_its_worst_case_its_level(n_pool: int, allowed: int, level: float) -> None:
    plan = bands.plan(n_pool, allowed=allowed, level=level)
    if plan is None:
        return
    assert 0 <= plan.sample_sure <= plan.n_sure
    assert 0 <= plan.sample_unsure <= plan.n_unsure
    assert bands.worst_case(plan) == plan.worst_case <= level
    assert list(plan.tolerated) == sorted(plan.tolerated, reverse=True)
    assert len(plan.tolerated) <= plan.sure_tolerated + 1


def test_a_long_table_is_as_good_as_one_that_is_filled_step_by_step() -> None:
    """500 errors allowed: the entries move by whole groups and large steps at first, which may cost next to nothing."""
    plan = bands.plan(8_000, allowed=500, level=0.05)
    assert plan is not None
    assert plan.worst_case > 0.0495
    assert bands.guessed_value(plan) > 0.895 * 8_000


@pytest.mark.slow
def test_a_million_items_are_planned_with_every_number_of_errors_checked() -> None:
    plan = bands.plan(1_100_000, allowed=60_000, level=0.05)
    assert plan is not None
    assert 0.0495 < plan.worst_case <= 0.05
    found = bands.chance_by_errors(plan)
    assert len(found) == 60_000 + plan.sure_tolerated + 2
    for k in (0, 30_000, int(found.argmax()), len(found) - 1):
        assert found[k] == pytest.approx(_by_scipy(plan, k), rel=1e-6, abs=1e-12)


def _by_scipy(plan: Bands, k: int) -> float:
    from scipy import stats

    s = np.arange(plan.sure_tolerated + 1)
    of_s = stats.hypergeom.pmf(s, plan.n_sure, k, plan.sample_sure)
    t = np.array(plan.tolerated + (-1,) * (len(s) - len(plan.tolerated)))
    u = plan.allowed + 1 - k + s
    share = stats.hypergeom.cdf(t, plan.n_unsure, np.maximum(u, 1) + t, plan.sample_unsure)
    return float((of_s * np.where(u < 1, 1.0, np.where(t >= 0, share, 0.0))).sum())


@pytest.mark.parametrize(("n_pool", "allowed", "level"), [(-1, 3, 0.05), (10, -1, 0.05), (10, 3, 0.0), (10, 3, 1.0)])
def test_a_plan_needs_a_pool_an_allowance_and_a_level(n_pool: int, allowed: int, level: float) -> None:
    with pytest.raises(InvalidValue, match="must be"):
        bands.plan(n_pool, allowed=allowed, level=level)


def test_a_sample_larger_than_its_band_is_refused() -> None:
    with pytest.raises(InvalidValue, match="cannot be drawn"):
        bands.table(10, 5, 6, 1, allowed=1, level=0.05)
