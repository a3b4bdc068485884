"""What an admin can do to a campaign: pause, resume, stop the search, change settings. Each is one event; the worker does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.campaign import events, history
from backend.campaign.state import Phase, State, state_of
from backend.campaign_settings import OPERATIONAL, CampaignSettings, parse_campaign_settings
from backend.store import Conflict, Store
from mcal_engine import classifiers
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import AUTO

ATTEMPTS = 5  # at appending, while the worker appends too
FIXED = ("seed", "label_control")  # every draw and every class rests on them
SEARCHING = (Phase.REQUESTED, Phase.PREPARING, Phase.COLLECTING, Phase.TRAINING_DUE)
JUDGING = (Phase.CERTIFYING, Phase.CERTIFICATE_DUE)


def pause(store: Store, campaign_id: int, now: datetime, *, by: str) -> str:
    """Stop deciding, training and writing; people may go on with what they were asked for. Returns a sentence."""
    state = _live(store, campaign_id, now)
    if state.phase == Phase.PAUSED:
        return f"campaign {campaign_id} is paused already"
    store.append(campaign_id, [history.new(events.Paused(by=by))])
    return f"campaign {campaign_id} is paused; people may go on with the open queue"


def resume(store: Store, campaign_id: int, now: datetime, *, by: str) -> str:
    """End a pause or a halt; a halt comes back if its reason is still there. Returns a sentence."""
    state = _live(store, campaign_id, now)
    if state.phase not in (Phase.PAUSED, Phase.HALTED):
        return f"campaign {campaign_id} is not paused"
    store.append(campaign_id, [history.new(events.Resumed(by=by))])
    return f"campaign {campaign_id} goes on: {state.stage.value}"


def request_stop(store: Store, campaign_id: int, now: datetime, *, by: str) -> str:
    """End the search for training labels with what is in hand; the certificate and the rest follow. Returns a sentence."""
    state = _live(store, campaign_id, now)
    if state.stage not in SEARCHING:
        return f"campaign {campaign_id} is not searching any more: it is {state.stage.value}"
    if state.stop_requested_by is None:
        store.append(campaign_id, [history.new(events.StopRequested(by=by))])
    return f"campaign {campaign_id} stops its search at the next decision; test labels that were asked for are still needed"


def approve(store: Store, campaign_id: int, now: datetime, *, by: str) -> str:
    """Say yes to the machine labels that wait to be written. Returns a sentence.

    Raises:
        InvalidValue: none wait.
        Conflict: the history is changing too fast.
    """
    for _ in range(ATTEMPTS):
        state = _live(store, campaign_id, now)
        if state.stage != Phase.AWAITING_APPROVAL:
            raise InvalidValue(f"campaign {campaign_id} has no machine labels that wait for a yes: it is {state.stage.value}")
        try:
            store.append(campaign_id, [history.new(events.WriteBackApproved(by=by))], expected_seq=state.last_seq)
        except Conflict:
            continue
        return f"campaign {campaign_id}: {len(state.planned):,} machine labels are written now"
    raise Conflict(f"campaign {campaign_id} is changing too fast; try again")


def change_settings(store: Store, campaign_id: int, changes: Mapping[str, Any], now: datetime, *, by: str) -> list[str]:
    """Change some settings, from the next decision on.

    Returns:
        Sentences about what changes and what it does not touch.

    Raises:
        InvalidValue: an unknown or bad setting, one that cannot change, or an ended campaign.
        Conflict: the history is changing too fast.
    """
    for _ in range(ATTEMPTS):
        state = _live(store, campaign_id, now)
        before = state.wanted.model_dump(mode="json")
        after = parse_campaign_settings(changes, defaults=before)
        changed = [name for name, value in after.model_dump(mode="json").items() if before[name] != value]
        if not changed:
            return ["nothing changes: these are the settings in force"]
        _check(state, after, changed)
        event = events.SettingsChanged(settings=after.model_dump(mode="json"), changed=tuple(changed), by=by)
        try:
            store.append(campaign_id, [history.new(event)], expected_seq=state.last_seq)
        except Conflict:
            continue
        return _notes(state, after, changed)
    raise Conflict(f"campaign {campaign_id} is changing too fast to change its settings; try again")


def _check(state: State, after: CampaignSettings, changed: list[str]) -> None:
    classifiers.check_race(after.classifiers)
    if AUTO in after.classifiers and state.created is not None:
        raise InvalidValue(f"classifiers must be named once a campaign has begun; known: {', '.join(classifiers.names())}")
    fixed = [name for name in changed if name in FIXED]
    if fixed and state.created is not None:
        raise InvalidValue(f"{fixed[0]} cannot change once a campaign has begun: its draws and classes rest on it")


def _notes(state: State, after: CampaignSettings, changed: list[str]) -> list[str]:
    notes = [f"{name} is {getattr(after, name)} from the next decision on" for name in changed]
    if "price_per_label" in changed and after.price_per_hour is not None:
        notes.append("price_per_hour is set: the next decision takes the price per label from lead times, once there are enough of them")
    late = [name for name in changed if name not in OPERATIONAL]
    if late and state.stage in JUDGING:
        notes.append(
            f"the certificate sample was drawn for the settings before: it is judged with target_error {state.settings.target_error:g}, "
            f"since another value would be another look at the same sample; {', '.join(late)} would count for a new one"
        )
    if late and state.stage in (Phase.AWAITING_APPROVAL, Phase.WRITING_BACK, Phase.AUDITING, Phase.TAKING_BACK, Phase.RESIDUAL):
        notes.append(f"the decision has been made: {', '.join(late)} changes nothing in this campaign any more")
    return notes


def _live(store: Store, campaign_id: int, now: datetime) -> State:
    state = state_of(store, campaign_id, now)
    if state.ended:
        raise InvalidValue(f"campaign {campaign_id} has ended: it is {state.phase.value.replace('_', ' ')}")
    return state
