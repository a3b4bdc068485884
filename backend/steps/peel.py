"""Rank anew what is left of band 2, once people have labelled what was peeled last, and decide what leaves next.

The ranker is the frozen candidate, trained again on every label in hand but those of items that are still inside: V's items there stay
unknown to it, and so does what people labelled outside the queue. It scores everything that is inside, deleted and skipped tasks
included: whether a task was deleted may hang on whether V holds it, and the order must not. Where an image of these is nowhere any more,
nothing can be ranked, and people label the band.
"""

from __future__ import annotations

import logging

import numpy as np

from backend.campaign import events
from backend.campaign.commit import Commit
from backend.campaign.draws import ids_of
from backend.campaign.state import State
from backend.steps.certify import follow, frozen_order
from backend.steps.ports import Heartbeat, Services
from backend.steps.prepare import fetch_images
from backend.steps.round import trained_or_asked
from backend.store import Frozen
from mcal_engine import engine, peeling
from mcal_engine.certificates.peel import Peel, least_trusted_first
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import IntArray, PeelBatch, PeelOrder

logger = logging.getLogger(__name__)


def commit_order(services: Services, state: State, heartbeat: Heartbeat) -> Commit:
    """The transaction that ends a batch: the ranker's order, the decision, and the next batch or the machine labels."""
    asked = state.decision
    assert isinstance(asked, PeelBatch)  # this is what the stage says
    rows = frozen_order(services, state, asked.look)
    order, scored = _rank(services, state, asked, rows, peeling.standing(state.history).state, heartbeat)
    seconds = 0.0 if scored is None else scored.training_seconds
    row = PeelOrder(asked.look, order, state.n_labels_paid, seconds)
    decision = engine.decide(state.settings, [*state.history, row])
    commit = Commit(state)
    commit.close_queue("enough of what was peeled is labelled", trains=False)
    commit.add(events.PeelRanked(order=row, devices=None if scored is None else {asked.classifier: scored.device}))
    commit.decision(decision, "peel")
    follow(services, commit, decision, rows)
    logger.info("campaign %d: peel: %s", state.campaign_id, type(decision).__name__)
    return commit


def _rank(
    services: Services, state: State, asked: PeelBatch, rows: list[Frozen], standing: Peel, heartbeat: Heartbeat
) -> tuple[IntArray, Scored | None]:
    """Ranks of the next batch, least trusted first; empty where an image is missing for good."""
    fetch_images(services, state, heartbeat)
    inside = {rows[rank].task_id for rank in np.flatnonzero(standing.inside).tolist()}
    labelled = [item for item in state.live if item.label is not None and item.unreadable is None and item.task_id not in inside]
    pool = [rows[rank].task_id for rank in standing.peelable.tolist()]
    missing = set(services.images.missing(state.campaign_id, [*pool, *(item.task_id for item in labelled)]))
    if missing & set(pool):
        logger.warning("campaign %d: %d images cannot be ranked any more: people label the band", state.campaign_id, len(missing))
        return standing.peelable[:0], None
    train = [item for item in labelled if item.task_id not in missing]
    request = TrainingRequest(
        round=len(state.history),
        classifier=asked.classifier,
        n_classes=len(state.choices),
        train_ids=ids_of(train),
        train_labels=np.array([item.label for item in train], dtype=np.int64),
        test_ids=np.zeros(0, dtype=np.int64),
        pool_ids=np.array(pool, dtype=np.int64),
        seed=state.settings.seed,
        parts=state.parts,
    )
    scored = trained_or_asked(services, state, request, heartbeat, {})
    frozen = np.array([rows[rank].label for rank in standing.peelable.tolist()], dtype=np.int64)
    order = least_trusted_first(standing.peelable, scored.pool_logits, frozen)
    return order[: peeling.batch_size(state.observations[-1].n_items)], scored
