"""Checks by eye for people: a row of numbers and a plain sentence for each, and the sample that is being judged. Pure."""

from __future__ import annotations

from typing import TypedDict

from backend.campaign.checks import Check, open_check
from backend.campaign.state import State
from backend.views.audits.audits import percent
from backend.views.texts import text_of
from mcal_engine.words import counted, counted_of, verb


class WrongLabel(TypedDict):
    """A machine label that was judged wrong."""

    task: int
    machine: str


class CheckRow(TypedDict):
    """One check. Its bounds are ``None`` until every item is judged.

    Attributes:
        status: open, decided, or given up.
        n_machine, n_sample, n_judged: machine labels that it was drawn from, drawn, and judged so far.
        max_errors, min_errors: wrong machine labels among the ``n_machine``, at most and at least; ``upper_bound`` of all items.
    """

    check: int
    status: str
    by: str
    opened_at: str
    n_machine: int
    n_items: int
    n_sample: int
    n_judged: int
    n_wrong: int
    confidence_level: float
    target_error: float
    allowed_errors: int
    max_errors: int | None
    min_errors: int | None
    upper_bound: float | None
    verdict: str | None
    sentence: str
    wrong: list[WrongLabel]


class ToJudge(TypedDict):
    """An item of the open check; ``right`` is ``None`` until it is judged."""

    task: int
    machine: str
    right: bool | None
    text: str | None


class OpenCheck(TypedDict):
    """The sample that is being judged, in the order in which it was drawn."""

    check: int
    items: list[ToJudge]


def check_rows(state: State) -> list[CheckRow]:
    """All checks, the first one first."""
    return [_row(state, check) for check in state.checks]


def to_judge(state: State) -> OpenCheck | None:
    """What the reviewer has before them; nothing while people label some of the machine's items blindly, for an audit."""
    check = open_check(state.checks)
    if check is None or state.audit is not None:
        return None
    return OpenCheck(
        check=check.number,
        items=[
            ToJudge(task=task, machine=state.said(said), right=check.judged.get(task), text=text_of(state, task))
            for task, said in zip(check.ids, check.choices, strict=True)
        ],
    )


def sentence(check: Check) -> str:
    """What a check is or has come to, in plain words."""
    name, drawn = f"Check {check.number}", counted_of(len(check.ids), check.n_machine, "machine label", "were")
    result = check.result
    if result is None:
        done = counted_of(len(check.judged), len(check.ids), "label", "are")
        return f"{name} was given up: {done} judged, and it says nothing." if check.given_up else f"{name}: {done} judged."
    wrong = sum(not right for right in check.judged.values())
    sure = f"with {percent(check.confidence_level)} confidence"
    said = [
        f"{name}: {drawn} drawn at random and judged by eye, by {check.by}, with the machine's label in sight; "
        f"{wrong:,} {verb(wrong, 'are')} wrong.",
        f"{sure.capitalize()}, at most {result.max_errors:,} of the {check.n_machine:,} are wrong in the reviewer's eyes: "
        f"{result.max_errors / max(check.n_items, 1):.2%} of all items.",
    ]
    allowed = f"{counted(check.allowed, 'wrong label')} that the target of {check.target_error:.2%} allows"
    said.append(
        {
            "holds": f"That is within the {allowed}.",
            "broken": f"{sure.capitalize()}, at least {result.min_errors:,} are: more than the {allowed}.",
            "not_shown": f"That is more than the {allowed}: this check neither shows nor refutes the target.",
        }[result.verdict]
    )
    return " ".join(said)


def _row(state: State, check: Check) -> CheckRow:
    result = check.result
    pairs = zip(check.ids, check.choices, strict=True)
    return CheckRow(
        check=check.number,
        status="decided" if check.done else "given up" if check.given_up else "open",
        by=check.by,
        opened_at=check.opened_at.isoformat(),
        n_machine=check.n_machine,
        n_items=check.n_items,
        n_sample=len(check.ids),
        n_judged=len(check.judged),
        n_wrong=sum(not right for right in check.judged.values()),
        confidence_level=check.confidence_level,
        target_error=check.target_error,
        allowed_errors=check.allowed,
        max_errors=None if result is None else result.max_errors,
        min_errors=None if result is None else result.min_errors,
        upper_bound=None if result is None else result.max_errors / max(check.n_items, 1),
        verdict=None if result is None else result.verdict,
        sentence=sentence(check),
        wrong=[WrongLabel(task=task, machine=state.said(said)) for task, said in pairs if check.judged.get(task) is False],
    )
