"""Two harvests on one promise: what each may use, what stands for the rest, and whole campaigns of the same engine."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcal_engine import certificate, codec, harvest
from mcal_engine import round as rounds
from mcal_engine.engine import Engine, decide
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.simulator.campaign import SimulatedCampaign, simulate
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.report import report
from mcal_engine.simulator.truth import true_machine_errors
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, CertificateOutcome, Certify, HumanLabelAll, LabelByMachine, Observation, Row, StopReason
from tests.engine.simulator.toy import toy_data, toy_machines

SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04, second_harvest=0.3)
N = 1200


@cache
def played(n: int = N, noise: float = 110.0) -> tuple[SimulatedCampaign, np.ndarray]:
    data = toy_data(n, noise=noise)
    return simulate(np.arange(n), 4, Annotators(data.labels), SPEC, toy_machines(data)), data.labels


def rows_of(campaign: SimulatedCampaign, kind: type) -> list[Row]:
    return [row for row in campaign.history if isinstance(row, kind)]


def up_to_first_harvest() -> tuple[Row, ...]:
    history = played()[0].history
    return history[: next(place for place, row in enumerate(history) if isinstance(row, LabelByMachine)) + 1]


@pytest.mark.slow
def test_a_campaign_harvests_twice_and_every_item_is_labelled_once() -> None:
    campaign, labels = played()
    first, second = rows_of(campaign, LabelByMachine)
    assert isinstance(first, LabelByMachine)
    assert isinstance(second, LabelByMachine)
    assert (first.last, second.last) == (False, True)
    assert second.look > first.look
    assert len(campaign.machine_ids) == first.n_machine + second.n_machine
    assert second.n_machine > 20
    parts = (campaign.test_ids, campaign.train_ids, campaign.certificate_ids, campaign.residual_ids, campaign.machine_ids)
    assert sorted(np.concatenate(parts)) == list(range(N))
    assert campaign.n_labels_paid == N - len(campaign.machine_ids)
    assert true_machine_errors(labels, campaign) <= 0.05 * N


def test_both_certificates_share_the_errors_and_the_level() -> None:
    campaign, _ = played()
    first, second = rows_of(campaign, LabelByMachine)
    asked = rows_of(campaign, Certify)
    assert isinstance(first, LabelByMachine)
    assert isinstance(second, LabelByMachine)
    assert asked[0].level == pytest.approx(0.05 * 0.7 * 0.8)
    assert sum(row.level for row in asked) <= 0.05
    assert first.error_upper_bound is not None
    assert second.error_upper_bound is not None
    assert first.error_upper_bound * N <= 60 - 18 + 1e-9
    assert first.error_upper_bound < second.error_upper_bound <= 0.05
    assert first.error_estimate < second.error_estimate <= second.error_upper_bound


def test_the_second_sample_has_nothing_of_the_first_harvest_and_the_first_sample_joins_the_test_set() -> None:
    campaign, _ = played()
    first = rows_of(campaign, LabelByMachine)[0]
    first_machine = set(campaign.machine_ids[: first.n_machine].tolist())
    later = [row for row in campaign.observations if row.n_machine]
    assert {row.n_machine for row in later} == {first.n_machine}
    before = next(row for row in reversed(campaign.observations) if not row.n_machine)
    outcome = rows_of(campaign, CertificateOutcome)[0]
    assert len(later[0].test_ids) == len(before.test_ids) + len(outcome.ranks)
    assert not first_machine & set(later[0].test_ids.tolist())
    assert not first_machine & set(campaign.certificate_ids.tolist())
    assert later[0].n_pool + first.n_machine + later[0].n_train + len(later[0].test_ids) == N


def test_test_items_in_front_of_the_cut_stand_for_nothing_that_is_left() -> None:
    """V's items behind the cut survive, those in front do not: the frozen order says which are which."""
    campaign, _ = played()
    outcome, first = rows_of(campaign, CertificateOutcome)[0], rows_of(campaign, LabelByMachine)[0]
    before = next(row for row in reversed(campaign.observations) if not row.n_machine)
    after = next(row for row in campaign.observations if row.n_machine)
    of_sample = ~np.isin(after.test_ids, before.test_ids)
    # What people took from the unsure end since then takes some of V's items along.
    assert after.survivors[of_sample].sum() <= (outcome.ranks >= first.n_ranked).sum()
    assert 0 < after.survivors[of_sample].sum() < of_sample.sum()
    assert after.survivors[~of_sample].sum() < before.survivors.sum()


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_the_cut_treats_test_items_as_it_treats_the_pool_s(seed: int, n_ranked: int) -> None:
    """Whatever items of one order are T's: those that would have come before the cut are skimmed, and no others."""
    generator = np.random.default_rng(seed)
    surety = generator.integers(0, 12, 80) / 4  # many ties: ids decide
    order = np.lexsort((np.arange(80), -surety))
    in_test = generator.random(80) < 0.3
    pool = order[~in_test[order]]
    n_ranked = min(n_ranked, len(pool))
    tests = np.flatnonzero(in_test)
    cut = rounds.harvested(pool, surety[pool], n_ranked, tests, surety[tests])
    alive = rounds.surviving(tests, [cut], ())
    place = {item: rank for rank, item in enumerate(order)}
    assert alive.tolist() == [place[test] > place[pool[n_ranked - 1]] for test in tests]


