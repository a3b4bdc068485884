"""Peeling: as a fold over its history, and as a proof — over every sample, with rankers that know more than any ranker could."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mcal_engine.certificates import bands, peel
from mcal_engine.certificates.peel import Peel, Sample
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.types import Bands
from tests.engine.certificates.test_bands import exact_chance

Ranker = Callable[[Peel, np.ndarray], np.ndarray]
"""From the state and the true errors to an order of the peelable items; what the proof allows it to use, each test says."""


def run(plan: Bands, sample: Sample, wrong: np.ndarray, ranker: Ranker, batch: int) -> Peel:
    state = peel.begin(plan, sample)
    while not state.ended:
        state = peel.leave(state, peel.batch(state, ranker(state, wrong), batch))
    return state


def wrong_labels(state: Peel, wrong: np.ndarray) -> int:
    return int(wrong[state.machine].sum())


# --- exactness on tiny designs -------------------------------------------------------------------------------------------------------


def errors_last(state: Peel, wrong: np.ndarray) -> np.ndarray:
    """An adversary: it knows every label and lets all right items go first, so that errors stay as long as they can."""
    items = state.peelable
    return items[np.lexsort((items, wrong[items]))]


def errors_first(state: Peel, wrong: np.ndarray) -> np.ndarray:
    items = state.peelable
    return items[np.lexsort((items, ~wrong[items]))]


def as_the_count_says(state: Peel, wrong: np.ndarray) -> np.ndarray:
    """Another one: it follows how many of V's errors are left, and turns its order round with their parity."""
    return (errors_last if state.errors_left % 2 else errors_first)(state, wrong)


def from_the_unsure_end(state: Peel, wrong: np.ndarray) -> np.ndarray:
    return state.peelable[::-1]


def at_random(state: Peel, wrong: np.ndarray) -> np.ndarray:
    return np.random.default_rng(state.n_left).permutation(state.peelable)


def as_what_left_says(state: Peel, wrong: np.ndarray) -> np.ndarray:
    """Refitted: the labels of what has left, V's among them, decide who is next to leave: near to those that were wrong."""
    gone = np.setdiff1d(np.arange(state.reading.n_sure, state.n_pool), state.peelable)
    near = gone[wrong[gone]]
    items = state.peelable
    distance = np.abs(items[:, None] - near).min(axis=1) if len(near) else -items
    return items[np.lexsort((-items, distance))]


RANKERS = [errors_last, errors_first, as_the_count_says, from_the_unsure_end, at_random, as_what_left_says]
TINY = [(2, 1, 5, 3, 1), (0, 0, 7, 3, 1), (2, 1, 6, 3, 2), (3, 2, 5, 3, 1), (4, 3, 4, 3, 0)]


def samples_of(plan: Bands) -> list[np.ndarray]:
    return [
        np.array([*sure, *unsure], dtype=np.int64)
        for sure in combinations(range(plan.n_sure), plan.sample_sure)
        for unsure in combinations(range(plan.n_sure, plan.n_pool), plan.sample_unsure)
    ]


def share_broken(plan: Bands, wrong: np.ndarray, ranker: Ranker, batch: int = 1) -> Fraction:
    samples = samples_of(plan)
    broken = sum(wrong_labels(run(plan, Sample(ranks, wrong[ranks]), wrong, ranker, batch), wrong) > plan.allowed for ranks in samples)
    return Fraction(broken, len(samples))


def tiny_plans() -> list[Bands]:
    plans = []
    for m1, n1, m2, n2, allowed in TINY:
        for level in (0.3, 0.6):
            plan = bands.table(m1 + m2, m1, n1, n2, allowed=allowed, level=level)
            if plan is not None and plan.tolerated:
                plans.append(plan)
    return plans


def test_the_tiny_designs_are_worth_enumerating() -> None:
    plans = tiny_plans()
    assert len(plans) >= 6
    assert sum(plan.n_sure > 0 and plan.tolerated[0] > 0 for plan in plans) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("ranker", RANKERS)
