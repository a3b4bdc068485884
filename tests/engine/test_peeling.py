"""Two bands and the peel as a campaign decides them: rows of a history, over every sample of tiny designs, and played to the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

from mcal_engine import codec, peeling
from mcal_engine.certificates import bands, peel
from mcal_engine.certificates.peel import Peel
from mcal_engine.engine import Engine, decide
from mcal_engine.errors import HistoryError
from mcal_engine.simulator.campaign import SimulatedCampaign, simulate
from mcal_engine.simulator.machines import Machine
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.report import report
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import (
    Bands,
    CertificateOutcome,
    Certify,
    Decision,
    HumanLabelAll,
    LabelByMachine,
    Measurement,
    Observation,
    PeelBatch,
    PeelOrder,
    Plan,
    Promise,
    Row,
    StopReason,
    Verdict,
)
from tests.engine.simulator.toy import toy_data, toy_machines

SPEC = CampaignSpec(target_error=0.05, price_per_label=1.0, certificate_rule="two_bands", max_looks=1)
PLAN = Plan("frozen", 0.05, 1.0, 10, 0.5, 10, 5, 1, 1.0, 0.0, 1.0, 1.0)
SEARCH = Verdict(StopReason.NO_GAIN, "More labels do not pay.")
Ranker = Callable[[Peel, np.ndarray], np.ndarray]


def observed(n_items: int, n_pool: int, *, seconds: float = 1.0, n_classes: int = 1000) -> Observation:
    measurement = Measurement("frozen", np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_), seconds)
    none = np.zeros(0, dtype=np.int64)
    return Observation(3, n_items, n_classes, 10, n_pool, 0, 0, 10, none, none.astype(np.bool_), (measurement,))


def read(plan: Bands, ranks: np.ndarray, wrong: np.ndarray, *, seconds: float = 1.0, n_items: int = 0) -> list[Row]:
    """A history up to the answered sample."""
    promise = Promise(0.05, plan.allowed, plan.n_pool, None)
    asked = Certify("frozen", plan.n_sample, 1, plan.level, PLAN, SEARCH, promise, "two_bands")
    outcome = CertificateOutcome(1, plan.n_pool, ranks, wrong[ranks], 10 + len(ranks), bands=plan)
    return [observed(n_items or plan.n_pool, plan.n_pool, seconds=seconds), asked, outcome]


def played(history: list[Row], wrong: np.ndarray, ranker: Ranker) -> tuple[Decision, list[Row]]:
    """Go on until the peel has ended; each item that leaves may be known to the ranker."""
    last = history[-1]
    decision = last if isinstance(last, PeelBatch) else decide(SPEC, history)
    history = history[:-1] if isinstance(last, PeelBatch) else history
    while isinstance(decision, PeelBatch):
        history = [*history, decision]
        state = peeling.standing(history).state
        history.append(PeelOrder(1, ranker(state, wrong), 0, 1.0))
        decision = decide(SPEC, history)
    return decision, history


def machine_set(decision: Decision, plan: Bands, ranks: np.ndarray) -> np.ndarray:
    """Ranks that the machine labels."""
    inside = np.zeros(plan.n_pool, dtype=np.bool_)
    if isinstance(decision, LabelByMachine):
        inside[: decision.n_ranked] = True
        inside[list(decision.peeled)] = False
        inside[ranks] = False
        assert decision.n_machine == inside.sum()
    return np.flatnonzero(inside)


def errors_last(state: Peel, wrong: np.ndarray) -> np.ndarray:
    """An adversary who knows every label and keeps the errors in."""
    items = state.peelable
    return items[np.lexsort((items, wrong[items]))]


def sees_who_is_sampled(state: Peel, wrong: np.ndarray) -> np.ndarray:
    """Forbidden: V's items leave first."""
    items = state.peelable
    return items[np.lexsort((items, ~state.sampled[items]))]


def at_random(state: Peel, wrong: np.ndarray) -> np.ndarray:
    return np.random.default_rng(state.n_left).permutation(state.peelable)


