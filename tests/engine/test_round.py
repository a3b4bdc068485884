"""The arithmetic of one round against three-line loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcal_engine import round as rounds
from mcal_engine.curves import error_curve
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import Scored

SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04, theta_step=0.1)


def random_logits(n: int, n_classes: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_classes)) * 3


def softmax(row: np.ndarray) -> np.ndarray:
    e = np.exp(row - row.max())
    return e / e.sum()


def test_acquisition_scores_equal_their_definitions_item_by_item() -> None:
    logits = random_logits(50)
    for row, margin, entropy, least in zip(
        logits, *(rounds.acquisition_scores(logits, name) for name in ("margin", "entropy", "least_confidence")), strict=True
    ):
        p = np.sort(softmax(row))
        assert margin == pytest.approx(p[-1] - p[-2])
        assert entropy == pytest.approx((p * np.log(p)).sum())
        assert least == pytest.approx(p[-1])
    with pytest.raises(InvalidValue, match="'k_center'"):
        rounds.acquisition_scores(logits, "k_center")


def test_surety_tells_items_apart_whose_probabilities_saturate() -> None:
    logits = np.array([[800.0, 0.0], [900.0, 0.0]])
    assert np.diff(rounds.surety(logits))[0] == 100


def test_the_frozen_order_is_surest_first_and_breaks_ties_by_id() -> None:
    ids, logits = np.array([9, 4, 7, 1]), np.array([[1.0, 0], [3.0, 0], [1.0, 0], [2.0, 0]])
    frozen, classes, sureties = rounds.freeze(ids, logits)
    assert frozen.tolist() == [4, 1, 7, 9]
    assert sureties.tolist() == [3, 2, 1, 1]
    assert classes.tolist() == [0, 0, 0, 0]


@given(st.permutations(list(range(100, 140))), st.integers(0, 30))
def test_a_draw_depends_on_the_set_of_items_and_not_on_their_order(ids: list[int], n: int) -> None:
    drawn = rounds.draw_random(SPEC, "test", 3, np.array(ids), n)
    assert drawn.tolist() == rounds.draw_random(SPEC, "test", 3, np.arange(100, 140), n).tolist()
    assert len(set(drawn.tolist())) == n


@pytest.mark.parametrize(("share", "n", "expected"), [(0, 40, 0), (0.1, 44, 4), (0.1, 45, 5), (0.5, 3, 2), (1, 7, 7), (0.3, 0, 0)])
def test_two_people_are_asked_about_the_share_of_items_that_was_set(share: float, n: int, expected: int) -> None:
    spec = SPEC.model_copy(update={"overlap_share": share})
    ids = np.arange(100, 100 + n)
    drawn = rounds.draw_twice(spec, 1, ids)
    assert len(set(drawn.tolist())) == len(drawn) == expected and set(drawn.tolist()) <= set(ids.tolist())
    assert drawn.tolist() == rounds.draw_twice(spec, 1, ids[::-1]).tolist()


def test_different_purposes_rounds_and_seeds_draw_differently() -> None:
    ids = np.arange(1000)
    other = SPEC.model_copy(update={"seed": 1})
    draws = [
        tuple(rounds.draw_random(spec, purpose, number, ids, 20))
        for spec in (SPEC, other)
        for purpose in ("test", "train", "certificate")
        for number in (0, 1)
    ]
    assert len(set(draws)) == len(draws)
    with pytest.raises(InvalidValue, match="cannot draw 1001 of 1,000 items"):
        rounds.draw_random(SPEC, "test", 0, ids, 1001)


def skim(ids: list[int], scores: list[float], taken: int, test_scores: dict[int, float]) -> rounds.Skim:
    return rounds.Skim(np.array(ids), np.array(scores), taken, np.array(list(test_scores)), np.array(list(test_scores.values())))


def test_a_test_item_survives_exactly_if_no_acquisition_would_have_taken_it() -> None:
    first = skim([1, 2, 3], [0.1, 0.2, 0.3], 2, {10: 0.05, 11: 0.2, 1: 0.2, 12: 0.25, 13: 0.9})
    second = skim([4], [0.5], 1, {12: 0.5, 13: 0.4})
    test_ids = np.array([1, 10, 11, 12, 13, 14])
    # Cut of the first: score 0.2 at id 2, so id 1 with the same score stands before it and id 11 behind it; 14 came later.
    assert rounds.surviving(test_ids, [first], ()).tolist() == [False, False, True, True, True, True]
    assert rounds.surviving(test_ids, [first, second], ()).tolist() == [False, False, True, True, False, True]
    assert rounds.surviving(test_ids, [first], {11}).tolist() == [False, False, False, True, True, True]


def test_survivors_stand_for_the_pool_without_bias_when_acquisition_skims_the_hardest() -> None:
    generator, gaps, naive = np.random.default_rng(0), [], []
    for _ in range(200):
        difficulty = generator.random(1000)
        wrong = generator.random(1000) < difficulty**2
        test, rest = np.arange(200), np.arange(200, 1000)
        taken = rest[np.argsort(-difficulty[rest])][:300]
        pool = np.setdiff1d(rest, taken)
        alive = rounds.surviving(test, [rounds.Skim(taken, -difficulty[taken], 300, test, -difficulty[test])], ())
        gaps.append(wrong[test][alive].mean() - wrong[pool].mean())
        naive.append(wrong[test].mean() - wrong[pool].mean())
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(200) + 0.002
    assert np.mean(naive) > 0.1


def test_counted_errors_per_theta_equal_a_loop_over_thresholds() -> None:
    test_ids, pool_ids = np.arange(500, 560), np.arange(400)
    test_labels = np.random.default_rng(4).integers(0, 4, 60)
    scored = Scored("frozen", random_logits(60, seed=1), random_logits(400, seed=2), {"fit": 1.0})
    survivors = np.random.default_rng(5).random(60) < 0.8
    labelled = rounds.LabelledTest(test_ids[::-1], test_labels[::-1], survivors[::-1])
    backwards = scored.part(test=np.arange(60)[::-1])
    observation = rounds.measure(SPEC, rounds.Standing(0, 480, 4, 20, len(pool_ids), 80), labelled, [backwards])
    grid = error_curve.theta_grid(0.1)
    counts = error_curve.count(observation, observation.measurements[0], len(grid))
    wrong = scored.test_logits.argmax(1) != test_labels
    pool_surety = sorted(rounds.surety(scored.pool_logits), reverse=True)
    for index, theta in enumerate(grid):
        size = int(theta * 480 + 1e-9)
        inside = rounds.surety(scored.test_logits) >= pool_surety[size - 1] if size < 400 else np.ones(60, dtype=bool)
        assert counts.errors[index] == (wrong & inside & survivors).sum() or size >= 400
    assert counts.errors[-1] == (wrong & survivors).sum()
    assert counts.trials[0] == survivors.sum()
    shares, errors = error_curve.measured(observation, counts, grid)
    assert shares[-1] == pytest.approx(400 / 480)
    assert errors[-1] == pytest.approx(((wrong & survivors).sum() + 1) / survivors.sum() * 400 / 480)  # one more, unseen


def test_items_of_the_certificate_sample_without_a_label_count_as_errors() -> None:
    frozen, classes = np.array([5, 3, 8, 1]), np.array([0, 1, 1, 0])
    outcome = rounds.outcome(1, frozen, classes, {8: 1, 5: None, 1: 1}, 7)
    assert outcome.ranks.tolist() == [0, 2, 3]
    assert outcome.errors.tolist() == [True, False, True]
    with pytest.raises(InvalidValue, match="item 99"):
        rounds.outcome(1, frozen, classes, {99: 0}, 7)