def test_an_item_of_the_sample_that_stands_last_before_the_cut_does_not_survive() -> None:
    ids, surety = np.array([5, 3, 9, 7]), np.array([4.0, 3.0, 2.0, 1.0])
    known = rounds.frozen_surety_of(np.array([3, 7, 8, 2]), ids, surety, {8: 2.5})
    assert known.tolist() == [3.0, 1.0, 2.5, np.inf]
    cut = rounds.harvested(ids, surety, 2, np.array([3, 7, 8, 2]), known)
    assert rounds.surviving(np.array([3, 7, 8, 2]), [cut], ()).tolist() == [False, True, True, False]


def test_after_a_harvest_people_are_asked_for_what_the_frozen_classifier_is_least_sure_of() -> None:
    ranking = rounds.rank_rest(
        np.array([5, 3, 9, 7]), np.array([4.0, 3.0, 1.0, 1.0]), np.array([7, 9, 3]), np.array([1]), np.array([2.0]), 2
    )
    assert ranking.ids.tolist() == [7, 9]
    assert ranking.scores.tolist() == [1.0, 1.0]
    assert ranking.test_scores.tolist() == [2.0]


@pytest.mark.slow
def test_any_prefix_replays_to_the_same_decisions_also_from_json() -> None:
    campaign, _ = played()
    rows = [codec.from_json(json.loads(json.dumps(codec.to_json(row)))) for row in campaign.history]
    checked = 0
    for end in range(1, len(rows)):
        row = rows[end - 1]
        if isinstance(row, Observation | CertificateOutcome) or (isinstance(row, LabelByMachine) and not row.last):
            assert codec.to_json(decide(SPEC, rows[:end])) == codec.to_json(campaign.history[end])
            checked += 1
    assert checked >= 10


def test_rows_from_before_there_were_two_harvests_are_still_read() -> None:
    observation, machine = (codec.to_json(rows_of(played()[0], kind)[0]) for kind in (Observation, LabelByMachine))
    del observation["n_machine"], machine["last"]
    assert codec.from_json(observation).n_machine == 0
    assert codec.from_json(machine).last


