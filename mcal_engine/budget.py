"""Budget mode: the smallest predicted overall error with total cost ≤ budget; ε is then reported, not promised (§4 of the paper, end).

Whatever the budget leaves over after T, B and training buys human labels for the least sure items, so for each size of B the budget fixes
how much the machine has to label, and the learning curves say how much of that would be wrong.
"""

from __future__ import annotations

import numpy as np

from mcal_engine.forecast import Curves, Forecast, curves, today
from mcal_engine.situation import Situation
from mcal_engine.types import Measurement, Plan, StopReason
from mcal_engine.words import counted


def forecast(situation: Situation, measurement: Measurement) -> Forecast:
    """The plan of one candidate with the smallest predicted error; its ``future`` is the smallest error of any larger B, a share of X."""
    found = curves(situation, measurement)
    plan, future = _plan(situation, measurement.classifier, found)
    return Forecast(plan, found.fitted, future, 0.0, np.inf, found.cost_model)


def plan_now(situation: Situation, measurement: Measurement) -> Plan:
    """The plan for exactly today's B, from this round's counts."""
    return _plan(situation, measurement.classifier, today(situation, measurement))[0]


def _plan(situation: Situation, classifier: str, found: Curves) -> tuple[Plan, float]:
    """The best plan, and the smallest predicted error of any larger B."""
    spec, observation = situation.spec, situation.observation
    assert spec.budget is not None  # whoever asks has looked
    price, n_items = spec.price_per_label, observation.n_items
    by_hand = observation.counted.n_at_end()
    paid = found.training + found.to_buy
    affordable = np.floor((spec.budget - paid) / price + 1e-9)
    machine = np.clip(by_hand - affordable, 0.0, None)
    pool = observation.n_pool - (found.sizes - observation.n_train)
    predicted = np.array(
        [[np.interp(m / n_items, s, e) for m, s, e in zip(machine, found.shares, replicate, strict=True)] for replicate in found.errors]
    )
    # A size of B that leaves fewer items than the machine would have to label cannot be paid; today's is paid already.
    predicted[:, (machine > pool) & (found.sizes > observation.n_train)] = np.inf
    machine = np.minimum(machine, pool)
    best = int(np.argmin(predicted[0]))
    costs = price * (by_hand - machine) + paid  # Eq. 1
    target = int(found.sizes[best])
    plan = Plan(
        classifier=classifier,
        target_error=spec.target_error,
        price_per_label=price,
        n_train=target,
        theta=float(machine[best] / n_items),
        n_machine=int(machine[best]),
        n_certificate=0,
        batch_size=max(target - observation.n_train, 1),
        human_cost=float(costs[best] - paid[best]),
        training_cost=float(paid[best]),
        total_cost=float(costs[best]),
        total_cost_now=float(costs[0]),
        low=float(costs[best]) if found.fitted else None,
        high=float(costs[best]) if found.fitted else None,
        predicted_error=float(predicted[0, best]),
        to_buy=float(found.to_buy[best]),
    )
    return plan, float(predicted[0, 1:].min()) if len(found.sizes) > 1 else np.inf


def reason_to_stop(situation: Situation, made: Forecast) -> tuple[StopReason, str] | None:
    """Why another batch cannot be paid, or is forecast not to lower the error: the reason and a sentence; ``None``: go on."""
    spec, observation, plan = situation.spec, situation.observation, made.plan
    assert spec.budget is not None  # whoever asks has looked
    paid = spec.price_per_label * observation.n_labels_paid + situation.spent
    training = situation.next_training(made.cost_model) * len(observation.measurements)
    after = paid + spec.price_per_label * situation.step + training
    if after > spec.budget:
        return (
            StopReason.BUDGET_REACHED,
            f"Another batch would bring the bill to {after:,.2f} {spec.currency}, the budget is {spec.budget:,.2f}.",
        )
    if plan.n_machine == 0 and observation.round > 0:
        return StopReason.BUDGET_REACHED, f"The budget of {spec.budget:,.2f} {spec.currency} pays for labelling everything by hand."
    if observation.round + 1 >= spec.max_rounds:
        return StopReason.MAX_ROUNDS, f"{spec.max_rounds} rounds are done."
    if made.fitted and plan.n_train <= observation.n_train:
        return (
            StopReason.OPTIMUM_REACHED,
            f"With {counted(observation.n_train, 'training label')} {plan.predicted_error or 0.0:.2%} of all labels are forecast to be "
            f"wrong; more of them would leave less of the budget for the least sure items.",
        )
    return None
