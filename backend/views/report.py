"""What a campaign did and what it cost, as one JSON object (the shape that the simulator and the demo use too). Pure."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib import metadata
from itertools import pairwise
from typing import Any, NotRequired, TypedDict, TypeGuard

import mcal_engine
from backend.campaign.state import State
from backend.views.aside import Reason, reasons
from backend.views.audits.audits import AuditRow, audit_rows
from backend.views.classes import Bound, bounds
from backend.views.money import Money, money
from backend.views.people.disagreement import Disagreement, disagreement
from backend.views.people.labour import Labour, labour
from backend.views.warned import warnings
from mcal_engine.looks import confidence_kept
from mcal_engine.types import (
    Acquire,
    CertificateOutcome,
    Certify,
    Decision,
    HumanLabelAll,
    LabelByMachine,
    Observation,
    PeelBatch,
    PeelOrder,
    Row,
    StopReason,
)

LABOUR = ("price_per_hour", "hours", "seconds_per_label", "n", "n_capped", "n_assumed", "cap")

LATER: dict[str, Any] = {"forecast": None, "set_aside": []}  # what final reports of earlier versions do not have


class Look(TypedDict):
    """One certificate: a sample V that was drawn, and what it said once it was answered."""

    look: int
    level: float
    n_sample: int
    n_pool: int | None
    errors_in_sample: int | None
    n_machine: int | None
    certified: bool | None


class Round(TypedDict):
    """One observation with the decision that followed; the plan's numbers are ``None`` where the engine made none."""

    round: int
    n_train: int
    n_test: int
    n_survivors: int
    n_pool: int
    n_labels_paid: int
    classifiers: list[str]
    training_seconds: float
    decision: str | None
    sentence: str
    plan: dict[str, Any] | None


class Report(TypedDict):
    """``human_items + n_machine + n_set_aside = n_items`` when the campaign is finished; before, ``n_open`` items are still to come.

    ``human_labels`` are all that were paid: ``second_labels`` are those that ``overlap_share`` asked for, ``duplicates`` what nobody did.
    ``human_only_cost`` is of the labels that had to be bought from the campaign's start on. ``forecast`` is what the bill comes to, the
    total itself at the end, and ``savings`` are of it; both are ``None`` while nobody can tell. ``n_items`` and ``human_only_cost`` are
    ``None`` before the project was looked at.
    """

    n_items: int | None
    n_test: int
    n_train: int
    n_certificate: int
    n_audit: int
    n_machine: int
    n_residual: int
    n_set_aside: int
    n_open: int
    n_preexisting: int
    human_items: int
    human_labels: int
    duplicates: int
    second_labels: int
    price_per_label: float
    human_cost: float
    machine_price_per_hour: float
    training_cost: float
    total_cost: float
    human_only_cost: float | None
    forecast: float | None
    savings: float | None
    currency: str
    target_error: float
    error_estimate: float | None
    error_upper_bound: float | None
    confidence_level: float
    guarantee: str
    looks: list[Look]
    set_aside: list[Reason]
    audits: list[AuditRow]
    certified: bool
    stop_reason: str | None
    sentence: str
    classifier: str | None
    rounds: list[Round]
    wall_seconds: float
    training_seconds: float
    seed: int
    versions: dict[str, str]
    campaign: int
    project: int
    phase: str
    disagreement: NotRequired[Disagreement]  # where two people are asked about some items
    min_class_precision: NotRequired[float]
    class_bounds: NotRequired[list[Bound]]  # beside it: what it leaves of each class
    warnings: NotRequired[list[str]]  # where there are any
    labour: NotRequired[dict[str, float]]  # where hours are paid: what the human cost is made of
    follows: NotRequired[int]  # the campaign that this one follows up
    n_inherited: NotRequired[int]  # beside it: labels of that one's that train here; they are none of the items
    true_overall_error: NotRequired[float]  # added by the demo and the simulator, which know the truth
    true_machine_error: NotRequired[float]