def share_broken(plan: Bands, wrong: np.ndarray, ranker: Ranker) -> Fraction:
    broken, n = 0, 0
    for sure in combinations(range(plan.n_sure), plan.sample_sure):
        for unsure in combinations(range(plan.n_sure, plan.n_pool), plan.sample_unsure):
            ranks = np.array([*sure, *unsure])
            decision, _ = played(read(plan, ranks, wrong), wrong, ranker)
            broken += int(wrong[machine_set(decision, plan, ranks)].sum()) > plan.allowed
            n += 1
    return Fraction(broken, n)


@pytest.mark.slow
def test_over_every_sample_and_pattern_of_errors_the_engine_s_decision_keeps_to_its_level() -> None:
    plan = bands.table(8, 3, 1, 3, allowed=1, level=0.6)
    assert plan is not None
    assert plan.tolerated
    for pattern in product([False, True], repeat=plan.n_pool):
        wrong = np.array(pattern)
        if wrong.sum() > plan.allowed:
            assert share_broken(plan, wrong, errors_last) <= Fraction(plan.level)


def test_one_sample_of_all_that_is_peeled_keeps_to_its_level_over_every_sample_and_pattern_of_errors() -> None:
    plan = bands.plan(7, allowed=1, level=0.5, n_bands=1, n_sample=3)
    assert plan is not None
    assert (plan.n_sure, plan.n_sample) == (0, 3)
    assert plan.tolerated
    for pattern in product([False, True], repeat=plan.n_pool):
        wrong = np.array(pattern)
        if wrong.sum() > plan.allowed:
            assert share_broken(plan, wrong, errors_last) <= Fraction(plan.level)


def test_a_ranker_that_knows_the_sample_would_break_the_engine_s_promise() -> None:
    plan = bands.plan(400, allowed=20, level=0.05)
    assert plan is not None
    wrong = np.zeros(400, dtype=np.bool_)
    wrong[plan.n_sure :: 4] = True
    broken = {sees_who_is_sampled: 0, errors_last: 0}
    for draw in range(10):
        ranks = peel.draw(plan, draw)
        for ranker in broken:
            decision, _ = played(read(plan, ranks, wrong, n_items=1_000), wrong, ranker)
            broken[ranker] += int(wrong[machine_set(decision, plan, ranks)].sum()) > plan.allowed
    assert broken[sees_who_is_sampled] > 6
    assert broken[errors_last] <= 2


def a_pool() -> tuple[Bands, np.ndarray, np.ndarray]:
    plan = bands.plan(400, allowed=20, level=0.05, n_bands=2)
    assert plan is not None
    assert plan.tolerated
    wrong = np.random.default_rng(1).random(400) < 0.35 * np.linspace(0, 1, 400) ** 3
    return plan, peel.draw(plan, 5), wrong


def test_a_history_that_is_read_again_leads_to_the_same_batches_and_the_same_machine_labels() -> None:
    plan, ranks, wrong = a_pool()
    decision, history = played(read(plan, ranks, wrong, n_items=600), wrong, at_random)
    assert isinstance(decision, LabelByMachine)
    n_batches = sum(isinstance(row, PeelBatch) for row in history)
    assert n_batches >= 2
    again = [codec.from_json(codec.to_json(row)) for row in history]
    for place, row in enumerate(again):
        if isinstance(row, PeelBatch):
            assert codec.to_json(decide(SPEC, again[:place])) == codec.to_json(row)
    assert codec.to_json(decide(SPEC, again)) == codec.to_json(decision)
    batches = [row for row in history if isinstance(row, PeelBatch)]
    assert len(batches[0].leaving) == peeling.batch_size(600)
    assert all(row.n_asked == len(set(row.leaving) - set(ranks.tolist())) for row in batches)
    left = [rank for row in batches for rank in row.leaving]
    assert len(set(left)) == len(left)
    assert min(left) >= plan.n_sure
    assert set(left) & set(machine_set(decision, plan, ranks).tolist()) == set()
    assert decision.verdict.evidence["left"] <= decision.verdict.evidence["tolerated"]
    assert decision.error_upper_bound == plan.allowed / plan.n_pool


