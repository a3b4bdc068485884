"""The decisions of a campaign as people read them: what, why, and the numbers behind it with their units. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypedDict

from backend.campaign import events
from backend.campaign.events import Happening, decision_title
from backend.campaign.history import Entry
from mcal_engine.types import Acquire, Certify, Decision, Plan

Kind = Literal["money", "price", "count", "percent_fine", "plain"]
Meaning = tuple[str, Kind, str]

PLAN: dict[str, Meaning] = {
    "total_cost": ("whole bill, forecast", "money", ""),
    "low": ("90% band, from", "money", ""),
    "high": ("90% band, to", "money", ""),
    "total_cost_now": ("whole bill if the search ended now", "money", ""),
    "n_train": ("training labels by then", "count", "label"),
    "n_machine": ("to be labelled by the machine", "count", "item"),
    "n_certificate": ("certificate items by the plan", "count", "item"),
    "predicted_error": ("wrong by then, of all labels", "percent_fine", ""),
    "to_buy": ("answers still to be bought", "money", ""),
}
EVIDENCE: dict[str, Meaning] = {
    "best_future_cost": ("whole bill of the best plan with more training labels", "money", ""),
    "floor": ("whole bill after another batch, were the classifier perfect", "money", ""),
    "training_spent": ("spent on training", "money", ""),
    "total_cost_one_band": ("whole bill with a sample drawn evenly", "money", ""),
    "total_cost_two_bands": ("whole bill with a sample drawn more densely among the less sure half", "money", ""),
    "sample": ("certificate items", "count", "item"),
    "errors_in_sample": ("wrong predictions among them", "count", "item"),
    "errors_in_sure_band": ("wrong ones in the surer band", "count", "item"),
    "left": ("wrong ones left among the machine's", "count", "item"),
    "tolerated": ("wrong ones that may be left there", "count", "item"),
    "allowed_errors": ("wrong machine labels that the target allows", "count", "label"),
    "level": ("chance of a wrong promise that this sample may use", "percent_fine", ""),
    "peeled": ("least trusted items that have left", "count", "item"),
    "leaving": ("items that leave next", "count", "item"),
    "asked": ("of these, people are asked for", "count", "item"),
}


class Fact(TypedDict):
    """A number behind a decision. ``kind``: how it is written; ``unit``: the noun of what is counted, "" for money and shares."""

    name: str
    value: float
    kind: Kind
    unit: str


class Decided(TypedDict):
    """One decision: when, what, why, and the numbers it rests on.

    Attributes:
        again: whether it only asks for more labels, as the ones before and after it do.
        facts: the numbers that matter, in words; ``evidence`` and ``plan`` are all of them, as the engine recorded them.
    """

    seq: int
    at: str
    title: str
    sentence: str
    reason: str | None
    again: bool
    facts: list[Fact]
    evidence: dict[str, float]
    plan: dict[str, Any] | None


def decided(history: Sequence[Entry[Happening]]) -> list[Decided]:
    """Every decision, the newest first."""
    rows: list[Decided] = []
    drawn: int | None = None  # by the queue that the same commit opened
    for entry in reversed(history):
        if isinstance(entry.event, events.QueueOpened) and entry.event.queue == "certificate":
            drawn = entry.event.n_asked
        if not isinstance(entry.event, events.Decided):
            continue
        row = entry.event.decision
        verdict = None if isinstance(row, Acquire) else row.verdict
        evidence = {} if verdict is None else dict(verdict.evidence)
        rows.append(
            Decided(
                seq=entry.seq,
                at=entry.at.isoformat(),
                title=decision_title(row, drawn),
                sentence=_sentence(row),
                reason=None if verdict is None else verdict.reason.value,
                again=isinstance(row, Acquire) and row.plan is not None,
                facts=list(_facts(row, evidence)),
                evidence=evidence,
                plan=plan_values(row.plan),
            )
        )
    return rows


def _sentence(row: Decision) -> str:
    if isinstance(row, Acquire):
        return row.sentence
    return " ".join(part for part in (row.verdict.sentence, row.why if isinstance(row, Certify) else "") if part)


def plan_values(plan: Plan | None) -> dict[str, Any] | None:
    return None if plan is None else {name: getattr(plan, name) for name in plan.__slots__}


def _facts(row: Decision, evidence: dict[str, float]) -> Iterator[Fact]:
    found = {**(plan_values(row.plan) or {}), **evidence}
    planned = {} if "sample" in evidence else PLAN  # once a certificate sample is read, it counts and not what was forecast before
    for name, (text, kind, unit) in (planned | EVIDENCE).items():
        value = found.get(name)
        if value is None or value < 0 or (name == "to_buy" and not value):
            continue
        yield Fact(name=text, value=value, kind=kind, unit=unit)
