"""The rule that turns one Label Studio task into one row of the ledger. Pure.

A task's *human label* is its earliest (created_at, id) annotation that is not cancelled, names a choice of the control, and
is by people: completed by somebody else than the service user, or edited by somebody else since. Later human labels are
*duplicates*: listed and paid, not used. The service user's own untouched annotation is a *machine* label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.label_studio.port import Annotation, Task
from backend.label_studio.write_back import is_machine
from backend.store import Duplicate, Item


@dataclass(frozen=True, slots=True)
class Reading:
    """What one task says: its ledger row, its repeated labels, and choices that the control does not have.

    ``left_over``: ids of the service user's own skips, which giving a lock back leaves behind where it is broken off.
    """

    item: Item
    duplicates: tuple[Duplicate, ...]
    unknown_choices: frozenset[str]
    left_over: tuple[int, ...] = ()


def read_task(task: Task, choices: Sequence[str], service_user: int, previous: Item | None, *, baseline: bool, now: datetime) -> Reading:
    """Read one task as Label Studio has it now.

    Args:
        task: the task with all its annotations.
        choices: the control's choices; a label's class is its position here.
        service_user: the user the backend acts as.
        previous: the ledger's row so far; keeps what Label Studio does not know (unreadable, pre-existing).
        baseline: whether the campaign does not exist yet, so that labels found now cost nothing.
        now: by our clock; when labels that ``previous`` does not have were learned of.

    Returns:
        The row, the repeated labels, and the choices that are not in the control. A task that people answered without a
        usable label (skipped, empty, unknown choice) counts as skipped: Label Studio will not ask for it again.
    """
    index = {choice: number for number, choice in enumerate(choices)}
    people = sorted((a for a in task.annotations if not is_machine(a, service_user)), key=lambda a: (a.created_at, a.id))
    usable = [a for a in people if not a.was_cancelled and a.choice in index]
    first = usable[0] if usable else None
    last = people[-1] if people and not usable else None
    machine = [a for a in task.annotations if is_machine(a, service_user) and not a.was_cancelled]
    kept = previous is not None and previous.preexisting and first is not None and previous.annotation_id == first.id
    item = Item(
        task_id=task.id,
        image=task.image,
        label=_class(first, index),
        annotation_id=first.id if first else None,
        annotator=_author(first, service_user) if first else None,
        labelled_at=first.created_at if first else None,
        lead_time=first.lead_time if first else None,
        n_human=len(usable),
        skipped=bool(people) and not usable,
        preexisting=first is not None and (baseline or kept),
        unreadable=previous.unreadable if previous and previous.image == task.image else None,
        deleted=False,
        machine_annotation_id=min((a.id for a in machine), default=None),
        updated_at=task.updated_at,
        no_label=None if last is None else _no_label(last),
        last_answer=None if last is None else last.id,
        seen_at=_seen_at(usable, previous, now),
    )
    duplicates = tuple(Duplicate(task.id, a.id, _author(a, service_user), index[str(a.choice)], a.created_at) for a in usable[1:])
    unknown = frozenset(a.choice for a in people if not a.was_cancelled and a.choice is not None and a.choice not in index)
    left_over = tuple(a.id for a in task.annotations if is_machine(a, service_user) and a.was_cancelled)
    return Reading(item, duplicates, unknown, left_over)


def _no_label(answer: Annotation) -> str:
    """Why an answer by a person holds no usable label."""
    if answer.was_cancelled:
        return "skipped by people"
    return answer.no_choice if answer.choice is None else f"a choice that the label config does not have: {answer.choice!r}"


def _class(annotation: Annotation | None, index: Mapping[str, int]) -> int | None:
    return None if annotation is None or annotation.choice is None else index[annotation.choice]


def _author(annotation: Annotation, service_user: int) -> int:
    """The person behind the label: who edited it where the service user wrote it first."""
    if annotation.completed_by == service_user and annotation.updated_by is not None:
        return annotation.updated_by
    return annotation.completed_by


def _seen_at(usable: Sequence[Annotation], previous: Item | None, now: datetime) -> datetime | None:
    """When these labels were learned of: before, where the ledger's row has as many from the same first one on."""
    if not usable:
        return None
    if previous is not None and (previous.annotation_id, previous.n_human) == (usable[0].id, len(usable)):
        return previous.seen_at
    return now
