"""Audits for people: a row of numbers and a plain sentence for each. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypedDict

from backend.campaign.audits import Audit, TakeBack
from backend.campaign.state import State
from mcal_engine.words import counted, counted_of


class Different(TypedDict):
    """A machine label that people did not confirm; ``people`` is ``None`` where nobody answered."""

    task: int
    machine: str
    people: str | None


class AuditRow(TypedDict):
    """One audit. Counts that its answers tell are ``None`` until it is decided: before, nobody may know which label was wrong.

    Attributes:
        status: requested, open, decided, cancelled; ``ended`` where the campaign was rolled back meanwhile.
        n_written, n_sample: machine labels it was drawn from, and drawn; ``n_answered`` of them have a person's label.
        error_estimate: share of the sample that is wrong; no answer counts as wrong.
        machine_upper_bound, upper_bound: the most that were wrong, as a share of the machine labels and of all items.
        upper_bound_left: the same of what is still the machine's, as a share of all items.
        take_back: the cut that followed, if one did.
    """

    audit: int
    status: str
    by: str
    opened_at: str
    ended_at: str | None
    n_written: int
    n_items: int
    n_sample: int
    n_answered: int
    n_different: int | None
    n_unanswered: int | None
    confidence_level: float
    target_error: float
    allowed_errors: int
    error_estimate: float | None
    max_errors: int | None
    min_errors: int | None
    max_errors_left: int | None
    machine_upper_bound: float | None
    upper_bound: float | None
    upper_bound_left: float | None
    verdict: str | None
    sentence: str
    digest: str
    different: list[Different]
    take_back: dict[str, Any] | None


def audit_rows(state: State) -> list[AuditRow]:
    """All audits, the first one first."""
    return [_row(state, audit) for audit in state.audits]


def in_short(audit: Audit) -> str:
    """A decided audit in half a sentence."""
    if audit.result is None:
        return ""
    share = audit.result.max_errors / max(audit.n_items, 1)
    said = {"holds": "the target holds", "not_shown": "the target is not shown", "broken": "the target is broken"}[audit.result.verdict]
    return f"audit {audit.number}: {said}, error at most {share:.2%} at {percent(audit.confidence_level)}"


def percent(level: float) -> str:
    """A confidence without rounding it up: 95%, 99.9%."""
    return f"{100 * level:.6g}%"


def sentences(state: State, audit: Audit) -> list[str]:
    """What an audit is or has come to, in plain words."""
    if audit.result is None:
        return [_under_way(state, audit)]
    result, n = audit.result, len(audit.ids)
    sure, name = f"with {percent(audit.confidence_level)} confidence", f"Audit {audit.number}"
    unanswered = f", {result.unanswered:,} of them for want of an answer" if result.unanswered else ""
    shares = f"{_share(result.max_errors, audit.n_written)} of them, {_share(result.max_errors, audit.n_items)} of all items"
    said = [
        f"{name}: people labelled {n:,} of the {counted(audit.n_written, 'machine label')} again, drawn at random and blind; "
        f"{result.errors:,} count as wrong{unanswered}.",
        f"{sure.capitalize()}, at most {result.max_errors:,} of the {audit.n_written:,} were wrong as written: {shares}.",
    ]
    allowed = f"{counted(audit.allowed, 'wrong label')} that the target of {audit.target_error:.2%} allows"
    if result.verdict == "holds":
        said.append(f"That is within the {allowed}: the target holds.")
    elif result.verdict == "broken":
        said.append(f"{sure.capitalize()}, at least {result.min_errors:,} were wrong: more than the {allowed}.")
    else:
        said.append(f"That is more than the {allowed}: the target is not shown, and not refuted either.")
    left = f"at most {result.max_errors_left:,} wrong ones are left to the machine, {_share(result.max_errors_left, audit.n_items)}"
    said.append(f"What people labelled is theirs now; {left} of all items.")
    if audit.take_back is not None:
        said.append(_cut(audit, audit.take_back))
    said.append(
        "Each bound is a statement of its own, wrong with probability "
        f"{percent(1 - audit.confidence_level)} at most, whatever other audits and the certificate say."
    )
    return said


def _row(state: State, audit: Audit) -> AuditRow:
    result, n, sample = audit.result, len(audit.ids), set(audit.ids)
    answered = sum(state.items[task].label is not None for task in sample if task in state.items)
    machine = {row.task_id: row.label for row in state.machine_labels if row.task_id in sample}
    pairs = zip(audit.ids, audit.labels, strict=True) if result is not None else ()
    different = [
        Different(task=task, machine=state.said(machine[task]), people=None if label is None else state.said(label))
        for task, label in pairs
        if label != machine[task]
    ]
    return AuditRow(
        audit=audit.number,
        status=status(state, audit),
        by=audit.by,
        opened_at=(audit.opened_at or audit.requested_at).isoformat(),
        ended_at=None if audit.ended_at is None else audit.ended_at.isoformat(),
        n_written=audit.n_written,
        n_items=audit.n_items,
        n_sample=n or audit.size,
        n_answered=answered if result is None else n - result.unanswered,
        n_different=None if result is None else result.different,
        n_unanswered=None if result is None else result.unanswered,
        confidence_level=audit.confidence_level,
        target_error=audit.target_error or state.settings.target_error,
        allowed_errors=audit.allowed,
        error_estimate=None if result is None else result.errors / n,
        max_errors=None if result is None else result.max_errors,
        min_errors=None if result is None else result.min_errors,
        max_errors_left=None if result is None else result.max_errors_left,
        machine_upper_bound=None if result is None else result.max_errors / audit.n_written,
        upper_bound=None if result is None else result.max_errors / audit.n_items,
        upper_bound_left=None if result is None else result.max_errors_left / audit.n_items,
        verdict=None if result is None else result.verdict,
        sentence=" ".join(sentences(state, audit)),
        digest=audit.digest,
        different=different,
        take_back=None if audit.take_back is None else asdict(audit.take_back),
    )


def status(state: State, audit: Audit) -> str:
    if audit.ended is not None:
        return audit.ended
    return "ended" if state.ended else "open" if audit.ids else "requested"


def _under_way(state: State, audit: Audit) -> str:
    name = f"Audit {audit.number}"
    if audit.ended == "cancelled":
        return f"{name} was called off: it says nothing. {counted(audit.n_restored, 'machine label', 'were')} written again."
    if state.ended:
        return f"{name} ended with the campaign: it says nothing."
    if not audit.ids:
        return f"{name}: {counted(audit.size, 'machine label')} will be drawn."
    return (
        f"{name}: {counted_of(len(audit.ids), audit.n_written, 'machine label', 'were')} drawn at random; people label them again "
        "without seeing what the machine said. Which of them it got wrong is told when the last one is in."
    )


def _cut(audit: Audit, take_back: TakeBack) -> str:
    sure = f"with {percent(1 - take_back.level)} confidence, a statement of its own"
    if take_back.n_removed is None:
        return f"The {counted(take_back.n, 'least sure machine label', 'are')} being taken back."
    kept = f" ({take_back.n_kept:,} that people had edited were kept)" if take_back.n_kept else ""
    taken = f"The {counted(take_back.n_removed, 'least sure machine label', 'were')} taken back and left to people{kept}"
    if take_back.n_ranked == 0:
        return f"{taken}: the sample vouches for none."
    return f"{taken}: of those that stayed at most {take_back.max_errors:,} are wrong, {sure}."


def _share(count: int, whole: int) -> str:
    return f"{count / max(whole, 1):.2%}"
