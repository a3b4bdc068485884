"""The bound per class against a naive reading in exact fractions, every possible sample of small pools, and simulation."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy import stats

from mcal_engine import codec
from mcal_engine.certificates import uniform
from mcal_engine.certificates.per_class import FIRST, LAST, OfClasses, certify_classes, cuts_planned, described, fronts
from mcal_engine.class_forecast import SAMPLED, kept_by_classes
from mcal_engine.engine import decide
from mcal_engine.errors import InvalidValue
from mcal_engine.round import in_machine_set, outcome
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import CertificateOutcome, Certify, HumanLabelAll, LabelByMachine, Measurement, Observation
from tests.engine.worlds import World, run

SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04, min_class_precision=0.8)


@cache
def played(n: int, p: float | None, seed: int = 0):
    return run(World(n=n, seed=seed), SPEC.model_copy(update={"min_class_precision": p}))


def answered(classes: np.ndarray, wrong: np.ndarray, ranks: np.ndarray, cuts: np.ndarray) -> CertificateOutcome:
    return CertificateOutcome(1, len(classes), ranks, wrong[ranks], 0, classes[ranks], cuts, fronts(classes, cuts))


def cuts_about(planned: int, n_pool: int) -> np.ndarray:
    return np.unique(np.clip(np.round(np.arange(FIRST, LAST + 1) * planned / 100).astype(np.int64), 1, n_pool))


def exact_tail(seen: int, population: int, errors: int, draws: int) -> Fraction:
    if errors > population:
        return Fraction(0)
    ways = sum(comb(errors, k) * comb(population - errors, draws - k) for k in range(min(seen, draws) + 1) if k <= errors)
    return Fraction(ways, comb(population, draws))


def naive_cuts(classes: np.ndarray, wrong: np.ndarray, ranks: np.ndarray, cuts: np.ndarray, n_ranked: int, p: Fraction, level: Fraction):
    """The rule as its docstring tells it, item by item."""
    n_pool, n_sample, names = len(classes), len(ranks), range(int(classes.max()) + 1)

    def count(c: int, cut: int) -> int:
        return sum(int(classes[rank]) == c for rank in range(cut))

    def allowed(n: int) -> int:
        expected = n * n_sample / n_pool
        return math.floor((1 - p) * max(n - math.ceil(expected + math.sqrt(expected)), 0))

    planned = min(cuts, key=lambda cut: (abs(cut - cuts[0] * 100 / FIRST), cut))
    largest = sorted(names, key=lambda c: (-count(c, planned), c))
    sizes = [count(c, planned) for c in largest]
    free = [exact_tail(0, n, allowed(n) + 1, n * n_sample // n_pool) for n in sizes]
    able = [place + 1 for place, chance in enumerate(free) if chance <= level / (place + 1) and sizes[place]]
    found = [0] * len(names)
    for c in largest[: max(able, default=0)]:
        share, started = level / max(able), False
        for cut in cuts.tolist():
            n, inside = count(c, cut), [rank for rank in ranks.tolist() if rank < cut and classes[rank] == c]
            started = started or exact_tail(0, n, allowed(n) + 1, n * n_sample // n_pool) <= share
            if not started:
                continue
            seen = sum(bool(wrong[rank]) for rank in inside)
            if exact_tail(seen, n, allowed(n) + 1, len(inside)) > share:
                break
            if cut <= n_ranked and allowed(n) - seen <= math.floor((1 - p) * (n - len(inside))):
                found[c] = cut
    return found


@pytest.mark.slow
def test_the_cuts_are_those_of_a_naive_reading_in_exact_fractions() -> None:
    generator, some = np.random.default_rng(3), 0
    for _ in range(60):
        n_pool = int(generator.integers(60, 140))
        classes = generator.choice(3, n_pool, p=[0.55, 0.35, 0.1])
        wrong = generator.random(n_pool) < np.array([0.02, 0.3, 0.1])[classes]
        ranks = np.sort(generator.permutation(n_pool)[: n_pool // 2])
        cuts, n_ranked = cuts_about(int(0.7 * n_pool), n_pool), int(generator.integers(n_pool // 2, n_pool + 1))
        found = certify_classes(answered(classes, wrong, ranks, cuts), n_ranked, precision=0.75, level=0.25)
        assert found.cut.tolist() == naive_cuts(classes, wrong, ranks, cuts, n_ranked, Fraction(3, 4), Fraction(1, 4))
        some += bool(found.cut.any())
    assert some > 20


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "pattern"), [(0.3, "0110100111"), (0.5, "0011010110")])
def test_among_all_samples_of_a_small_pool_no_more_than_the_level_claim_anything_false(precision: float, pattern: str) -> None:
    """Whatever the overall cut, even if an adversary chose it by what V showed."""
    wrong = np.array([sign == "1" for sign in pattern])
    classes, cuts = np.array([0, 0, 1, 0, 0, 0, 1, 0, 0, 0]), np.arange(5, 11)
    level, false, total = 0.8, 0, 0
    for sample in combinations(range(10), 5):
        ranks = np.array(sample)
        rest = np.ones(10, dtype=bool)
        rest[ranks] = False
        broken = False
        for n_ranked in cuts.tolist():
            found = certify_classes(answered(classes, wrong, ranks, cuts), n_ranked, precision=precision, level=level)
            machine = rest & (np.arange(10) < found.cut[classes])
            for c in range(2):
                mine = machine & (classes == c)
                broken |= bool(wrong[mine].sum() > (1 - precision) * mine.sum() + 1e-9)
        false, total = false + broken, total + 1
    assert 0 < false <= level * total


@pytest.mark.slow
@pytest.mark.parametrize("placing", ["at the bound", "sure end", "one class", "behind the plan"])
def test_both_promises_are_kept_together_wherever_the_errors_are(placing: str) -> None:
    """The share of draws in which either is broken is not above the level by a one-sided binomial test; and not for want of labels."""
    generator, n_pool, n_sample, level, runs, p = np.random.default_rng(9), 1500, 450, 0.05, 150, 0.85
    position, classes = np.arange(n_pool) / n_pool, np.random.default_rng(1).choice(3, n_pool, p=[0.6, 0.3, 0.1])
    rate = {
        "at the bound": np.full(n_pool, 1 - p),
        "sure end": 0.35 * (1 - position) ** 3,
        "one class": np.where(classes == 1, 0.17, 0.01),
        "behind the plan": np.where(position < 0.7, 0.03, 0.5),
    }[placing]
    allowed, cuts = int(0.12 * n_pool), cuts_about(int(0.75 * n_pool), n_pool)
    broken = useful = 0
    for _ in range(runs):
        wrong = generator.random(n_pool) < rate
        ranks = np.sort(generator.permutation(n_pool)[:n_sample])
        seen = answered(classes, wrong, ranks, cuts)
        n_ranked = uniform.certify(seen, allowed=allowed, level=level / 2).n_ranked
        found = certify_classes(seen, n_ranked, precision=p, level=level / 2)
        machine = np.arange(n_pool) < found.cut[classes]
        machine[ranks] = False
        assert np.bincount(classes[machine], minlength=3).tolist() == found.n_machine.tolist()
        errors = np.bincount(classes[machine & wrong], minlength=3)
        broken += bool(errors.sum() > allowed or np.any(errors > (1 - p) * found.n_machine + 1e-9))
        useful += bool(found.n_machine.any())
    assert stats.binomtest(broken, runs, level, alternative="greater").pvalue > 0.01
    assert useful > (runs / 2 if placing in ("one class", "behind the plan") else -1)


def test_cuts_that_are_tested_without_sharing_the_level_break_the_bound() -> None:
    """What the rule is for: taking the longest set in which the sample's own share looks right is wrong about as often as not."""
    generator, n_pool, broken, p = np.random.default_rng(4), 1500, 0, 0.85
    for _ in range(100):
        wrong = generator.random(n_pool) < 1 - p
        ranks = np.sort(generator.permutation(n_pool)[:300])
        share = np.cumsum(wrong[ranks]) / np.arange(1, 301)
        passing = np.flatnonzero(share[100:] <= 1 - p)
        if len(passing):
            rest = np.setdiff1d(np.arange(ranks[100 + passing[-1]]), ranks)
            broken += bool(wrong[rest].sum() > (1 - p) * len(rest))
    assert broken > 25


