"""A certificate in plain words: what was drawn, what was seen, what follows, and what it does not say. Pure."""

from __future__ import annotations

from typing import TypedDict

from backend.campaign.state import State
from backend.campaign_settings import CampaignSettings
from backend.views.classes import bounds
from backend.views.report import Report, missed
from mcal_engine.types import Certify, HumanLabelAll, LabelByMachine, PeelBatch
from mcal_engine.words import counted, counted_of

NAMED = 20  # classes that are told of one by one


class Certificate(TypedDict):
    """``status``: none, running, certified, estimated, refused or by_hand. ``steps`` are sentences in the order things happened."""

    status: str
    headline: str
    steps: list[str]


def certificate(state: State, report: Report) -> Certificate:
    """The campaign's promise as it stands."""
    decision = state.decision
    looks = report["looks"]
    if isinstance(decision, LabelByMachine) and not decision.certified:
        return Certificate(
            status="estimated",
            headline=f"Estimated, not certified{': the target is missed' if missed(report) else ''}.",
            steps=[_estimate(report, state.settings)],
        )
    if isinstance(decision, LabelByMachine):
        steps = [*_steps(state, report, decision), *_contradicted(report)]
        return Certificate(status="certified", headline=_promise(state, report, decision), steps=steps)
    if isinstance(decision, HumanLabelAll) and looks and looks[-1]["certified"] is False:
        return Certificate(status="refused", headline="No set of machine labels could be certified.", steps=[decision.verdict.sentence])
    if isinstance(decision, HumanLabelAll):
        return Certificate(status="by_hand", headline="People label everything: nothing to certify.", steps=[decision.verdict.sentence])
    if isinstance(decision, PeelBatch):
        left, tolerated = (int(decision.verdict.evidence[name]) for name in ("left", "tolerated"))
        step = (
            f"The certificate sample is answered. People now label the {counted(decision.n_asked, 'item')} that are trusted least, and "
            f"what is left is ranked anew. That goes on until at most {tolerated:,} of the sample's wrong predictions are among the "
            f"machine's items; now it is {left:,}. It may end with any batch. Then the machine labels are written."
        )
        asked = next(row for row in reversed(state.history) if isinstance(row, Certify) and row.look == decision.look)
        steps = [_in_bands(state) + _why(asked), step]
        return Certificate(status="running", headline="People label the least trusted items.", steps=steps)
    if isinstance(decision, Certify):
        step = (
            f"{counted(len(state.sample), 'item', 'were')} drawn at random from the frozen predictions. People label them without "
            f"seeing what the machine said; until the last one is in, nobody can know which of them it got wrong.{_why(decision)}"
        )
        return Certificate(status="running", headline="The blind certificate sample is being labelled.", steps=[step])
    return Certificate(status="none", headline="There is no certificate yet.", steps=["It comes when the search for training labels ends."])


def _contradicted(report: Report) -> list[str]:
    """An audit that refutes the promise is told beside it."""
    broken = [row for row in report["audits"] if row["verdict"] == "broken"]
    return [f"Audit {row['audit']} contradicts this: it found more wrong labels than ε allows. One of the two is wrong." for row in broken]


def _promise(state: State, report: Report, decision: LabelByMachine) -> str:
    bound = report["error_upper_bound"] or 0.0
    precision = state.settings.min_class_precision
    each = "" if precision is None else f", and at least {precision:.4g} of the machine's labels for each class do not"
    return (
        f"With {report['confidence_level']:.0%} confidence, at most {bound:.2%} of all {counted(state.n_labels, 'label')} differ from "
        f"what your people would have said{each}.{_more_than_asked_for(report)}"
    )


def _more_than_asked_for(report: Report) -> str:
    """Fewer labels than were counted on, with as many that may be wrong, are a larger share."""
    bound = report["error_upper_bound"] or 0.0
    if bound <= report["target_error"]:
        return ""
    return (
        f" That is more than the target of {report['target_error']:.2%}: since the sample was drawn, tasks have been deleted or set aside, "
        "and what was certified is a number of wrong labels."
    )


def _steps(state: State, report: Report, decision: LabelByMachine) -> list[str]:
    evidence = decision.verdict.evidence
    asked = next(row for row in reversed(state.history) if isinstance(row, Certify) and row.look == decision.look)
    outcome = next(row for row in reversed(state.outcomes) if row.look == decision.look)
    if outcome.bands is not None:
        return _steps_of_bands(state, report, decision, asked)
    return [
        *_other_looks(state, decision),
        f"The classifier “{decision.classifier}” was frozen: its prediction and its certainty for each of "
        f"{counted(outcome.n_pool, 'item', 'were')} "
        "stored and hashed before the sample was drawn.",
        f"Of these, {len(outcome.ranks):,} were drawn at random and labelled by people who could not see the predictions. "
        f"{counted(int(evidence.get('errors_in_sample', 0)), 'prediction', 'were')} wrong; items that nobody answered count as wrong"
        f"{_first_counts(state)}.",
        *_rule(state, report, decision),
        f"So the machine labels the {counted(decision.n_machine, 'surest item')} that are not in the sample. The chance that more than "
        f"the allowed number of them are wrong is at most {asked.level:.1%}.",
        *_of_classes(state, decision, asked.level),
        "It holds however good the classifier is and however the items were chosen: the only randomness it rests on is the draw.",
        f"It is relative to your own people's labels, over all items. "
        f"It says nothing about a single label{'' if decision.class_cuts else ' or a single class'}.",
    ]


