"""What people are told about a campaign, each thing once. Pure: notices follow from the state, and each has a key of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from backend.campaign.events import QUEUES, decision_title
from backend.campaign.state import Phase, State
from backend.campaign_settings import NoticeKind
from backend.views.audits.audits import sentences
from backend.views.status import sentence
from mcal_engine.types import Acquire, Decision
from mcal_engine.words import counted

NEARLY_EMPTY = 0.1  # of what was asked for
SMALL_QUEUE = 10  # items; below that "nearly empty" says nothing


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell.

    Attributes:
        key: the same for the same event however often the state is looked at, also after a restart.
        kind: the campaign's switch that it hangs on.
        weight: how a channel may colour it.
    """

    key: str
    kind: NoticeKind
    text: str
    weight: Literal["info", "success", "warning"] = "info"


def notices(state: State) -> list[Notice]:
    """What can be told of the state now, as far as the campaign's ``notify_about`` wants it.

    Only what is so at present: a channel that is set up late hears of the last decision and the open queue, not of the whole history.
    """
    return [notice for notice in _all(state) if notice.kind in state.wanted.notify_about]


def _all(state: State) -> Iterator[Notice]:
    if state.ended and state.phase != Phase.FINISHED:
        return
    yield from _audits(state)
    if state.phase == Phase.FINISHED:
        # Each audit and what followed ends with a finish of its own.
        again = f"/{len(state.audits)}" + ("/cut" if state.audits[-1].take_back else "") if state.audits else ""
        yield Notice(f"finished{again}", "finished", _said(sentence(state)), "success")
        return
    if state.decision is not None:
        yield _decided(state, state.decision)
    yield from _queue(state)
    yield from _needs_a_person(state)


def _audits(state: State) -> Iterator[Notice]:
    for audit in state.audits[-1:]:
        if audit.result is not None:
            weight: Literal["success", "warning"] = "success" if audit.result.verdict == "holds" else "warning"
            yield Notice(f"audit/{audit.number}", "decision", " ".join(sentences(state, audit)), weight)


def _decided(state: State, decision: Decision) -> Notice:
    n = sum(isinstance(row, Decision) for row in state.history)
    why = decision.sentence if isinstance(decision, Acquire) else decision.verdict.sentence
    return Notice(f"decision/{n}", "decision", f"Decided: {decision_title(decision, len(state.sample))}. {_said(why)}")


def _queue(state: State) -> Iterator[Notice]:
    queue, seen = state.queue, state.progress
    if queue is None or seen is None or state.published != queue.model_version:
        return
    name = QUEUES[queue.kind]
    if queue.kind == "residual":
        if state.residual:
            yield Notice(
                f"ready/{queue.model_version}",
                "queue_ready",
                f"The queue is ready, {name}: {counted(len(state.residual), 'label', 'are')} needed.",
            )
        return
    if not seen.asked:
        return
    if seen.missing:
        needed = f"{counted(seen.asked + seen.twice, 'label', 'are')} needed."
        yield Notice(f"ready/{queue.model_version}", "queue_ready", f"The queue is ready, {name}: {needed}")
        if seen.asked >= SMALL_QUEUE and len(seen.missing) <= NEARLY_EMPTY * seen.asked:
            left = f"The queue is nearly empty, {name}: {len(seen.missing):,} of {seen.asked:,} are left."
            yield Notice(f"low/{queue.model_version}", "queue_empty", left)
        return
    if state.stage in (Phase.COLLECTING, Phase.CERTIFYING, Phase.PEELING):
        return  # second labels are being given
    yield Notice(f"empty/{queue.model_version}", "queue_empty", f"The queue is empty, {name}: all {seen.asked:,} are answered.")
    steps = {"certificate": "the certificate sample is read", "audit": "the audit is read", "peel": "what is left is ranked anew"}
    next_step = steps.get(queue.kind, "the machine trains, then decides what comes next")
    yield Notice(f"due/{queue.model_version}", "decision", f"A decision is due: {next_step}.")


def _needs_a_person(state: State) -> Iterator[Notice]:
    if state.stage == Phase.AWAITING_APPROVAL:
        yield Notice(
            f"approval/{state.look}",
            "attention",
            f"Your yes is awaited: {counted(len(state.planned), 'machine label', 'are')} ready.",
            "warning",
        )
    if state.halt is not None:
        yield Notice(
            f"halted/{state.halt.seq}", "attention", f"Halted, somebody is needed: {state.halt.reason}. {state.halt.fix}", "warning"
        )
    aside = len(state.set_aside)
    if aside:
        # Told again each time their number has doubled, not for each one of them.
        yield Notice(
            f"aside/{aside.bit_length()}",
            "attention",
            f"Set aside for people: {counted(aside, 'item')} that nobody could label or that cannot be read.",
            "warning",
        )


def _said(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