def of(classes: np.ndarray, wrong: np.ndarray, n_sample: int = 400, n_ranked: int | None = None, seed: int = 0) -> OfClasses:
    ranks = np.sort(np.random.default_rng(seed).permutation(len(classes))[:n_sample])
    cuts = cuts_about(int(0.8 * len(classes)), len(classes))
    return certify_classes(answered(classes, wrong, ranks, cuts), n_ranked or len(classes), precision=0.9, level=0.02)


def test_a_good_class_is_kept_a_bad_one_and_a_rare_one_are_left_to_people() -> None:
    classes = np.random.default_rng(0).choice(3, 3000, p=[0.5, 0.47, 0.03])
    found = of(classes, (classes == 1) & (np.arange(3000) % 4 == 0))
    assert found.n_machine[0] == found.n_offered[0] > 1000
    assert found.left_to_people.tolist() == [1, 2]
    assert (found.n_seen_wrong[2], found.n_machine[2]) == (0, 0)
    assert found.n_seen_wrong[1] > 0.2 * found.n_seen[1]


def test_a_class_whose_unsure_end_is_bad_keeps_its_sure_end() -> None:
    classes = np.arange(6000) % 2
    wrong = (classes == 1) & (np.arange(6000) > 4200) & (np.arange(6000) % 3 == 0)
    found = of(classes, wrong, n_sample=1500)
    assert found.cut_short.tolist() == [1]
    assert 4000 <= found.cut[1] < found.cut[0] == 6000


