"""Look at a project once, before anything is asked of people: can it be a campaign, and what is already there."""

from __future__ import annotations

import logging
from typing import Any

from backend.campaign import events, history
from backend.campaign.earlier import refuse_beside_an_earlier_one
from backend.campaign.fitting import refuse_what_needs_classes
from backend.campaign.state import State
from backend.campaign_settings import CampaignSettings
from backend.label_studio.config import campaign_control, config_fingerprint, controls_beside, warn_of, warn_of_nothing
from backend.label_studio.port import LabelControl, LabelStudioError, Project, Task, User
from backend.label_studio.queue import ProjectBefore
from backend.label_studio.write_back import is_machine
from backend.steps.classes import Classes
from backend.steps.ports import Services
from backend.steps.reconcile import read_into_ledger, too_many_annotators
from backend.store import Campaign, Item
from mcal_engine import classifiers
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import WHOLE_ANSWERS
from mcal_engine.words import counted

logger = logging.getLogger(__name__)


HOW_TO_MAKE_A_USER = (
    "Make a user for this backend alone: invite one more member in Label Studio's Organization page, sign up with the link, create a "
    "personal access token there and set MCAL_LABEL_STUDIO_TOKEN to it."
)


class Unfit(InvalidValue):
    """The project cannot be a campaign now. ``fix`` says what to do; the text holds both."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}. {fix}")
        self.reason = reason
        self.fix = fix


def request_campaign(services: Services, project_id: int, settings: CampaignSettings, source: str) -> Campaign:
    """Check the project, then open a campaign on it: for people who wait for the answer (the command line).

    Raises:
        InvalidValue: the project cannot be a campaign, or already has a live one.
        LabelStudioError: Label Studio cannot be asked.
    """
    check(services, project_id, settings)
    requested = events.Requested(settings=settings.model_dump(mode="json"), source=source)
    return services.store.create_campaign(project_id, services.label_studio_url, [history.new(requested)])


def request_follow_up(services: Services, state: State, last_task: int, source: str) -> tuple[Campaign, int]:
    """Open a campaign on the tasks that were added since a campaign finished, with its settings.

    Args:
        state: the campaign, finished. ``last_task``: its highest task id.

    Returns:
        The new campaign, and how many tasks it is about.

    Raises:
        InvalidValue: too few tasks were added, or the project cannot be a campaign.
        LabelStudioError: Label Studio cannot be asked.
    """
    follows = events.Follows(campaign=state.campaign_id, last_task=last_task)
    n = services.label_studio.n_tasks_after(state.project_id, last_task)
    _enough(n, services.smallest, follows)
    check(services, state.project_id, state.wanted, follows)
    requested = events.Requested(settings=state.wanted.model_dump(mode="json"), source=source, follows=follows)
    return services.store.create_campaign(state.project_id, services.label_studio_url, [history.new(requested)]), n


def _enough(n: int, smallest: int, follows: events.Follows) -> None:
    if n < smallest:
        raise Unfit(
            f"a campaign needs at least {smallest} tasks, and {n:,} were added since campaign {follows.campaign} finished",
            "Import the rest first, or label these by hand.",
        )


def check(
    services: Services, project_id: int, settings: CampaignSettings, follows: events.Follows | None = None
) -> tuple[Project, LabelControl, User]:
    """What can be said without reading the tasks. Raises :class:`Unfit`."""
    try:
        classifiers.check_race(settings.classifiers)
    except InvalidValue as error:
        raise Unfit(str(error), f"Set classifiers to some of: {', '.join(classifiers.names())}.") from None
    try:
        services.check_race(settings.classifiers)
    except InvalidValue as error:
        raise Unfit(str(error), "The operator can add it there and restart, or set classifiers to others.") from None
    project = services.label_studio.project(project_id)
    if project.maximum_annotations != 1:
        trouble = too_many_annotators(project)
        raise Unfit(trouble.reason, trouble.fix)
    if project.n_tasks < services.smallest:
        text = f"a campaign needs at least {services.smallest} tasks, project {project_id} has {project.n_tasks}"
        raise Unfit(text, "Import the rest first.")
    try:
        control = campaign_control(project.label_config, settings.label_controls)
    except InvalidValue as error:
        raise Unfit(str(error).rstrip("."), "Change the labelling interface, or name the controls with label_controls.") from None
    try:
        refuse_what_needs_classes(settings, control)
    except InvalidValue as error:
        raise Unfit(str(error), "Change that, or name one control that takes one choice with label_controls.") from None
    try:
        classifiers.check_race(settings.classifiers, control.reads, bool(control.beside))
    except InvalidValue as error:
        raise Unfit(str(error), f"Set classifiers to some of: {', '.join(classifiers.names(control.reads))}.") from None
    for warning in (warn_of(controls_beside(project.label_config, control)), warn_of_nothing(control)):
        if warning:
            logger.warning("project %d: %s", project_id, warning)
    try:
        after = 0 if follows is None else follows.last_task
        refuse_beside_an_earlier_one(services.store, services.label_studio_url, project_id, after=after)
    except InvalidValue as error:
        raise Unfit(str(error), "People's labels stay either way.") from None
    return project, control, services.label_studio.current_user()


def open_campaign(
    services: Services, campaign: Campaign, settings: CampaignSettings, last_seq: int, follows: events.Follows | None = None
) -> None:
    """Read every task once and record ``created``. Killed in between, it begins again: nothing has been asked of anybody.

    Raises:
        Unfit: the project cannot be a campaign.
    """
    project, control, user = check(services, campaign.project_id, settings, follows)
    first = 0 if follows is None else follows.last_task + 1
    known = {item.task_id: item for item in services.store.items(campaign.id)}
    tasks = _Checked(services, campaign.project_id, control, user, first)
    seen = history.read(services.store, campaign.id, events.AnswersSeen)  # where an earlier attempt was killed
    classes = Classes(services, campaign.id, control, user.id, control.choices or [text for each in seen for text in each.event.answers])
    read_into_ledger(services, campaign.id, classes, user.id, known, tasks, baseline=True, since=None)
    gone = [task for task in known if task not in tasks.ids]
    services.store.mark_deleted(campaign.id, gone)
    live = [item for task, item in known.items() if task in tasks.ids and task >= first]
    if follows is not None:
        _enough(len(live), services.smallest, follows)
    _check_items(live, control)
    _register_webhook(services, campaign)
    created = _created(services, project, control, user, settings, live, tasks.last_annotation)
    services.store.append(campaign.id, [history.new(created)], expected_seq=last_seq + classes.n_events)
    logger.info("campaign %d: project %d with %d tasks", campaign.id, project.id, len(live))


def _register_webhook(services: Services, campaign: Campaign) -> None:
    if services.webhook is None:
        return
    try:
        services.webhook.register(services.label_studio, campaign.project_id)
    except LabelStudioError as error:  # a hint less: the timer finds everything too
        logger.warning("campaign %d: Label Studio takes no webhook of ours, news are seen by the timer: %s", campaign.id, error)


class _Checked:
    """The project's tasks, read once, with the service user's own annotations looked at on the way."""

    def __init__(self, services: Services, project_id: int, control: LabelControl, user: User, first: int) -> None:
        self._services, self._project_id, self._control, self._user = services, project_id, control, user
        self._first = first  # id of the first task that can be the campaign's
        self.ids: set[int] = set()
        self.last_annotation = 0

    def __iter__(self) -> Any:
        for task in self._services.label_studio.tasks(self._project_id, self._control):
            if task.id >= self._first:
                self._check(task)
            self.ids.add(task.id)
            self.last_annotation = max([self.last_annotation, *(annotation.id for annotation in task.annotations)])
            yield task

    def _check(self, task: Task) -> None:
        if task.n_images > 1:
            key = self._control.data_key
            raise Unfit(
                f"task {task.id} holds {counted(task.n_images, 'image')} under {key!r}, and a label would not say which one it means",
                f'Write value="${key}[0]" in the Image tag to ask about the first one of each task, or import one task for each image.',
            )
        for annotation in task.annotations:
            if not is_machine(annotation, self._user.id) or annotation.was_cancelled:
                continue  # what giving a lock back leaves behind, if interrupted, looks like a skip by the service user
            if annotation.provenance is None:
                raise Unfit(
                    f"user {self._user.email}, whom this backend acts as, has labelled task {task.id} by hand, and its own annotations "
                    "could not be told from that",
                    HOW_TO_MAKE_A_USER,
                )
            raise Unfit(
                f"task {task.id} carries a machine label of an earlier campaign",
                "Roll that campaign back first (mcal campaign rollback), or follow it up for the new tasks (mcal campaign follow-up).",
            )


def _check_items(live: list[Item], control: LabelControl) -> None:
    if control.reads == "text" and not any(item.image for item in live):
        raise Unfit(
            f"no task has a text under {control.data_key!r}: the field is missing or empty in its data",
            f"Compare the value of the tag {control.to_name!r} with the data of a task.",
        )
    if not any(item.image for item in live):
        raise Unfit(
            f"no task has an image under {control.data_key!r}: the field is missing or empty in its data",
            f"Compare the value of the Image tag {control.to_name!r} with the data of a task: it must name one image in each.",
        )
    unlabelled = sum(item.label is None and not item.skipped for item in live)
    if not unlabelled:
        raise Unfit("every task has been labelled or skipped already", "There is nothing left to save.")


def _created(
    services: Services,
    project: Project,
    control: LabelControl,
    user: User,
    settings: CampaignSettings,
    live: list[Item],
    last_annotation: int,
) -> events.Created:
    # Recorded, so that a replay runs the same one.
    race = classifiers.race_of(settings.classifiers, len(live), services.device, control.reads, beside=bool(control.beside))
    found: dict[str, Any] = {"classifiers": race}
    if not control.plain:  # some defaults are others there
        defaults = {name: type(settings).model_fields[name].default for name in WHOLE_ANSWERS}
        found |= {name: value for name, value in WHOLE_ANSWERS.items() if getattr(settings, name) == defaults[name]}
    return events.Created(
        settings=settings.model_copy(update=found).model_dump(mode="json"),
        title=project.title,
        control=control,
        config_fingerprint=config_fingerprint(control),
        service_user=events.ServiceUser(id=user.id, email=user.email),
        project_before=ProjectBefore.of(project),
        n_items=len(live),
        n_preexisting=sum(item.preexisting for item in live),
        label_studio_version=services.label_studio.version(),
        project_created_at=project.created_at,
        last_annotation=last_annotation,
    )
