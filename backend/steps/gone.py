"""A project that is no longer in Label Studio: its campaign ends, with the report of what was known last."""

from __future__ import annotations

import logging
from dataclasses import replace

from backend.campaign import events, history
from backend.campaign.state import Phase, State
from backend.label_studio.port import LabelStudioError
from backend.steps.ports import Services
from backend.store import same_address
from backend.views.report import make_report

logger = logging.getLogger(__name__)

NOT_FOUND = 404


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
    if same_address(services.store.campaign(state.campaign_id).label_studio_url) != same_address(services.label_studio_url):
        return False
    return all(project.id != state.project_id for project in services.label_studio.projects())


def end(services: Services, state: State) -> None:
    """Record the end; nothing can be given back to a project that is not there."""
    report = make_report(replace(state, phase=Phase.PROJECT_GONE), services.now())
    ended = history.new(events.ProjectGone(report=dict(report)))
    services.store.append(state.campaign_id, [ended], expected_seq=state.last_seq, ends=True)
    services.images.discard(state.campaign_id)
    logger.warning("campaign %d: ended, project %d is gone from Label Studio", state.campaign_id, state.project_id)
