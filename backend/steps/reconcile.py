"""Bring the ledger in line with Label Studio, which is the truth about labels. Idempotent; events are only hints to visit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from backend.campaign import events, history
from backend.campaign.labels import Reading, read_task
from backend.campaign.state import State
from backend.label_studio import write_back
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import Project, Task
from backend.steps.classes import Classes
from backend.steps.ports import Services
from backend.store import Campaign, Item, MachineLabel, same_address
from mcal_engine.errors import InvalidValue
from mcal_engine.words import counted

logger = logging.getLogger(__name__)

# A change's time is set before others can see it: for a single label by fractions of a second, by bulk writes up to 30 s.
OVERLAP = timedelta(seconds=15)
FULL_OVERLAP = timedelta(minutes=2)
SETTLED = timedelta(minutes=5)  # by our clock: where nothing newer came for this long, what was read last has no late companions
CHUNK = 1000  # tasks per transaction


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the campaign must stand still: the project is no longer the one that was agreed on."""

    reason: str
    fix: str


def check_project(project: Project, state: State) -> Trouble | None:
    """Whether it is the project that the campaign began on, and the labels still mean what they meant at the start."""
    control = state.control
    if (other := another_project(project, state)) is not None:
        return other
    if not project.n_tasks and state.live:
        return Trouble(
            f"Label Studio counts no tasks in project {project.id} any more, and the campaign has {len(state.live):,}",
            "Bring the tasks back from a backup of Label Studio. If they were deleted on purpose, roll this campaign back.",
        )
    try:
        now = parse_label_config(project.label_config, control.from_name)
    except InvalidValue as error:
        what = "; ".join(f"{_list(question.choices)} under {question.name!r}" for question in control.questions)
        return Trouble(f"the label config has changed: {error}", f"Bring back the choices {what}.")
    for kept, found in zip(control.asks, now.asks, strict=True):  # the same names: they were asked for by name
        before, after = kept.question, found.question
        if set(after.choices) != set(before.choices):  # their order is only how they are shown
            return Trouble(
                f"the choices of {before.name!r} were {_list(before.choices)} and are now {_list(after.choices)}",
                "Put the choices back as they were, or roll this campaign back and start a new one.",
            )
        if control.controls and (kept.kind, before.several, before.shown_if) != (found.kind, after.several, after.shown_if):
            return Trouble(
                f"{before.name!r} is asked in another way now: as another tag, for another number of choices, or under another condition",
                "Put the label config back as it was, or roll this campaign back and start a new one.",
            )
    if (now.to_name, now.data_key) != (control.to_name, control.data_key):
        return Trouble(
            f"{control.from_name!r} labels {now.to_name!r} from ${now.data_key} now; it was {control.to_name!r} from ${control.data_key}",
            "Put the label config back as it was, or roll this campaign back and start a new one.",
        )
    if project.maximum_annotations > 1:
        return too_many_annotators(project)
    return None


def another_project(project: Project, state: State) -> Trouble | None:
    """Whether another project has the number of the one that the campaign began on."""
    began_on = state.created.project_created_at if state.created is not None else None
    if began_on is not None and project.created_at is not None and project.created_at != began_on:
        return Trouble(
            f"project {project.id} was created at {project.created_at:%Y-%m-%d %H:%M:%S} UTC, and the project that this campaign began on "
            f"at {began_on:%Y-%m-%d %H:%M:%S} UTC: this is another one",
            "Set MCAL_LABEL_STUDIO_URL to the Label Studio that the campaign began on, and restart the worker.",
        )
    return None


def elsewhere(campaign: Campaign, label_studio_url: str, state: State) -> Trouble | None:
    """Whether this may be another Label Studio than the campaign began on.

    One that has only got another address is told by the project's time of creation, which :func:`check_project` looks at.
    """
    if same_address(campaign.label_studio_url) == same_address(label_studio_url):
        return None
    if state.created is not None and state.created.project_created_at is not None:
        return None
    return Trouble(
        f"this campaign began on {campaign.label_studio_url}, and MCAL_LABEL_STUDIO_URL is {label_studio_url}",
        "Set MCAL_LABEL_STUDIO_URL to the Label Studio that the campaign began on, and restart the worker.",
    )


def too_many_annotators(project: Project) -> Trouble:
    return Trouble(
        f"maximum_annotations must be 1, got {project.maximum_annotations}: people would be asked about machine-labelled tasks first",
        "Set Settings → Quality → Annotations per task to 1.",
    )


