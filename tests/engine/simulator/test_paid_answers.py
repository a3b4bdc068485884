"""Campaigns with a model whose answers cost money: the test items first, the pool only where that pays, nothing twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mcal_engine import codec
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.outside import OutsideClassifier
from mcal_engine.engine import decide
from mcal_engine.forecast import cost_if_error_were, forecast
from mcal_engine.search import BAND
from mcal_engine.simulator.campaign import SimulatedCampaign, simulate
from mcal_engine.simulator.machines import Machine
from mcal_engine.simulator.people import Annotators
from mcal_engine.simulator.truth import true_overall_error
from mcal_engine.situation import Situation
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, Certify, FloatArray, HumanLabelAll, IntArray, LabelByMachine, Observation
from tests.engine.simulator.toy import FixedTimes, RidgeClassifier, toy_data


@dataclass
class Said:
    labels: IntArray
    confidences: FloatArray


def outside(truth: IntArray, n_classes: int, error: float, price: float, seed: int = 0) -> Machine:
    """A model that is wrong with chance ``error``, and less sure there."""
    draw = np.random.default_rng(seed)
    wrong = draw.random(len(truth)) < error
    labels = np.where(wrong, (truth + 1) % n_classes, truth)
    sure = np.where(wrong, 0.9 * draw.random(len(truth)), 0.3 + 0.7 * draw.random(len(truth)))
    return Machine(
        "asked", OutsideClassifier("asked", lambda rows, _: Said(labels[rows], sure[rows]), lambda: 0.0), FixedTimes(), price=price
    )


def spec(*names: str, **settings: Any) -> CampaignSpec:
    return CampaignSpec(target_error=0.05, price_per_label=0.04, machine_price_per_hour=0, classifiers=names, **settings)


def alone(error: float, price: float, n: int = 2000) -> SimulatedCampaign:
    truth = np.random.default_rng(1).integers(0, 4, n)
    return simulate(np.arange(n), 4, Annotators(truth), spec("asked"), [outside(truth, 4, error, price)])


def bought(campaign: SimulatedCampaign) -> list[float]:
    return [round(row.bought, 9) for row in campaign.observations]


@pytest.mark.slow
def test_a_model_that_is_nearly_always_right_is_certified_after_the_test_items_without_any_training_item() -> None:
    campaign = alone(0.007, 0.0, n=60_000)
    assert [type(row) for row in campaign.history[:3]] == [Acquire, Observation, Certify]
    assert [row.rule for row in campaign.history if isinstance(row, Certify)] == ["uniform"]  # it cannot rank anew what is peeled
    n_test, n_certificate = 490, len(campaign.certificate_ids)  # 2·√60,000
    assert (len(campaign.test_ids), len(campaign.train_ids), len(campaign.residual_ids)) == (n_test, 0, 0)
    assert campaign.n_labels_paid == n_test + n_certificate
    assert 58 <= n_certificate <= 250  # the fewest that certify anything are 58: (1 − 3001/59510)^58 = 0.0498
    assert isinstance(campaign.decision, LabelByMachine) and campaign.decision.certified


def test_the_pool_is_bought_once_after_the_test_items_have_shown_that_it_pays() -> None:
    campaign = alone(0.03, 0.002)
    n_test = len(campaign.test_ids)
    assert bought(campaign) == [round(0.002 * n_test, 9), round(0.002 * (2000 - n_test), 9)]
    assert [row.buys for row in campaign.history if isinstance(row, Acquire)] == [(), ("asked",)]
    first, second = campaign.observations
    assert (first.measurements[0].n_unbought, second.measurements[0].n_unbought) == (2000 - n_test, 0)
    assert campaign.total_cost == pytest.approx(0.04 * campaign.n_labels_paid + 0.002 * 2000)
    plan = next(row.plan for row in campaign.history if isinstance(row, Acquire) and row.buys)
    assert plan is not None and plan.to_buy == pytest.approx(0.002 * (2000 - n_test))


@pytest.mark.parametrize(("error", "price"), [(0.03, 0.039), (0.95, 0.002)], ids=["too dear", "too often wrong"])
def test_answers_that_do_not_pay_are_bought_for_the_test_items_alone(error: float, price: float) -> None:
    campaign = alone(error, price)
    assert isinstance(campaign.decision, HumanLabelAll)
    assert bought(campaign) == [round(price * len(campaign.test_ids), 9)]


def test_each_decision_to_buy_follows_from_the_recorded_history() -> None:
    campaign = alone(0.03, 0.002)
    rows = [codec.from_json(json.loads(json.dumps(codec.to_json(row)))) for row in campaign.history]
    for end in (2, 4):
        assert codec.to_json(decide(campaign.spec, rows[:end])) == codec.to_json(campaign.history[end])


@pytest.mark.slow
@pytest.mark.parametrize("price", [0.0, 0.02])
def test_beside_a_candidate_that_learns_the_total_is_near_the_cheaper_of_the_two(price: float) -> None:
    data = toy_data(n=2000)

    def play(*names: str) -> SimulatedCampaign:
        machines = [
            Machine("ridge", RidgeClassifier(ArrayImages(data.images)), FixedTimes()),
            outside(data.labels, data.n_classes, 0.06, price),
        ]
        used = [one for one in machines if one.name in names]
        alike = spec(*names, certificate_rule="uniform")  # whoever wins is certified in one way: the race is compared, not the certificates
        return simulate(np.arange(2000), data.n_classes, Annotators(data.labels), alike, used)

    both = play("ridge", "asked")
    cheaper = min(play("ridge").total_cost, play("asked").total_cost)
    assert both.total_cost <= 1.1 * cheaper
    assert true_overall_error(data.labels, both) <= 0.05


@pytest.mark.slow
def test_a_race_that_ends_before_the_others_have_a_forecast_says_so_and_its_band_is_as_wide_as_it_is_called() -> None:
    data = toy_data(n=2000, noise=200.0)
    machines = [
        Machine("frozen", RidgeClassifier(ArrayImages(data.images)), FixedTimes()),
        outside(data.labels, data.n_classes, 0.15, 0.0005),
    ]
    campaign = simulate(np.arange(2000), data.n_classes, Annotators(data.labels), spec("frozen", "asked"), machines)
    asked = next(row for row in campaign.history if isinstance(row, Certify))
    assert asked.classifier == "asked" and len({row.n_train for row in campaign.observations}) < 4
    assert asked.verdict.sentence.endswith("the other candidates would still have too few of them for a forecast.")
    now = Situation.after(campaign.spec, campaign.history[: campaign.history.index(asked)])
    measurement = next(one for one in now.observation.measurements if one.classifier == "asked")
    made, at_ends = (
        forecast(now, measurement).plan,
        [cost_if_error_were(now, measurement, now.doubt(measurement, BAND)[[end]]) for end in (0, 1)],
    )
    assert [made.low, made.high] == pytest.approx(sorted(at_ends))


@pytest.mark.slow
def test_an_order_learned_beside_a_weak_candidate_saves_more_than_either_and_no_answer_is_paid_twice() -> None:
    data = toy_data(n=2000, noise=200.0)
    draw = np.random.default_rng(0)
    labels = np.where(draw.random(2000) < 0.15, (data.labels + 1) % data.n_classes, data.labels)
    sure = draw.random(2000)  # of its own confidence the model knows nothing

    def play(*names: str) -> SimulatedCampaign:
        asked = OutsideClassifier("llm:m", lambda rows, _: Said(labels[rows], sure[rows]), lambda: 0.0)
        machines = [
            Machine("frozen", RidgeClassifier(ArrayImages(data.images)), FixedTimes()),
            Machine("llm:m", asked, FixedTimes(), price=0.0005),
        ]
        used = [one for one in machines if one.name in names]
        alike = spec(*names, certificate_rule="uniform")  # as above
        return simulate(np.arange(2000), data.n_classes, Annotators(data.labels), alike, used)

    without, ordered = play("frozen", "llm:m"), play("frozen", "llm:m", "ordered:llm:m")
    assert isinstance(ordered.decision, LabelByMachine) and ordered.decision.classifier == "ordered:llm:m"
    assert ordered.total_cost < 0.75 * without.total_cost
    assert true_overall_error(data.labels, ordered) <= 0.05
    assert sum(bought(ordered)) == pytest.approx(0.0005 * 2000)
    rows = [codec.from_json(json.loads(json.dumps(codec.to_json(row)))) for row in ordered.history]
    measured = [place for place, row in enumerate(rows) if isinstance(row, Observation)]
    for place in measured:
        assert codec.to_json(decide(ordered.spec, rows[: place + 1])) == codec.to_json(ordered.history[place + 1])