def test_no_class_goes_beyond_the_overall_cut_and_none_is_tested_far_in_front_of_the_plan() -> None:
    classes, wrong = np.arange(3000) % 2, np.zeros(3000, dtype=bool)
    for n_ranked in (2000, 2400, 2950):
        found = of(classes, wrong, n_ranked=n_ranked)
        assert n_ranked - 24 < found.cut.max() <= n_ranked  # a per cent of the planned cut is 24 items
    assert of(classes, wrong, n_ranked=1900).n_offered.sum() == 0


def test_a_class_that_is_never_predicted_needs_nothing() -> None:
    classes = np.where(np.arange(3000) % 2, 3, 0)
    found = of(classes, np.zeros(3000, dtype=bool))
    assert found.n_offered[[1, 2]].sum() == found.n_machine[[1, 2]].sum() == 0
    assert found.left_to_people.tolist() == []


@pytest.mark.slow
def test_without_a_bound_nothing_more_is_kept_and_with_one_the_table_stays_small() -> None:
    asked = next(row for row in played(1200, 0.8)[0].history if isinstance(row, Certify))
    assert cuts_planned(SPEC.model_copy(update={"min_class_precision": None}), asked, 700, 500) is None
    generator = np.random.default_rng(0)
    n, names = 1_200_000, generator.integers(0, 1000, 1_200_000)
    cuts = cuts_planned(SPEC, asked, n, n)
    assert cuts is not None
    sample = {int(item): 0 for item in generator.permutation(n)[:2000]}
    seen = outcome(1, np.arange(n), names, sample, 0, cuts=cuts)
    assert seen.fronts.shape == (len(cuts), 1000)
    assert seen.fronts[-1].tolist() == np.bincount(names[: cuts[-1]], minlength=1000).tolist()
    assert len(json.dumps(codec.to_json(seen))) < 700_000


@pytest.mark.slow
def test_whole_campaigns_keep_both_promises_and_every_row_survives_json() -> None:
    taken = 0
    for seed in range(3):
        campaign, decision, sets = played(1200, 0.8, seed)
        assert all(codec.to_json(codec.from_json(codec.to_json(row))) == codec.to_json(row) for row in campaign.history)
        assert isinstance(decision, LabelByMachine | HumanLabelAll)
        assert len(sets["wrong"]) <= 0.05 * 1200
        if isinstance(decision, LabelByMachine):
            taken += 1
            assert len(decision.class_cuts) == 5
            assert decision.n_machine == len(sets["machine"])
            assert "right in each class" in decision.verdict.sentence
            assert decide(SPEC, campaign.history[:-1]) == decision
    assert taken >= 2


@pytest.mark.slow
def test_rows_from_before_there_was_a_bound_can_still_be_read() -> None:
    campaign = played(1200, None)[0]
    for row in campaign.history:
        old = codec.to_json(row)
        for name in ("classes", "cuts", "fronts", "class_cuts"):
            old.pop(name, None)
        for measurement in old.get("measurements", ()):
            measurement.pop("predicted")
        read = codec.from_json(old)
        if isinstance(read, Observation):
            assert len(read.measurements[0].predicted) == 0
        else:
            assert codec.to_json(read) == codec.to_json(row)


@pytest.mark.slow
def test_without_cuts_per_class_the_machine_has_all_of_the_prefix() -> None:
    decision = played(1200, None)[1]
    assert isinstance(decision, LabelByMachine)
    assert decision.class_cuts == ()
    assert int(in_machine_set(decision, np.zeros(1200, dtype=np.int64)).sum()) == decision.n_ranked