def test_in_a_peel_the_bill_is_what_peeling_on_in_the_frozen_order_comes_to() -> None:
    plan, ranks, wrong = a_pool()
    priced = SPEC.model_copy(update={"machine_price_per_hour": 3.6})  # 0.001 for each training of one second
    _, history = played(read(plan, ranks, wrong, n_items=600), wrong, at_random)
    places = [place for place, row in enumerate(history) if isinstance(row, PeelBatch)]
    assert len(places) >= 2
    for place in places:
        asked = decide(priced, history[:place])
        assert isinstance(asked, PeelBatch)
        ended, rows = played(history[: place + 1], wrong, lambda state, _: state.peelable[::-1])
        assert isinstance(ended, LabelByMachine)
        assert asked.plan.n_machine == ended.n_machine
        n_trained = 1 + sum(isinstance(row, PeelOrder) for row in rows)
        assert asked.plan.training_cost == pytest.approx(0.001 * n_trained)
        assert asked.plan.human_cost == pytest.approx(PLAN.human_cost + PLAN.price_per_label * (PLAN.n_machine - ended.n_machine))
        assert asked.plan.total_cost == pytest.approx(asked.plan.human_cost + asked.plan.training_cost)


def test_where_training_again_is_dear_or_slow_the_frozen_order_ranks_and_nobody_waits() -> None:
    plan, ranks, wrong = a_pool()
    assert isinstance(decide(SPEC, read(plan, ranks, wrong)), PeelBatch)
    slow = decide(SPEC, read(plan, ranks, wrong, seconds=200.0))
    dear = decide(SPEC.model_copy(update={"machine_price_per_hour": 7200.0}), read(plan, ranks, wrong))
    frozen, _ = played(read(plan, ranks, wrong), wrong, lambda state, _: state.peelable[::-1])
    for decision in (slow, dear):
        assert isinstance(decision, LabelByMachine)
        assert np.array_equal(machine_set(decision, plan, ranks), machine_set(frozen, plan, ranks))


def test_what_can_be_ranked_no_more_is_people_s_and_the_sure_band_stays_the_machine_s() -> None:
    plan, ranks, wrong = a_pool()
    decision, _ = played(read(plan, ranks, wrong), wrong, lambda state, _: state.peelable[:0])
    assert np.array_equal(machine_set(decision, plan, ranks), np.setdiff1d(np.arange(plan.n_sure), ranks))


def test_a_smaller_target_than_the_sample_was_drawn_for_is_not_met_by_it() -> None:
    plan, ranks, wrong = a_pool()
    history = read(plan, ranks, wrong)
    assert isinstance(decide(SPEC.model_copy(update={"target_error": 0.03}), history), HumanLabelAll)
    raised = decide(SPEC.model_copy(update={"target_error": 0.2}), history)
    assert codec.to_json(raised) == codec.to_json(decide(SPEC, history))


def test_a_sample_that_was_not_drawn_under_what_the_look_promises_is_refused() -> None:
    plan, ranks, wrong = a_pool()
    before, asked, outcome = read(plan, ranks, wrong)
    assert isinstance(outcome, CertificateOutcome)
    with pytest.raises(HistoryError, match="not under what it promises"):
        decide(SPEC, [before, asked, replace(outcome, bands=replace(plan, allowed=plan.allowed + 1))])
    with pytest.raises(HistoryError, match="look 2"):
        decide(SPEC, [before, asked, outcome, PeelOrder(2, ranks, 0, 1.0)])


def test_a_table_that_nothing_can_be_labelled_by_leaves_everything_to_people() -> None:
    plan, ranks, _ = a_pool()
    assert isinstance(decide(SPEC, read(plan, ranks, np.ones(400, dtype=np.bool_))), HumanLabelAll)


@pytest.mark.parametrize("changes", [{"max_looks": 2}, {"min_class_precision": 0.8}, {"certificate_rule": "uniform"}])
def test_what_two_bands_cannot_do_is_done_by_a_uniform_sample(changes: dict[str, object]) -> None:
    assert SPEC.rule_for(learns=True) == "two_bands"
    assert SPEC.rule_for(learns=False) == "uniform"
    assert SPEC.model_copy(update=changes).rule_for(learns=True) == "uniform"
    assert SPEC.model_copy(update={"certificate_rule": "cheaper"} | changes).rule_for(learns=True) == "uniform"


# --- whole campaigns -----------------------------------------------------------------------------------------------------------------