def make_report(state: State, now: datetime, work: Labour | None = None, bill: Money | None = None) -> Report:
    """The report of a campaign as it stands at ``now``; ``work`` and ``bill`` are its labour and money, where they are known already."""
    if state.report is not None:
        final: Report = LATER | state.report  # type: ignore[assignment]  # as it was written
        return final | {"forecast": final["total_cost"]} if final["forecast"] is None else final
    settings, decision = state.settings, state.decision
    labelled = [item for item in state.live if item.label is not None]
    n_test = sum(item.label is not None for item in state.test)
    sample = set(state.sample)
    n_certificate = sum(item.task_id in sample for item in labelled)
    n_audit = sum(item.task_id in state.audited for item in labelled)
    others = len(labelled) - n_test - n_certificate - n_audit
    # Until the search ends every other label is B's; what came after the last training is the residual.
    ended = not isinstance(decision, Acquire) and bool(state.observations)
    n_train = min(max(state.observations[-1].n_train - len(state.inherited), 0), others) if ended else others
    n_machine = len(state.live) - len(labelled) - len(state.unlabelled)
    n_set_aside = len(state.set_aside)
    seconds = state.training_seconds
    hourly = None if settings.price_per_hour is None else work or labour(state)
    bill = bill or money(state, hourly)
    estimate, bound = errors(decision)
    bound = over_labels(state, bound)
    report = Report(
        n_items=None if state.created is None else len(state.live),
        n_test=n_test,
        n_train=n_train,
        n_certificate=n_certificate,
        n_audit=n_audit,
        n_machine=n_machine,
        n_residual=others - n_train,
        n_set_aside=n_set_aside,
        n_open=len(state.unlabelled) - n_set_aside,
        n_preexisting=sum(item.preexisting for item in state.live),
        human_items=len(labelled),
        human_labels=state.n_labels_paid,
        duplicates=state.n_repeats_paid - len(state.second_labels),
        second_labels=len(state.second_labels),
        price_per_label=settings.price_per_label,
        human_cost=bill["human"],
        machine_price_per_hour=settings.machine_price_per_hour,
        training_cost=bill["training"],
        total_cost=bill["total"],
        human_only_cost=bill["human_only"],
        forecast=bill["forecast"],
        savings=bill["savings"],
        currency=settings.currency,
        target_error=settings.target_error,
        error_estimate=estimate,
        error_upper_bound=bound,
        confidence_level=confidence_kept(settings, state.history),
        guarantee=settings.guarantee,
        looks=looks(state),
        set_aside=reasons(state),
        audits=audit_rows(state),
        certified=isinstance(decision, LabelByMachine) and decision.certified,
        stop_reason=stop_reason(state),
        sentence=sentence_of(decision),
        classifier=None if decision is None or isinstance(decision, HumanLabelAll) else decision.classifier,
        rounds=rounds(state),
        wall_seconds=(now - state.created_at).total_seconds(),
        training_seconds=seconds,
        seed=settings.seed,
        versions=versions(state),
        campaign=state.campaign_id,
        project=state.project_id,
        phase=state.phase.value,
    )
    found = disagreement(state)
    if found is not None:
        report["disagreement"] = found
    warned = warnings(state, bill)
    if warned:
        report["warnings"] = warned
    if settings.min_class_precision is not None:
        report["min_class_precision"] = settings.min_class_precision
        report["class_bounds"] = bounds(state)
    if state.follows is not None:
        report["follows"], report["n_inherited"] = state.follows.campaign, len(state.inherited)
    if hourly is not None:
        report["labour"] = {name: value for name in LABOUR if isinstance(value := hourly.get(name), int | float)}
    return report


def missed(report: Report) -> bool:
    """Whether more of the labels are wrong than was aimed at, as far as it is known; a certificate that is given never does."""
    estimate = report["error_estimate"]
    return not report["certified"] and estimate is not None and estimate > report["target_error"]


def errors(decision: Decision | None) -> tuple[float | None, float | None]:
    """Estimate and upper bound of the overall error; where people label everything there is no machine error at all."""
    if isinstance(decision, HumanLabelAll):
        return 0.0, 0.0
    return (decision.error_estimate, decision.error_upper_bound) if isinstance(decision, LabelByMachine) else (None, None)