def test_over_every_sample_and_every_pattern_of_errors_a_peel_breaks_its_promise_no_more_often_than_was_computed(ranker: Ranker) -> None:
    for plan in tiny_plans():
        for pattern in product([False, True], repeat=plan.n_pool):
            wrong = np.array(pattern)
            if wrong.sum() <= plan.allowed:
                continue
            k = min(int(wrong[: plan.n_sure].sum()), plan.allowed + plan.sure_tolerated + 1)
            assert share_broken(plan, wrong, ranker) <= exact_chance(plan, k) <= Fraction(plan.level)


@pytest.mark.slow
def test_with_as_many_errors_as_can_be_every_order_of_leaving_has_the_same_chance() -> None:
    """The lemma itself: the order of leaving does not matter, so the chance is that of the static cut, to the last digit."""
    for plan in tiny_plans():
        wrong = np.ones(plan.n_pool, dtype=np.bool_)
        wrong[: plan.n_sure] = False
        chances = {share_broken(plan, wrong, ranker) for ranker in RANKERS}
        assert chances == {exact_chance(plan, 0)}


# --- mutations: each breaks the promise, and these tests see it ----------------------------------------------------------------------


def sees_who_is_sampled(state: Peel, wrong: np.ndarray) -> np.ndarray:
    """Forbidden: it lets V's items go first, so that V soon has no errors left and everything else stays."""
    items = state.peelable
    return items[np.lexsort((items, ~state.sampled[items]))]


def test_a_ranker_that_sees_which_items_are_sampled_breaks_the_promise() -> None:
    broken = 0
    for plan in tiny_plans():
        wrong = np.ones(plan.n_pool, dtype=np.bool_)
        wrong[: plan.n_sure] = False
        broken += share_broken(plan, wrong, sees_who_is_sampled) > Fraction(plan.level)
    assert broken == len(tiny_plans())


def test_a_table_filled_above_its_level_breaks_the_promise() -> None:
    for plan in tiny_plans():
        raised = replace(plan, tolerated=(min(plan.tolerated[0] + 1, plan.sample_unsure), *plan.tolerated[1:]))
        wrong = np.ones(plan.n_pool, dtype=np.bool_)
        broken = []
        for k in range(plan.n_sure + 1):
            wrong[: plan.n_sure] = np.arange(plan.n_sure) < k
            broken.append(share_broken(raised, wrong, from_the_unsure_end))
        assert max(broken) > Fraction(plan.level)


def gone_back(plan: Bands, sample: Sample, wrong: np.ndarray, ranker: Ranker) -> np.ndarray:
    """Forbidden: peel past the stop, and then go back to where one error more of V was left, since so much more would be the machine's."""
    assert plan.tolerated
    state, on_the_way = peel.begin(plan, sample), []
    on_the_way.append(state)
    while not state.ended:
        state = peel.leave(state, peel.batch(state, ranker(state, wrong), 1))
        on_the_way.append(state)
    tolerated = state.reading.tolerated
    return next(one.machine for one in on_the_way if tolerated is None or one.errors_left <= tolerated + 1)


def test_a_peel_that_goes_back_behind_its_stop_breaks_the_promise() -> None:
    for plan in tiny_plans():
        wrong, broken = np.ones(plan.n_pool, dtype=np.bool_), []
        for k in range(plan.n_sure + 1):
            wrong[: plan.n_sure] = np.arange(plan.n_sure) < k
            samples = samples_of(plan)
            sets = [gone_back(plan, Sample(ranks, wrong[ranks]), wrong, from_the_unsure_end) for ranks in samples]
            broken.append(Fraction(sum(int(wrong[chosen].sum()) > plan.allowed for chosen in sets), len(samples)))
        assert max(broken) > Fraction(plan.level)


