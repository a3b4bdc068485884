"""See to it that Label Studio serves exactly the open queue. Safe to repeat at every visit; repairs what people changed by hand."""

from __future__ import annotations

import logging
from datetime import timedelta

from backend.campaign import events, history
from backend.campaign.draws import can_be_sentinel, spare_sentinels
from backend.campaign.queues import BLIND, Queue
from backend.campaign.state import Phase, State
from backend.label_studio import queue as label_queue
from backend.label_studio.port import Project
from backend.label_studio.queue import Sentinel
from backend.steps.ports import Services

logger = logging.getLogger(__name__)

LOOKED_AT = 100  # candidates, for a lock that was not recorded
GUARD_EVERY = timedelta(minutes=1)  # between looks at the sentinel while the ledger has nothing against it


def serve(services: Services, state: State, project: Project) -> bool:
    """Publish the open queue where Label Studio does not serve it yet; keep its sentinel. Returns whether the history has grown."""
    queue = state.queue
    if state.stage == Phase.AWAITING_APPROVAL:
        guard(services, state, project)
    if queue is None:
        return False
    if queue.kind == "residual":
        return _serve_rest(services, state, queue)
    if not queue.ids:
        return False
    if state.published != queue.model_version or not _is_served(project, queue):
        return _publish(services, state, queue)
    return _guard(services, state, queue)


def guard(services: Services, state: State, project: Project) -> None:
    """While a campaign is paused or waits for a yes: keep the sentinel of a queue that is being served, and publish nothing new."""
    queue = state.queues[-1] if state.queues and state.stage == Phase.AWAITING_APPROVAL else state.queue
    if queue is not None and queue.ids and state.published == queue.model_version and _is_served(project, queue):
        _guard(services, state, queue)


def _publish(services: Services, state: State, queue: Queue) -> bool:
    second = [task for task in queue.twice if task not in state.second_labels]
    if second:  # before anybody is served: a task that one person has labelled would be closed
        services.label_studio.set_overlap(state.project_id, second, 2)
    now = services.now()
    locked = label_queue.publish(
        services.label_studio,
        state.project_id,
        queue.model_version,
        queue.ids,
        sentinel_ids=_candidates(state, queue),
        control=state.control,
        now=now,
        suggestions=_suggestions(state, queue),
    )
    if locked is not None and state.sentinel is not None and locked.task_id == state.sentinel.task_id:
        locked = state.sentinel  # locking again does not renew a lock: its age stays
    elif state.sentinel_id is not None and state.sentinel_id not in queue.ids:
        label_queue.give_back(services.label_studio, state.project_id, state.sentinel_id, state.control)
    close_second(services, state, queue)
    logger.info("campaign %d: queue %s with %d tasks is served", state.campaign_id, queue.model_version, len(queue.ids))
    services.memory.guarded_at[state.campaign_id] = now
    return _record(services, state, queue, locked)


def _candidates(state: State, queue: Queue) -> list[int]:
    """Tasks that may be locked behind a queue, best first."""
    preferred = [task for task in (state.sentinel_id, queue.sentinel) if task is not None]
    busy = set(queue.ids)
    first = [task for task in dict.fromkeys(preferred) if task not in busy and can_be_sentinel(state, task)]
    return [*first, *(task for task in spare_sentinels(state, busy) if task not in first)]


def give_back_unrecorded(services: Services, state: State) -> None:
    """Let people have a task that was locked behind the last queue by an attempt that broke off before it was recorded. Safe to repeat.

    Which one that was follows from the prediction that it was given, or, where it was not even given one, from the order of candidates.
    """
    queue = next((queue for queue in reversed(state.queues) if queue.ids and queue.kind != "residual"), None)
    if queue is None:
        return
    candidates = [task for task in _candidates(state, queue) if task != state.sentinel_id][:LOOKED_AT]
    held = services.label_studio.predicted_task_ids(state.project_id, queue.model_version, among=candidates)
    for task in dict.fromkeys([*candidates[:1], *held]):
        label_queue.give_back(services.label_studio, state.project_id, task, state.control, perhaps=True)


def _guard(services: Services, state: State, queue: Queue) -> bool:
    """Renew the sentinel's lock in time, and replace a sentinel that was labelled or deleted."""
    now = services.now()
    last = services.memory.guarded_at.get(state.campaign_id)
    sound = state.sentinel is not None and can_be_sentinel(state, state.sentinel.task_id)
    if sound and last is not None and now - last < GUARD_EVERY:
        return False
    locked = label_queue.keep_sentinel(
        services.label_studio,
        state.project_id,
        queue.model_version,
        state.sentinel,
        spare_ids=spare_sentinels(state, queue.ids),
        control=state.control,
        now=now,
    )
    services.memory.guarded_at[state.campaign_id] = now
    return _record(services, state, queue, locked)


def _serve_rest(services: Services, state: State, queue: Queue) -> bool:
    if state.published == queue.model_version:
        return False  # only once: what the project's admin sets afterwards is never overwritten
    give_back_unrecorded(services, state)
    close_second(services, state, queue)  # what still waits for a second label would be served with the rest
    label_queue.serve_rest(
        services.label_studio,
        state.project_id,
        state.sentinel_id,
        model_version=queue.model_version,
        control=state.control,
        suggestions=_suggestions(state, queue),
    )
    logger.info("campaign %d: people are served the rest", state.campaign_id)
    return _record(services, state, queue, None)


def close_second(services: Services, state: State, following: Queue | None = None) -> None:
    """Ask nobody for second labels any more but for those of ``following``: each task is done with the labels it has. Safe to repeat."""
    versions = [queue.model_version for queue in state.queues]
    served = versions.index(state.published) if state.published in versions else 0  # what came before it is closed
    tasks = [
        task
        for queue in state.queues[served:]
        if following is None or queue.model_version != following.model_version
        for task in queue.twice
    ]
    if tasks:
        services.label_studio.set_overlap(state.project_id, tasks, 1)


def _is_served(project: Project, queue: Queue) -> bool:
    shows = project.show_collab_predictions == bool(queue.suggestions)
    return project.model_version == queue.model_version and project.sampling == label_queue.UNCERTAINTY and shows


def _suggestions(state: State, queue: Queue) -> dict[int, str]:
    """What people are shown. Whatever has come to be a test or certificate item since stays blind."""
    choices = state.choices
    return {task: choices[choice] for task, choice in queue.suggestions.items() if state.roles.get(task) not in BLIND}


def _record(services: Services, state: State, queue: Queue, locked: Sentinel | None) -> bool:
    if state.published == queue.model_version and locked == state.sentinel:
        return False
    published = events.Published(model_version=queue.model_version, sentinel=locked)
    services.store.append(state.campaign_id, [history.new(published)])
    return True
