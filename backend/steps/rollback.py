"""Undo: take this campaign's machine labels out of Label Studio by their ids, and nothing else."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

from backend.campaign import events, history
from backend.campaign.frozen import final_model_version
from backend.campaign.state import Phase, State, state_of
from backend.label_studio import write_back
from backend.label_studio.port import LabelStudioError
from backend.label_studio.write_back import WrittenLabel
from backend.steps import gone
from backend.steps.finish import tidy
from backend.steps.lease import hold
from backend.steps.ports import Heartbeat, Services
from backend.steps.reconcile import another_project, elsewhere
from backend.store import MachineLabel
from mcal_engine.errors import InvalidValue

logger = logging.getLogger(__name__)

CHUNK = 200  # labels between two notes in the ledger
WAIT_SECONDS = 30.0  # for a worker that is just visiting the campaign


@dataclass(frozen=True, slots=True)
class RolledBack:
    """How many machine labels were removed, and how many were kept because a person has edited them since."""

    n_removed: int
    n_kept: int


def rollback(services: Services, campaign_id: int, *, by: str, wait_seconds: float = WAIT_SECONDS) -> RolledBack:
    """End the campaign, running or finished, without its machine labels; what people labelled or edited stays. Repeatable if killed.

    Raises:
        InvalidValue: a worker is busy with the campaign, or it has been rolled back already.
        LabelStudioError: Label Studio is away; what was removed so far stays removed.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        with hold(services.store, campaign_id, services.lease_seconds, beats=services.beats, steady=services.steady) as lease:
            if lease is not None:
                return _rollback(services.owned(campaign_id, lease), campaign_id, by, lease.check)
        if time.monotonic() >= deadline:
            raise InvalidValue(f"campaign {campaign_id} is being worked on; pause it, or stop its worker, and try again")
        time.sleep(0.5)


def nothing_to_undo(state: State) -> str | None:
    """Why the campaign cannot be rolled back, or ``None``."""
    if state.phase == Phase.PROJECT_GONE or state.gone_since:
        return _gone(state)
    if state.phase in (Phase.ROLLED_BACK, Phase.CANCELLED):
        return f"campaign {state.campaign_id} has been rolled back already"
    if state.beside is not None:  # what it gives back to people would be served among the other's tasks
        return f"campaign {state.beside} is under way on the same project: roll that one back, or let it finish, first"
    return None


def _gone(state: State) -> str:
    return f"project {state.project_id} is gone from Label Studio: there is nothing to roll back"


def _rollback(services: Services, campaign_id: int, by: str, heartbeat: Heartbeat) -> RolledBack:
    state = state_of(services.store, campaign_id, services.now())
    if (why := nothing_to_undo(state)) is not None:
        raise InvalidValue(why)
    away = elsewhere(services.store.campaign(campaign_id), services.label_studio_url, state)
    try:
        project = None if away is not None else services.label_studio.project(state.project_id)
    except LabelStudioError as error:
        if not gone.is_gone(services, state, error):
            raise
        (gone.note if state.ended else gone.end)(services, state)
        raise InvalidValue(_gone(state)) from None
    if project is not None and state.created is not None:
        away = another_project(project, state)
    if away is not None:
        raise InvalidValue(f"{away.reason}. {away.fix}")
    if state.created is None:
        services.store.append(campaign_id, [history.new(events.Cancelled(reason=f"rolled back by {by}"))], ends=True)
        return RolledBack(0, 0)
    n_removed = sum(row.state == "removed" for row in state.machine_labels)
    rows = [row for row in state.machine_labels if row.state in ("planned", "written")]
    for place in range(0, len(rows), CHUNK):
        heartbeat()
        n_removed += remove_labels(services, state, rows[place : place + CHUNK])
    n_kept = sum(row.state == "kept" for row in services.store.machine_labels(campaign_id)) + _edited(state)
    for look in sorted({row.look for row in state.machine_labels}):
        heartbeat()
        services.label_studio.delete_predictions(state.project_id, final_model_version(campaign_id, look))
    if state.phase != Phase.FINISHED and not state.reopened:  # a finished campaign gave the project back its settings long ago
        tidy(services, state, heartbeat)
    done = events.RolledBack(n_removed=n_removed, n_kept=n_kept, by=by)
    services.store.append(campaign_id, [history.new(done)], ends=True)
    services.images.discard(campaign_id)
    logger.info("campaign %d: rolled back: %d machine labels removed, %d kept", campaign_id, n_removed, n_kept)
    return RolledBack(n_removed, n_kept)


def remove_labels(services: Services, state: State, rows: list[MachineLabel]) -> int:
    """Take these machine labels out of Label Studio and note it; those that a person has edited are kept. Returns how many were removed."""
    assert state.created is not None  # labels are only planned for campaigns that were created
    choices = state.choices
    # A chunk that was killed half-way is still planned here, and written in Label Studio.
    unsure = [row.task_id for row in rows if row.annotation_id is None]
    found = _written_unrecorded(services, state, unsure)
    located = {row.task_id: found.get(row.task_id) if row.annotation_id is None else row.annotation_id for row in rows}
    written = [WrittenLabel(row.task_id, place, choices[row.label]) for row in rows if (place := located[row.task_id]) is not None]
    removal = write_back.remove(
        services.label_studio, state.project_id, written, control=state.control, service_user_id=state.created.service_user.id
    )
    kept = set(removal.kept)
    done = [replace(row, state="kept" if row.task_id in kept else "removed", annotation_id=located[row.task_id]) for row in rows]
    services.store.set_machine_labels(state.campaign_id, done)
    return len(written) - len(kept)


def _written_unrecorded(services: Services, state: State, task_ids: list[int]) -> dict[int, int]:
    """Task id → annotation that this campaign has written there without coming to note it."""
    if not task_ids:
        return {}
    versions = {final_model_version(state.campaign_id, look) for look in (row.look for row in state.machine_labels)}
    return {
        task.id: annotation.id
        for task in services.label_studio.tasks_by_id(state.project_id, state.control, task_ids)
        for annotation in task.annotations
        if annotation.provenance is not None and annotation.provenance.get("model_version") in versions
    }


def _edited(state: State) -> int:
    """Machine labels that people have made their own: the annotation is still there, and it is theirs."""
    return sum(
        row.state == "human" and row.annotation_id is not None and state.items[row.task_id].annotation_id == row.annotation_id
        for row in state.machine_labels
    )