@settings(max_examples=80)
@given(
    share=st.floats(0, 0.9),
    error=st.floats(0.001, 0.3),
    n_items=st.integers(200, 5000),
    confidence=st.floats(0.6, 0.999),
    max_looks=st.integers(1, 5),
    used=st.floats(0, 1),
)
def test_both_harvests_together_never_have_more_than_the_errors_and_the_doubt_there_are(
    share: float, error: float, n_items: int, confidence: float, max_looks: int, used: float
) -> None:
    """However many looks each harvest takes, and however little of its part the first one's certificate uses."""
    spec = CampaignSpec(target_error=error, price_per_label=1.0, confidence_level=confidence, max_looks=max_looks, second_harvest=share)
    observation = replace(played()[0].observations[0], n_items=n_items)
    plan = next(row.plan for row in played()[0].history if isinstance(row, Certify))
    machine = next(row for row in up_to_first_harvest() if isinstance(row, LabelByMachine))
    history: list[Row] = [observation]
    whole = certificate.allowance(error, n_items)
    first = harvest.allowed(spec, n_items, history)
    assert 0 <= first <= whole
    spent = 0.0
    for number in range(2):
        for look in range(max_looks):
            level = harvest.level(spec, history)
            spent += level
            asked = Certify("frozen", 1, look + 1, level, plan, machine.verdict)
            answer = CertificateOutcome(look + 1, 9, np.array([0]), np.array([False]), 0)
            history += [asked, answer]
        if number == 0:
            taken = int(used * first)
            history.append(replace(machine, last=False, error_upper_bound=taken / n_items))
            history.append(observation)
            assert taken + harvest.allowed(spec, n_items, history) <= whole
            # Tasks that are deleted meanwhile take their errors along; what the first may have used stays used.
            assert harvest.allowed(spec, n_items // 2, history) <= max(certificate.allowance(error, n_items // 2) - taken, 0)
    assert spent <= 1 - confidence + 1e-12


def test_without_the_setting_nothing_is_kept_back() -> None:
    spec = SPEC.model_copy(update={"second_harvest": 0.0})
    history = up_to_first_harvest()[:-1]
    assert harvest.allowed(spec, N, history[:-2]) == 60
    assert [harvest.level(spec, history[:-2]), harvest.level(spec, history)] == pytest.approx([0.04, 0.008])
    decision = decide(spec, history)
    assert not isinstance(decision, LabelByMachine) or decision.last


def test_an_admin_who_stops_the_search_gets_no_second_harvest() -> None:
    decision = decide(SPEC, up_to_first_harvest()[:-1], stop_requested=True)
    assert isinstance(decision, LabelByMachine)
    assert decision.last


def test_the_first_harvest_is_followed_by_a_batch_of_the_least_sure_with_the_bill_as_it_is() -> None:
    history = up_to_first_harvest()
    decision = decide(SPEC, history)
    assert isinstance(decision, Acquire)
    assert decision.plan is not None
    assert (decision.n_test, decision.plan.n_machine) == (0, 0)
    assert decision.n_train > 0
    first = history[-1]
    assert isinstance(first, LabelByMachine)
    assert decision.plan.total_cost == pytest.approx(0.04 * (N - first.n_machine), rel=0.01)
    assert "second harvest may make 18 errors" in decision.sentence


@pytest.mark.slow
def test_what_the_first_harvest_certified_stays_where_a_second_does_not_pay() -> None:
    campaign, labels = played(800, 100.0)
    first, end = rows_of(campaign, LabelByMachine)
    assert isinstance(first, LabelByMachine)
    assert isinstance(end, LabelByMachine)
    assert (end.look, end.last, end.n_machine) == (first.look, True, first.n_machine)
    assert "No second harvest: " in end.verdict.sentence
    assert end.verdict.reason is not StopReason.CERTIFIED
    assert len(campaign.machine_ids) == first.n_machine
    found = report(campaign, labels)
    assert found["n_machine"] == first.n_machine
    assert found["certified"]
    assert found["looks"][0]["certified"]
    assert found["human_items"] + found["n_machine"] == 800


def test_a_second_sample_full_of_errors_leaves_the_first_harvest_as_it_is() -> None:
    campaign, _ = played()
    end = max(place for place, row in enumerate(campaign.history) if isinstance(row, CertificateOutcome))
    outcome = campaign.history[end]
    assert isinstance(outcome, CertificateOutcome)
    wrong = replace(outcome, errors=np.ones(len(outcome.ranks), dtype=bool))
    decision = decide(SPEC.model_copy(update={"max_looks": 1}), [*campaign.history[:end], wrong])
    assert isinstance(decision, LabelByMachine)
    assert decision.look == rows_of(campaign, LabelByMachine)[0].look
    assert decision.verdict.reason is StopReason.CERTIFICATE_FAILED


@pytest.mark.parametrize("changes", [{"guarantee": "estimate", "second_harvest": 0.0}, {"error_scope": "machine", "second_harvest": 0.0}])
def test_settings_that_cannot_share_a_promise_end_the_search_with_the_first_harvest(changes: dict[str, object]) -> None:
    campaign, _ = played()
    end = next(place for place, row in enumerate(campaign.history) if isinstance(row, Observation) and row.n_machine)
    decision = decide(SPEC.model_copy(update=changes), campaign.history[: end + 1])
    assert isinstance(decision, LabelByMachine)
    assert decision.certified
    assert decision.look == rows_of(campaign, LabelByMachine)[0].look


@pytest.mark.parametrize("changes", [{"guarantee": "estimate"}, {"budget": 30.0}, {"error_scope": "machine"}, {"min_class_precision": 0.9}])
def test_a_second_harvest_needs_one_certificate_over_all_items(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidValue, match="second_harvest"):
        CampaignSpec.parse({"target_error": 0.05, "price_per_label": 0.04, "second_harvest": 0.3, **changes})


def test_the_engine_goes_on_only_when_the_machine_labels_are_written() -> None:
    history = up_to_first_harvest()
    engine = Engine(SPEC, N, 4)
    for row in history[1:-1]:
        if isinstance(row, Observation | CertificateOutcome):
            engine.tell(row)
            engine.ask()
    assert isinstance(engine.ask(), LabelByMachine)
    with pytest.raises(HistoryError, match="LabelByMachine is not followed by Observation"):
        engine.tell(played()[0].observations[-1])
    assert isinstance(engine.written(), Acquire)
    with pytest.raises(HistoryError):
        engine.written()


@pytest.mark.slow
def test_whole_campaigns_keep_epsilon_over_both_harvests() -> None:
    both = 0
    for seed in range(12):
        data = toy_data(600, noise=100.0, seed=seed)
        spec = SPEC.model_copy(update={"seed": seed, "second_harvest": 0.4})
        campaign = simulate(np.arange(600), 4, Annotators(data.labels), spec, toy_machines(data))
        assert true_machine_errors(data.labels, campaign) <= 30
        assert isinstance(campaign.decision, LabelByMachine | HumanLabelAll)
        both += len({row.look for row in campaign.history if isinstance(row, LabelByMachine)}) == 2
    assert both >= 2