def test_a_sample_that_is_known_before_the_freeze_proves_nothing() -> None:
    """Errors that keep out of the way of a known V: the machine gets the whole pool, and with it every one of them."""
    plan = bands.plan(400, allowed=20, level=0.05)
    assert plan is not None
    known = peel.draw(plan, 0)
    wrong = np.zeros(plan.n_pool, dtype=np.bool_)
    wrong[np.setdiff1d(np.arange(plan.n_pool), known)[-100:]] = True
    state = run(plan, Sample(known, wrong[known]), wrong, from_the_unsure_end, 10)
    assert wrong_labels(state, wrong) == 100 > plan.allowed


def test_an_allowance_that_counts_items_without_a_label_lets_more_than_the_target_share_be_wrong() -> None:
    """3,000 items, 300 of them unreadable: 5 % of 3,000 are 150 errors, which are 5.6 % of the 2,700 labels there will be."""
    from mcal_engine.certificates.uniform import allowance

    with_set_aside, without = allowance(0.05, 3_000), allowance(0.05, 2_700)
    assert with_set_aside / 2_700 > 0.05 >= without / 2_700


# --- many draws on hostile populations -----------------------------------------------------------------------------------------------

N_DRAWS = 2_000
POOL, ALLOWED, LEVEL = 1_100, 75, 0.05


def population(kind: str) -> np.ndarray:
    """Errors placed against the rule: about 1.3 to 3 times as many as are allowed."""
    generator, wrong = np.random.default_rng(7), np.zeros(POOL, dtype=np.bool_)
    places = {
        "in the surest part": np.arange(ALLOWED + 6),
        "at the end": np.arange(POOL - 240, POOL),
        "no information": generator.permutation(POOL)[:150],
        "half and half": np.r_[np.arange(40), np.arange(POOL - 150, POOL)],
        "all over the surest half": generator.permutation(POOL // 2)[: ALLOWED + 4],
        "as a classifier's": np.flatnonzero(generator.random(POOL) < 0.45 * np.linspace(0, 1, POOL) ** 3),
    }
    wrong[places[kind]] = True
    return wrong


KINDS = ["in the surest part", "at the end", "no information", "half and half", "all over the surest half", "as a classifier's"]


def learning(wrong: np.ndarray, features: np.ndarray) -> Ranker:
    """A ranker that is refitted between batches: least squares from the features to "wrong", on what has left."""

    def ranker(state: Peel, _: np.ndarray) -> np.ndarray:
        items, band = state.peelable, np.arange(state.reading.n_sure, state.n_pool)
        gone = np.setdiff1d(band, items)
        if len(gone) < 20:
            return items[::-1]
        x, y = features[gone], wrong[gone] - wrong[gone].mean()
        weights = np.linalg.solve(x.T @ x + 5 * np.eye(x.shape[1]), x.T @ y)
        return items[np.argsort(-(features[items] @ weights), kind="stable")]

    return ranker


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["static", "refitted"])
def test_over_two_thousand_draws_on_a_hostile_population_the_promise_is_broken_no_more_often_than_its_level(kind: str, way: str) -> None:
    plan = bands.plan(POOL, allowed=ALLOWED, level=LEVEL)
    assert plan is not None
    wrong = population(kind)
    generator = np.random.default_rng(3)
    features = np.column_stack([np.linspace(-1, 1, POOL), generator.standard_normal((POOL, 3)) + wrong[:, None]])
    ranker, broken = learning(wrong, features), 0
    for draw in range(N_DRAWS):
        ranks = peel.draw(plan, draw)
        sample = Sample(ranks, wrong[ranks])
        if way == "static":
            inside = np.arange(POOL) < peel.static_cut(plan, sample)
            inside[ranks] = False
            broken += int(wrong[inside].sum()) > ALLOWED
        else:
            broken += wrong_labels(run(plan, sample, wrong, ranker, 20), wrong) > ALLOWED
    p_value = float(stats.binom.sf(broken - 1, N_DRAWS, LEVEL))
    print(f"{kind}, {way}: broken in {broken / N_DRAWS:.4f} of {N_DRAWS} draws; worst case {plan.worst_case:.4f}; p = {p_value:.2f}")
    assert p_value > 0.001


