"""Decisions: stopping, replay, laws of cost, and the outcomes a campaign can have."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcal_engine import codec, engine
from mcal_engine.engine import Engine, decide
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.forecast import forecast
from mcal_engine.policy import stable
from mcal_engine.situation import Situation
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, CertificateOutcome, Certify, Decision, HumanLabelAll, LabelByMachine, Observation, Plan, StopReason
from tests.engine.worlds import World, run

SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04)


@cache
def played(seed: int = 0, n: int = 1200) -> tuple[Engine, Decision, dict[str, np.ndarray]]:
    return run(World(seed=seed, n=n), SPEC)


@pytest.mark.slow
def test_a_learnable_world_ends_certified_with_most_labels_from_the_machine() -> None:
    _, decision, sets = played()
    assert isinstance(decision, LabelByMachine)
    assert decision.certified
    assert decision.n_machine == len(sets["machine"])
    assert len(sets["wrong"]) <= 0.05 * 1200
    assert len(sets["machine"]) > 0.5 * 1200
    assert decision.error_upper_bound is not None
    assert len(sets["wrong"]) / 1200 <= decision.error_upper_bound <= 0.05


@pytest.mark.slow
def test_each_decision_to_go_on_says_the_rule_that_did_not_let_the_search_end() -> None:
    spec = CampaignSpec(target_error=0.05, price_per_label=0.04, machine_price_per_hour=1.0)
    reasons = set()
    for seed in range(4):
        history = run(World(seed=seed, hardness=1.5), spec)[0].history
        plans: list[Plan] = []
        for row in history:
            if isinstance(row, Acquire) and row.plan is not None:
                reasons.add(_check_reason(spec, row, row.plan, plans))
                plans.append(row.plan)
    assert reasons == {"to learn", "not stable", "less than finishing now"}


def _check_reason(spec: CampaignSpec, row: Acquire, plan: Plan, before: list[Plan]) -> str:
    assert f"{row.n_train:,} more label" in row.sentence and f"for {row.n_train * spec.price_per_label:,.2f} USD" in row.sentence
    if "to learn" in row.sentence:
        assert plan.low is None
        return "to learn"
    assert f"{plan.total_cost:,.2f} USD (90 % band {plan.low:,.2f} to {plan.high:,.2f})" in row.sentence
    agrees = bool(before) and before[-1].low is not None
    agrees = agrees and abs(before[-1].total_cost - plan.total_cost) <= spec.stability_tolerance * plan.total_cost
    if "not stable" in row.sentence:
        assert not agrees
        return "not stable"
    gain = plan.total_cost_now - plan.total_cost
    assert agrees and gain > 0 and f"{gain:,.2f} less than finishing now" in row.sentence and plan.n_train > 0
    return "less than finishing now"


@pytest.mark.slow
def test_the_four_sets_and_the_residual_never_overlap() -> None:
    _, _, sets = played(4)
    everything = np.concatenate([sets[name] for name in ("test", "train", "sample", "machine")])
    assert len(np.unique(everything)) == len(everything)


def test_an_estimate_campaign_machine_labels_without_a_sample() -> None:
    _, decision, sets = run(World(n=1000), CampaignSpec(target_error=0.05, price_per_label=0.04, guarantee="estimate"))
    assert isinstance(decision, LabelByMachine)
    assert not decision.certified
    assert decision.error_upper_bound is None
    assert decision.error_estimate <= 0.05 + 1e-9
    assert len(sets["sample"]) == 0


def test_hopeless_labels_end_with_people_labelling_everything_within_the_exploration_tax() -> None:
    world = World(hardness=400.0, seconds=2000.0, n=1500)
    spec = CampaignSpec(target_error=0.05, price_per_label=0.04, machine_price_per_hour=3.6)
    campaign, decision, _ = run(world, spec)
    assert isinstance(decision, HumanLabelAll)
    assert decision.verdict.reason is StopReason.EXPLORATION_TAX
    spent = sum(row.training_seconds for row in campaign.history if isinstance(row, Observation)) / 3600 * 3.6
    assert spent <= 0.10 * 0.04 * 1500


@pytest.mark.slow
def test_cheap_training_on_hopeless_labels_also_ends_with_people_before_they_labelled_everything() -> None:
    _, decision, sets = run(World(hardness=400.0, seconds=0.01), SPEC)
    assert isinstance(decision, HumanLabelAll)
    assert decision.verdict.reason is StopReason.MACHINE_CANNOT_PAY
    assert len(sets["train"]) < 1000


@pytest.mark.slow
def test_any_prefix_of_a_history_replays_to_the_same_decisions_also_from_json() -> None:
    campaign, _, _ = played()
    rows = [codec.from_json(json.loads(json.dumps(codec.to_json(row)))) for row in campaign.history]
    checked = 0
    for end in range(1, len(rows)):
        if isinstance(rows[end - 1], Observation | CertificateOutcome):
            assert codec.to_json(decide(SPEC, rows[:end])) == codec.to_json(campaign.history[end])
            checked += 1
    assert checked >= 5


@pytest.mark.slow
@settings(max_examples=4)
@given(factor=st.sampled_from([0.01, 0.5, 3.0, 1000.0]), seed=st.integers(0, 20))
def test_scaling_every_price_scales_every_cost_and_changes_no_decision(factor: float, seed: int) -> None:
    world = World(seed=seed, n=600)
    spec = CampaignSpec(target_error=0.06, price_per_label=0.04, machine_price_per_hour=0.5)
    scaled = CampaignSpec(target_error=0.06, price_per_label=0.04 * factor, machine_price_per_hour=0.5 * factor)
    plain, last, _ = run(world, spec)
    dear, dear_last, _ = run(world, scaled)
    assert [type(row) for row in plain.history] == [type(row) for row in dear.history]
    assert [row.n_train for row in plain.history if isinstance(row, Acquire)] == [r.n_train for r in dear.history if isinstance(r, Acquire)]
    for one, other in zip(plain.history, dear.history, strict=True):
        if isinstance(one, Acquire) and one.plan and isinstance(other, Acquire) and other.plan:
            assert other.plan.total_cost == pytest.approx(one.plan.total_cost * factor, rel=1e-6)
    assert getattr(last, "n_machine", 0) == getattr(dear_last, "n_machine", 0)


@pytest.mark.slow
def test_a_stop_request_certifies_with_the_plan_in_hand() -> None:
    campaign, _, _ = played()
    cut = next(i for i, row in enumerate(campaign.history) if isinstance(row, Observation) and row.round == 4)
    decision = decide(SPEC, campaign.history[: cut + 1], stop_requested=True)
    assert isinstance(decision, Certify | HumanLabelAll)
    assert decision.verdict.reason is StopReason.STOPPED_BY_ADMIN


@pytest.mark.slow
def test_a_failed_certificate_leaves_everything_to_people() -> None:
    campaign, _, _ = played()
    end = next(i for i, row in enumerate(campaign.history) if isinstance(row, Certify))
    asked = campaign.history[end]
    assert isinstance(asked, Certify)
    pool = next(row for row in reversed(campaign.history[:end]) if isinstance(row, Observation)).n_pool
    ranks = np.linspace(0, pool - 1, asked.n_certificate).astype(np.int64)
    all_wrong = CertificateOutcome(1, pool, ranks, np.ones(len(ranks), dtype=bool), 1200 - pool + len(ranks))
    decision = decide(SPEC, [*campaign.history[: end + 1], all_wrong])
    assert isinstance(decision, HumanLabelAll)
    assert decision.verdict.reason is StopReason.CERTIFICATE_FAILED


@pytest.mark.slow
def test_a_changed_price_makes_the_forecast_unstable_again() -> None:
    """A price that drifts, as a measured one does, is no change of plan; another price is."""
    campaign, _, _ = played()
    end = next(place for place, row in enumerate(campaign.history) if isinstance(row, Certify))

    def stable_at(price: float) -> bool:
        spec = SPEC.model_copy(update={"price_per_label": price, "stability_tolerance": 0.3})
        situation = Situation.after(spec, campaign.history[:end])
        return stable(situation, forecast(situation, situation.observation.measurements[0]).plan)

    assert stable_at(0.04)
    assert stable_at(0.042)
    assert not stable_at(0.08)


@pytest.mark.slow
def test_more_labels_are_never_asked_than_there_are_items() -> None:
    for n in (40, 200):
        _, _, sets = run(World(n=n), SPEC)
        assert len(sets["test"]) + len(sets["train"]) + len(sets["sample"]) <= n


@pytest.mark.slow
def test_a_race_drops_the_candidate_that_cannot_win() -> None:
    spec = CampaignSpec(target_error=0.05, price_per_label=0.04, classifiers=("good", "bad"))
    good, _, _ = run(World(n=1500), CampaignSpec(target_error=0.05, price_per_label=0.04, classifiers=("good",)))
    rows: list[engine.Row] = []
    decision = None
    for row in good.history:
        if isinstance(row, Observation):
            flipped = np.where(np.arange(len(row.test_ids)) % 2 == 0, False, row.measurements[0].correct)
            bad = replace(row.measurements[0], classifier="bad", correct=flipped, level=np.zeros_like(row.measurements[0].level))
            rows.append(replace(row, measurements=(row.measurements[0], bad)))
            decision = decide(spec, rows)
            if isinstance(decision, Acquire) and decision.candidates == ("good",):
                break
            rows.append(decision)
    assert isinstance(decision, Acquire)
    assert decision.candidates == ("good",)


def test_a_row_that_does_not_follow_is_refused() -> None:
    campaign = Engine(SPEC, 500, 3)
    with pytest.raises(HistoryError, match="Acquire is not followed by CertificateOutcome"):
        campaign.tell(CertificateOutcome(1, 10, np.array([1]), np.array([True]), 0))
    with pytest.raises(HistoryError):
        decide(SPEC, [])


def test_a_label_config_with_one_choice_is_refused() -> None:
    with pytest.raises(InvalidValue, match="at least 2 choices"):
        engine.start(SPEC, 500, 1, 500)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"target_error": 5, "price_per_label": 0.04}, r"target_error must be in \(0, 1\), got 5 \(did you mean 0.05\?\)"),
        ({"target_error": 0, "price_per_label": 0.04}, r"target_error must be in \(0, 1\), got 0"),
        ({"target_error": 0.05, "price_per_label": 0}, "price_per_label must be at least 0.000001, got 0"),
        (
            {"target_error": 0.05, "price_per_label": "cheap"},
            "price_per_label must be a number, got 'cheap'",
        ),
        ({"target_error": 0.05}, "price_per_label is required"),
        ({"target_error": 0.05, "price_per_label": 1, "delta": 5}, "unknown setting 'delta'; known settings: .*target_error"),
        ({"target_error": 0.05, "price_per_label": 1, "test_size": 3}, "test_size must be at least 20, got 3"),
        ({"target_error": 0.05, "price_per_label": 1, "test_size": 30.5}, r"test_size must be a whole number, got 30\.5"),
        ({"target_error": 0.05, "price_per_label": 1, "max_rounds": 2000}, "max_rounds must be at most 1,000, got 2000"),
        ({"target_error": 0.05, "price_per_label": 1, "seed": 2**31}, "seed must be at most 2,147,483,647, got 2147483648"),
        (
            {"target_error": 0.05, "price_per_label": 1, "confidence_level": 95},
            r"confidence_level must be in \(0.5, 1\), got 95 \(did you mean 0\.95\?\)",
        ),
        ({"target_error": 0.05, "price_per_label": 1, "machine_price_per_hour": "cheap"}, "machine_price_per_hour must be a number"),
    ],
)
def test_a_bad_setting_is_named_with_its_rule(values: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidValue, match=text):
        CampaignSpec.parse(values)


@pytest.mark.parametrize(
    ("n_items", "target_error", "rule", "says"),
    [
        # f(0) = (1 − q)^(E + 1) or less must be within the only look's level .05: q ≈ 1 − .05^(1/11) = .238 of 162.
        (200, 0.05, "uniform", "at most 10 errors among 200 items, a blind sample of 38 or more (1.52 USD) is needed: with a perfect clas"),
        (200, 0.004, "uniform", "at most 0 errors among 200 items, a blind sample of 154 or more (6.16 USD)"),
        (20, 0.01, "uniform", "at most 0 errors among 20 items can only be certified by labelling everything"),
        # q = 1.1/√75 = .127 of the 1,323 that T and B0 leave: 168, less what rounding takes.
        (1500, 0.05, "two_bands", "at most 75 errors among 1,500 items, a blind sample of about 1"),
        # What may be one uniform sample needs the least of it: q = 1 − .05^(1/76) = .039 of the 1,323: 52.
        (1500, 0.05, "cheaper", "at most 75 errors among 1,500 items, a blind sample of 52 or more"),
        (20, 0.01, "two_bands", "at most 0 errors among 20 items can only be certified by labelling everything"),
    ],
)
def test_a_campaign_begins_with_what_certainty_costs(n_items: int, target_error: float, rule: str, says: str) -> None:
    spec = SPEC.model_copy(update={"target_error": target_error, "certificate_rule": rule})
    assert says in engine.start(spec, n_items, 10, n_items).sentence.replace("At", "at")


def test_where_nothing_is_certified_certainty_has_no_price() -> None:
    assert "certify" not in engine.start(SPEC.model_copy(update={"guarantee": "estimate"}), 200, 10, 200).sentence
