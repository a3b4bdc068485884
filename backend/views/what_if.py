"""What the engine would decide now under another ε and price, from the fits in hand. Nothing is saved. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from backend.campaign.state import State
from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.views.decisions import plan_values
from backend.views.money import money, plan_in_force
from backend.views.people.labour import labour
from backend.views.report import sentence_of
from mcal_engine import engine
from mcal_engine.errors import InvalidValue
from mcal_engine.types import Acquire, Certify, Decision, HumanLabelAll, LabelByMachine, Observation, PeelBatch

CHANGEABLE = (
    "target_error",
    "price_per_label",
    "price_per_hour",
    "machine_price_per_hour",
    "confidence_level",
    "guarantee",
    "min_class_precision",
    "overlap_share",
)


class Outlook(TypedDict):
    """One decision and its bill. Counts are items, money is in the campaign's currency."""

    decision: str
    stops: bool
    sentence: str
    plan: dict[str, Any] | None
    total_cost: float
    human_only_cost: float
    savings: float
    n_machine: int
    n_human: int
    n_more_train: int
    n_certificate: int


class WhatIf(TypedDict):
    """``now``: under the settings in force; ``then``: under the changed ones; both from the last round's observation."""

    round: int
    changed: dict[str, Any]
    now: Outlook
    then: Outlook


def what_if(state: State, changes: Mapping[str, Any]) -> WhatIf:
    """Ask the engine again with other settings.

    Raises:
        InvalidValue: a bad setting, one that only matters to draws already made, or nothing has been measured yet.
    """
    fixed = [name for name in changes if name not in CHANGEABLE]
    if fixed:
        raise InvalidValue(f"{fixed[0]} cannot be tried out here; these can: {', '.join(CHANGEABLE)}")
    if not state.observations:
        raise InvalidValue("there is nothing to forecast from before the first round is measured")
    before = state.settings
    after = parse_campaign_settings(dict(changes), defaults=before.model_dump(mode="json"))
    if "price_per_label" in changes and "price_per_hour" not in changes:
        after = after.model_copy(update={"price_per_hour": None})  # what is asked is what a label costs, whatever it takes
    seconds = labour(state)["seconds_per_label"] if "price_per_hour" in changes and "price_per_label" not in changes else None
    if after.price_per_hour is not None and seconds is not None:
        after = after.model_copy(update={"price_per_label": after.price_per_hour * seconds / 3600})
    changed = {name: value for name, value in after.model_dump(mode="json").items() if before.model_dump(mode="json")[name] != value}
    if "price_per_hour" not in changes:
        changed.pop("price_per_hour", None)
    last = state.observations[-1]
    assert state.decision is not None  # something has been measured, so something was decided
    return WhatIf(round=last.round, changed=changed, now=_outlook(state, state.decision), then=_then(state, after, last))


def _then(state: State, settings: CampaignSettings, last: Observation) -> Outlook:
    """What would be decided after the last round; where the machine's labels are decided by now, as of that round.

    A sample that is read in two bands has been drawn under what it promises: what would be decided is what is peeled next, or nothing.
    """
    if isinstance(state.decision, PeelBatch):
        peeled = engine.decide(settings, state.history[:-1])
        return _outlook(replace(state, settings=settings, decision=peeled), peeled)
    end = max(place for place, row in enumerate(state.history) if isinstance(row, Observation)) + 1
    decision = engine.decide(settings, state.history[:end])
    asked = replace(state, settings=settings, decision=decision)
    if plan_in_force(state) is not None:
        return _outlook(asked, decision)
    price = settings.price_per_label
    by_hand = price * last.counted.n_at_end() + replace(state, settings=settings).training_cost
    plan = None if isinstance(decision, HumanLabelAll) else decision.plan
    total, human_only = by_hand if plan is None else plan.total_cost, price * last.counted.n_alone
    return _row(asked, decision, total, human_only, 0 if plan is None else plan.n_machine)


def _outlook(state: State, decision: Decision) -> Outlook:
    """The bill that follows from a decision now, as every other page has it."""
    bill = money(state)
    total = bill["total"] if bill["forecast"] is None else bill["forecast"]
    return _row(state, decision, total, bill["human_only"] or 0.0, state.n_machine + bill["machine_left"])


def _row(state: State, decision: Decision, total: float, human_only: float, machine: int) -> Outlook:
    plan, n_train = decision.plan, state.observations[-1].n_train
    return Outlook(
        decision=type(decision).__name__,
        stops=not isinstance(decision, Acquire),
        sentence=sentence_of(decision),
        plan=plan_values(plan),
        total_cost=total,
        human_only_cost=human_only,
        savings=1 - total / human_only if human_only else 0.0,
        n_machine=machine,
        n_human=len(state.live) - machine,
        n_more_train=0 if plan is None or not isinstance(decision, Acquire) else max(plan.n_train - n_train, 0),
        n_certificate=_sample(state, decision) if machine else 0,
    )


def _sample(state: State, decision: Decision) -> int:
    if isinstance(decision, PeelBatch) or (isinstance(decision, Certify | LabelByMachine) and decision in state.history):
        return len(state.sample)  # as it was drawn: planned anew for the pool that was frozen
    if isinstance(decision, Certify):
        return decision.n_certificate
    return 0 if decision.plan is None else decision.plan.n_certificate