# --- the state machine ---------------------------------------------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn) -> tuple[Bands, Sample, np.ndarray, int]:
    n_sure, n_unsure = draw(st.integers(0, 60)), draw(st.integers(5, 80))
    n1, n2 = draw(st.integers(0, n_sure)), draw(st.integers(1, n_unsure))
    plan = bands.table(n_sure + n_unsure, n_sure, n1, n2, allowed=draw(st.integers(0, 20)), level=0.3)
    if plan is None:
        plan = bands.table(20, 8, 4, 8, allowed=2, level=0.4)
        assert plan is not None
    seed = draw(st.integers(0, 10_000))
    wrong = np.random.default_rng(seed).random(plan.n_pool) < draw(st.floats(0.0, 0.6))
    ranks = peel.draw(plan, seed)
    return plan, Sample(ranks, wrong[ranks]), wrong, draw(st.integers(1, 30))


@pytest.mark.slow
@settings(max_examples=100)
@given(cases())
def test_a_peel_that_is_replayed_from_its_batches_stands_where_it_stood(case: tuple[Bands, Sample, np.ndarray, int]) -> None:
    plan, sample, wrong, n = case
    state, history = peel.begin(plan, sample), []
    while not state.ended:
        leaving = peel.batch(state, at_random(state, wrong), n)
        assert 1 <= len(leaving) <= n
        assert not np.isin(peel.to_ask(state, leaving), sample.ranks).any()
        history.append(leaving)
        again = peel.begin(plan, sample)
        for batch in history:
            again = peel.leave(again, batch)
        state = peel.leave(state, leaving)
        assert np.array_equal(again.inside, state.inside)
        assert (again.errors_left, again.n_left, again.ended) == (state.errors_left, state.n_left, state.ended)
    assert not np.isin(state.machine, sample.ranks).any()
    inside = state.peelable
    assert state.reading.tolerated is None or int(sample.errors[np.isin(sample.ranks, inside)].sum()) == state.errors_left
    if len(inside):
        with pytest.raises(HistoryError, match="ended"):
            peel.leave(state, inside[:1])


@pytest.mark.slow
@settings(max_examples=100)
@given(cases())
def test_peeling_in_the_frozen_order_ends_at_the_static_cut_whatever_the_batches(case: tuple[Bands, Sample, np.ndarray, int]) -> None:
    plan, sample, wrong, n = case
    state = run(plan, sample, wrong, from_the_unsure_end, n)
    front = np.setdiff1d(np.arange(peel.static_cut(plan, sample)), sample.ranks)
    if state.reading.tolerated is None or state.n_left:
        # The peel stops with the error that ends it; items right in front of it are the machine's in both.
        assert np.array_equal(state.machine, front)
    else:
        assert np.array_equal(state.machine, np.setdiff1d(np.arange(plan.n_pool), sample.ranks))


def a_peel() -> tuple[Bands, Sample, Peel]:
    plan = Bands(40, 20, 6, 10, allowed=4, level=0.4, sure_tolerated=2, tolerated=(1, 0), worst_case=0.0)
    ranks = np.r_[np.arange(0, 12, 2), np.arange(20, 40, 2)]
    errors = np.isin(ranks, [24, 30, 36])
    sample = Sample(ranks, errors)
    return plan, sample, peel.begin(plan, sample)


def test_a_batch_ends_at_the_very_item_that_ends_the_peel() -> None:
    _, _, state = a_peel()
    order = np.array([39, 36, 30, 24, 21])
    leaving = peel.batch(state, order, 5)
    assert leaving.tolist() == [39, 36, 30]
    assert peel.to_ask(state, leaving).tolist() == [39]
    after = peel.leave(state, leaving)
    assert (after.ended, after.errors_left) == (True, 1)
    assert {24, 21} & set(after.machine.tolist()) == {21}
    assert len(peel.batch(after, order, 5)) == 0


