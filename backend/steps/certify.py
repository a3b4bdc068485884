"""Read V, once it is answered, in the order that was frozen before it was drawn; its labels are not looked at again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.campaign import draws, events, history
from backend.campaign.commit import Commit
from backend.campaign.frozen import digest, final_model_version, planned_labels
from backend.campaign.state import State
from backend.steps.ports import Services
from backend.store import Frozen, Item
from mcal_engine import engine
from mcal_engine.certificates.per_class import cuts_planned
from mcal_engine.errors import HistoryError
from mcal_engine.round import outcome
from mcal_engine.types import Acquire, Certify, Decision, LabelByMachine, PeelBatch


def frozen_order(services: Services, state: State, look: int) -> list[Frozen]:
    """The frozen pool of a look.

    Raises:
        HistoryError: it is not, to the bit, what was frozen.
    """
    rows = services.store.frozen(state.campaign_id, look)
    frozen = history.read(services.store, state.campaign_id, events.PoolFrozen)
    promised = next((entry.event.digest for entry in reversed(frozen) if entry.event.look == look), None)
    if digest(rows) != promised:
        raise HistoryError(f"campaign {state.campaign_id}: the frozen predictions of look {look} have been changed since")
    return rows


def sample(state: State) -> dict[int, int | None]:
    """V's labels; ``None`` for every item that has none (skipped, deleted, not answered in time): these count as errors."""
    items = {task: state.items[task] for task in state.sample}
    return {task: None if item.deleted else item.label for task, item in items.items()}


def commit_outcome(services: Services, state: State) -> Commit:
    """The transaction that decides the certificate: what V said, the decision, and what follows from it."""
    rows, answered = frozen_order(services, state, state.look), sample(state)
    asked = state.decision
    assert isinstance(asked, Certify)  # this is what the stage says
    seen = outcome(
        state.look,
        np.array([row.task_id for row in rows], dtype=np.int64),
        np.array([row.label for row in rows], dtype=np.int64),
        answered,
        state.n_labels_paid,
        cuts=cuts_planned(state.settings, asked, state.observations[-1].n_items, len(rows)),
        bands=state.bands,
    )
    decision = engine.decide(state.settings, [*state.history, seen], stop_requested=state.stop_requested_by is not None)
    commit = Commit(state)
    commit.close_queue("the certificate sample is answered")
    commit.add(
        events.SampleRead(
            outcome=seen,
            n_without_label=sum(label is None for label in answered.values()),
            choices=tuple(rows[rank].label for rank in seen.ranks.tolist()),
        )
    )
    commit.decision(decision, "outcome")
    follow(services, commit, decision, rows)
    return commit


def follow(services: Services, commit: Commit, decision: Decision, rows: Sequence[Frozen]) -> None:
    """What a decision on an answered sample leads to; ``rows``: the frozen pool of the last look."""
    state = commit.state
    if isinstance(decision, LabelByMachine):
        chosen = rows if decision.look == state.look else frozen_order(services, state, decision.look)
        planned = planned_labels(state, chosen, decision, decision.look)
        commit.write_back(final_model_version(state.campaign_id, decision.look), decision.look, planned)
    elif isinstance(decision, PeelBatch):
        sample = set(state.sample)
        leaving = [rows[rank].task_id for rank in decision.leaving]
        commit.open(draws.peel_queue(state, [task for task in leaving if task not in sample and not has_answer(state.items[task])]))
    elif isinstance(decision, Acquire):
        commit.open(draws.nothing_asked(state))
    else:
        commit.leave_rest_to_people({row.task_id: row.label for row in rows})


def has_answer(item: Item) -> bool:
    """Whether there is nothing to ask people about an item any more."""
    return item.deleted or item.label is not None or item.skipped or item.unreadable is not None
