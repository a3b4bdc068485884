"""What has been paid and what it will come to, from the state after the last decision. Pure; everything that is shown has it from here.

At every moment ``total + left × price_each + training_left = forecast``, and the forecast of a campaign that has finished is its bill.
"""

from __future__ import annotations

import math
from typing import TypedDict

from backend.campaign.bill import labels_of
from backend.campaign.state import Phase, State
from backend.views.people.labour import Labour, labour
from mcal_engine.types import Acquire, Certify, Decision, HumanLabelAll, LabelByMachine, PeelBatch, Plan


class Money(TypedDict):
    """Spent so far, and the forecast of the whole bill. In the campaign's currency.

    Attributes:
        human, training: spent on people and on training; ``total`` on both.
        price_each: what a label has cost so far: the price that is set, or what the hours come to.
        human_only: what people alone would have cost from the campaign's start on; ``None`` before the project was looked at.
        left: labels that people still have to give, second ones included; without those that the machine is to give.
        machine_left: labels that the machine is still to give.
        training_left: money that training is still to cost.
        forecast: of the whole bill; ``None`` before there is a plan, and where a campaign was broken off.
        low, high: its 90 % band; ``None`` where there is none, or nothing is open any more.
        savings: 1 − forecast/human_only.
    """

    human: float
    training: float
    total: float
    price_each: float
    human_only: float | None
    left: int
    machine_left: int
    training_left: float
    forecast: float | None
    low: float | None
    high: float | None
    savings: float | None


def money(state: State, work: Labour | None = None) -> Money:
    """The campaign's money now; ``work`` is its labour, where that has been measured already."""
    labels = labels_of(state)
    training = state.training_cost
    human, each = _paid(state, work)
    total, human_only = human + training, each * labels.n_alone
    machine = 0 if state.ended else machine_left(state, state.decision)
    left = 0 if state.ended else math.ceil(labels.n_left - machine + _second_left(state, state.decision))
    coming = 0.0 if state.ended else training_left(state.decision, training)
    forecast: float | None = total + each * left + coming
    if not _is_known(state):
        forecast = None
    plan = plan_in_force(state)
    shift = None if plan is None or forecast is None or plan.low is None else forecast - plan.total_cost
    return Money(
        human=human,
        training=training,
        total=total,
        price_each=each,
        human_only=None if state.created is None else human_only,
        left=left,
        machine_left=machine,
        training_left=coming,
        forecast=forecast,
        low=None if shift is None or plan is None or plan.low is None else max(plan.low + shift, total),
        high=None if shift is None or plan is None or plan.high is None else max(plan.high + shift, total),
        savings=None if forecast is None else 1 - forecast / human_only if human_only else 0.0,
    )


def plan_in_force(state: State) -> Plan | None:
    """The forecast that the campaign still follows; none once the machine's labels are decided, and what is left is counted instead."""
    return state.decision.plan if isinstance(state.decision, Acquire | Certify | PeelBatch) and not state.ended else None


def machine_left(state: State, decision: Decision | None) -> int:
    """Labels that the machine is still to give, as decided or else as planned; none that people are being asked for."""
    if isinstance(decision, LabelByMachine):
        untouched = {item.task_id for item in state.residual}
        return sum(row.task_id in untouched for row in state.planned)
    if isinstance(decision, HumanLabelAll) or decision is None or decision.plan is None:
        return 0
    asked = set() if state.progress is None else set(state.progress.missing)
    return min(decision.plan.n_machine, sum(item.task_id not in asked for item in state.residual))


def training_left(decision: Decision | None, spent: float) -> float:
    """Money that training is still to cost by the plan; ``spent`` is what it has cost so far."""
    planned = decision.plan.training_cost if isinstance(decision, Acquire | PeelBatch) and decision.plan is not None else spent
    return max(planned - spent, 0.0)


def _second_left(state: State, decision: Decision | None) -> int:
    """Second labels that are asked for and not in yet, and those of the sample that is still to be drawn."""
    seen, plan = state.progress, getattr(decision, "plan", None)
    asked = 0 if seen is None or state.queue is None else seen.twice - seen.second
    drawn_later = plan is not None and isinstance(decision, Acquire) and plan.n_machine > 0
    return asked + (math.floor(state.settings.overlap_share * plan.n_certificate + 0.5) if drawn_later and plan is not None else 0)


def _is_known(state: State) -> bool:
    """Whether it can be said what the bill comes to."""
    if state.ended:
        return state.phase == Phase.FINISHED
    return isinstance(state.decision, HumanLabelAll | LabelByMachine) or plan_in_force(state) is not None


def _paid(state: State, work: Labour | None) -> tuple[float, float]:
    """What people were paid, and what that is for each label."""
    price, n_paid = state.settings.price_per_label, state.n_labels_paid
    if state.settings.price_per_hour is not None:
        hourly = (work or labour(state))["human_cost"]
        if hourly is not None and n_paid:
            return hourly, hourly / n_paid
    return price * n_paid, price
