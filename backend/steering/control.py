"""Pause, resume, stop the search, say yes to the machine labels, change settings. Each is one event; the worker does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from backend.campaign import events, history
from backend.campaign.commit import Commit
from backend.campaign.events import Happening
from backend.campaign.facts import load
from backend.campaign.fitting import refuse_what_needs_classes
from backend.campaign.history import Entry
from backend.campaign.state import Phase, State, derive, state_of
from backend.campaign_settings import OPERATIONAL, CampaignSettings, as_recorded, parse_campaign_settings, parse_setting
from backend.steering.call import Call, Nothing, Refusal, ended, words
from backend.store import Store, retried
from mcal_engine import classifiers
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.looks import confidence_kept
from mcal_engine.spec import AUTO
from mcal_engine.types import LabelByMachine
from mcal_engine.words import counted

FIXED = ("seed", "label_controls")  # every draw and every class rests on them
SEARCHING = (Phase.REQUESTED, Phase.PREPARING, Phase.COLLECTING, Phase.TRAINING_DUE)
JUDGING = (Phase.CERTIFYING, Phase.CERTIFICATE_DUE, Phase.PEELING, Phase.PEEL_DUE)


# --- pause


def refuses_pause(state: State) -> Refusal | None:
    if state.phase == Phase.PAUSED:
        return Refusal(f"campaign {state.campaign_id} is paused already", already=True)
    if state.phase == Phase.HALTED:
        return Refusal(f"campaign {state.campaign_id} is halted, so that it stands still already", already=True)
    return ended(state)


def says_pause(_: State) -> list[str]:
    return [
        "Deciding, training and writing stop.",
        "People may go on with the tasks that they are served now; nothing new is served after them.",
    ]


def pause(call: Call[Nothing]) -> list[str]:
    _one_event(call, events.Paused(by=call.by))
    return [f"{call.name} is paused; people may go on with the open queue"]


# --- resume


def refuses_resume(state: State) -> Refusal | None:
    if state.phase in (Phase.PAUSED, Phase.HALTED):
        return None
    return ended(state) or Refusal(f"campaign {state.campaign_id} is not paused", already=True)


def says_resume(state: State) -> list[str]:
    if state.halt is not None:
        return [f"It stood still because: {state.halt.reason}.", "If that is still so, it stops again at once."]
    return ["The campaign goes on where it stood."]


def resume(call: Call[Nothing]) -> list[str]:
    _one_event(call, events.Resumed(by=call.by))
    return [f"{call.name} goes on: {words(call.state.stage)}"]


# --- stop


def refuses_stop(state: State) -> Refusal | None:
    name = f"campaign {state.campaign_id}"
    if state.ended:
        return ended(state)
    if state.stage not in SEARCHING:
        return Refusal(f"{name} is not searching any more: it is {words(state.stage)}", already=True)
    if state.stop_requested_by is not None:
        return Refusal(f"{name} stops its search at the next decision already", already=True)
    return None


def says_stop(state: State) -> list[str]:
    said = ["No further training batch is asked for; what is in hand is trained on once more and decided with."]
    if state.progress is not None and state.progress.blind_missing:
        said.append(f"{counted(len(state.progress.blind_missing), 'test label')} that were asked for are still needed first.")
    if state.settings.budget is not None:
        said.append("Then the machine labels what the budget cannot pay for any more; its error is counted on the test items.")
    elif state.settings.certifies:
        said.append("Then a blind certificate sample is drawn and labelled by people, and the machine labels what it vouches for.")
    return [*said, "This cannot be taken back."]


def stop(call: Call[Nothing]) -> list[str]:
    _one_event(call, events.StopRequested(by=call.by))
    return [f"{call.name} stops its search at the next decision; test labels that were asked for are still needed"]


# --- approve


def refuses_approval(state: State) -> Refusal | None:
    if state.ended or state.stage == Phase.AWAITING_APPROVAL:
        return ended(state)
    return Refusal(f"campaign {state.campaign_id} has no machine labels that wait for a yes: it is {words(state.stage)}")


def says_approval(state: State) -> list[str]:
    said = [f"{counted(len(state.planned), 'machine label', 'are')} written to Label Studio; no label that a person gave is touched."]
    if isinstance(state.decision, LabelByMachine) and state.decision.error_upper_bound is not None:
        bound = state.decision.error_upper_bound
        said.append(f"With {confidence_kept(state.settings, state.history):.0%} confidence at most {bound:.2%} of all labels are wrong.")
    return [*said, "People label the residual items. Rolling back takes the machine labels out again."]


def approve(call: Call[Nothing]) -> list[str]:
    _one_event(call, events.WriteBackApproved(by=call.by))
    return [f"{call.name}: {counted(len(call.state.planned), 'machine label', 'are')} written now"]


def _one_event(call: Call[Nothing], event: Happening) -> None:
    commit = Commit(call.state)
    commit.add(event)
    call.store(commit)


# --- settings


def change_settings(store: Store, campaign_id: int, changes: Mapping[str, Any], now: datetime, *, by: str) -> list[str]:
    """Change some settings, from the next decision on.

    Returns:
        Sentences about what changes and what it does not touch.

    Raises:
        InvalidValue: an unknown or bad setting, one that cannot change, or an ended campaign.
        HistoryError: the campaign is unreadable, and not for its settings.
        Conflict: the history is changing too fast.
    """

    def change() -> list[str]:
        try:
            state = state_of(store, campaign_id, now)
        except HistoryError:
            return _mend(store, campaign_id, changes, now, by)
        if (refusal := ended(state)) is not None:
            raise InvalidValue(refusal.text)
        before = state.wanted.model_dump(mode="json")
        after = parse_campaign_settings(changes, defaults=before)
        changed = [name for name, value in after.model_dump(mode="json").items() if before[name] != value]
        if not changed:
            return ["nothing changes: these are the settings in force"]
        _check(state, after, changed)
        commit = Commit(state)
        commit.add(events.SettingsChanged(settings=after.model_dump(mode="json"), changed=tuple(changed), by=by))
        commit.store(store)
        return _notes(state, after, changed)

    return retried(f"campaign {campaign_id}", change)


def recorded_settings(store: Store, campaign_id: int) -> dict[str, Any]:
    """Those of the last recorded settings that keep to their rules, by name: for a campaign that cannot be read."""
    said = store.events(campaign_id, kinds=[events.Requested.kind, events.Created.kind, events.SettingsChanged.kind])
    recorded = events.recorded_settings(said[-1].payload if said else None)
    kept = {}
    for name, value in (as_recorded(recorded) if recorded else {}).items():
        try:
            kept[name] = parse_setting(name, value)
        except InvalidValue:
            continue
    return kept


def _mend(store: Store, campaign_id: int, changes: Mapping[str, Any], now: datetime, by: str) -> list[str]:
    """New settings for a campaign whose own ones make it unreadable: taken if it can be read with them."""
    found = load(store, campaign_id)
    before = recorded_settings(store, campaign_id)
    after = parse_campaign_settings(changes, defaults=before)
    changed = tuple(name for name in CampaignSettings.model_fields if before.get(name) != getattr(after, name))
    event = events.SettingsChanged(settings=after.model_dump(mode="json"), changed=changed, by=by)
    last = found.events[-1].seq if found.events else 0
    mended = replace(found, events=(*found.events, Entry(last + 1, found.campaign.created_at, event)))
    _check(derive(mended, now), after, [])
    store.append(campaign_id, [history.new(event)], expected_seq=last)
    return [f"{name} is {getattr(after, name)} from the next decision on" for name in changed]


def _check(state: State, after: CampaignSettings, changed: list[str]) -> None:
    if state.created is None:
        classifiers.check_race(after.classifiers)
    else:
        classifiers.check_race(after.classifiers, state.control.reads, bool(state.control.beside))
        refuse_what_needs_classes(after, state.control)
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
