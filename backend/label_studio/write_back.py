"""Writes machine labels as annotations of the service user, and takes them back; people always win.

Label Studio's bulk action makes an annotation out of every prediction it is pointed at, labelled task or not. So each chunk is read
before (to leave out what people have touched) and after (to withdraw where somebody was faster). Every function may be killed and run
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backend.label_studio.port import Annotation, LabelControl, LabelStudioPort, Prediction, Task
from mcal_engine.errors import InvalidValue

CHUNK = 500  # people's submits wait for a chunk on SQLite: 500 keeps that under a second
REMOVED_AT_ONCE = 50  # labels that are read and then deleted one by one


@dataclass(frozen=True, slots=True)
class PlannedLabel:
    """One label to write. ``score`` in [0, 1] is shown in the Data Manager; ``provenance`` is kept in the annotation."""

    task_id: int
    choice: str
    score: float
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one planned label: ``written``, left to people because one of them touched the task (``human``), or task ``gone``."""

    task_id: int
    state: Literal["written", "human", "gone"]
    annotation_id: int | None = None


@dataclass(frozen=True, slots=True)
class WrittenLabel:
    task_id: int
    annotation_id: int
    choice: str


@dataclass(frozen=True, slots=True)
class Removal:
    """Task ids: ``removed`` are free again (also where the annotation was gone already), ``kept`` were edited by a person."""

    removed: tuple[int, ...]
    kept: tuple[int, ...]


def touched_by_people(task: Task, service_user_id: int) -> bool:
    """Whether a person labelled, skipped, submitted empty or edited an annotation on this task."""
    return any(not is_machine(annotation, service_user_id) for annotation in task.annotations)


def is_machine(annotation: Annotation, service_user_id: int) -> bool:
    """Whether an annotation is the service user's own and nobody edited it since. Editing changes ``updated_by`` only."""
    return annotation.completed_by == service_user_id and annotation.updated_by in (None, service_user_id)


def write_chunk(
    port: LabelStudioPort,
    project_id: int,
    model_version: str,
    planned: Sequence[PlannedLabel],
    *,
    control: LabelControl,
    service_user_id: int,
) -> list[Outcome]:
    """Write at most 500 labels, one outcome for each, in order. Run again after any failure, it goes on where it stopped."""
    if len(planned) > CHUNK:
        raise InvalidValue(f"write_chunk takes at most {CHUNK} labels, got {len(planned)}")
    ids = [label.task_id for label in planned]
    before = {task.id: task for task in port.tasks_by_id(project_id, control, ids)}
    to_write = [label for label in planned if label.task_id in before and not before[label.task_id].annotations]
    if to_write:
        write_ids = [label.task_id for label in to_write]
        there = set(port.predicted_task_ids(project_id, model_version, among=write_ids))
        rows = [_prediction(label, model_version) for label in to_write if label.task_id not in there]
        if rows:
            port.import_predictions(project_id, model_version, rows, control)
        port.predictions_to_annotations(project_id, model_version, write_ids)
    after = {task.id: task for task in port.tasks_by_id(project_id, control, ids)}
    return [_settle(port, task_id, after.get(task_id), model_version, service_user_id) for task_id in ids]


def yield_to_people(port: LabelStudioPort, task: Task, service_user_id: int) -> list[int]:
    """Delete this task's machine annotations if a person touched it as well; returns the ids deleted."""
    machine = [annotation for annotation in task.annotations if is_machine(annotation, service_user_id)]
    if not machine or not touched_by_people(task, service_user_id):
        return []
    edited = port.delete_unchanged(machine)
    return [annotation.id for annotation in machine if annotation.id not in edited]


def remove(
    port: LabelStudioPort, project_id: int, written: Sequence[WrittenLabel], *, control: LabelControl, service_user_id: int
) -> Removal:
    """Delete exactly these annotations, except those that a person has edited since. Idempotent."""
    removed: list[int] = []
    kept: list[int] = []
    for chunk in _chunks(written):
        tasks = {task.id: task for task in port.tasks_by_id(project_id, control, [label.task_id for label in chunk])}
        found = {each.id: each for task in tasks.values() for each in task.annotations}
        here = {label.task_id: found[label.annotation_id] for label in chunk if label.annotation_id in found}
        ours = [each for label in chunk if (each := here.get(label.task_id)) and _as_written(each, label, service_user_id)]
        deleted = {each.id for each in ours} - set(port.delete_unchanged(ours) if ours else ())
        for label in chunk:
            stays = label.task_id in here and label.annotation_id not in deleted
            (kept if stays else removed).append(label.task_id)
    return Removal(tuple(removed), tuple(kept))


def _as_written(annotation: Annotation, label: WrittenLabel, service_user_id: int) -> bool:
    return is_machine(annotation, service_user_id) and annotation.choice == label.choice


def _prediction(label: PlannedLabel, model_version: str) -> Prediction:
    return Prediction(label.task_id, label.score, label.choice, {**label.provenance, "model_version": model_version})


def _settle(port: LabelStudioPort, task_id: int, task: Task | None, model_version: str, service_user_id: int) -> Outcome:
    """Judge a task after the write: withdraw where a person was faster, keep one annotation where a lost reply made two."""
    if task is None:
        return Outcome(task_id, "gone")
    if yield_to_people(port, task, service_user_id) or touched_by_people(task, service_user_id):
        return Outcome(task_id, "human")
    ours = sorted(
        (each for each in task.annotations if (each.provenance or {}).get("model_version") == model_version), key=lambda each: each.id
    )
    if not ours:  # another machine label was there before this campaign: not ours to overrule
        return Outcome(task_id, "human")
    if ours[1:]:
        port.delete_unchanged(ours[1:])
    return Outcome(task_id, "written", ours[0].id)


def _chunks(written: Sequence[WrittenLabel]) -> Iterator[Sequence[WrittenLabel]]:
    for start in range(0, len(written), REMOVED_AT_ONCE):
        yield written[start : start + REMOVED_AT_ONCE]