def _steps_of_bands(state: State, report: Report, decision: LabelByMachine, asked: Certify) -> list[str]:
    evidence = decision.verdict.evidence
    n_pool = next(row for row in reversed(state.outcomes) if row.look == decision.look).n_pool
    n_peeled = int(evidence["peeled"])
    peeled = (
        f"People then labelled the least trusted items, {n_peeled:,} in all, until few enough of the sample's wrong predictions were left "
        "among the machine's items."
    )
    return [
        f"The classifier “{decision.classifier}” was frozen: its prediction and its certainty for each of "
        f"{counted(n_pool, 'item', 'were')} stored and "
        "hashed before the sample was drawn.",
        f"{_in_bands(state)}{_why(asked)} "
        f"{counted_of(int(evidence['errors_in_sample']), int(evidence['sample']), 'prediction', 'were')} wrong; items "
        f"that nobody answered count as wrong{_first_counts(state)}.",
        *([peeled] if n_peeled else []),
        f"The target of {report['target_error']:g} allows {counted(int(evidence['allowed_errors']), 'error')} among "
        f"{counted(_counted_on(state, decision), 'label')}. A table that was fixed before the draw says how many wrong predictions of "
        f"the sample may be left for that: {int(evidence['tolerated']):,}. There are {int(evidence['left']):,}.",
        f"So the machine labels the {counted(decision.n_machine, 'item')} that are left and not in the sample. More wrong labels than "
        f"are allowed would have shown more in all but {asked.level:.1%} of all draws, wherever they hide.",
        "It holds however good the classifier is and however the items were chosen: the only randomness it rests on is the draw.",
        "It is relative to your own people's labels, over all items. It says nothing about a single label or a single class.",
    ]


def _in_bands(state: State) -> str:
    bands = state.bands
    if bands is None or not bands.n_sure:
        return "People checked a secret random sample without seeing the predictions."
    return (
        f"People checked a secret random sample without seeing the predictions, more densely among the less sure half: "
        f"{bands.sample_sure:,} of the {counted(bands.n_sure, 'surest item')} and {bands.sample_unsure:,} of the other {bands.n_unsure:,}."
    )


def _why(asked: Certify) -> str:
    """How the sample was drawn, where there was a choice, and what that was held against."""
    return f" {asked.why}" if asked.why else ""


def _first_counts(state: State) -> str:
    """A rule that was there before anybody answered: a second label cannot move the certificate."""
    twice = any(queue.twice for queue in state.queues if queue.kind == "certificate")
    return ", and where two people were asked the first label counts" if twice else ""


def _rule(state: State, report: Report, decision: LabelByMachine) -> list[str]:
    evidence = decision.verdict.evidence
    return [
        f"The target of {report['target_error']:g} allows {counted(int(evidence.get('allowed_errors', 0)), 'error')} among "
        f"{counted(_counted_on(state, decision), 'label')}. An exact rule says how many errors of the sample may stand above the cut for "
        f"that: {int(evidence.get('tolerated', 0)):,}."
    ]


def _counted_on(state: State, decision: LabelByMachine) -> int:
    """The labels that the look's allowance was counted over."""
    asked = next(row for row in reversed(state.history) if isinstance(row, Certify) and row.look == decision.look)
    return state.observations[-1].n_items if asked.promise is None else asked.promise.n_labels


def _of_classes(state: State, decision: LabelByMachine, level: float) -> list[str]:
    """The bound per class, and by name the classes that it takes labels from."""
    if not decision.class_cuts:
        return []
    found = bounds(state)
    changed = [row["sentence"] for row in found if row["status"] in ("cut", "people")]
    return [
        f"Half of that chance is for a second promise: of the machine's labels for each class at least "
        f"{state.settings.min_class_precision:.4g} are right. The {sum(row['status'] != 'none' for row in found)} classes were tested, "
        f"each at cuts fixed beforehand and all together at {level / 2:.1%}.",
        *changed[:NAMED],
        *(
            [f"So it is with {counted(len(changed) - NAMED, 'class')} more; the table of classes has them all."]
            if len(changed) > NAMED
            else []
        ),
    ]


def _other_looks(state: State, decision: LabelByMachine) -> list[str]:
    """All looks share the confidence, so that looking again costs certainty and not honesty."""
    n_looks = len(state.outcomes)
    if n_looks < 2:
        return []
    return [
        f"{counted(n_looks, 'sample', 'were')} drawn, each from predictions frozen anew, and each may be wrong with its own share of the "
        f"doubt only. What follows is about look {decision.look}."
    ]


def _estimate(report: Report, settings: CampaignSettings) -> str:
    estimate, target = report["error_estimate"] or 0.0, report["target_error"]
    said = f"{estimate:.2%} of all items, for a target of {target:.2%}. No blind sample stands behind it."
    if settings.budget is None:
        return f"The setting guarantee = estimate takes the error counted on the test set at its word: {said}"
    asked = f"A budget of {settings.budget:,.2f} {report['currency']} was set, and the machine labelled what it did not pay for"
    above = " The target is missed: a larger budget, or people for the least sure items, would bring the error down."
    return f"{asked}. The error is counted on the test set: {said}{above if estimate > target else ''}"