@dataclass
class Watched(Machine):
    """Notes what it learns from, beside what it is to rank."""

    requests: list[TrainingRequest] = field(default_factory=list)

    def fit_and_score(self, request: TrainingRequest, *, once: float = 0.0) -> Scored:
        self.requests.append(request)
        return Machine.fit_and_score(self, request, once=once)


def campaign(n: int, noise: float = 60.0, **changes: object) -> tuple[SimulatedCampaign, list[TrainingRequest], dict[str, object]]:
    data = toy_data(n, noise=noise)
    spec = CampaignSpec.parse({"target_error": 0.05, "price_per_label": 0.04, "certificate_rule": "two_bands", "max_looks": 1} | changes)
    plain = toy_machines(data, *spec.classifiers)[0]
    machine = Watched(plain.name, plain.classifier, plain.stopwatch)
    found = simulate(np.arange(n), data.n_classes, Annotators(data.labels), spec, [machine])
    return found, machine.requests, report(found, data.labels)


@pytest.mark.slow
def test_a_whole_campaign_peels_and_the_ranker_learns_from_no_item_that_is_still_inside() -> None:
    found, requests, said = campaign(1200, max_rounds=4, batch_size=30)
    ids = np.concatenate([found.test_ids, found.train_ids, found.certificate_ids, found.residual_ids, found.machine_ids])
    assert np.array_equal(np.sort(ids), found.ids)
    assert found.n_labels_paid == len(ids) - len(found.machine_ids)  # nobody was asked twice
    batches = [row for row in found.history if isinstance(row, PeelBatch)]
    outcome = next(row for row in found.history if isinstance(row, CertificateOutcome))
    assert batches
    assert outcome.bands is not None
    peels = requests[-len(batches) :]
    for request in peels:
        assert not np.isin(request.pool_ids, request.train_ids).any()
        assert np.isin(found.certificate_ids, request.pool_ids).any()  # V's items inside are ranked like all others, and not learned from
        assert len(request.test_ids) == 0
    assert isinstance(found.decision, LabelByMachine)
    assert len(found.machine_ids) == found.decision.n_machine > 0.4 * 1200
    assert said["certified"] is True
    assert said["looks"][0]["n_machine"] == found.decision.n_machine  # type: ignore[index]
    assert said["true_overall_error"] <= 0.05  # type: ignore[operator]
    engine = Engine(found.spec, 1200, 4)
    engine.history = list(found.history[:-1])
    assert codec.to_json(engine.ask()) == codec.to_json(found.decision)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "rule"), [(20.0, "one_band"), (80.0, "two_bands")])
def test_the_sample_is_drawn_in_the_way_that_is_forecast_to_cost_less_and_says_so(noise: float, rule: str) -> None:
    found, _, said = campaign(1200, noise, certificate_rule="cheaper")
    place = next(place for place, row in enumerate(found.history) if isinstance(row, Certify))
    asked, outcome = found.history[place], found.history[place + 1]
    assert isinstance(asked, Certify)
    assert isinstance(outcome, CertificateOutcome)
    costs = {name: asked.verdict.evidence[f"total_cost_{name}"] for name in ("one_band", "two_bands")}
    assert asked.rule == rule == min(costs, key=costs.__getitem__)
    assert asked.plan.total_cost == costs[rule]
    assert all(f"{cost:,.2f} USD" in asked.why for cost in costs.values())
    assert outcome.bands is not None
    assert (outcome.bands.n_sure > 0) == (rule == "two_bands")
    assert len(outcome.ranks) == asked.n_certificate
    assert said["certified"] is True
    again = [codec.from_json(codec.to_json(row)) for row in found.history]
    assert codec.to_json(decide(found.spec, again[:place])) == codec.to_json(asked)
    assert codec.to_json(decide(found.spec, again[:-1])) == codec.to_json(found.decision)


@pytest.mark.slow
def test_a_size_that_was_given_is_drawn_and_two_people_may_be_asked_about_it() -> None:
    found, _, _ = campaign(800, certificate_size=120, overlap_share=0.25)
    asked = next(row for row in found.history if isinstance(row, Certify))
    assert (asked.rule, asked.n_certificate, len(found.certificate_ids)) == ("two_bands", 120, 120)
    assert found.n_labels_paid > 800 - len(found.machine_ids)
