"""Read V, once it is answered, in the order that was frozen before it was drawn; its labels are not looked at again."""

from __future__ import annotations

import numpy as np

from backend.services.commit import Commit
from backend.services.frozen_order import digest, final_model_version, planned_labels
from backend.services.ports import Services
from backend.services.state import State
from backend.store import Frozen
from mcal_engine import codec, engine
from mcal_engine.errors import HistoryError
from mcal_engine.round import outcome
from mcal_engine.types import MachineLabel


def frozen_order(services: Services, state: State) -> list[Frozen]:
    """The frozen pool of the current look.

    Raises:
        HistoryError: it is not, to the bit, what was frozen.
    """
    rows = services.store.frozen(state.campaign_id, state.look)
    promised = services.store.events(state.campaign_id, kinds=("frozen",))[-1].payload["digest"]
    if digest(rows) != promised:
        raise HistoryError(f"campaign {state.campaign_id}: the frozen predictions of look {state.look} have been changed since")
    return rows


def sample(state: State) -> dict[int, int | None]:
    """V's labels; ``None`` for every item that has none (skipped, deleted, not answered in time): these count as errors."""
    drawn = [task for task, role in state.roles.items() if role == "certificate"]
    items = {task: state.items[task] for task in drawn}
    return {task: None if item.deleted else item.label for task, item in items.items()}


def commit_outcome(state: State, rows: list[Frozen]) -> Commit:
    """The transaction that decides the certificate: what V said, the decision, and S* or the rest that follows from it."""
    answered = sample(state)
    seen = outcome(
        state.look,
        np.array([row.task_id for row in rows], dtype=np.int64),
        np.array([row.choice for row in rows], dtype=np.int64),
        answered,
        state.n_labels_paid,
    )
    decision = engine.decide(state.settings, [*state.history, seen], stop_requested=state.stop_requested_by is not None)
    commit = Commit(state)
    commit.close_queue("the certificate sample is answered")
    commit.event("outcome", outcome=codec.to_json(seen), n_without_label=sum(label is None for label in answered.values()))
    commit.decision(decision, "outcome")
    if isinstance(decision, MachineLabel):
        planned = planned_labels(state, rows, decision.n_ranked, state.look)
        commit.write_back(final_model_version(state.campaign_id, state.look), state.look, planned)
    else:
        commit.leave_rest_to_people()
    return commit
