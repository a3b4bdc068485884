"""The certificate against exact fractions, brute force and simulation."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcal_engine.certificates import uniform
from mcal_engine.errors import InvalidValue
from mcal_engine.types import CertificateOutcome


def exact_miss(c: int, n_pool: int, n_sample: int, allowed: int) -> Fraction:
    errors = allowed + 1 + c
    ways = sum(comb(errors, k) * comb(n_pool - errors, n_sample - k) for k in range(c + 1))
    return Fraction(ways, comb(n_pool, n_sample))


@pytest.mark.parametrize(("n_pool", "n_sample", "allowed"), [(60, 20, 3), (60, 45, 3), (100, 30, 5), (400, 90, 20), (37, 36, 1)])
def test_the_miss_probability_equals_exact_fractions(n_pool: int, n_sample: int, allowed: int) -> None:
    for c in range(min(n_sample, n_pool - allowed - 1) + 1):
        exact = float(exact_miss(c, n_pool, n_sample, allowed))
        assert uniform.miss_probability(c, n_pool=n_pool, n_sample=n_sample, allowed=allowed) == pytest.approx(exact, rel=1e-9)


def test_the_tolerated_errors_are_the_largest_count_whose_exact_miss_probability_is_within_the_level() -> None:
    for n_pool, n_sample, allowed in [(60, 20, 3), (60, 45, 3), (100, 30, 5), (400, 90, 20), (3000, 200, 150)]:
        fits = [
            c for c in range(n_sample + 1) if allowed + 1 + c <= n_pool and exact_miss(c, n_pool, n_sample, allowed) <= Fraction(4, 100)
        ]
        expected = max(fits) if fits else None
        assert uniform.tolerated_errors(n_pool=n_pool, n_sample=n_sample, allowed=allowed, level=0.04) == expected


def test_the_miss_probability_stays_accurate_in_a_pool_of_a_million() -> None:
    # The error chance of every pool item is tiny and equal, so the binomial is an independent reference for the hypergeometric.

    got = uniform.miss_probability(40, n_pool=1_200_000, n_sample=1_000, allowed=60_000)
    assert got == pytest.approx(stats.binom.cdf(40, 1_000, 60_041 / 1_200_000), rel=0.02)


@pytest.mark.parametrize(("n_pool", "n_sample", "allowed"), [(1305, 167, 75), (8700, 468, 500), (56_000, 900, 3000)])
def test_the_miss_probability_at_the_tolerated_count_equals_fractions_and_a_hundred_thousand_drawn_samples(
    n_pool: int, n_sample: int, allowed: int
) -> None:
    tolerated = uniform.tolerated_errors(n_pool=n_pool, n_sample=n_sample, allowed=allowed, level=0.04)
    assert tolerated is not None
    computed = float(uniform.miss_probability(tolerated, n_pool=n_pool, n_sample=n_sample, allowed=allowed))
    assert computed == pytest.approx(float(exact_miss(tolerated, n_pool, n_sample, allowed)), rel=1e-9)
    errors, draws = allowed + 1 + tolerated, 100_000
    drawn = np.random.default_rng(8).hypergeometric(errors, n_pool - errors, n_sample, draws)
    assert np.mean(drawn <= tolerated) == pytest.approx(computed, abs=4 * np.sqrt(0.04 * 0.96 / draws))
    assert exact_miss(tolerated + 1, n_pool, n_sample, allowed) > Fraction(4, 100)


@pytest.mark.slow
def test_skipped_items_count_as_errors_and_dropping_them_breaks_the_promise() -> None:
    """People skip three of ten items that the machine gets wrong; left out of V, the rest looks better than it is."""
    generator = np.random.default_rng(11)
    wrong = generator.random(3000) < np.linspace(0, 0.6, 3000) ** 2
    allowed, n_sample, broken = 150, 300, {"counted": 0, "dropped": 0}
    for _ in range(300):
        ranks = np.sort(generator.choice(3000, n_sample, replace=False))
        skipped = wrong[ranks] & (generator.random(n_sample) < 0.3)
        samples = {"counted": (ranks, wrong[ranks] | skipped), "dropped": (ranks[~skipped], wrong[ranks][~skipped])}
        for name, (answered, errors) in samples.items():
            result = uniform.certify(CertificateOutcome(1, 3000, answered, errors, 0), allowed=allowed, level=0.04)
            machine = np.setdiff1d(np.arange(result.n_ranked), ranks, assume_unique=True)
            broken[name] += bool(wrong[machine].sum() > allowed)
    assert broken["counted"] <= 0.05 * 300
    assert broken["dropped"] > 0.1 * 300


@pytest.mark.slow
@given(allowed=st.integers(1, 300), c=st.integers(0, 40), n_pool=st.integers(700, 5000))
def test_the_planned_share_of_the_pool_always_suffices_for_the_exact_rule(allowed: int, c: int, n_pool: int) -> None:
    share = float(uniform.sample_share(c, allowed=allowed, level=0.04))
    planned = int(np.ceil(share * n_pool))
    needed = uniform.sample_size(c, n_pool=n_pool, allowed=allowed, level=0.04)
    if needed is not None and planned < n_pool:
        assert needed <= planned + 1


def test_the_smallest_sample_size_is_just_enough() -> None:
    size = uniform.sample_size(3, n_pool=2600, allowed=150, level=0.04)
    assert size is not None
    assert uniform.tolerated_errors(n_pool=2600, n_sample=size, allowed=150, level=0.04) == 3
    assert uniform.tolerated_errors(n_pool=2600, n_sample=size - 1, allowed=150, level=0.04) == 2


def test_the_looks_share_the_whole_level_and_no_more() -> None:
    assert uniform.level_of_look(0.95, 1) == pytest.approx(0.04)
    assert sum(uniform.level_of_look(0.95, look) for look in range(1, 60)) == pytest.approx(0.05)
    with pytest.raises(InvalidValue, match="got 0"):
        uniform.level_of_look(0.95, 0)


def test_the_allowance_is_the_floor_of_the_share_without_float_dust() -> None:
    assert uniform.allowance(0.05, 100) == 5
    assert uniform.allowance(0.07, 100) == 7
    assert uniform.allowance(0.05, 99) == 4
    assert uniform.allowance(0.29, 100) == 29


def _outcome(ranks: list[int], errors: list[bool], n_pool: int) -> CertificateOutcome:
    return CertificateOutcome(1, n_pool, np.array(ranks, dtype=np.int64), np.array(errors, dtype=np.bool_), 0)


def test_the_machine_set_ends_at_the_error_after_the_tolerated_ones() -> None:
    # 10 of 40 sampled, 4 errors allowed: count c0 by brute force, then check where the prefix is cut.
    ranks = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    allowed, level = 12, 0.3
    tolerated = max(c for c in range(11) if exact_miss(c, 40, 10, allowed) <= Fraction(3, 10))
    errors = [False, True, False, True, True, True, True, True, True, True]
    error_ranks = [rank for rank, wrong in zip(ranks, errors, strict=True) if wrong]
    result = uniform.certify(_outcome(ranks, errors, 40), allowed=allowed, level=level)
    assert result.tolerated == tolerated
    assert result.n_ranked == error_ranks[tolerated]
    assert result.n_machine == result.n_ranked - sum(rank < result.n_ranked for rank in ranks)


def test_the_whole_pool_is_taken_when_the_sample_holds_few_errors_and_the_bound_tightens() -> None:
    outcome = _outcome(list(range(0, 1000, 5)), [False] * 200, 1000)
    result = uniform.certify(outcome, allowed=50, level=0.04)
    assert (result.n_ranked, result.n_machine) == (1000, 800)
    bound = result.max_errors
    assert exact_miss(0, 1000, 200, bound) <= Fraction(4, 100) < exact_miss(0, 1000, 200, bound - 1)


def test_a_sample_too_small_certifies_nothing() -> None:
    result = uniform.certify(_outcome([3, 9], [False, False], 1000), allowed=10, level=0.04)
    assert (result.tolerated, result.n_machine) == (None, 0)


def test_a_pool_smaller_than_the_allowance_needs_no_sample() -> None:
    assert uniform.certify(_outcome([], [], 9), allowed=10, level=0.04).n_machine == 9


def test_ranks_out_of_order_are_refused() -> None:
    with pytest.raises(InvalidValue, match="ascend"):
        uniform.certify(_outcome([5, 3], [False, False], 1000), allowed=10, level=0.04)


def _violations(allowed: int, wrong: np.ndarray, n_sample: int, level: float, draws: int, *, plug_in: bool = False) -> float:
    """Share of random samples after which more than ``allowed`` machine labels are wrong."""
    generator, n_pool, broken = np.random.default_rng(0), len(wrong), 0
    tolerated = uniform.tolerated_errors(n_pool=n_pool, n_sample=n_sample, allowed=allowed, level=level)
    for _ in range(draws):
        ranks = np.sort(generator.choice(n_pool, n_sample, replace=False))
        outcome = CertificateOutcome(1, n_pool, ranks, wrong[ranks], 0)
        if plug_in:
            limit = int(allowed * n_sample / n_pool)
            error_ranks = ranks[wrong[ranks]]
            end = n_pool if len(error_ranks) <= limit else error_ranks[limit]
        else:
            end = uniform.certify(outcome, allowed=allowed, level=level).n_ranked
        machine = np.ones(end, dtype=bool)
        machine[ranks[ranks < end]] = False
        broken += bool((wrong[:end] & machine).sum() > allowed)
    assert tolerated is not None
    return broken / draws


@pytest.mark.slow
def test_over_many_draws_the_certificate_is_broken_no_more_often_than_its_level_and_the_plug_in_rule_far_more() -> None:
    generator = np.random.default_rng(3)
    # Errors get denser towards the unsure end, as they do for a classifier.
    wrong = generator.random(2000) < np.linspace(0, 0.4, 2000) ** 2 * 1.5
    share = _violations(60, wrong, 300, 0.04, 1500)
    assert share <= 0.04 + 3 * np.sqrt(0.04 * 0.96 / 1500)
    assert share > 0.005  # the rule is exact, not merely safe
    assert _violations(60, wrong, 300, 0.04, 500, plug_in=True) > 0.25


@pytest.mark.slow
def test_the_tighter_bound_of_a_whole_pool_holds_as_often_as_it_says() -> None:
    generator, broken, draws = np.random.default_rng(5), 0, 600
    for n_errors in (12, 20, 30, 45):
        wrong = np.zeros(1000, dtype=bool)
        wrong[generator.choice(1000, n_errors, replace=False)] = True
        broken = 0
        for _ in range(draws):
            ranks = np.sort(generator.choice(1000, 200, replace=False))
            result = uniform.certify(CertificateOutcome(1, 1000, ranks, wrong[ranks], 0), allowed=50, level=0.04)
            machine = np.ones(result.n_ranked, dtype=bool)
            machine[ranks[ranks < result.n_ranked]] = False
            broken += bool((wrong[: result.n_ranked] & machine).sum() > result.max_errors)
        assert broken / draws <= 0.04 + 3 * np.sqrt(0.04 * 0.96 / draws)


def test_the_last_look_allowed_gets_all_that_is_left_of_the_level() -> None:
    assert uniform.level_of_look(0.95, 1, 1) == pytest.approx(0.05)
    assert sum(uniform.level_of_look(0.95, look, 3) for look in (1, 2, 3)) == pytest.approx(0.05)


def exact_tail(errors: int, n_pool: int, n_sample: int, seen: int) -> Fraction:
    """P[Hyp(n_pool, errors, n_sample) ≤ seen]."""
    ways = sum(comb(errors, k) * comb(n_pool - errors, n_sample - k) for k in range(seen + 1))
    return Fraction(ways, comb(n_pool, n_sample))


@pytest.mark.slow
@pytest.mark.parametrize(("n_pool", "n_sample"), [(1, 1), (12, 5), (60, 20), (60, 60), (300, 45)])
def test_an_audit_s_bound_is_the_largest_number_of_errors_that_exact_fractions_do_not_refute(n_pool: int, n_sample: int) -> None:
    for seen in range(n_sample + 1):
        possible = range(seen, n_pool - (n_sample - seen) + 1)
        expected = max(k for k in possible if exact_tail(k, n_pool, n_sample, seen) > Fraction(5, 100))
        assert uniform.most_errors(seen, n_pool=n_pool, n_sample=n_sample, level=0.05) == expected


def test_an_audit_s_bound_is_broken_as_rarely_as_it_says_and_not_far_from_as_often() -> None:
    n_pool, n_sample, draws = 4000, 200, 100_000
    for errors in (0, 20, 160, 1000):
        seen = np.random.default_rng(5).hypergeometric(errors, n_pool - errors, n_sample, draws)
        bounds = {k: uniform.most_errors(k, n_pool=n_pool, n_sample=n_sample, level=0.05) for k in set(seen.tolist())}
        broken = float(np.mean([bounds[k] < errors for k in seen.tolist()]))
        assert broken <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
        assert errors < 100 or broken > 0.02


def test_an_audit_and_a_certificate_on_the_same_sample_agree_on_what_is_left() -> None:
    """What the scan allows outside the sample, when it takes the whole pool, is the audit's bound without the errors that were found."""
    ranks = np.arange(0, 3000, 10)
    for seen in (0, 1, 4):
        errors = np.arange(len(ranks)) < seen
        found = uniform.certify(CertificateOutcome(1, 3000, ranks, errors, 0), allowed=150, level=0.05)
        assert found.n_ranked == 3000
        assert found.max_errors == uniform.most_errors(seen, n_pool=3000, n_sample=len(ranks), level=0.05) - seen


