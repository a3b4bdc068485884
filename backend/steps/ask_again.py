"""Have Label Studio serve again what people answered without a label. May be killed and run again."""

from __future__ import annotations

import logging

from backend.campaign import events
from backend.campaign.commit import Commit
from backend.campaign.state import State
from backend.label_studio.port import Project, Task
from backend.label_studio.queue import ProjectBefore
from backend.label_studio.write_back import is_machine
from backend.steps.ports import Heartbeat, Services

logger = logging.getLogger(__name__)

CHUNK = 100  # tasks that are read at a time


def ask_again(services: Services, state: State, project: Project, heartbeat: Heartbeat) -> None:
    """Delete what is no answer at all, and ask one person more where an answer holds something; then note it."""
    ids = [item.task_id for item in state.residual if item.task_id in state.asked_again]
    more: dict[int, list[int]] = {}
    n_deleted = 0
    for place in range(0, len(ids), CHUNK):
        heartbeat()
        for task in services.label_studio.tasks_by_id(state.project_id, state.control, ids[place : place + CHUNK]):
            n_deleted += _clear(services, state, task, more)
    for overlap, tasks in more.items():
        heartbeat()
        services.label_studio.set_overlap(state.project_id, tasks, overlap)
    commit = Commit(state)
    before = ProjectBefore.of(project) if state.reopened else None
    commit.add(events.AskedAgain(n_deleted=n_deleted, n_others=sum(map(len, more.values())), project_before=before))
    commit.store(services.store)
    logger.info("campaign %d: people are asked again for %d tasks", state.campaign_id, len(ids))


def _clear(services: Services, state: State, task: Task, more: dict[int, list[int]]) -> int:
    """Returns how many answers were deleted; a task whose answers hold something goes to ``more``, by the people it then has."""
    assert state.created is not None  # nobody can be asked again before
    answers = [each for each in task.annotations if not is_machine(each, state.created.service_user.id)]
    idle = [each for each in answers if each.was_cancelled or each.empty]
    changed = services.label_studio.delete_unchanged(idle) if idle else []  # somebody may just be filling one in
    idle = [each for each in idle if each.id not in changed]
    kept = {each.completed_by for each in answers if each not in idle}
    if kept:
        more.setdefault(len(kept) + 1, []).append(task.id)
    return len(idle)
