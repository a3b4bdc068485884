"""What people and projects are called, learnt from Label Studio and kept in the history: pages and commands do not wait for it."""

from __future__ import annotations

import logging
from datetime import timedelta

from backend.campaign import events, history
from backend.campaign.state import State
from backend.label_studio.port import LabelStudioError, Project
from backend.steps.ports import Services
from backend.store import Store
from mcal_engine.errors import HistoryError

logger = logging.getLogger(__name__)

ASK_AGAIN = timedelta(hours=1)  # for somebody whom Label Studio did not name


def learn_names(services: Services, state: State, project: Project) -> bool:
    """Record the project's title and the names of annotators who are new. Returns whether the history has grown."""
    people = _new_people(services, state)
    if not people and project.title == state.title:
        return False
    services.store.append(state.campaign_id, [history.new(events.NamesRead(title=project.title, annotators=people))])
    return True


def title_of(store: Store, campaign_id: int) -> str:
    """The project's title as last seen, from the history alone; "" before the first visit, and where the history cannot be read."""
    try:
        rows = history.read(store, campaign_id, events.Created, events.NamesRead)
    except HistoryError:
        return ""
    return rows[-1].event.title if rows else ""


def _new_people(services: Services, state: State) -> dict[int, str]:
    labelled = {item.annotator for item in state.items.values() if item.annotator is not None}
    strangers = (labelled | {row.annotator for row in state.repeats}) - set(state.names)
    last, now = services.memory.named_at.get(state.campaign_id), services.now()
    if not strangers or (last is not None and now - last < ASK_AGAIN and strangers <= services.memory.nameless):
        return {}
    try:
        found = {user.id: user.name or user.email for user in services.label_studio.users()}
    except LabelStudioError as error:  # a token may not be allowed to see the users; their numbers do as well
        logger.info("campaign %d: the annotators' names cannot be read: %s", state.campaign_id, error)
        if error.retryable:
            return {}
        found = {}
    services.memory.named_at[state.campaign_id] = now
    named = {person: found[person] for person in sorted(strangers) if found.get(person)}
    services.memory.nameless |= strangers - set(named)
    return named
