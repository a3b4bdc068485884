"""Between two harvests: the first S* is written, and people go on with the rest while the classifier learns from all labels in hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.campaign import draws
from backend.campaign.draws import ids_of
from backend.campaign.queues import Queue
from backend.campaign.state import State
from backend.steps.certify import frozen_order
from backend.steps.ports import Services
from mcal_engine import engine
from mcal_engine.round import Skim, frozen_surety_of, harvested, rank_rest
from mcal_engine.types import Acquire, LabelByMachine


@dataclass(frozen=True, slots=True)
class Opening:
    """What follows the first write-back. ``cut``: the machine set as a skim of the pool, for the event that ends the write-back."""

    decision: Acquire
    queue: Queue
    cut: dict[str, Any]


def opening(services: Services, state: State) -> Opening:
    """Decide what people are asked next.

    V joins T. Where its items and T's stand relative to the cut is read off the frozen order, so that nothing need be trained before people
    can go on.
    """
    first = state.decision
    assert isinstance(first, LabelByMachine)  # it is what was written
    rows = frozen_order(services, state, first.look)
    ids = np.array([row.task_id for row in rows], dtype=np.int64)
    sureties = np.array([row.surety for row in rows], dtype=np.float64)
    tests = np.concatenate([ids_of(state.test), np.array(state.sample, dtype=np.int64)])
    test_surety = frozen_surety_of(tests, ids, sureties, _sureties_at_freeze(services, state, first.look))
    decision = engine.decide(state.settings, state.history)
    assert isinstance(decision, Acquire)  # what follows machine labels that are not the last
    ranking = rank_rest(ids, sureties, ids_of(state.pool), tests, test_surety, draws.served(decision, state))
    said = {row.task_id: row.choice for row in rows}
    queue = draws.train_queue(state, decision, ranking, len(state.observations), predicted=said)
    return Opening(decision, queue, _payload(harvested(ids, sureties, first.n_ranked, tests, test_surety)))


def _payload(cut: Skim) -> dict[str, Any]:
    """JSON values; ``None`` for a score in front of every cut."""
    scores = [score if math.isfinite(score) else None for score in cut.test_scores.tolist()]
    return {"ids": cut.ids.tolist(), "scores": cut.scores.tolist(), "test_ids": cut.test_ids.tolist(), "test_scores": scores}


def _sureties_at_freeze(services: Services, state: State, look: int) -> Mapping[int, float]:
    """What the frozen classifier said of the test items: they have no place in the frozen order of the pool."""
    frozen = services.store.events(state.campaign_id, kinds=("frozen",))
    said: dict[str, Any] = next((event.payload.get("test", {}) for event in reversed(frozen) if event.payload["look"] == look), {})
    return dict(zip(said.get("ids", ()), said.get("sureties", ()), strict=True))
