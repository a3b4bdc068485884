"""The parts of the validity benchmark, each against a reference that was computed in another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mcal_engine.bench.validity import findings as verdict
from mcal_engine.bench.validity import rules
from mcal_engine.bench.validity.ridge import RidgeClassifier, reduced_features
from mcal_engine.bench.validity.worlds import spec_for
from mcal_engine.certificates import uniform
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.curves import error_curve
from mcal_engine.types import CertificateOutcome, Measurement, Observation
from tests.engine.simulator import toy


@pytest.mark.parametrize(("n_pool", "n_sample", "allowed"), [(1300, 140, 75), (6400, 420, 500), (8700, 800, 200), (60_000, 1000, 3500)])
def test_three_constructions_agree_on_the_same_sample_the_exact_one_tolerating_most(n_pool: int, n_sample: int, allowed: int) -> None:
    share, level = (allowed + 1) / n_pool, 0.04
    exact = uniform.tolerated_errors(n_pool=n_pool, n_sample=n_sample, allowed=allowed, level=level)
    clopper_pearson = rules.clopper_pearson_count(n_sample, share, level)
    pac_labels = rules.pac_labels_count(n_sample, share, level)
    assert exact is not None
    assert clopper_pearson is not None
    assert pac_labels is not None
    assert pac_labels <= clopper_pearson <= exact
    assert exact - pac_labels <= 0.25 * exact + 4


@pytest.mark.parametrize(("n_sample", "share"), [(60, 0.08), (300, 0.05), (900, 0.02), (40, 0.9)])
def test_clopper_pearsons_count_is_the_last_whose_upper_bound_stays_below_the_share(n_sample: int, share: float) -> None:
    level = 0.04

    def bound(count: int) -> float:
        return float(stats.beta.ppf(1 - level, count + 1, n_sample - count)) if count < n_sample else 1.0

    fine = [count for count in range(n_sample + 1) if bound(count) <= share]
    assert rules.clopper_pearson_count(n_sample, share, level) == (fine[-1] if fine else None)


def test_a_betting_bound_is_broken_no_more_often_than_its_level_and_too_small_a_sample_says_nothing() -> None:
    for n_sample, share in [(120, 0.05), (400, 0.03), (1000, 0.3)]:
        count = rules.pac_labels_count(n_sample, share, 0.04)
        assert count is not None
        assert stats.binom.cdf(count, n_sample, share) <= 0.04
    assert rules.pac_labels_count(5, 0.02, 0.04) is None
    assert rules.cut_at_count(_outcome([1, 4], [True, False]), None) == 0


def _outcome(ranks: list[int], errors: list[bool], n_pool: int = 50) -> CertificateOutcome:
    return CertificateOutcome(1, n_pool, np.array(ranks, dtype=np.int64), np.array(errors), 0)


def test_a_cut_stands_in_front_of_the_first_error_that_is_not_tolerated() -> None:
    outcome = _outcome([2, 9, 20, 33], [True, False, True, True])
    assert [rules.cut_at_count(outcome, count) for count in range(4)] == [2, 20, 33, 50]


def _observation(correct: list[bool], survivors: list[bool], n_items: int, n_pool: int) -> Observation:
    n = len(correct)
    measured = Measurement("ridge", np.zeros(n, dtype=np.int64), np.array(correct), 0.0)
    return Observation(0, n_items, 10, 0, n_pool, 0, 0, 0, np.arange(n), np.array(survivors), (measured,))


def test_the_plain_estimate_stands_between_two_errors_of_the_survivors_as_the_tolerated_count_says() -> None:
    places = np.array([10, 300, 200, 100, 250])
    observation = _observation([True, False, False, False, False], [True, True, True, True, False], 1000, 400)
    # Errors of survivors at 100, 200 and 300; one of 4 survivors stands for 100 items.
    assert rules.survivors_cut(0.1, observation, places) == 100
    assert rules.survivors_cut(0.25, observation, places) == 250
    assert rules.survivors_cut(0.05, observation, places) == 50
    assert rules.survivors_cut(0.3, observation, places) == 400
    assert rules.plug_in_cut(0.24, observation, places) == 250  # of all of T, three of five items: the third error of 100, 200, 250, 300


def test_a_test_item_stands_behind_the_pool_items_that_are_surer() -> None:
    logits = np.array([[0.0, 3.5], [9.0, 0.0], [1.0, 1.0]])
    assert rules.places_in(np.array([5.0, 4.0, 3.0, 0.5]), logits).tolist() == [2, 0, 4]


def test_the_plain_estimate_is_unbiased_when_the_survivors_are_a_random_part() -> None:
    generator, errors = np.random.default_rng(2), []
    wrong = generator.random(6000) < np.linspace(0, 0.8, 6000) ** 2
    for _ in range(400):
        test = np.zeros(6000, dtype=bool)
        test[generator.choice(6000, 500, replace=False)] = True
        places = np.cumsum(~test)[test]
        observation = _observation((~wrong[test]).tolist(), [True] * 500, 6000, 5500)
        cut = rules.survivors_cut(0.05, observation, places)
        errors.append(int(wrong[~test][:cut].sum()) / 300)
    assert np.mean(errors) == pytest.approx(1, abs=3 * np.std(errors) / 20)


def test_the_papers_rule_takes_the_largest_theta_of_its_grid_that_all_of_the_test_set_allows() -> None:
    generator = np.random.default_rng(4)
    spec = spec_for(0.05, 0)
    grid = error_curve.theta_grid(spec.theta_step)
    for _ in range(40):
        n_test, n_items, n_pool = 80, 1000, int(generator.integers(400, 900))
        level, correct = generator.integers(0, len(grid) + 1, n_test), generator.random(n_test) < generator.uniform(0.8, 1.0)
        observation = Observation(
            0, n_items, 10, n_items - n_pool - n_test, n_pool, 0, 0, 0, np.arange(n_test), np.ones(n_test, dtype=bool),
            (Measurement("ridge", level, correct, 0.0),),
        )  # fmt: skip
        expected = 0
        for place, theta in enumerate([*grid, 1.0]):
            if np.sum(~correct & (level <= place)) <= 0.05 * n_test:
                expected = max(expected, min(round(theta * n_items), n_pool))
        assert rules.theta_grid_cut(spec, observation) == expected


@pytest.mark.parametrize(("k", "n"), [(0, 20), (3, 60), (29, 60), (60, 60)])
def test_a_share_has_scipys_exact_interval_and_p_value(k: int, n: int) -> None:
    share = verdict.Share(k, n)
    exact = stats.binomtest(k, n).proportion_ci(0.95, "exact")
    assert share.interval == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert share.p_value == pytest.approx(stats.binomtest(k, n, 0.05, "greater").pvalue)


def _row(seed: int, n_items: int, target: float, found: dict[str, list[int]], **reading: Any) -> dict[str, Any]:
    one = {"target_error": target, "allowed": round(target * n_items), "rules": found} | reading
    result = {"n_items": n_items, "n_pool": 900, "pool_errors": 200, "seconds": 0.5, "readings": [one]}
    return {"key": str(seed), "task": {"kind": "fixed", "seed": seed}, "data": {"name": "made up"}, "result": result, "versions": {}}


def _rows(broken: int, n: int, target: float = 0.05, **reading: Any) -> list[dict[str, Any]]:
    estimates = {"survivors": [800, 50], "engine_estimate": [790, 48]}
    certificates = [{"certificate": [700, 60 if seed < broken else 10]} for seed in range(n)]
    return [_row(seed, 1000, target, estimates | found, **reading) for seed, found in enumerate(certificates)]


def test_a_promise_broken_too_often_is_red_pooled_or_in_one_cell() -> None:
    assert [finding.good for finding in verdict.findings(_rows(3, 60))] == [True]
    pooled = verdict.findings(_rows(8, 60))
    assert [finding.good for finding in pooled] == [False, False]
    assert "broken in 8 of 60 runs" in pooled[0].sentence
    # Six of 30 in one cell are too many, although six of 130 are not.
    by_cell = [finding.good for finding in verdict.findings([*_rows(6, 30), *_rows(0, 100, 0.1)])]
    assert by_cell == [True, False]


def test_an_estimate_off_by_more_than_three_per_cent_is_red_where_the_target_binds() -> None:
    def verdicts(errors: int, pool_errors: int) -> list[bool]:
        rows = [_row(seed, 10_000, 0.05, {"survivors": [7000, errors + seed % 3], "engine_estimate": [6900, 480]}) for seed in range(30)]
        for row in rows:
            row["result"]["pool_errors"] = pool_errors
        return [finding.good for finding in verdict.findings(rows)]

    assert verdicts(505, 900) == [True]
    assert verdicts(520, 900) == [False]
    assert verdicts(420, 520) == []


def test_a_wrong_miss_probability_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    tolerated = uniform.tolerated_errors(n_pool=900, n_sample=120, allowed=50, level=0.04)
    rows = _rows(0, 20, tolerated=tolerated, n_certificate=120, level=0.04)
    assert all(finding.good for finding in verdict.findings(rows))
    assert not all(
        finding.good for finding in verdict.findings(_rows(0, 20, tolerated=(tolerated or 0) + 1, n_certificate=120, level=0.04))
    )
    monkeypatch.setattr(rules, "computed_miss", lambda *_: 0.03)
    assert not all(finding.good for finding in verdict.findings(rows))


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 300])
def test_ridge_regression_solves_the_normal_equations_at_the_strength_of_least_cross_validated_error(n: int) -> None:
    generator = np.random.default_rng(n)
    features = generator.normal(size=(n, 90)).astype(np.float32)
    labels = np.argmax(features[:, :3] + generator.normal(size=(n, 3)), axis=1)
    model = RidgeClassifier(features)
    rows = generator.permutation(n)
    model.fit(rows, labels[rows], 4, seed=0)
    x, y = features.astype(np.float64), np.eye(3)[labels]
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    values = np.linalg.eigvalsh(x @ x.T if n < 90 else x.T @ x)
    strengths = values[values > values.max() * 1e-10].mean() * np.geomspace(1e-3, 30.0, 16)

    def error(strength: float) -> float:
        hat = x @ np.linalg.solve(x.T @ x + strength * np.eye(90), x.T)
        return float(((y - hat @ y) ** 2).sum() / (n - 1 - np.trace(hat)) ** 2)

    best = min(strengths, key=error)
    expected = x @ np.linalg.solve(x.T @ x + best * np.eye(90), x.T @ y) + np.eye(3)[labels].mean(axis=0)
    logits = model.logits(np.arange(n))
    assert logits[:, :3] == pytest.approx(8 * expected, abs=2e-4)
    assert (logits[:, 3] < logits[:, :3].min(axis=1)).all()  # a class without an example


def test_reduced_features_are_the_principal_components_and_are_computed_once(tmp_path: Path) -> None:
    data = toy.toy_data(300)
    classifier = toy.RidgeClassifier(ArrayImages(data.images))
    file = tmp_path / "deep" / "reduced.npy"
    found = reduced_features(classifier, 300, file, 5)
    x = classifier.features(np.arange(300))
    standard = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)
    left, singular, _ = np.linalg.svd(standard, full_matrices=False)
    expected = left[:, :5] * singular[:5]
    signs = np.sign((found * expected).sum(axis=0))
    assert found * signs == pytest.approx(expected, abs=2e-2)
    file.write_bytes(file.read_bytes())
    classifier.features = None  # type: ignore[assignment]
    assert np.array_equal(reduced_features(classifier, 300, file, 5), found)