def labelled_by_hand(state: State) -> Trouble | None:
    """Whether the service user has labelled a task that this campaign did not plan to: nobody could tell such a label from ours."""
    planned = {row.task_id for row in state.machine_labels}
    strays = [item.task_id for item in state.live if item.machine_annotation_id is not None and item.task_id not in planned]
    if not strays:
        return None
    return Trouble(
        f"the user whom this backend acts as has labelled {counted(len(strays), 'task')} by hand, such as task {strays[0]}",
        "Delete these annotations and label as another user: this one must be the backend's alone.",
    )


def reconcile(services: Services, state: State, project: Project, *, full: bool = False) -> bool:
    """Read what has changed in Label Studio into the ledger; let human labels win over machine labels.

    Args:
        state: the campaign, created; its items are what the ledger has so far.
        project: as just read. A count of tasks that differs from the ledger's makes all tasks be compared as well.
        full: look further back, and compare the times of all tasks: only that finds deleted ones, and changes that a clock hid.

    Returns:
        Whether the ledger has changed.
    """
    since = services.store.watermark(state.campaign_id)
    known = dict(state.items)
    started = services.now()
    start = _start(services, state.campaign_id, since, full=full)
    tasks = services.label_studio.tasks(state.project_id, state.control, updated_since=start)
    classes = Classes(services, state.campaign_id, state.control, _service_user(state), state.choices)
    changed = read_into_ledger(services, state.campaign_id, classes, _service_user(state), known, tasks, baseline=False, since=since)
    if full or project.n_tasks != sum(not item.deleted for item in known.values()):
        changed |= _check_all(services, state, classes, known, start)
    changed |= humans_win(services, state, classes, known)
    services.memory.visited_at[state.campaign_id] = started
    return changed


def _start(services: Services, campaign_id: int, watermark: datetime | None, *, full: bool) -> datetime | None:
    """Where to begin to read: a little before the latest change seen, unless nothing newer came for long before the last visit.

    Without the exception, the tasks of a fresh import would be read again at every visit until somebody labels one.
    """
    if watermark is None:
        return None
    visited = services.memory.visited_at.get(campaign_id)
    moved = services.memory.moved_at.setdefault(campaign_id, services.now())
    if not full and visited is not None and visited - moved > SETTLED:
        return watermark
    return watermark - (FULL_OVERLAP if full else OVERLAP)


def read_into_ledger(
    services: Services,
    campaign_id: int,
    classes: Classes,
    service_user: int,
    known: dict[int, Item],
    tasks: Iterable[Task],
    *,
    baseline: bool,
    since: datetime | None,
) -> bool:
    """Read tasks chunk by chunk, store the rows that differ, and move the watermark once all are in. ``known`` is updated in place.

    The watermark is Label Studio's time, and never beyond our own clock: one label with a time to come would hide all that follow.
    What is known already does not move it: after that clock was set back, those times are yet to come.
    """
    latest, changed, started = since, False, services.now()
    for chunk in _chunks(tasks):
        choices = classes.with_answers_of(chunk)
        newer = [task.updated_at for task in chunk if task.id not in known or known[task.id].updated_at != task.updated_at]
        readings = [read_task(task, choices, service_user, known.get(task.id), baseline=baseline, now=services.now()) for task in chunk]
        changed |= _store(services, campaign_id, known, readings)
        latest = max(newer if latest is None else [latest, *newer], default=latest)
    if latest is not None:
        # While a long reading went on, tasks that it had passed may have changed. Clocks may differ by some of this minute.
        long = services.now() - started > OVERLAP
        latest = min(latest, started - timedelta(minutes=1) if long else started)
        latest = latest if since is None else max(latest, min(since, started))
    if latest is not None and latest != since:
        services.store.set_watermark(campaign_id, latest)
        services.memory.moved_at[campaign_id] = started
    return changed


