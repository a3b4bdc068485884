"""Budget mode: the smallest predicted overall error with total cost ≤ budget; ε is then reported, not promised.

Whatever the budget leaves over after T, B and training buys human labels for the least sure items, so for each size of B the budget fixes
how much the machine has to label, and the learning curves say how much of that would be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mcal_engine.spec import CampaignSpec
from mcal_engine.types import FloatArray, Observation, Plan, StopReason

if TYPE_CHECKING:
    from mcal_engine.policy import Forecast, Round


def plan(
    spec: CampaignSpec,
    now: Observation,
    classifier: str,
    shares: FloatArray,
    errors: FloatArray,
    sizes: FloatArray,
    training: FloatArray,
) -> tuple[Plan, float]:
    """The best plan, and the smallest predicted error of any larger B.

    Args:
        spec, now, classifier: whose plan.
        shares, errors: error curves at each size, shapes (n_sizes, n_points) and (R, n_sizes, n_points); replicate 0 is the data.
        sizes, training: shape (n_sizes,). |B| to weigh and the training money spent by then.
    """
    assert spec.budget is not None
    price, n_items = spec.price_per_label, now.n_items
    by_hand = now.counted.n_at_end()
    affordable = np.floor((spec.budget - training) / price + 1e-9)
    machine = np.clip(by_hand - affordable, 0.0, None)
    pool = now.n_pool - (sizes - now.n_train)
    predicted = np.array(
        [[np.interp(m / n_items, s, e) for m, s, e in zip(machine, shares, replicate, strict=True)] for replicate in errors]
    )
    # A size of B that leaves fewer items than the machine would have to label cannot be paid; today's is paid already.
    predicted[:, (machine > pool) & (sizes > now.n_train)] = np.inf
    machine = np.minimum(machine, pool)
    best = int(np.argmin(predicted[0]))
    costs = price * (by_hand - machine) + training
    found = Plan(
        classifier=classifier,
        target_error=spec.target_error,
        price_per_label=price,
        n_train=int(sizes[best]),
        theta=float(machine[best] / n_items),
        n_machine=int(machine[best]),
        n_certificate=0,
        batch_size=max(int(sizes[best]) - now.n_train, 1),
        human_cost=float(costs[best] - training[best]),
        training_cost=float(training[best]),
        total_cost=float(costs[best]),
        total_cost_now=float(costs[0]),
        low=float(costs[best]) if len(errors) > 1 else None,
        high=float(costs[best]) if len(errors) > 1 else None,
        predicted_error=float(predicted[0, best]),
    )
    return found, float(predicted[0, 1:].min()) if len(sizes) > 1 else np.inf


def reason_to_stop(this: Round, forecast: Forecast) -> tuple[StopReason, str] | None:
    """Stop where another batch cannot be paid, or is forecast not to lower the error."""
    spec, now, found = this.spec, this.now, forecast.plan
    assert spec.budget is not None
    seconds = forecast.cost_model.path(now.n_train, np.array([float(now.n_train + this.step)]), float(this.step))[0]
    paid = spec.price_per_label * now.n_labels_paid + this.spent
    after = paid + spec.price_per_label * this.step + spec.machine_price_per_hour * float(seconds) / 3600 * len(now.measurements)
    if after > spec.budget:
        return (
            StopReason.BUDGET_REACHED,
            f"Another batch would bring the bill to {after:,.2f} {spec.currency}, the budget is {spec.budget:,.2f}.",
        )
    if found.n_machine == 0 and now.round > 0:
        return StopReason.BUDGET_REACHED, f"The budget of {spec.budget:,.2f} {spec.currency} pays for labelling everything by hand."
    if now.round + 1 >= spec.max_rounds:
        return StopReason.MAX_ROUNDS, f"{spec.max_rounds} rounds are done."
    if forecast.fitted and found.n_train <= now.n_train:
        return (
            StopReason.OPTIMUM_REACHED,
            f"With {now.n_train:,} training labels {found.predicted_error or 0.0:.2%} of all labels are forecast to be wrong; more of them "
            f"would leave less of the budget for the least sure items.",
        )
    return None
