"""What the engine would decide now under another ε and price, from the fits in hand. Nothing is saved. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from backend.campaign.state import State
from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.views.campaign import plan_values
from backend.views.labour import labour
from backend.views.report import sentence_of
from mcal_engine import engine
from mcal_engine.errors import InvalidValue
from mcal_engine.types import Acquire, Certify, Decision, HumanLabelAll, Observation, Plan

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
    seconds = labour(state)["seconds_per_label"] if "price_per_hour" in changes and "price_per_label" not in changes else None
    if after.price_per_hour is not None and seconds is not None:
        after = after.model_copy(update={"price_per_label": after.price_per_hour * seconds / 3600})
    changed = {name: value for name, value in after.model_dump(mode="json").items() if before.model_dump(mode="json")[name] != value}
    last = state.observations[-1]
    return WhatIf(round=last.round, changed=changed, now=_outlook(state, before, last), then=_outlook(state, after, last))


def _outlook(state: State, settings: CampaignSettings, last: Observation) -> Outlook:
    end = max(place for place, row in enumerate(state.history) if isinstance(row, Observation)) + 1
    decision = engine.decide(settings, state.history[:end])
    human_only = settings.price_per_label * last.n_items
    plan = decision.plan
    if plan is None or isinstance(decision, HumanLabelAll):
        total, machine = _by_hand(state, settings, last), 0
    else:
        total, machine = plan.total_cost, plan.n_machine
    return Outlook(
        decision=type(decision).__name__,
        stops=not isinstance(decision, Acquire),
        sentence=sentence_of(decision),
        plan=plan_values(plan),
        total_cost=total,
        human_only_cost=human_only,
        savings=1 - total / human_only,
        n_machine=machine,
        n_human=last.n_items - machine,
        n_more_train=0 if plan is None or not isinstance(decision, Acquire) else max(plan.n_train - last.n_train, 0),
        n_certificate=_sample(decision, plan) if machine else 0,
    )


def _sample(decision: Decision, plan: Plan | None) -> int:
    return decision.n_certificate if isinstance(decision, Certify) else 0 if plan is None else plan.n_certificate


def _by_hand(state: State, settings: CampaignSettings, last: Observation) -> float:
    """Labels of everything, repeats included, and the training that has been paid by now."""
    seconds = sum(row.training_seconds for row in state.observations)
    repeats = max(last.n_labels_paid + last.n_preexisting - last.n_train - len(last.test_ids), 0)
    labels = last.n_items - last.n_preexisting + repeats
    return settings.price_per_label * labels + settings.machine_price_per_hour * seconds / 3600