def humans_win(services: Services, state: State, classes: Classes, known: dict[int, Item]) -> bool:
    """Where a person has labelled a machine-labelled task, the machine's annotation goes; what a person edited became a human label.

    Each suspect is read again first: the ledger may not have seen yet what was written a moment ago.
    """
    written = {row.task_id: row for row in state.machine_labels if row.state == "written"}
    suspects = [task for task in written if task in known and (known[task].label is not None or known[task].machine_annotation_id is None)]
    changed: list[MachineLabel] = []
    for place in range(0, len(suspects), CHUNK):
        ids = suspects[place : place + CHUNK]
        tasks = {task.id: task for task in services.label_studio.tasks_by_id(state.project_id, state.control, ids)}
        _store(services, state.campaign_id, known, _read(services, state, classes, known, list(tasks.values())))
        for task_id in ids:
            task, item = tasks.get(task_id), known[task_id]
            if task is None or (item.label is None and item.machine_annotation_id is None):
                changed.append(replace(written[task_id], state="removed"))  # the task is gone, or a person took the machine's label away
            elif item.label is not None:
                write_back.yield_to_people(services.label_studio, task, _service_user(state))
                changed.append(replace(written[task_id], state="human"))
    if changed:
        services.store.set_machine_labels(state.campaign_id, changed)
    return bool(changed)


def _check_all(services: Services, state: State, classes: Classes, known: dict[int, Item], start: datetime | None) -> bool:
    """Compare every task's time of change with the ledger's. What was read from ``start`` on has just been read."""
    there = services.label_studio.task_times(state.project_id)
    gone = [task for task, item in known.items() if not item.deleted and task not in there]
    back = sorted(task for task in there if task in known and known[task].deleted)
    if gone:
        services.store.mark_deleted(state.campaign_id, gone)
        known.update({task: replace(known[task], deleted=True) for task in gone})
        logger.info("campaign %d: %d tasks are gone from Label Studio", state.campaign_id, len(gone))
    if back:
        logger.warning("campaign %d: %d deleted tasks are there again, such as task %d", state.campaign_id, len(back), back[0])
    changed = bool(gone)
    other = sorted(task for task, at in there.items() if task not in known or known[task].deleted or known[task].updated_at != at)
    for place in range(0, len(other), CHUNK):
        tasks = services.label_studio.tasks_by_id(state.project_id, state.control, other[place : place + CHUNK])
        changed |= _store(services, state.campaign_id, known, _read(services, state, classes, known, tasks))
    hidden = [there[task] for task in other if start is not None and there[task] <= start]
    if hidden:  # Label Studio's clock was set back: what follows now is older than what was read before
        logger.warning("campaign %d: %d changes were older than what had been read already", state.campaign_id, len(hidden))
        services.store.set_watermark(state.campaign_id, max(hidden))
        services.memory.moved_at[state.campaign_id] = services.now()
    return changed


def _read(services: Services, state: State, classes: Classes, known: dict[int, Item], tasks: Sequence[Task]) -> list[Reading]:
    choices, now = classes.with_answers_of(tasks), services.now()
    return [read_task(task, choices, _service_user(state), known.get(task.id), baseline=False, now=now) for task in tasks]


def _store(services: Services, campaign_id: int, known: dict[int, Item], readings: Sequence[Reading]) -> bool:
    news = [reading for reading in readings if known.get(reading.item.task_id) != reading.item]
    for reading in news:
        if reading.unknown_choices:
            logger.warning(
                "campaign %d: task %d holds a choice that the label config does not have: %s",
                campaign_id,
                reading.item.task_id,
                _list(sorted(reading.unknown_choices)),
            )
        for annotation in reading.left_over:
            services.label_studio.delete_annotation(annotation)
    if not news:
        return False
    changed = sorted(item.task_id for item in (reading.item for reading in news) if _other_image(known.get(item.task_id), item))
    if changed:  # first: a row that is stored says nothing of the image before
        logger.warning("campaign %d: %s got another image, such as task %d", campaign_id, counted(len(changed), "task"), changed[0])
        services.store.append(campaign_id, [history.new(events.ImagesChanged(ids=tuple(changed)))])
    repeats = [row for reading in news for row in reading.duplicates]
    # Repeats first: a row that is stored makes the next visit think that all of this task is known.
    services.store.upsert_duplicates(campaign_id, repeats, of_tasks=[reading.item.task_id for reading in news])
    services.store.upsert_items(campaign_id, [reading.item for reading in news])
    known.update({reading.item.task_id: reading.item for reading in news})
    return True


def _other_image(before: Item | None, now: Item) -> bool:
    """Whether the image that was kept is no longer the task's."""
    return before is not None and before.image not in ("", now.image) and before.unreadable is None


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    iterator = iter(tasks)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _service_user(state: State) -> int:
    assert state.created is not None  # reconcile begins after `created`
    return state.created.service_user.id


def _list(choices: Sequence[str]) -> str:
    return ", ".join(repr(choice) for choice in choices)
