"""The finished data set, item by item: each one's label, whose it is, and what vouches for it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np

from backend.campaign.state import State
from backend.store import Frozen, Item, MachineLabel
from backend.views.aside import why
from backend.views.certificate import Certificate, certificate
from backend.views.report import Report
from mcal_engine.answers import Questions
from mcal_engine.looks import confidence_kept
from mcal_engine.types import CertificateOutcome, FloatArray, LabelByMachine

By = Literal["human", "machine", ""]


@dataclass(frozen=True, slots=True)
class Row:
    """One live task.

    Attributes:
        item: the reference of its image as the task has it, or its text.
        label: the text of the answer, of one control with one choice that choice; ``None`` while there is no label.
        by: whose the label is; empty without one.
        annotator: Label Studio's id of the person.
        at: when the person labelled it; of a machine label, when Label Studio last changed the task.
        margin: of a machine label, the logit gap of its two best classes.
        probability: of a machine label, see :func:`probabilities`; ``None`` where nothing tells it.
        certificate: what stands behind a machine label, in a sentence.
        role: test, train, certificate or audit; empty for others.
        note: why there is no label, or what else is to be known.
    """

    task: int
    item: str
    label: str | None
    by: By
    annotator: int | None
    at: datetime | None
    margin: float | None
    probability: float | None
    certificate: str
    role: str
    note: str


@dataclass(frozen=True, slots=True)
class Export:
    """What every format is written from.

    Attributes:
        reads: what an item is.
        choices: all classes, in the order of their index.
        questions: what people were asked, where that is more than one choice of one control; else ``None``.
        rows: by task id.
    """

    campaign: int
    project: int
    reads: Literal["image", "text"]
    choices: tuple[str, ...]
    rows: tuple[Row, ...]
    report: Report
    words: Certificate
    questions: Questions | None = None

    def answers(self, row: Row) -> dict[str, str | list[str] | None]:
        """What a row says to each question: a choice, or the list of those where several may be chosen; ``None``: no answer."""
        if self.questions is None:
            return {}
        answer = {} if row.label is None else self.questions.answer_of(row.label)
        said = {question: answer.get(question.name, ()) for question in self.questions}
        return {question.name: (list(some) if question.several else some[0]) if some else None for question, some in said.items()}

    def counts(self) -> Counter[By]:
        return Counter(row.by for row in self.rows)


def export_of(state: State, report: Report, frozen: Sequence[Frozen] = ()) -> Export:
    """Every live task; ``frozen`` is the order of the last look, without which no machine label has a probability."""
    machine = {row.task_id: row for row in state.machine_labels if row.state == "written"}
    likely = likelihoods(state, frozen)
    promise = certificate_text(state)
    return Export(
        campaign=state.campaign_id,
        project=state.project_id,
        reads="text" if state.created is not None and state.control.reads == "text" else "image",
        choices=state.choices,
        rows=tuple(_row(state, item, machine.get(item.task_id), likely.get(item.task_id), promise) for item in state.live),
        report=report,
        words=certificate(state, report),
        questions=None if state.created is None or state.control.plain else state.control.questions,
    )


def likelihoods(state: State, frozen: Sequence[Frozen]) -> Mapping[int, float]:
    """Task → how likely its machine label is right; empty where no answered certificate sample vouches for the machine labels.

    Args:
        frozen: the order of the last look.
    """
    if not state.outcomes or not isinstance(state.decision, LabelByMachine) or not frozen:
        return {}
    right, machine = probabilities(state.outcomes[-1]), {row.task_id for row in state.machine_labels}
    return {row.task_id: float(right[row.rank]) for row in frozen if row.task_id in machine}


def probabilities(outcome: CertificateOutcome) -> FloatArray:
    """How often the frozen prediction of each rank is right, as the answered certificate sample says; shape (n_pool,), non-increasing.

    The sample was drawn blindly by rank, so isotonic regression of "right" on the rank estimates it. A block of b sample items with r
    right ones counts as (r + 1)/(b + 2), the mean under a uniform prior, and blocks are pooled until they fall: no estimate is 0 or 1.
    """
    from scipy.optimize import isotonic_regression  # here: it takes a third of a second, and every command imports this table

    fitted = isotonic_regression(~outcome.errors, increasing=False)
    starts = np.asarray(fitted.blocks[:-1], dtype=np.int64)
    sizes = np.diff(fitted.blocks)
    means = (fitted.x[starts] * sizes + 1) / (sizes + 2)
    falling = np.asarray(isotonic_regression(means, weights=sizes + 2, increasing=False).x, dtype=np.float64)
    at = np.searchsorted(outcome.ranks[starts], np.arange(outcome.n_pool), side="right") - 1
    found: FloatArray = falling[np.maximum(at, 0)]
    return found


def certificate_text(state: State) -> str:
    """What stands behind a machine label, in one cell."""
    decision = state.decision
    if not isinstance(decision, LabelByMachine):
        return ""
    if decision.certified and decision.error_upper_bound is not None:
        return f"certified: error of all items <= {decision.error_upper_bound:.6g} at {confidence_kept(state.settings, state.history):g}"
    return f"estimated: error of all items {decision.error_estimate:.6g}"


def _row(state: State, item: Item, written: MachineLabel | None, probability: float | None, promise: str) -> Row:
    role = state.roles.get(item.task_id, "audit" if item.task_id in state.audited else "")
    note = why(item) if item.skipped or item.unreadable else ""
    bare = Row(item.task_id, item.image, None, "", None, None, None, None, "", role, note)
    if item.label is not None:
        again = state.second_labels.get(item.task_id)
        note = "labelled before the campaign" if item.preexisting else ""
        note = note if again is None else f"a second person, {again.annotator}, said {state.said(again.label)}"
        said = state.choices[item.label]
        return replace(bare, label=said, by="human", annotator=item.annotator, at=item.labelled_at, note=note)
    if written is not None:
        said = state.choices[written.label]
        vouched = replace(bare, label=said, by="machine", at=item.updated_at, margin=written.surety, probability=probability, note="")
        return replace(vouched, certificate=promise)
    return bare