def test_what_cuts_mean_can_be_told_without_testing_anything_again() -> None:
    classes = np.random.default_rng(0).choice(3, 3000, p=[0.5, 0.47, 0.03])
    wrong = (classes == 1) & (np.arange(3000) % 4 == 0)
    ranks, cuts = np.sort(np.random.default_rng(2).permutation(3000)[:400]), cuts_about(2400, 3000)
    seen = answered(classes, wrong, ranks, cuts)
    found = certify_classes(seen, 2700, precision=0.9, level=0.02)
    again = described(seen, 2700, found.cut)
    assert all(getattr(again, name).tolist() == getattr(found, name).tolist() for name in OfClasses.__slots__)


def forecast(predicted: np.ndarray, correct: np.ndarray, p: float = 0.9, factor: float = 1.0) -> np.ndarray:
    n = len(predicted)
    spec = SPEC.model_copy(update={"min_class_precision": p})
    measurement = Measurement("frozen", np.full(n, 2), correct, 1.0, 0.0, predicted)
    observation = Observation(0, 10_000, 3, 300, 9000, 0, 0, 300 + n, np.arange(n), np.ones(n, dtype=bool), (measurement,))
    kept = kept_by_classes(spec, observation, measurement, (np.array([0.0, 0.5, 0.9]), np.array([0.0, 0.01, 0.04])), 0.02)
    assert kept is not None
    return kept.at(SAMPLED, np.full(len(SAMPLED), kept.error * factor))


def test_the_forecast_keeps_nothing_with_a_tiny_sample_and_the_good_classes_with_a_large_one() -> None:
    predicted = np.repeat([0, 1, 2], [150, 100, 50])
    kept = forecast(predicted, ~((predicted == 1) & (np.arange(300) % 4 == 0)))
    assert kept[SAMPLED < 30].max() == 0
    assert kept[-1] == pytest.approx(2 / 3, abs=0.01)
    assert np.all(np.diff(kept) > -0.2)


def test_a_classifier_with_fewer_errors_is_forecast_to_keep_more() -> None:
    predicted = np.repeat([0, 1, 2], [150, 100, 50])
    correct = ~((predicted == 1) & (np.arange(300) % 4 == 0))
    more, today, less = (forecast(predicted, correct, factor=factor) for factor in (2.0, 1.0, 0.125))
    assert np.all(more <= today) and np.all(today <= less)
    assert less[-1] == pytest.approx(1.0)


def test_histories_without_predicted_classes_are_planned_as_without_a_bound() -> None:
    measurement = Measurement("frozen", np.zeros(3, dtype=np.int64), np.ones(3, dtype=bool), 1.0)
    observation = Observation(0, 100, 3, 10, 80, 0, 0, 13, np.arange(3), np.ones(3, dtype=bool), (measurement,))
    assert kept_by_classes(SPEC, observation, measurement, (np.array([0.0, 0.8]), np.array([0.0, 0.01])), 0.02) is None


@pytest.mark.slow
def test_a_bound_per_class_asks_for_a_larger_sample() -> None:
    sizes = [next(row.n_certificate for row in played(1200, p)[0].history if isinstance(row, Certify)) for p in (None, 0.8)]
    assert sizes[1] > 1.5 * sizes[0]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"min_class_precision": 1}, r"min_class_precision must be in \(0, 1\), got 1"),
        ({"min_class_precision": 90}, r"got 90 \(did you mean 0.9\?\)"),
        ({"min_class_precision": 0}, "got 0"),
        ({"min_class_precision": "much"}, "min_class_precision must be a number"),
        ({"guarantee": "estimate"}, "certificate sample, which guarantee = certified .* draws: leave it empty with guarantee = estimate"),
        ({"budget": 50}, "and a budget"),
    ],
)
def test_a_bound_that_cannot_be_kept_is_refused_with_the_rule(changes: dict[str, object], rule: str) -> None:
    with pytest.raises(InvalidValue, match=rule):
        CampaignSpec.parse({"target_error": 0.05, "price_per_label": 0.04, "min_class_precision": 0.9, **changes})


def test_an_empty_field_is_no_bound() -> None:
    assert CampaignSpec.parse({"target_error": 0.05, "price_per_label": 0.04, "min_class_precision": ""}).min_class_precision is None
