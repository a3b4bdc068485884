"""A project that is no longer in Label Studio: its campaign ends, with the report of what was known last; a finished one takes note."""

from __future__ import annotations

import logging
from dataclasses import replace

from backend.campaign import events, history
from backend.campaign.state import Phase, State, state_of
from backend.label_studio.port import LabelStudioError
from backend.steps.ports import Services
from backend.store import same_address
from backend.views.report import make_report
from mcal_engine.errors import HistoryError

logger = logging.getLogger(__name__)

NOT_FOUND = 404
LAST_WORDS = [each.kind for each in (events.Finished, events.RolledBack, events.Cancelled, events.ProjectGone, events.ProjectGoneSince)]


def is_gone(services: Services, state: State, error: LabelStudioError) -> bool:
    """Whether ``error`` means that the project was deleted: the user who began the campaign is there, and its project is not.

    A proxy may say "not found" too, another user may not be allowed to see the project, and another Label Studio never had it.

    Raises:
        LabelStudioError: Label Studio is away after all.
    """
    if error.status != NOT_FOUND:
        return False
    user = services.label_studio.current_user()
    if state.created is not None and (user.id, user.email) != (state.created.service_user.id, state.created.service_user.email):
        return False
    if same_address(services.store.campaign(state.campaign_id).label_studio_url) != _here(services):
        return False
    return all(project.id != state.project_id for project in services.label_studio.projects())


def end(services: Services, state: State) -> None:
    """Record the end; nothing can be given back to a project that is not there."""
    report = make_report(replace(state, phase=Phase.PROJECT_GONE), services.now())
    ended = history.new(events.ProjectGone(report=dict(report)))
    services.store.append(state.campaign_id, [ended], expected_seq=state.last_seq, ends=True)
    services.images.discard(state.campaign_id)
    logger.warning("campaign %d: ended, project %d is gone from Label Studio", state.campaign_id, state.project_id)


def note(services: Services, state: State) -> None:
    """Record of a finished campaign that its project is gone, so that nobody is offered to change labels there."""
    services.store.append(state.campaign_id, [history.new(events.ProjectGoneSince())], expected_seq=state.last_seq)
    logger.warning("campaign %d: project %d was deleted in Label Studio after the end", state.campaign_id, state.project_id)


def look_after_the_end(services: Services) -> None:
    """Look whether Label Studio still has the projects of finished campaigns, and note those that it has not.

    Raises:
        LabelStudioError: Label Studio is away or refuses.
        Conflict: such a campaign is being taken up again.
    """
    store = services.store
    live = {each.id for each in store.live_campaigns()}
    ours = [each for each in store.campaigns() if each.id not in live and same_address(each.label_studio_url) == _here(services)]
    if not ours:
        return
    there = {project.id for project in services.label_studio.projects()}
    for campaign in ours:
        if campaign.project_id in there:
            continue
        try:
            said = store.events(campaign.id, kinds=LAST_WORDS)
            if not said or said[-1].kind != events.Finished.kind:
                continue
            state = state_of(store, campaign.id, services.now(), ledger=False)
        except HistoryError:  # an unreadable history is told of elsewhere
            continue
        try:
            services.label_studio.project(campaign.project_id)
        except LabelStudioError as error:
            if is_gone(services, state, error):
                note(services, state)


def _here(services: Services) -> str:
    return same_address(services.label_studio_url)