@pytest.mark.slow
def test_an_audit_of_the_default_size_shows_what_holds_with_the_chance_it_names() -> None:
    size = uniform.audit_size(20, n_pool=5000, allowed=100, level=0.05)
    assert size is not None
    shown = {n: [k for k in range(n + 1) if uniform.most_errors(k, n_pool=5000, n_sample=n, level=0.05) <= 100] for n in (size - 1, size)}
    chance = {n: sum(exact_mass(20, 5000, n, k) for k in counts) for n, counts in shown.items()}
    assert chance[size] >= 0.8 > chance[size - 1]
    assert uniform.audit_size(200, n_pool=5000, allowed=100, level=0.05) is None
    assert uniform.audit_size(95, n_pool=5000, allowed=100, level=0.05) is None
    assert uniform.audit_size(3, n_pool=50, allowed=50, level=0.05) == 1


def exact_mass(errors: int, n_pool: int, n_sample: int, seen: int) -> Fraction:
    return Fraction(comb(errors, seen) * comb(n_pool - errors, n_sample - seen), comb(n_pool, n_sample))


def test_a_bound_needs_a_sample_that_is_one() -> None:
    with pytest.raises(InvalidValue, match="got 3, 2, 10"):
        uniform.most_errors(3, n_pool=10, n_sample=2, level=0.05)
