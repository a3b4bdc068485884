"""Before anything is asked: images on the shelf, then T and B0; and later the same for tasks that were added."""

from __future__ import annotations

import logging

from backend.campaign import draws, events, history
from backend.campaign.commit import Commit
from backend.campaign.state import State
from backend.label_studio.wire import text_beside
from backend.steps.ports import Heartbeat, Services
from backend.store import Assignment
from mcal_engine import engine
from mcal_engine.classifiers import parse
from mcal_engine.spec import AUTO

logger = logging.getLogger(__name__)

READ_AT_ONCE = 1000  # tasks whose texts are asked for together


def fetch_images(services: Services, state: State, heartbeat: Heartbeat) -> bool:
    """Put the images that are missing on the shelf; what cannot be read is set aside. Returns whether the ledger has changed."""
    readable = [item.task_id for item in (*state.inherited, *state.live) if item.unreadable is None]
    if state.control.reads == "text":
        return _keep_texts(services, state, readable)
    _keep_texts_beside(services, state, readable, heartbeat)
    missing = services.images.missing(state.campaign_id, readable)
    if not missing:
        return False
    logger.info("campaign %d: fetching %d images", state.campaign_id, len(missing))
    references = {task: state.items[task].image for task in missing}
    form, reasons = state.image_form, dict[int, str]()
    if form is None:
        form, reasons = services.images.look(state.campaign_id, references, heartbeat)
        if form is not None:
            services.store.append(state.campaign_id, [history.new(events.ImageFormChosen(form=form))])
            logger.info("campaign %d: images are kept at %d × %d pixels", state.campaign_id, form.side, form.side)
    if form is not None:
        reasons = services.images.fetch(state.campaign_id, references, form, heartbeat)
    if reasons:
        task, reason = next(iter(reasons.items()))
        logger.warning(
            "campaign %d: %d images are set aside for people, such as task %d: %s", state.campaign_id, len(reasons), task, reason
        )
        services.store.mark_unreadable(state.campaign_id, reasons)
    return bool(reasons) or state.image_form is None


def _keep_texts(services: Services, state: State, tasks: list[int]) -> bool:
    """Texts stand in the ledger already."""
    reasons = services.images.keep_texts(state.campaign_id, {task: state.items[task].image for task in tasks})
    if reasons:
        task, reason = next(iter(reasons.items()))
        logger.warning("campaign %d: %d texts are set aside for people, such as task %d: %s", state.campaign_id, len(reasons), task, reason)
        services.store.mark_unreadable(state.campaign_id, reasons)
    return bool(reasons)


def _keep_texts_beside(services: Services, state: State, tasks: list[int], heartbeat: Heartbeat) -> None:
    """What stands beside the images, where a candidate sees it: it is in the tasks' data, and not in the ledger."""
    if not any(parse(name).pairs for name in state.settings.classifiers if name != AUTO):
        return
    missing = services.images.missing_beside(state.campaign_id, tasks)
    for start in range(0, len(missing), READ_AT_ONCE):
        some = missing[start : start + READ_AT_ONCE]
        heartbeat()
        data = services.label_studio.task_data(state.project_id, some)
        services.images.keep_beside(state.campaign_id, {task: text_beside(data.get(task, {}), state.control) for task in some})


def nothing_readable(state: State) -> str | None:
    """The first reason why, if not a single image can be read: then it is not the images."""
    reasons = [item.unreadable for item in state.live if item.unreadable is not None]
    return reasons[0] if reasons and len(reasons) == len(state.live) else None


def commit_start(state: State) -> Commit:
    """The first decision: T and B0, drawn and opened as one queue."""
    unlabelled = sum(item.label is None and not item.skipped and item.unreadable is None for item in state.live)
    untrained = any(parse(name).asked for name in state.settings.classifiers)
    decision = engine.start(state.settings, len(state.live), state.control.n_choices, unlabelled, untrained=untrained)
    queue, assignments = draws.start_queue(state, decision)
    commit = Commit(state)
    commit.decision(decision, "start")
    commit.open(queue, assignments, last_known_task=max(state.items))
    return commit


def commit_newcomers(state: State) -> Commit | None:
    """Tasks that were added since: some of them join T, by a draw of their own; the rest is pool."""
    added = draws.newcomers(state)
    if not added:
        return None
    joining = draws.joins_test(state, added)
    commit = Commit(state)
    commit.add(events.TasksJoined(last_known_task=added[-1].task_id, n=len(added), test_ids=tuple(joining)))
    commit.assignments.extend(Assignment(task, "test", len(state.observations), rank) for rank, task in enumerate(joining))
    return commit
