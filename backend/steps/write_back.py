"""Write S* to Label Studio, chunk by chunk. Every chunk's result is stored before the next; people's labels are never overwritten."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

from backend.campaign import events
from backend.campaign.commit import Commit
from backend.campaign.frozen import final_model_version, score
from backend.campaign.state import State
from backend.label_studio import write_back
from backend.label_studio.write_back import CHUNK, PlannedLabel
from backend.steps.ports import Heartbeat, Services
from backend.store import MachineLabel
from mcal_engine.looks import confidence_kept
from mcal_engine.types import Certify, LabelByMachine

logger = logging.getLogger(__name__)

_STATES: dict[str, Literal["written", "human", "removed"]] = {"written": "written", "human": "human", "gone": "removed"}


def write_machine_labels(services: Services, state: State, heartbeat: Heartbeat) -> None:
    """Write what is still planned. Killed anywhere, the next call goes on; a chunk that is half done is settled, not doubled."""
    assert state.created is not None  # labels are only planned for campaigns that were created
    planned = [row for row in state.machine_labels if row.state == "planned"]
    for place in range(0, len(planned), CHUNK):
        heartbeat()
        chunk = planned[place : place + CHUNK]
        outcomes = write_back.write_chunk(
            services.label_studio,
            state.project_id,
            final_model_version(state.campaign_id, chunk[0].look),
            [_label(state, row) for row in chunk],
            control=state.control,
            service_user_id=state.created.service_user.id,
        )
        rows = [
            replace(row, state=_STATES[done.state], annotation_id=done.annotation_id) for row, done in zip(chunk, outcomes, strict=True)
        ]
        services.store.set_machine_labels(state.campaign_id, rows)
        logger.info("campaign %d: machine labels: %d of %d written", state.campaign_id, place + len(chunk), len(planned))


def commit_written(services: Services, state: State) -> Commit:
    """The transaction that ends the write-back which ``state`` is in: what is left goes to people.

    It is refused where the history has moved on meanwhile; what was written is on record, so that the next attempt has nothing to write.
    """
    state = replace(state, machine_labels=tuple(services.store.machine_labels(state.campaign_id)))
    written = sum(row.state == "written" for row in state.machine_labels)
    commit = Commit(state)
    commit.add(events.WriteBackDone(n_written=written, n_left_to_people=len(state.unlabelled)))
    frozen = services.store.frozen(state.campaign_id, state.look) if state.settings.assisted_labelling == "on" else []
    commit.leave_rest_to_people({row.task_id: row.label for row in frozen})
    return commit


def provenance(state: State, row: MachineLabel) -> dict[str, Any]:
    """What every machine annotation says of its origin; write-back adds the model version."""
    decision = state.decision
    assert isinstance(decision, LabelByMachine)  # labels are planned by this decision only
    level = next((asked.level for asked in reversed(state.history) if isinstance(asked, Certify)), None) if decision.certified else None
    return {
        "campaign": state.campaign_id,
        "classifier": decision.classifier,
        "margin": row.surety,
        "certificate": {
            "certified": decision.certified,
            "look": row.look,
            "level": level,
            "confidence_level": confidence_kept(state.settings, state.history) if decision.certified else None,
            "target_error": decision.plan.target_error,
            "error_estimate": decision.error_estimate,
            "error_upper_bound": decision.error_upper_bound,
        },
    }


def _label(state: State, row: MachineLabel) -> PlannedLabel:
    return PlannedLabel(row.task_id, state.choices[row.label], score(row.surety), provenance(state, row))
