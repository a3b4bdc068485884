"""Budget mode: the error is as small as the money allows, and the money is kept to."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mcal_engine import engine
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import HumanLabelAll, LabelByMachine, Observation, StopReason
from tests.engine.worlds import World, run

N, PRICE = 2000, 0.04
HUMAN_ONLY = N * PRICE


@cache
def played(share: float, seed: int = 0) -> tuple[float, float, float, object]:
    """Bill, predicted and true overall error, and the last decision, with a budget of ``share`` of labelling by hand."""
    world = World(n=N, seed=seed)
    spec = CampaignSpec(target_error=0.05, price_per_label=PRICE, budget=share * HUMAN_ONLY)
    campaign, decision, sets = run(world, spec)
    seconds = sum(row.training_seconds for row in campaign.history if isinstance(row, Observation))
    bill = PRICE * (N - len(sets["machine"])) + spec.machine_price_per_hour * seconds / 3600
    predicted = decision.error_estimate if isinstance(decision, LabelByMachine) else 0.0
    return bill, predicted, len(sets["wrong"]) / N, decision


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.15, 0.25, 0.5, 0.8])
def test_the_bill_is_the_budget_and_never_more(share: float) -> None:
    bill, _, _, decision = played(share)
    assert bill <= share * HUMAN_ONLY + 1e-9
    assert bill >= 0.97 * share * HUMAN_ONLY
    assert isinstance(decision, LabelByMachine)
    assert not decision.certified
    assert decision.error_upper_bound is None


@pytest.mark.slow
def test_more_money_buys_fewer_errors() -> None:
    errors = [played(share)[2] for share in (0.15, 0.25, 0.5, 0.8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]


@pytest.mark.slow
def test_the_predicted_error_is_near_the_true_one_on_average() -> None:
    found = [played(0.25, seed)[1:3] for seed in range(6)]
    predicted, true = np.mean(found, axis=0)
    assert predicted == pytest.approx(true, abs=0.01)


def test_a_budget_for_everything_has_people_label_everything() -> None:
    _, _, true, decision = played(1.2)
    assert isinstance(decision, HumanLabelAll)
    assert decision.verdict.reason is StopReason.BUDGET_REACHED
    assert true == 0


def test_a_budget_below_the_first_labels_is_refused_with_what_they_cost() -> None:
    spec = CampaignSpec(target_error=0.05, price_per_label=1, budget=30)
    with pytest.raises(InvalidValue, match=r"budget must pay for the 40 test and 25 training items to begin with, 65.00 USD, got 30"):
        engine.start(spec.model_copy(update={"test_size": 40, "batch_size": 25}), 1000, 5, 1000)
