"""The fake Label Studio as a simulated life has it: its clock can be set, and an answer can be old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from backend.label_studio.port import Annotation, Task
from backend.simtest.label_studio import FakeLabelStudio

_SAME = timedelta(seconds=1)


class LifeLabelStudio(FakeLabelStudio):
    """Its clock may be set back, and then its time stamps go back too."""

    def content(self) -> dict[int, Task]:
        """All tasks as they are, by id; not a call."""
        return {task.id: task.freeze() for task in self._tasks.values()}

    def versions_on(self, task_id: int) -> set[str]:
        """Of the predictions that are stored on a task, whether anybody is shown them or not."""
        return {each.model_version for each in self._tasks[task_id].predictions}

    def locked_for_us(self) -> list[int]:
        """Tasks that nobody is served because the service user holds them."""
        return [task.id for task in self._tasks.values() if self.service_user.id in self._live_locks(task)]

    def leave_a_skip(self, task_id: int) -> None:
        """What the first half of giving a lock back leaves: an annotation of the service user that says nothing."""
        task = self._tasks.get(task_id)
        if task is None:
            return
        now, me = self._tick(), self.service_user.id
        task.locks.pop(me, None)
        task.annotations.append(Annotation(self._id(), task_id, None, me, me, now, now, None, True, None))
        task.updated_at = now

    def first_half(self, project_id: int, model_version: str) -> Sequence[int]:
        """Tasks with a prediction of this version, the first half of them."""
        there = [task.id for task in self._of(project_id) if any(each.model_version == model_version for each in task.predictions)]
        return there[: len(there) // 2]

    def _tick(self) -> datetime:
        now = self.now()
        if self._last - _SAME < now <= self._last:
            now = self._last + timedelta(microseconds=1)
        self._last = now
        return now