def test_what_a_batch_may_not_hold_is_refused_by_name() -> None:
    _, _, state = a_peel()
    with pytest.raises(HistoryError, match="ends within this batch"):
        peel.leave(state, np.array([36, 30, 21]))
    with pytest.raises(InvalidValue, match="rank 3 is not inside"):
        peel.leave(state, np.array([3]))
    with pytest.raises(InvalidValue, match="only once"):
        peel.leave(state, np.array([39, 39]))
    with pytest.raises(InvalidValue, match="1 item or more"):
        peel.batch(state, np.array([39]), 0)
    after = peel.leave(state, np.array([39]))
    with pytest.raises(InvalidValue, match="rank 39 is not inside"):
        peel.leave(after, np.array([39]))


def test_band_two_is_people_s_where_the_table_ends_and_band_one_is_cut_where_it_holds_too_many_errors() -> None:
    plan, sample, _ = a_peel()
    in_sure = sample.ranks[sample.ranks < 20]
    for n_wrong in range(len(in_sure) + 1):
        state = peel.begin(plan, Sample(sample.ranks, np.isin(sample.ranks, in_sure[:n_wrong])))
        if n_wrong > plan.sure_tolerated:
            cut = int(in_sure[plan.sure_tolerated])
            assert state.machine.tolist() == [rank for rank in range(cut) if rank not in in_sure]
        elif n_wrong >= len(plan.tolerated):
            assert state.machine.tolist() == [rank for rank in range(20) if rank not in in_sure]
        else:
            continue
        assert state.ended
        assert len(state.peelable) == 0


def test_a_draw_is_uniform_in_each_band_of_the_sizes_that_were_planned_and_the_same_for_the_same_number() -> None:
    plan = bands.table(40, 20, 6, 10, allowed=4, level=0.4)
    assert plan is not None
    counts = np.zeros(40)
    for number in range(4000):
        ranks = peel.draw(plan, number + 2**100)
        assert (ranks < 20).sum() == 6
        assert len(ranks) == 16
        assert np.all(np.diff(ranks) > 0)
        counts[ranks] += 1
    expected = np.r_[np.full(20, 4000 * 6 / 20), np.full(20, 4000 * 10 / 20)]
    assert stats.chi2.sf((((counts - expected) ** 2) / (expected * np.r_[np.full(20, 0.7), np.full(20, 0.5)])).sum(), 38) > 0.001
    assert np.array_equal(peel.draw(plan, 2**127 + 5), peel.draw(plan, 2**127 + 5))


def test_what_a_retrained_classifier_trusts_least_in_the_frozen_class_leaves_first() -> None:
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.5], [0.0, 5.0, 1.0], [1.0, 1.0, 1.0], [2.0, 2.0, 0.0]])
    # The frozen classes are 0, 1, 0, 2, 1; the margins of these classes are 2, 0.5, −5, 0, 0.
    order = peel.least_trusted_first(np.array([20, 23, 25, 31, 38]), logits, np.array([0, 1, 0, 2, 1]))
    assert order.tolist() == [25, 38, 31, 23, 20]
    with pytest.raises(InvalidValue, match="shape"):
        peel.least_trusted_first(np.array([1, 2]), logits, np.array([0, 1]))


@pytest.mark.parametrize(
    ("ranks", "match"), [([5, 3], "ascend"), ([1, 2], "must hold"), ([0, 2, 4, 6, 8, 10, *range(20, 40, 2), 40], "ascend")]
)
def test_a_sample_that_the_bands_do_not_draw_is_refused(ranks: list[int], match: str) -> None:
    plan, _, _ = a_peel()
    with pytest.raises(InvalidValue, match=match):
        peel.begin(plan, Sample(np.array(ranks), np.zeros(len(ranks), dtype=np.bool_)))
    with pytest.raises(InvalidValue, match="one length"):
        peel.begin(plan, Sample(np.array(ranks), np.zeros(1, dtype=np.bool_)))
