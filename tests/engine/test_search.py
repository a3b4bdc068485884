"""The joint argmin against brute force, and the cost of a training path against a loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcal_engine import search
from mcal_engine.certificates import bands, uniform
from mcal_engine.cost import TrainingCost, training_cost
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Measurement, Observation


def observation(n_items: int, n_train: int, n_test: int) -> Observation:
    ids = np.arange(n_test)
    return Observation(
        0, n_items, 10, n_train, n_items - n_train - n_test, 0, 0, n_train + n_test, ids, np.ones(n_test, dtype=bool), ()
    )  # fmt: skip


def law(size: float, theta: float) -> float:
    """A known error law: share of X that is wrong among the θ surest after ``size`` labels."""
    return 0.9 * theta**4 * (size / 50) ** -0.6


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", ["estimate", "certified"])
@pytest.mark.parametrize(("n_items", "price"), [(3000, 0.04), (60_000, 0.04), (60_000, 0.003)])
def test_the_cheapest_plan_is_within_two_percent_of_brute_force_over_every_size_share_and_sample(
    guarantee: str, n_items: int, price: float
) -> None:
    spec = CampaignSpec(target_error=0.05, price_per_label=price, guarantee=guarantee, machine_price_per_hour=0.0)  # type: ignore[arg-type]
    now = observation(n_items, n_train=100, n_test=150)
    grid = np.round(np.arange(0.05, 1.01, 0.05), 9)
    sizes = search.candidate_sizes(100, now.n_pool, 50)
    pools = now.n_pool - (sizes - 100)
    shares = np.minimum(np.concatenate([[0.0], grid])[None, :], (pools / n_items)[:, None])
    errors = np.vectorize(law)(sizes[:, None], shares)
    priced = search.surface(
        spec, now, shares, errors[None], sizes, search.terms(spec, n_items, now.n_pool, 0.04), np.zeros(len(sizes)), np.ones(1)
    )

    best, draws = np.inf, np.random.default_rng(0)
    allowed = uniform.allowance(0.05, n_items)
    cuts = {c: draws.gamma(c + 1, size=400) for c in (*range(12), *range(12, 60, 4), *range(60, 400, 20))}
    for size in np.unique(np.geomspace(100, 100 + now.n_pool, 120).astype(int)):
        thetas = np.linspace(0, (now.n_pool - (size - 100)) / n_items, 2000)
        wrong = law(float(size), thetas) * n_items  # type: ignore[arg-type]
        if guarantee == "estimate":
            best = min(best, price * (n_items - thetas[wrong <= 0.05 * n_items].max() * n_items))
            continue
        for tolerated, spread in cuts.items():
            share = float(uniform.sample_share(tolerated, allowed=allowed, level=0.04))
            if share < 0.9:
                # The cut stands at the (c + 1)-th sampled error: play where that is, and average what the machine then labels.
                reached = thetas[np.searchsorted(wrong, spread / share, side="right") - 1]
                best = min(best, price * (n_items - reached.mean() * n_items * (1 - share)))
    assert priced.cost[0].min() == pytest.approx(best, rel=0.02)


def test_machine_labels_that_are_mostly_wrong_are_never_planned() -> None:
    spec = CampaignSpec(target_error=0.05, price_per_label=0.04, guarantee="estimate")
    shares, errors = np.linspace(0, 1, 21), np.linspace(0, 1, 21) * 0.9
    assert search.largest_share(shares, errors, np.array([0.05]), search.worst_useful_error(0.05, 10))[0] == 0
    assert search.largest_share(shares, errors * 0.3, np.array([0.05]), search.worst_useful_error(0.05, 10))[0] == pytest.approx(
        0.05 / 0.27
    )
    assert search.worst_useful_error(spec.target_error, 2) == 0.25
    assert search.worst_useful_error(0.4, 2) == 0.4


def test_a_flat_error_curve_is_used_to_its_far_end() -> None:
    shares, errors = np.array([0, 0.2, 0.4, 0.6, 0.8]), np.array([0, 0.0, 0.01, 0.01, 0.03])
    assert search.largest_share(shares, errors, np.array([0.0, 0.01, 0.02, 0.5]), 0.45).tolist() == pytest.approx([0.2, 0.6, 0.7, 0.8])


def test_the_training_path_costs_what_a_loop_over_its_rounds_adds_up_to() -> None:
    model = TrainingCost(fixed=3.0, per_item=0.01)
    for n_train, target, batch in [(100, 100, 50), (100, 130, 50), (100, 1000, 50), (7, 1003, 33)]:
        size, seconds = n_train, 0.0
        while size < target:
            size = min(size + batch, target)
            seconds += 3.0 + 0.01 * size
        assert model.path(n_train, np.array([float(target)]), batch)[0] == pytest.approx(seconds)


def test_epochs_that_grow_with_the_training_set_make_the_path_cubic_as_a_loop_over_its_rounds_does() -> None:
    model = TrainingCost(fixed=3.0, per_item=1e-4, power=2)
    for n_train, target, batch in [(100, 100, 50), (100, 130, 50), (100, 1000, 50), (7, 1003, 33)]:
        size, seconds = n_train, 0.0
        while size < target:
            size = min(size + batch, target)
            seconds += 3.0 + 1e-4 * size**2
        assert model.path(n_train, np.array([float(target)]), batch)[0] == pytest.approx(seconds)


def test_the_paper_equation_four_is_the_path_without_a_fixed_part() -> None:
    model = TrainingCost(fixed=0.0, per_item=1.0)
    size, batch = 1000, 50
    assert model.path(0, np.array([float(size)]), batch)[0] == pytest.approx(0.5 * size * (size / batch + 1))


def test_small_batches_are_taken_when_training_is_cheap_and_large_ones_when_it_is_dear() -> None:
    spec = CampaignSpec(target_error=0.05, price_per_label=0.04, machine_price_per_hour=3600.0, batch_cost_slack=0.05)
    cheap, dear = TrainingCost(1e-6, 0.0), TrainingCost(5.0, 0.0)
    assert search.batch_for(spec, cheap, 100, 1100, 100.0, 0.0, 10) == 10
    assert search.batch_for(spec, dear, 100, 1100, 100.0, 50.0, 10) == 91  # eleven rounds of 5.0 are within 55 + slack 5
    assert search.batch_for(spec, dear, 100, 105, 100.0, 5.0, 10) == 5


def test_a_round_on_the_same_b_says_nothing_about_what_training_costs() -> None:
    def after(n_train: int, seconds: float) -> Observation:
        right = np.ones(20, dtype=bool)
        return replace(observation(1000, n_train, 20), measurements=(Measurement("frozen", right.astype(np.int64), right, seconds),))

    trained = [after(100, 12.0), after(200, 14.0), after(300, 16.0)]
    kept = [trained[0], after(100, 0.0), trained[1], trained[2], after(300, 0.01)]  # T was topped up, V joined T
    assert training_cost(kept, "frozen") == training_cost(trained, "frozen")
    assert training_cost(kept, "frozen").fixed == pytest.approx(10.0)


@pytest.mark.parametrize("size", [None, 800])
def test_second_labels_of_the_sample_are_in_the_bill_and_make_it_smaller(size: int | None) -> None:
    n_items, n_train = 20_000, 400
    now = observation(n_items, n_train, n_test=150)
    shares = np.linspace(0, now.n_pool / n_items, 400)
    errors = law(400.0, 1.0) * shares**4

    def priced(overlap_share: float) -> search.Surface:
        spec = CampaignSpec(target_error=0.05, price_per_label=0.5, overlap_share=overlap_share, certificate_size=size)
        prices = search.terms(spec, n_items, now.n_pool, 0.04)
        return search.surface(spec, now, shares[None], errors[None, None], np.array([400.0]), prices, np.zeros(1), np.ones(1))

    plain, twice = priced(0.0), priced(0.5)
    assert plain.n_machine[0] > 1000
    assert twice.cost[0, 0] == pytest.approx(0.5 * (n_items - twice.n_machine[0] + 0.5 * twice.n_certificate[0]))
    assert twice.n_certificate[0] == 800 if size else twice.n_certificate[0] < plain.n_certificate[0]
    assert plain.cost[0, 0] < twice.cost[0, 0] <= plain.cost[0, 0] + 0.5 * 0.5 * plain.n_certificate[0]


@pytest.mark.parametrize(("n_pool", "allowed", "in_sure"), [(1200, 75, 3), (1200, 75, 20), (9500, 500, 40), (1300, 30, 0)])
def test_the_price_of_two_bands_is_what_drawing_them_buys(n_pool: int, allowed: int, in_sure: int) -> None:
    drawn = bands.plan_by_size(n_pool, allowed, 0.05, None)
    assert drawn is not None
    found = search.terms_of_bands(drawn, float(in_sure))
    assert found.share[0] == drawn.n_sample / n_pool
    draws, seen = np.random.default_rng(1), []
    for _ in range(4000):
        s = draws.hypergeometric(in_sure, drawn.n_sure - in_sure, drawn.sample_sure) if drawn.n_sure else 0
        sample = np.sort(draws.choice(drawn.n_unsure, drawn.sample_unsure, replace=False))
        wrong = sample[sample % 2 == 0] // 2  # every second item of band 2 is wrong: how many are in front of each that V holds
        seen.append(in_sure + (int(wrong[drawn.tolerated[s]]) if s < len(drawn.tolerated) else 0))
    assert found.errors.mean() == pytest.approx(np.mean(seen), rel=0.05, abs=1.5)
    assert found.errors[0, 3] == pytest.approx(np.median(seen), rel=0.1, abs=2.0)


def test_where_no_sample_certifies_anything_bands_buy_nothing() -> None:
    nothing = search.terms_of_bands(None, 5.0)
    assert nothing.share[0] == 1 and (nothing.errors == 0).all()


@pytest.mark.parametrize("n_errors", [0.0, 3.0, 40.0])
def test_a_band_holds_nine_tenths_of_what_the_true_error_may_be(n_errors: float) -> None:
    low, high = search.doubt_about(n_errors, search.BAND)
    draws = np.random.default_rng(0).gamma(n_errors + 1, size=20_000) / (n_errors + 1)
    assert np.mean((low <= draws) & (draws <= high)) == pytest.approx(0.9, abs=0.01)
    middles = search.doubt_about(n_errors)
    assert low < middles.min() and middles.max() < high
