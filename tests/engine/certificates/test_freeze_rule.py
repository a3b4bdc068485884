"""The estimate of a pool's errors that the freeze rests on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcal_engine.certificates import freeze_rule
from mcal_engine.certificates.freeze_rule import Foretold
from mcal_engine.errors import InvalidValue


def chance(surety: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(1.2 - 2.5 * np.log1p(surety))))


def a_pool(seed: int) -> tuple[Foretold, np.ndarray, int]:
    """80 items that stand for the pool, 120 from its unsure end, and a pool of 1,500 with its true number of errors."""
    generator = np.random.default_rng(seed)
    pool = generator.gamma(1.2, 3.0, 1_500)
    seen = np.concatenate([generator.choice(pool, 80), np.sort(pool)[:120] * 0.8])
    return Foretold(seen, generator.random(200) < chance(seen)), pool, int((generator.random(1_500) < chance(pool)).sum())


def test_over_many_pools_the_estimate_is_right_in_the_mean_and_steadier_than_counting_the_random_items() -> None:
    found, counted = [], []
    for seed in range(150):
        foretold, pool, errors = a_pool(seed)
        found.append(freeze_rule.pool_errors(foretold, pool) / errors)
        counted.append(foretold.wrong[:80].mean() * len(pool) / errors)
    assert np.mean(found) == pytest.approx(1, abs=0.1)
    assert np.std(found) < 0.75 * np.std(counted)


def test_with_nothing_foretold_every_label_of_the_pool_may_be_wrong() -> None:
    nothing = Foretold(np.zeros(0), np.zeros(0, dtype=np.bool_))
    assert freeze_rule.pool_errors(nothing, np.ones(40)) == 40


def test_predictions_that_were_all_right_or_all_wrong_give_a_number_all_the_same() -> None:
    surety, pool = np.linspace(0, 20, 60), np.linspace(0, 30, 500)
    few = freeze_rule.pool_errors(Foretold(surety, np.zeros(60, dtype=np.bool_)), pool)
    many = freeze_rule.pool_errors(Foretold(surety, np.ones(60, dtype=np.bool_)), pool)
    assert 0 <= few < 20
    assert 480 < many <= 500


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1, max_size=60), st.lists(st.floats(0, 1e6), max_size=60))
def test_an_estimate_is_a_number_of_items_of_the_pool(seen: list[tuple[float, bool]], pool: list[float]) -> None:
    foretold = Foretold(np.array([one[0] for one in seen]), np.array([one[1] for one in seen]))
    assert 0 <= freeze_rule.pool_errors(foretold, np.array(pool, dtype=np.float64)) <= len(pool) + 1e-9


def test_the_freeze_is_due_where_the_pool_holds_few_enough_errors_for_its_allowance() -> None:
    assert freeze_rule.is_due(freeze_rule.POOL_ERRORS * 75, 75)
    assert not freeze_rule.is_due(freeze_rule.POOL_ERRORS * 75 + 1, 75)


def test_the_first_items_and_the_batches_grow_with_the_root_of_the_project() -> None:
    assert [freeze_rule.first_size(n) for n in (3, 1_500, 10_000)] == [3, 77, 200]
    assert [freeze_rule.batch_size(n) for n in (0, 1_500, 70_000)] == [1, 39, 265]


def test_each_prediction_needs_its_verdict() -> None:
    with pytest.raises(InvalidValue, match="one length"):
        freeze_rule.pool_errors(Foretold(np.zeros(2), np.zeros(3, dtype=np.bool_)), np.zeros(4))
