"""Two harvests on one promise (ALGORITHM 4.5): what of ε's errors and of the doubt each of them may use.

While people label what the first machine set S* left to them, the classifier learns from these labels and a second S* is certified, with a
fresh V, in what is left of the pool. More than E errors in both sets together need more than E₁ in the first or more than E₂ in the second;
each is excluded at the levels of its own looks. So E₁ + E₂ ≤ E and all levels together within 1 − confidence_level keep the promise. E₂ and
the second's levels are what the first has left, and they are fixed before the second's V is drawn, which is all that the union bound asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mcal_engine import certificate
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, CertificateOutcome, Certify, LabelByMachine, Observation, Plan, Row, Verdict


def first_of(history: Sequence[Row]) -> LabelByMachine | None:
    """The first harvest, where a second one follows it."""
    return next((row for row in history if isinstance(row, LabelByMachine) and not row.last), None)


def under_way(history: Sequence[Row]) -> Sequence[Row]:
    """The rows of the harvest under way: all of them, or those after the first harvest."""
    first = first_of(history)
    return history if first is None else history[history.index(first) + 1 :]


def allowed(spec: CampaignSpec, n_items: int, history: Sequence[Row]) -> int:
    """E₁, or E₂: the errors that the harvest under way may make. The second has what the first one's certificate leaves."""
    whole = certificate.allowance(spec.target_error, n_items)
    if first_of(history) is None:
        return whole - math.floor(round(spec.second_harvest * whole, 9))
    return max(whole - used(history), 0)


def used(history: Sequence[Row]) -> int:
    """The errors that the first harvest's certificate does not exclude; 0 before there is one."""
    first = first_of(history)
    if first is None or first.error_upper_bound is None:
        return 0
    before = next(row for row in reversed(history[: history.index(first)]) if isinstance(row, Observation))
    return round(first.error_upper_bound * before.n_items)


def level(spec: CampaignSpec, history: Sequence[Row]) -> float:
    """The level of the next look. Each harvest's looks share its doubt; the second has what the first one's looks have not spent."""
    doubt = 1 - spec.confidence_level
    first, rows = first_of(history), under_way(history)
    if first is None:
        share = doubt * (1 - spec.second_harvest)
    else:
        share = max(doubt - sum(row.level for row in history[: history.index(first)] if isinstance(row, Certify)), 0.0)
    look = 1 + sum(isinstance(row, CertificateOutcome) for row in rows)
    return certificate.level_of_look(1 - share, look, spec.max_looks)


def another_can_follow(spec: CampaignSpec, history: Sequence[Row], n_items: int, n_left: int) -> bool:
    """Whether a second harvest could certify anything, with ``history`` up to the first one's decision and ``n_left`` items in the pool."""
    rounds = sum(isinstance(row, Observation) for row in history)
    errors, a = allowed(spec, n_items, history), level(spec, history)
    if spec.second_harvest == 0 or errors == 0 or a <= 0 or rounds + 1 >= spec.max_rounds:
        return False
    return certificate.sample_size(0, n_pool=n_left, allowed=errors, level=a) is not None


def opening(spec: CampaignSpec, history: Sequence[Row], batch: int, finishing: float) -> Acquire:
    """The decision after the first harvest is written: the ``batch`` least sure of what is left, in the order that was frozen.

    ``finishing``: the bill without a second harvest, which is all that is known before anything is trained anew.
    """
    first, last = history[-1], next(row for row in reversed(history) if isinstance(row, Observation))
    assert isinstance(first, LabelByMachine)
    candidates = tuple(measurement.classifier for measurement in last.measurements)
    kept = allowed(spec, last.n_items, history)
    sentence = (
        f"The first harvest is in. While people label the rest, the classifier is trained again on all labels; a second harvest may make "
        f"{kept:,} error{'' if kept == 1 else 's'}. To begin with: the {batch:,} items that the machine is least sure of."
    )
    plan = replace(
        first.plan,
        theta=0.0,
        n_machine=0,
        n_certificate=0,
        human_cost=finishing - first.plan.training_cost,
        total_cost=finishing,
        total_cost_now=finishing,
        low=None,
        high=None,
    )
    return Acquire(0, batch, spec.acquisition, first.classifier, candidates, plan, sentence)


def kept(first: LabelByMachine, plan: Plan | None, verdict: Verdict) -> LabelByMachine:
    """The end without a second harvest: what the first one certified stays, and people label the rest."""
    sentence = f"{first.verdict.sentence} No second harvest: {verdict.sentence}"
    return replace(first, last=True, plan=plan or first.plan, verdict=Verdict(verdict.reason, sentence, first.verdict.evidence))
