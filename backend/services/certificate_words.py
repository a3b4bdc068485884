"""A certificate in plain words: what was drawn, what was seen, what follows, and what it does not say. Pure."""

from __future__ import annotations

from typing import TypedDict

from backend.services.report import Report
from backend.services.state import State
from mcal_engine.certificate import THRESHOLDS
from mcal_engine.types import Certify, HumanLabelAll, MachineLabel


class Certificate(TypedDict):
    """``status``: none, running, certified, estimated, refused or by_hand. ``steps`` are sentences in the order things happened."""

    status: str
    headline: str
    steps: list[str]


def certificate(state: State, report: Report) -> Certificate:
    """The campaign's promise as it stands."""
    decision = state.decision
    looks = report["looks"]
    if isinstance(decision, MachineLabel) and not decision.certified:
        return Certificate(status="estimated", headline="Estimated, not certified.", steps=[_estimate(report)])
    if isinstance(decision, MachineLabel):
        return Certificate(status="certified", headline=_promise(state, report, decision), steps=_steps(state, report, decision))
    if isinstance(decision, HumanLabelAll) and looks and looks[-1]["certified"] is False:
        return Certificate(status="refused", headline="No set of machine labels could be certified.", steps=[decision.verdict.sentence])
    if isinstance(decision, HumanLabelAll):
        return Certificate(status="by_hand", headline="People label everything: nothing to certify.", steps=[decision.verdict.sentence])
    if isinstance(decision, Certify):
        step = (
            f"{decision.n_certificate:,} items were drawn at random from the frozen predictions. People label them without seeing what the "
            "machine said; until the last one is in, nobody can know which of them it got wrong."
        )
        return Certificate(status="running", headline="The blind certificate sample is being labelled.", steps=[step])
    return Certificate(status="none", headline="There is no certificate yet.", steps=["It comes when the search for training labels ends."])


def _promise(state: State, report: Report, decision: MachineLabel) -> str:
    if _inside(state):
        return (
            f"With {report['confidence_level']:.0%} confidence, at most {report['target_error']:.2%} of the {decision.n_machine:,} machine "
            "labels differ from what your people would have said."
        )
    bound = decision.error_upper_bound or 0.0
    return (
        f"With {report['confidence_level']:.0%} confidence, at most {bound:.2%} of all {report['n_items']:,} labels differ from what your "
        "people would have said."
    )


def _steps(state: State, report: Report, decision: MachineLabel) -> list[str]:
    evidence = decision.verdict.evidence
    asked = next(row for row in reversed(state.history) if isinstance(row, Certify) and row.look == decision.look)
    outcome = next(row for row in reversed(state.outcomes) if row.look == decision.look)
    return [
        *_other_looks(state, decision),
        f"The classifier “{decision.classifier}” was frozen: its prediction and its certainty for each of {outcome.n_pool:,} items were "
        "stored and hashed before the sample was drawn.",
        f"Of these, {len(outcome.ranks):,} were drawn at random and labelled by people who could not see the predictions. "
        f"{int(evidence.get('errors_in_sample', 0)):,} predictions were wrong; items that nobody answered count as wrong.",
        *_rule(state, report, decision),
        f"So the machine labels the {decision.n_machine:,} surest items that are not in the sample. The chance that more than the allowed "
        f"number of them are wrong is at most {asked.level:.1%}.",
        "It holds however good the classifier is and however the items were chosen: the only randomness it rests on is the draw.",
        f"It is relative to your own people's labels, over {'the machine labels' if _inside(state) else 'all items'}. "
        "It says nothing about a single label or a single class.",
    ]


def _inside(state: State) -> bool:
    return state.settings.error_scope == "machine"


def _rule(state: State, report: Report, decision: MachineLabel) -> list[str]:
    evidence = decision.verdict.evidence
    if _inside(state):
        return [
            f"The target of {report['target_error']:g} is for the machine's labels alone. An exact test was made at {THRESHOLDS} cuts that "
            "were fixed beforehand and share the level; the longest set of surest items that passes is taken."
        ]
    return [
        f"The target of {report['target_error']:g} allows {int(evidence.get('allowed_errors', 0)):,} errors among {report['n_items']:,} "
        f"items. An exact rule says how many errors of the sample may stand above the cut for that: {int(evidence.get('tolerated', 0)):,}."
    ]


def _other_looks(state: State, decision: MachineLabel) -> list[str]:
    """All looks share the confidence, so that looking again costs certainty and not honesty."""
    n_looks = len(state.outcomes)
    if n_looks < 2:
        return []
    return [
        f"{n_looks} samples were drawn, each from predictions frozen anew, and each may be wrong with its own share of the doubt only. "
        f"What follows is about look {decision.look}."
    ]


def _estimate(report: Report) -> str:
    return (
        f"The setting guarantee = estimate takes the error counted on the test set at its word: {report['error_estimate'] or 0:.2%} of all "
        f"items, for a target of {report['target_error']:.2%}. No blind sample stands behind it."
    )
