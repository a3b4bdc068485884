"""Serves people exactly one batch, in order, and then nothing: the queue recipe on top of Label Studio's label stream.

Under "Uncertainty sampling" Label Studio serves the tasks that hold a prediction of the project's ``model_version``, lowest score
first. So a batch is one version whose predictions are scored by rank, and empty, so that they show nothing; only where people are to be
helped do some of them carry a choice, which Label Studio then preselects. When the batch is used up, Label
Studio would serve random tasks; one more task, the sentinel, prevents it: it holds a prediction with the highest score and is locked by
the service user, so that the version never runs out and yet nothing of it can be served.

The sentinel is any unlabelled task outside the batch. Its lock lasts 24 h; people can still reach it through the Data Manager, and it
can be deleted. :func:`keep_sentinel` repairs all of that; call it regularly while a queue is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from backend.label_studio.port import LabelControl, LabelStudioError, LabelStudioPort, Prediction, Project, Task
from mcal_engine.errors import InvalidValue

UNCERTAINTY = "Uncertainty sampling"
SEQUENTIAL = "Sequential sampling"
SENTINEL_SCORE = 1.0
RENEW_AFTER = timedelta(hours=12)  # half of the lock's life


@dataclass(frozen=True, slots=True)
class ProjectBefore:
    """The settings of a project that serving a queue changes, as they were."""

    sampling: str
    model_version: str
    show_collab_predictions: bool

    @classmethod
    def of(cls, project: Project) -> ProjectBefore:
        return cls(project.sampling, project.model_version, project.show_collab_predictions)


@dataclass(frozen=True, slots=True)
class Sentinel:
    """The locked task behind a queue, and since when it is locked."""

    task_id: int
    locked_at: datetime


def score(rank: int) -> float:
    """Score of the ``rank``-th task served (0 first): ascending and strictly inside (0, 1), so that a queue can be extended later."""
    return (rank + 1) / (rank + 2)


def publish(
    port: LabelStudioPort,
    project_id: int,
    model_version: str,
    task_ids: Sequence[int],
    *,
    sentinel_ids: Iterable[int],
    control: LabelControl,
    now: datetime,
    suggestions: Mapping[int, str] | None = None,
) -> Sentinel | None:
    """Serve ``task_ids`` in this order, then nothing. Idempotent: what is already there is left; a longer list extends the queue.

    Args:
        model_version: name of this batch; nobody else may use it.
        task_ids: the whole batch in serving order, what was published before included; tasks that are gone are passed over.
        sentinel_ids: candidates for the sentinel, best first: the one in use when extending or resuming; none may be in ``task_ids``.
        now: the time that goes into the sentinel's ``locked_at``.
        suggestions: task → choice that is preselected for people; all other tasks show nothing.

    Returns:
        The sentinel that is locked now; keep it. None if no candidate was left: right only when the batch holds all unlabelled tasks.
    """
    if "," in model_version or not model_version:
        raise InvalidValue(f"model_version must be a name without commas, got {model_version!r}")
    sentinel = _lock_one_of(port, project_id, sentinel_ids, now)  # locked before it can be served
    if sentinel is not None and sentinel.task_id in task_ids:
        raise InvalidValue(f"sentinel must not be in the batch, got task {sentinel.task_id}")
    wanted = {task_id: score(rank) for rank, task_id in enumerate(task_ids)}
    if sentinel is not None:
        wanted[sentinel.task_id] = SENTINEL_SCORE
    _import_missing(port, project_id, model_version, wanted, control, suggestions or {})
    # The version can only be set once predictions of it exist; the flag alone would blank the version, so all go in one call.
    port.update_project(project_id, sampling=UNCERTAINTY, show_collab_predictions=bool(suggestions), model_version=model_version)
    return sentinel


def keep_sentinel(
    port: LabelStudioPort,
    project_id: int,
    model_version: str,
    sentinel: Sentinel | None,
    *,
    spare_ids: Iterable[int],
    control: LabelControl,
    now: datetime,
) -> Sentinel | None:
    """See to it that a sentinel is unlabelled and locked: renew its lock in time, or take another task.

    Args:
        spare_ids: unlabelled tasks outside the queue that may take its place, best first; read only when needed.

    Returns:
        The sentinel to keep from now on; None if no task was left to be one.
    """
    if sentinel is not None and _heal(port, project_id, sentinel, control):
        if now - sentinel.locked_at < RENEW_AFTER:
            if port.lock_task(project_id, sentinel.task_id):
                return sentinel
        else:
            port.release_task(project_id, sentinel.task_id)
            if port.lock_task(project_id, sentinel.task_id):
                return Sentinel(sentinel.task_id, now)
    old = sentinel.task_id if sentinel is not None else None
    fresh = _lock_one_of(port, project_id, (task_id for task_id in spare_ids if task_id != old), now)
    if fresh is not None:
        _import_missing(port, project_id, model_version, {fresh.task_id: SENTINEL_SCORE}, control)
    if old is not None:
        give_back(port, project_id, old, control)
    return fresh


def give_back(port: LabelStudioPort, project_id: int, task_id: int, control: LabelControl, *, perhaps: bool = False) -> None:
    """Let people have a task that was locked for the service user, and remove what an interrupted attempt left on it. Safe to repeat.

    One that is labelled meanwhile is given back too: if its label is taken away again, nobody would be served it for a day.

    Args:
        perhaps: nobody knows whether it was locked; one that is labelled is left alone.
    """
    for task in port.tasks_by_id(project_id, control, [task_id]):
        _remove_skips(port, task)
        if not (perhaps and task.is_labeled):
            port.release_task(project_id, task_id)


def close(port: LabelStudioPort, project_id: int, model_version: str) -> None:
    """Delete the predictions of a queue that is no longer served (about 4 s per 1,000); idempotent."""
    if port.project(project_id).model_version == model_version:  # deleting it would make Label Studio serve random tasks
        raise InvalidValue(f"queue {model_version!r} is being served; switch the project to another one first")
    port.delete_predictions(project_id, model_version)


def serve_rest(
    port: LabelStudioPort,
    project_id: int,
    sentinel_id: int | None,
    *,
    model_version: str,
    control: LabelControl,
    suggestions: Mapping[int, str] | None = None,
) -> None:
    """Serve every unlabelled task, in order of ids: right once everything else is labelled. Gives the sentinel to people as well.

    Args:
        model_version: name for the suggestions; nobody else may use it.
        suggestions: task → choice that is preselected for people; all other tasks show nothing.
    """
    if suggestions:
        _import_missing(port, project_id, model_version, dict.fromkeys(suggestions, score(0)), control, suggestions)
        suggestions = {task: suggestions[task] for task in port.predicted_task_ids(project_id, model_version, among=list(suggestions))}
    shown = model_version if suggestions else ""  # Label Studio refuses a version without predictions
    port.update_project(project_id, sampling=SEQUENTIAL, show_collab_predictions=bool(suggestions), model_version=shown)
    if sentinel_id is not None:
        give_back(port, project_id, sentinel_id, control)


def restore(port: LabelStudioPort, project_id: int, before: ProjectBefore, sentinel_id: int | None, control: LabelControl) -> None:
    """Give a project its own settings back, and unlock the sentinel."""
    fields = asdict(before)
    try:
        port.update_project(project_id, **fields)
    except LabelStudioError as error:
        if error.status != 400:
            raise
        port.update_project(project_id, **fields | {"model_version": ""})  # its predictions or its model are gone
    if sentinel_id is not None:
        give_back(port, project_id, sentinel_id, control)


def _lock_one_of(port: LabelStudioPort, project_id: int, candidates: Iterable[int], now: datetime) -> Sentinel | None:
    for task_id in candidates:
        if port.lock_task(project_id, task_id):
            return Sentinel(task_id, now)
    return None


def _import_missing(
    port: LabelStudioPort,
    project_id: int,
    model_version: str,
    wanted: dict[int, float],
    control: LabelControl,
    suggestions: Mapping[int, str] | None = None,
) -> None:
    there = set(port.predicted_task_ids(project_id, model_version, among=list(wanted)))
    missing = [task_id for task_id in wanted if task_id not in there]
    alive = {task.id for task in port.tasks_by_id(project_id, control, missing)}
    rows = [Prediction(task_id, wanted[task_id], (suggestions or {}).get(task_id)) for task_id in missing if task_id in alive]
    if rows:
        port.import_predictions(project_id, model_version, rows, control)


def _heal(port: LabelStudioPort, project_id: int, sentinel: Sentinel, control: LabelControl) -> bool:
    """Whether the sentinel is still an unlabelled task. Removes what an interrupted :meth:`release_task` left on it."""
    found = port.tasks_by_id(project_id, control, [sentinel.task_id])
    if not found:
        return False
    return _remove_skips(port, found[0]) == len(found[0].annotations)


def _remove_skips(port: LabelStudioPort, task: Task) -> int:
    """Delete what an interrupted :meth:`release_task` left on a task; returns how many annotations that were."""
    me = port.current_user().id if task.annotations else None
    ours = [each.id for each in task.annotations if each.completed_by == me and each.was_cancelled]
    for annotation_id in ours:
        port.delete_annotation(annotation_id)
    return len(ours)
