"""What is worth a look: checks by eye, the least sure labels, what is confused; and V's errors, once the certificate is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from backend.campaign.frozen import score
from backend.campaign.state import State
from backend.store import Frozen, MachineLabel, Store
from backend.views.audits.checks import CheckRow, OpenCheck, check_rows, to_judge
from backend.views.classes import Confusion, confusion
from backend.views.exports.rows import likelihoods
from backend.views.questions import QuestionErrors, question_errors
from backend.views.texts import text_of
from mcal_engine.errors import InvalidValue
from mcal_engine.rules import shown
from mcal_engine.types import LabelByMachine, PeelBatch

LEAST_SURE = 60


class Tile(TypedDict):
    """One task to look at. ``surety`` is the logit gap, ``score`` its softmax; ``human`` is ``None`` where nobody answered.

    ``probability``: how likely the machine is right, as the certificate sample tells (see ``probabilities`` of the exports); ``None`` where
    there is none, or it is not decided. ``text``: the beginning of the item's text; ``None`` where it is an image.
    """

    task: int
    machine: str
    human: str | None
    surety: float
    score: float
    probability: float | None
    text: str | None


class Review(TypedDict):
    """``choice``: the class that the least sure labels are of; ``None``: of all. ``n_machine`` are the machine labels of these.

    ``choices``: the classes of all machine labels.
    """

    checks: list[CheckRow]
    open_check: OpenCheck | None
    choice: str | None
    choices: list[str]
    n_machine: int
    least_sure: list[Tile]
    certificate_decided: bool
    n_sample: int
    errors: list[Tile]
    confusion: Confusion | None
    questions: NotRequired[list[QuestionErrors]]  # with the errors, where there are several questions


def review(store: Store, state: State, choice: str | None = None) -> Review:
    """Read the frozen order only where the certificate is decided: before, nothing tells which items of V the machine got wrong.

    Args:
        choice: list the least sure labels of this class alone.

    Raises:
        InvalidValue: there is no such class.
    """
    seen = _visible(state)
    names = {label: state.said(label) for label in sorted({row.label for row in seen})}
    if choice is not None and choice not in names.values() and choice not in map(state.said, range(len(state.choices))):
        raise InvalidValue(f"choice must be one of the classes, got {shown(choice)}")
    rows = [row for row in seen if choice is None or names[row.label] == choice]
    decided = bool(state.outcomes) and not isinstance(state.decision, PeelBatch)  # until the peel has ended the sample stays hidden
    frozen = store.frozen(state.campaign_id, state.outcomes[-1].look) if decided else []
    sample = _sample(state, frozen) if decided else []
    likely = likelihoods(state, frozen) if decided and rows else {}
    least = sorted(rows, key=lambda row: (likely.get(row.task_id, 1.0), row.surety, row.task_id))[:LEAST_SURE]
    found = Review(
        checks=check_rows(state),
        open_check=to_judge(state),
        choice=choice,
        choices=list(names.values()),
        n_machine=len(rows) if isinstance(state.decision, LabelByMachine) else 0,
        least_sure=[_tile(state, row.task_id, row.label, row.surety, likely) for row in least],
        certificate_decided=decided,
        n_sample=len(state.outcomes[-1].ranks) if decided else 0,
        errors=[_tile(state, row.task_id, row.label, row.surety, {}) for row, label in sample if label != row.label],
        confusion=confusion(state),
    )
    if by_question := question_errors(state, [(row.label, label) for row, label in sample if label is not None]):
        found["questions"] = by_question
    return found


def is_visible(state: State, found: Review, task: int) -> bool:
    """Whether the page may show a task's picture beside what the machine says of it."""
    return any(row.task_id == task for row in _visible(state)) or any(tile["task"] == task for tile in found["errors"])


def _visible(state: State) -> list[MachineLabel]:
    hidden = set(state.audit.ids) if state.audit is not None else set()  # people are labelling these blindly
    return [row for row in state.machine_labels if row.state in ("planned", "written", "human") and row.task_id not in hidden]


def _sample(state: State, frozen: Sequence[Frozen]) -> list[tuple[Frozen, int | None]]:
    """What the machine said of each certificate item, surest first, and people's label, if any."""
    drawn = [queue.ids for queue in state.queues if queue.kind == "certificate"]
    sample = set(drawn[len(state.outcomes) - 1])  # the one that was decided, also while another is being labelled
    rows = [row for row in frozen if row.task_id in sample]
    return [(row, None if state.items[row.task_id].deleted else state.items[row.task_id].label) for row in rows]


def _tile(state: State, task: int, label: int, surety: float, likely: Mapping[int, float]) -> Tile:
    item = state.items[task]
    return Tile(
        task=task,
        machine=state.said(label),
        human=None if item.deleted or item.label is None else state.said(item.label),
        surety=surety,
        score=score(surety),
        probability=likely.get(task),
        text=text_of(state, task),
    )