def over_labels(state: State, bound: float | None) -> float | None:
    """The certified bound as a share of the labels that there are: tasks may have been deleted or set aside since it was drawn."""
    decision = state.decision
    if bound is None or not isinstance(decision, LabelByMachine) or not decision.certified:
        return bound
    asked = next((row for row in reversed(state.history) if isinstance(row, Certify) and row.look == decision.look), None)
    if asked is None or asked.promise is None:
        return bound
    return round(bound * asked.promise.n_labels) / max(state.n_labels, 1)


def looks(state: State) -> list[Look]:
    made: list[Look] = []
    history = (*state.history, None, None)  # what a campaign under way has not come to yet
    for place, (asked, following) in enumerate(pairwise(history)):
        if not isinstance(asked, Certify):
            continue
        after = _after_peel(history[place + 2 :])
        answer = following if isinstance(following, CertificateOutcome) else None
        made.append(
            Look(
                look=asked.look,
                level=asked.level,
                n_sample=len(state.sample) if answer is None else len(answer.ranks),
                n_pool=None if answer is None else answer.n_pool,
                errors_in_sample=None if answer is None else int(answer.errors.sum()),
                n_machine=after.n_machine if _takes(after, asked) else None if after is None or isinstance(after, PeelBatch) else 0,
                certified=None if after is None or isinstance(after, PeelBatch) else _takes(after, asked),
            )
        )
    return made


def _after_peel(rows: Sequence[Row | None]) -> Row | None:
    """What followed an answered sample once the peel had ended; while it goes on, its last batch."""
    found: Row | None = None
    for row in rows:
        if not isinstance(row, PeelOrder):
            found = row or found
        if not isinstance(row, PeelBatch | PeelOrder):
            break
    return found


def _takes(decision: Decision | Row | None, asked: Certify) -> TypeGuard[LabelByMachine]:
    """Whether the machine labels are those that this look certified; a later look may have been gone on to."""
    return isinstance(decision, LabelByMachine) and decision.look == asked.look


def rounds(state: State) -> list[Round]:
    made: list[Round] = []
    for place, row in enumerate(state.history):
        if not isinstance(row, Observation):
            continue
        after = state.history[place + 1] if place + 1 < len(state.history) else None
        decision = None if isinstance(after, Observation | CertificateOutcome | PeelOrder) else after
        plan = None if decision is None else decision.plan
        made.append(
            Round(
                round=row.round,
                n_train=row.n_train,
                n_test=len(row.test_ids),
                n_survivors=int(row.survivors.sum()),
                n_pool=row.n_pool,
                n_labels_paid=row.n_labels_paid,
                classifiers=[measurement.classifier for measurement in row.measurements],
                training_seconds=row.training_seconds,
                decision=None if decision is None else type(decision).__name__,
                sentence=sentence_of(decision),
                plan=None if plan is None else {name: getattr(plan, name) for name in plan.__slots__},
            )
        )
    return made


def stop_reason(state: State) -> str | None:
    """Why the search for training labels ended; a certificate that failed is the reason that counts."""
    verdicts = [row.verdict for row in state.history if isinstance(row, Certify | LabelByMachine | HumanLabelAll)]
    if not verdicts:
        return None
    last = verdicts[-1]
    return str(verdicts[-2].reason if last.reason == StopReason.CERTIFIED and len(verdicts) > 1 else last.reason)


def sentence_of(decision: Decision | None) -> str:
    if decision is None:
        return ""
    return decision.sentence if isinstance(decision, Acquire) else decision.verdict.sentence


def versions(state: State) -> dict[str, str]:
    found = {"mcal": mcal_engine.__version__, "python": platform.python_version()}
    if state.created is not None and state.created.label_studio_version:
        found["label_studio"] = state.created.label_studio_version
    return found | _installed()


@cache
def _installed() -> dict[str, str]:
    """Read once: looking a version up takes milliseconds, and every page has a report."""
    found: dict[str, str] = {}
    for name in ("torch", "label-studio-sdk"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
