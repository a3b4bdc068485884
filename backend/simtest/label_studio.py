"""An in-memory Label Studio with the habits of 1.23.2 that matter, behind the same port; passes ``tests/contracts/``.

Kept on purpose: bulk predictions-to-annotations without a guard, random tasks once a version runs out, locks that are not renewed by
locking again, ``completed_by`` that outlives a person's edit, deleted predictions that blank the project's version.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from backend.label_studio.port import (
    Annotation,
    LabelControl,
    LabelStudioError,
    MediaError,
    Prediction,
    Project,
    Task,
    User,
)
from mcal_engine.errors import InvalidValue
from mcal_engine.words import counted

T = TypeVar("T")
LOCK_TTL = timedelta(hours=24)


@dataclass
class _StoredPrediction:
    id: int
    model_version: str
    row: Prediction


@dataclass
class _StoredTask:
    id: int
    project_id: int
    image: str
    created_at: datetime
    updated_at: datetime
    annotations: list[Annotation] = field(default_factory=list)
    predictions: list[_StoredPrediction] = field(default_factory=list)
    locks: dict[int, datetime] = field(default_factory=dict)  # user → expiry
    overlap: int = 1
    n_images: int = 1

    @property
    def labellers(self) -> set[int]:
        return {each.completed_by for each in self.annotations if not each.was_cancelled}

    @property
    def is_labeled(self) -> bool:
        return len(self.labellers) >= self.overlap

    def freeze(self) -> Task:
        return Task(
            self.id, self.image, self.created_at, self.updated_at, self.is_labeled, tuple(self.annotations), self.overlap, self.n_images
        )


@dataclass
class _Failure:
    method: str | None  # None: any
    times: int
    error: LabelStudioError
    after_effect: bool  # the call works, its reply is lost


class FakeLabelStudio:
    """The port as the service user sees it, plus what people and mishaps do.

    Attributes:
        now: the clock; replace it to travel in time (must not go backwards).
        down: every call fails as if nobody listened.
        delay: seconds each call takes.
        calls: names of the port's methods that were called, in order.
        media: image reference → bytes; a missing one is a :class:`MediaError`.
        before: hook called as ``before(method)`` ahead of every call, outside the lock: where a test lets people interfere.
        served: (task id, user id) in the order in which people were served.
    """

    def __init__(self, url: str = "http://label-studio.test", *, seed: int = 0) -> None:
        self.url = url
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.down = False
        self.delay = 0.0
        self.calls: list[str] = []
        self.media: dict[str, bytes] = {}
        self.before: Callable[[str], None] | None = None
        self.served: list[tuple[int, int]] = []
        self._failures: list[_Failure] = []
        self._projects: dict[int, Project] = {}
        self._tasks: dict[int, _StoredTask] = {}
        self._made_of: dict[int, int] = {}  # annotation → the prediction that it was made of, as long as nobody edits it
        self._webhooks: dict[int, list[dict[str, Any]]] = {}
        self._users: dict[int, User] = {}
        self._next_id = 0
        self._last = datetime(2000, 1, 1, tzinfo=UTC)
        self._guard = threading.RLock()
        self._random = random.Random(seed)  # noqa: S311 (which task is served at random)
        self.service_user = self.add_user("mcal@example.com")

    # What an admin does

    def add_user(self, email: str, name: str = "") -> User:
        user = User(self._id(), email, name)
        self._users[user.id] = user
        return user

    def add_project(self, label_config: str, images: Sequence[str] = (), **fields: Any) -> int:
        with self._guard:
            settings: dict[str, Any] = {
                "title": "Project",
                "maximum_annotations": 1,
                "model_version": "",
                "sampling": "Sequential sampling",
            }
            settings |= {"show_collab_predictions": True, "created_at": self._tick()} | fields
            project = Project(id=self._id(), label_config=label_config, n_tasks=0, **settings)
            self._projects[project.id] = project
            self._webhooks[project.id] = []
            self.add_tasks(project.id, images)
            return project.id

    def add_tasks(self, project_id: int, images: Sequence[str]) -> list[int]:
        with self._guard:
            added = []
            for image in images:
                now = self._tick()
                task = _StoredTask(self._id(), project_id, image, now, now)
                self._tasks[task.id] = task
                added.append(task.id)
            return added

    def set_project(self, project_id: int, **fields: Any) -> None:
        """Change any field, as an admin could in the settings (``label_config``, ``maximum_annotations``, …)."""
        self._projects[project_id] = replace(self._projects[project_id], **fields)

    def delete_task(self, task_id: int) -> None:
        with self._guard:
            del self._tasks[task_id]

    def set_image(self, task_id: int, image: str) -> None:
        """Name another image for a task."""
        with self._guard:
            task = self._tasks[task_id]
            task.image, task.updated_at = image, self._tick()

    # What people do

    def next_task(self, project_id: int, user: User) -> int | None:
        """What "Label All Tasks" serves; None stands for the 404 "There are no tasks"."""
        with self._guard:
            found = self._next(project_id, user.id)
            if found is None:
                return None
            if user.id not in self._live_locks(found) and len(self._live_locks(found)) < found.overlap:
                found.locks[user.id] = self.now() + LOCK_TTL
            self.served.append((found.id, user.id))
            return found.id

    def suggestion(self, task_id: int) -> str | None:
        """What people see preselected on a task that they are served now."""
        task = self._tasks[task_id]
        project = self._projects[task.project_id]
        if not project.show_collab_predictions or not project.model_version:
            return None
        shown = [each.row.choice for each in task.predictions if each.model_version == project.model_version]
        return next((choice for choice in shown if choice is not None), None)

    def annotate(
        self, task_id: int, user: User, choice: str | None, *, lead_time: float | None = 2.0, instead: str = "submitted without an answer"
    ) -> int:
        """``instead``: what there is instead of a choice, as :mod:`backend.label_studio.wire` puts it."""
        return self._add_annotation(task_id, user, choice, cancelled=False, lead_time=lead_time, instead=instead)

    def delete_project(self, project_id: int) -> None:
        with self._guard:
            del self._projects[project_id]
            self._tasks = {task.id: task for task in self._tasks.values() if task.project_id != project_id}

    def skip(self, task_id: int, user: User) -> int:
        return self._add_annotation(task_id, user, None, cancelled=True, lead_time=1.0, instead="submitted without an answer")

    def edit(self, annotation_id: int, user: User, choice: str) -> None:
        with self._guard:
            task, index = self._find(annotation_id)
            old = task.annotations[index]
            task.updated_at = self._tick()
            task.annotations[index] = replace(
                old,
                choice=choice,
                updated_by=user.id,
                updated_at=task.updated_at,
                provenance=None,
                no_choice="",
                empty=False,
            )
            self._made_of.pop(annotation_id, None)

    def remove_annotation(self, annotation_id: int) -> None:
        with self._guard:
            task, index = self._find(annotation_id)
            del task.annotations[index]
            task.updated_at = self._tick()

    # Mishaps

    def fail(
        self, method: str | None = None, *, times: int = 1, status: int | None = 500, retryable: bool = True, after_effect: bool = False
    ) -> None:
        """Let the next ``times`` calls (of one method) fail; ``after_effect``: the work is done and only the reply is lost."""
        error = LabelStudioError(f"Label Studio answered {status}: injected", retryable=retryable, status=status)
        self._failures.append(_Failure(method, times, error, after_effect))

    def expire_locks(self) -> None:
        for task in self._tasks.values():
            task.locks.clear()

    def locked_by(self, task_id: int) -> set[int]:
        return self._live_locks(self._tasks[task_id])

    def predictions(self, task_id: int) -> dict[str, Prediction]:
        """Model version → the prediction on this task."""
        return {each.model_version: each.row for each in self._tasks[task_id].predictions}

    # The port

    def current_user(self) -> User:
        return self._call("current_user", lambda: self.service_user)

    def users(self) -> list[User]:
        return self._call("users", lambda: list(self._users.values()))

    def version(self) -> str:
        return self._call("version", lambda: "1.23.2")

    def project(self, project_id: int) -> Project:
        return self._call("project", lambda: self._project(project_id))

    def projects(self) -> list[Project]:
        return self._call("projects", lambda: [self._project(each) for each in self._projects])

    def update_project(self, project_id: int, **fields: Any) -> None:
        def work() -> None:
            project = self._project(project_id)
            version = fields.get("model_version")
            if version and version not in {each.model_version for task in self._of(project_id) for each in task.predictions}:
                raise LabelStudioError(f"model_version {version!r} doesn't exist", retryable=False, status=400)
            if fields.get("show_collab_predictions") is False and "model_version" not in fields:
                fields["model_version"] = ""
            self._projects[project_id] = replace(project, **fields)

        self._call("update_project", work)

    def tasks(self, project_id: int, control: LabelControl, *, updated_since: datetime | None = None) -> Iterator[Task]:
        def work() -> list[Task]:
            self._project(project_id)
            return [task.freeze() for task in self._of(project_id) if updated_since is None or task.updated_at > updated_since]

        yield from self._call("tasks", work)

    def tasks_by_id(self, project_id: int, control: LabelControl, task_ids: Sequence[int]) -> list[Task]:
        wanted = set(task_ids)
        return self._call("tasks_by_id", lambda: [task.freeze() for task in self._of(project_id) if task.id in wanted])

    def task_data(self, project_id: int, task_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        wanted = set(task_ids)
        return self._call("task_data", lambda: {task.id: {"image": task.image} for task in self._of(project_id) if task.id in wanted})

    def task_ids(self, project_id: int) -> list[int]:
        return self._call("task_ids", lambda: [task.id for task in self._of(project_id)])

    def task_times(self, project_id: int) -> dict[int, datetime]:
        return self._call("task_times", lambda: {task.id: task.updated_at for task in self._of(project_id)})

    def n_tasks_after(self, project_id: int, task_id: int) -> int:
        return self._call("n_tasks_after", lambda: sum(task.id > task_id for task in self._of(project_id)))

    def import_predictions(self, project_id: int, model_version: str, predictions: Sequence[Prediction], control: LabelControl) -> None:
        if bad := [row.score for row in predictions if not 0 <= row.score <= 1]:
            raise ValueError(f"score must be in [0, 1], got {bad[0]}")

        def work() -> None:
            created = 0
            here = {task.id for task in self._of(project_id)}
            if any(row.task_id not in here for row in predictions):
                raise LabelStudioError(f"a task was deleted while predictions of {model_version} were imported", retryable=True, status=400)
            for row in predictions:
                if row.choice is not None and not _may_be(row.choice, control):
                    continue  # dropped without a word
                task = self._tasks[row.task_id]
                provenance = None if row.provenance is None else dict(row.provenance)
                task.predictions.append(_StoredPrediction(self._id(), model_version, replace(row, provenance=provenance)))
                created += 1
            if created != len(predictions):
                raise LabelStudioError(f"Label Studio created {created} of {counted(len(predictions), 'prediction')}", retryable=True)

        self._call("import_predictions", work)

    def predicted_task_ids(self, project_id: int, model_version: str, *, among: Sequence[int]) -> list[int]:
        wanted = set(among)

        def work() -> list[int]:
            tasks = (task for task in self._of(project_id) if task.id in wanted)
            return [task.id for task in tasks if any(each.model_version == model_version for each in task.predictions)]

        return self._call("predicted_task_ids", work)

    def delete_predictions(self, project_id: int, model_version: str) -> None:
        def work() -> None:
            for task in self._of(project_id):
                task.predictions = [each for each in task.predictions if each.model_version != model_version]
            if self._project(project_id).model_version == model_version:
                self.set_project(project_id, model_version="")

        self._call("delete_predictions", work)

    def delete_predictions_on(self, project_id: int, model_version: str, task_ids: Sequence[int]) -> None:
        wanted = set(task_ids)

        def work() -> None:
            for task in self._of(project_id):
                if task.id in wanted:
                    task.predictions = [each for each in task.predictions if each.model_version != model_version]

        self._call("delete_predictions_on", work)

    def predictions_to_annotations(self, project_id: int, model_version: str, task_ids: Sequence[int]) -> None:
        wanted = set(task_ids)

        def work() -> None:
            for task in self._of(project_id):
                used = {self._made_of.get(each.id) for each in task.annotations}
                for each in task.predictions:
                    if task.id in wanted and each.model_version == model_version and each.id not in used:
                        self._machine_annotation(task, each)

        self._call("predictions_to_annotations", work)

    def delete_unchanged(self, annotations: Sequence[Annotation]) -> list[int]:
        def work() -> list[int]:
            now = {each.id: each for task in self._tasks.values() for each in task.annotations}
            for each in annotations:
                if each.id in now and now[each.id].updated_at == each.updated_at:
                    self.remove_annotation(each.id)
            return sorted(each.id for each in annotations if each.id in now and now[each.id].updated_at != each.updated_at)

        return self._call("delete_unchanged", work)

    def delete_annotation(self, annotation_id: int) -> None:
        def work() -> None:
            if any(each.id == annotation_id for task in self._tasks.values() for each in task.annotations):
                self.remove_annotation(annotation_id)

        self._call("delete_annotation", work)

    def lock_task(self, project_id: int, task_id: int) -> bool:
        def work() -> bool:
            task = self._tasks.get(task_id)
            me = self.service_user.id
            if task is None or task.project_id != project_id or task.is_labeled:
                return False
            if any(each.completed_by == me for each in task.annotations):
                return False
            if not self._live_locks(task):
                task.locks[me] = self.now() + LOCK_TTL
            return me in self._live_locks(task)

        return self._call("lock_task", work)

    def release_task(self, project_id: int, task_id: int) -> None:
        def work() -> None:
            task = self._tasks.get(task_id)
            if task is not None:
                task.locks.pop(self.service_user.id, None)
                task.updated_at = self._tick()

        self._call("release_task", work)

    def set_overlap(self, project_id: int, task_ids: Sequence[int], overlap: int) -> None:
        wanted = set(task_ids)

        def work() -> None:
            for task in self._of(project_id):
                if task.id in wanted and task.overlap != overlap:
                    task.overlap, task.updated_at = overlap, self._tick()

        self._call("set_overlap", work)

    def webhooks(self, project_id: int) -> list[dict[str, Any]]:
        return self._call("webhooks", lambda: [dict(each) for each in self._webhooks[project_id]])

    def register_webhook(self, project_id: int, url: str, headers: dict[str, str]) -> None:
        def work() -> None:
            others = [each for each in self._webhooks[project_id] if each["url"] != url]
            self._webhooks[project_id] = [*others, {"id": self._id(), "url": url, "headers": dict(headers), "is_active": True}]

        self._call("register_webhook", work)

    def fetch_media(self, reference: str, *, task_id: int, max_bytes: int) -> bytes:
        def work() -> bytes:
            if reference not in self.media:
                raise MediaError(f"{reference}: answered 404", retryable=False)
            if len(self.media[reference]) > max_bytes:
                raise MediaError(f"{reference}: must have at most {max_bytes:,} bytes", retryable=False)
            return self.media[reference]

        return self._call("fetch_media", work)

    # Inside

    def _call(self, method: str, work: Callable[[], T]) -> T:
        if self.before is not None:
            self.before(method)
        if self.delay:
            time.sleep(self.delay)
        with self._guard:
            self.calls.append(method)
            if self.down:
                raise LabelStudioError(f"Label Studio at {self.url} cannot be reached: connection refused", retryable=True)
            failure = next((each for each in self._failures if each.method in (None, method) and each.times > 0), None)
            if failure is None:
                return work()
            failure.times -= 1
            if failure.after_effect:
                work()
            raise failure.error

    def _next(self, project_id: int, user_id: int) -> _StoredTask | None:
        open_tasks = [
            task for task in self._of(project_id) if not task.is_labeled and all(each.completed_by != user_id for each in task.annotations)
        ]
        if mine := [task for task in open_tasks if user_id in self._live_locks(task)]:
            return mine[0]
        project = self._projects[project_id]
        current = [task for task in open_tasks if self._score(task, project.model_version) is not None]
        if project.sampling == "Uncertainty sampling" and current:
            order = sorted(current, key=lambda task: self._score(task, project.model_version) or 0.0)
        elif project.sampling == "Sequential sampling":
            order = open_tasks
        else:
            order = self._random.sample(open_tasks, len(open_tasks))
        return next((task for task in order if len(self._live_locks(task)) + len(task.labellers) < task.overlap), None)

    def _score(self, task: _StoredTask, model_version: str) -> float | None:
        return min((each.row.score for each in task.predictions if each.model_version == model_version), default=None)

    def _live_locks(self, task: _StoredTask) -> set[int]:
        now = self.now()
        return {user for user, expiry in task.locks.items() if expiry > now}

    def _machine_annotation(self, task: _StoredTask, prediction: _StoredPrediction) -> None:
        now = self._tick()
        row = prediction.row
        me = self.service_user.id
        made = Annotation(self._id(), task.id, row.choice, me, None, now, now, None, False, row.provenance)
        self._made_of[made.id] = prediction.id
        task.annotations.append(made)
        task.updated_at = now

    def _add_annotation(
        self, task_id: int, user: User, choice: str | None, *, cancelled: bool, lead_time: float | None, instead: str
    ) -> int:
        with self._guard:
            task = self._tasks[task_id]
            now = self._tick()
            made = Annotation(self._id(), task_id, choice, user.id, user.id, now, now, lead_time, cancelled, None)
            if choice is None:
                made = replace(made, no_choice=instead, empty=instead == "submitted without an answer")
            task.annotations.append(made)
            task.updated_at = now
            task.locks.pop(user.id, None)
            return made.id

    def _find(self, annotation_id: int) -> tuple[_StoredTask, int]:
        for task in self._tasks.values():
            for index, each in enumerate(task.annotations):
                if each.id == annotation_id:
                    return task, index
        raise LookupError(f"no annotation {annotation_id}")

    def _project(self, project_id: int) -> Project:
        if project_id not in self._projects:
            raise LabelStudioError(f"Label Studio has no project {project_id}", retryable=False, status=404)
        tasks = self._of(project_id)
        return replace(self._projects[project_id], n_tasks=len(tasks), n_labelled=sum(task.is_labeled for task in tasks))

    def _of(self, project_id: int) -> list[_StoredTask]:
        return [task for task in self._tasks.values() if task.project_id == project_id]

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _tick(self) -> datetime:
        """A time stamp later than every one before."""
        self._last = max(self.now(), self._last + timedelta(microseconds=1))
        return self._last


def _may_be(text: str, control: LabelControl) -> bool:
    """Whether the label config has all that an answer says."""
    try:
        control.questions.answer_of(text)
    except InvalidValue:
        return False
    return True
