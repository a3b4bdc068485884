"""Label Studio, whose lists of tasks are held against its own count: what contradicts itself is its trouble, and no task's end.

A proxy, a cache or a database that is being restored may answer with fewer tasks than there are, and with status 200. Who believed that
would take every task that is missing in the answer for deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

from backend.label_studio.port import LabelControl, LabelStudioError, LabelStudioPort, Task
from mcal_engine import words

TRIES = 3  # tasks may come and go while they are listed and counted


def checked(port: LabelStudioPort) -> LabelStudioPort:
    """``port``; a list of tasks that its count of the project's tasks contradicts raises a retryable :class:`LabelStudioError`."""
    return cast(LabelStudioPort, _Checked(port))


class _Checked:
    """Made for one visit: what was seen to be gone is remembered, for ids are never given twice."""

    def __init__(self, inner: LabelStudioPort) -> None:
        self._inner = inner
        self._there: dict[int, set[int]] = {}  # project → all its tasks, as last seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def tasks(self, project_id: int, control: LabelControl, *, updated_since: datetime | None = None) -> Iterator[Task]:
        """As the port has it; where all tasks are asked for, as many must come as are counted."""
        before = self._count(project_id) if updated_since is None else 0
        n = 0
        for task in self._inner.tasks(project_id, control, updated_since=updated_since):
            n += 1
            yield task
        if updated_since is None:
            after = self._count(project_id)
            if not min(before, after) <= n <= max(before, after):
                raise _contradiction(project_id, n, after)

    def task_times(self, project_id: int) -> dict[int, datetime]:
        """As the port has it; as many as are counted."""
        before = None
        for _ in range(TRIES):
            found = self._inner.task_times(project_id)
            count = self._count(project_id)
            counts = (count,) if before is None else (before, count)
            if min(counts) <= len(found) <= max(counts):
                self._there[project_id] = set(found)
                return found
            before = count
        raise _contradiction(project_id, len(found), count)

    def task_ids(self, project_id: int) -> list[int]:
        """As :meth:`task_times`."""
        return list(self.task_times(project_id))

    def tasks_by_id(self, project_id: int, control: LabelControl, task_ids: Sequence[int]) -> list[Task]:
        """As the port has it; what is left out must be missing among all tasks too."""
        found = self._inner.tasks_by_id(project_id, control, task_ids)
        missing = set(task_ids) - {task.id for task in found}
        if not missing:
            return found
        there = self._there.get(project_id)
        if there is None or missing & there or max(missing) > max(there, default=0):
            there = set(self.task_times(project_id))
        if wrong := sorted(missing & there):
            raise LabelStudioError(
                f"Label Studio left out {words.counted_of(len(wrong), len(set(task_ids)), 'task')} of project {project_id} that it lists, "
                f"such as task {wrong[0]}",
                retryable=True,
            )
        return found

    def _count(self, project_id: int) -> int:
        return self._inner.project(project_id).n_tasks


def _contradiction(project_id: int, listed: int, counted: int) -> LabelStudioError:
    text = f"Label Studio lists {words.counted(listed, 'task')} of project {project_id} and counts {counted:,}: one of the two is wrong"
    return LabelStudioError(text, retryable=True)
