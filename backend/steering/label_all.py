"""The admin's last word: people label everything that is left, and the search or the certificate ends; a write-back is declined."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from backend.campaign.commit import Commit
from backend.campaign.state import Phase, State, state_of
from backend.steering.control import ATTEMPTS, JUDGING
from backend.store import Conflict, Store
from mcal_engine.errors import InvalidValue
from mcal_engine.types import HumanLabelAll, StopReason, Verdict

POSSIBLE = (Phase.COLLECTING, Phase.TRAINING_DUE, *JUDGING, Phase.AWAITING_APPROVAL)


def label_all(store: Store, campaign_id: int, now: datetime, *, by: str) -> str:
    """Decide that the machine labels nothing. Returns a sentence.

    A training that is under way is dropped when it ends.

    Raises:
        InvalidValue: the campaign has ended, has not asked for anything yet, or its machine labels are decided.
        Conflict: the history is changing too fast.
    """
    for _ in range(ATTEMPTS):
        state = state_of(store, campaign_id, now)
        check(state)
        commit = Commit(state)
        commit.close_queue("the admin wants people to label everything")
        verdict = Verdict(StopReason.STOPPED_BY_ADMIN, f"People label everything, says {by}.")
        commit.decision(HumanLabelAll(None, verdict), "admin")
        commit.machine_labels += [replace(row, state="removed") for row in state.machine_labels if row.state == "planned"]
        frozen = store.frozen(campaign_id, state.look) if state.look and state.settings.assisted_labelling == "on" else []
        commit.leave_rest_to_people({row.task_id: row.label for row in frozen})
        try:
            commit.store(store)
        except Conflict:
            continue
        return f"campaign {campaign_id}: people label the rest, {len(state.residual):,} items"
    raise Conflict(f"campaign {campaign_id} is changing too fast; try again")


def check(state: State) -> None:
    """Raise :class:`InvalidValue` where there is nothing to be left to people."""
    if state.ended:
        raise InvalidValue(f"campaign {state.campaign_id} has ended: it is {state.phase.value.replace('_', ' ')}")
    if state.stage not in POSSIBLE:
        raise InvalidValue(f"campaign {state.campaign_id} is {state.stage.value.replace('_', ' ')}: there is no search to end")
