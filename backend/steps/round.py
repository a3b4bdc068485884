"""One round: train every candidate on B, measure on T, decide, and commit the decision with what follows from it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.campaign import draws, events
from backend.campaign.bill import labels_of
from backend.campaign.commit import Commit
from backend.campaign.draws import ids_of
from backend.campaign.frozen import digest, final_model_version, frozen_rows, planned_labels
from backend.campaign.state import State
from backend.steps.ports import Heartbeat, Services
from backend.store import Item
from mcal_engine import engine
from mcal_engine.acquisition import NEEDS_FEATURES, Distances
from mcal_engine.classifiers import parse
from mcal_engine.classifiers.candidates import beside, source_of
from mcal_engine.classifiers.learned_order import in_learned_order
from mcal_engine.round import LabelledTest, Standing, bands_of, measure, rank_for_people, surviving
from mcal_engine.surety import answered
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import (
    Acquire,
    Certify,
    Decision,
    FloatArray,
    HumanLabelAll,
    IntArray,
    Observation,
    PeelBatch,
    StopReason,
    Verdict,
)

logger = logging.getLogger(__name__)

ESTIMATE_LOOK = 0  # the freeze of guarantee = "estimate": no sample is drawn from it


@dataclass(frozen=True)
class TrainedRound:
    """What the candidates said, trained and scored on the ledger as ``state`` had it.

    Attributes:
        test_ids: every readable test item, labelled or not: the skims are judged by all of them.
        scored: by classifier; rows in the order of ``test_ids`` and ``pool_ids``.
        distances: how the acquisition measures them, where it does.
        entropy: makes the bits that a certificate sample is drawn by.
    """

    state: State
    observation: Observation
    test_ids: IntArray
    pool_ids: IntArray
    scored: dict[str, Scored]
    distances: Distances
    entropy: Callable[[], int]


def cannot_train(state: State) -> Decision | str | None:
    """Why no classifier can be trained or measured yet: the decision that follows, or a sentence if more labels may help."""
    labels = set(_labels(state.trained_on).tolist())
    needs_none = isinstance(state.decision, Acquire) and any(parse(name).asked for name in state.decision.candidates)
    if state.pool and not any(item.label is not None for item in state.test):
        sentence = "No test item has a usable label: machine labels could not be judged."
        return HumanLabelAll(None, Verdict(StopReason.MACHINE_CANNOT_PAY, sentence))
    if not state.pool or len(labels) > 1 or needs_none:
        return None
    if state.stop_requested_by is not None:
        return HumanLabelAll(None, Verdict(StopReason.STOPPED_BY_ADMIN, "Stopped by the admin before there were labels of two classes."))
    found = f"all are {state.said(min(labels))!r}" if labels else "none can be trained on"
    return f"Of the labels so far {found}: another random batch is asked for."


def train(services: Services, state: State, heartbeat: Heartbeat) -> TrainedRound:
    """Train and score every candidate that is still in the race. Runs for minutes; nothing is stored."""
    assert isinstance(state.decision, Acquire)  # training follows an Acquire
    test_ids, pool_ids = ids_of(state.test), ids_of(state.pool)
    racing = [name for name in state.decision.candidates if name in state.settings.classifiers] or state.settings.classifiers
    labels = _labels(state.trained_on)
    if len(np.unique(labels)) < 2:  # whoever learns from them waits
        racing = tuple(name for name in racing if parse(name).asked)
    buying = {source_of(name) for row in state.history if isinstance(row, Acquire) for name in row.buys}
    request = TrainingRequest(
        round=len(state.observations),
        classifier="",
        n_classes=len(state.choices),
        train_ids=ids_of(state.trained_on),
        train_labels=labels,
        test_ids=test_ids,
        pool_ids=pool_ids,
        seed=state.settings.seed,
        with_features=state.settings.acquisition in NEEDS_FEATURES,
        parts=state.parts,
    )
    scored: dict[str, Scored] = {}
    # Whoever orders the answers of others comes after them, and does not ask them anew.
    for name in sorted(racing, key=lambda name: source_of(name) != name) if len(pool_ids) else ():
        wanted = replace(request, classifier=name, buys=source_of(name) in buying)
        scored[name] = trained_or_asked(services, state, wanted, heartbeat, scored)
    labelled = np.array([item.label is not None for item in state.test], dtype=np.bool_)
    observation = _measure(state, pool_ids, [one.part(test=labelled) for one in scored.values()])
    return TrainedRound(state, observation, test_ids, pool_ids, scored, services.distances, services.entropy)


def trained_or_asked(
    services: Services, state: State, request: TrainingRequest, heartbeat: Heartbeat, known: Mapping[str, Scored]
) -> Scored:
    """What a candidate says; ``known``: what others of the race have said to the same request."""
    source = source_of(request.classifier)
    if source == request.classifier:
        return services.trainer(state.campaign_id, request, heartbeat)

    def ask(part: TrainingRequest) -> Scored:
        return services.trainer(state.campaign_id, part, heartbeat)

    return in_learned_order(request, ask, source, beside(state.settings.classifiers), known)


def decide(trained: TrainedRound, state: State) -> Decision:
    """What the engine says to this observation, under the settings and wishes of now."""
    measured = tuple(measurement.classifier for measurement in trained.observation.measurements)
    spec = state.settings
    if not set(measured) <= set(spec.classifiers):  # the admin has exchanged them: they take part from the next round on
        spec = spec.model_copy(update={"classifiers": measured})
    return engine.decide(spec, [*state.history, trained.observation], stop_requested=state.stop_requested_by is not None)


def commit_decision(trained: TrainedRound, decision: Decision, state: State) -> Commit:
    """The transaction that ends the round. ``state`` is the ledger of now: what was labelled during the training is left out."""
    commit = Commit(state)
    commit.close_queue("enough labels are in")
    commit.add(
        events.Observed(
            observation=trained.observation,
            train_digest=train_digest(trained.state.trained_on),
            n_train=len(trained.state.trained_on),
            seconds={name: dict(one.seconds) for name, one in trained.scored.items()},
            devices={name: one.device for name, one in trained.scored.items()},
        )
    )
    commit.decision(decision, "observation")
    _follow(commit, trained, decision, state)
    return commit


def commit_without_training(state: State, reason: Decision | str) -> Commit:
    """People label everything, or one more random batch, where no classifier can be had."""
    commit = Commit(state)
    commit.close_queue("enough labels are in")
    if isinstance(reason, str):
        last = state.decision.n_train if isinstance(state.decision, Acquire) else 0
        n = max(last, state.settings.batch_size or engine.default_batch_size(len(state.live), state.control.n_choices))
        commit.open(draws.random_queue(state, n, len(state.observations), reason))
    else:
        commit.decision(reason, "observation")
        commit.leave_rest_to_people()
    return commit


def train_digest(train: Sequence[Item]) -> str:
    """SHA-256 of what the classifiers were trained on: task ids with their classes, by id."""
    made = hashlib.sha256()
    for item in train:
        made.update(f"{item.task_id},{item.label}\n".encode())
    return made.hexdigest()


def _follow(commit: Commit, trained: TrainedRound, decision: Decision, state: State) -> None:
    if isinstance(decision, HumanLabelAll):
        name = decision.plan.classifier if decision.plan is not None else next(iter(trained.scored), None)
        one = None if name is None else trained.scored.get(name)
        commit.leave_rest_to_people({} if one is None else predicted(trained.pool_ids, one.pool_logits))
        return
    assert not isinstance(decision, PeelBatch)  # that one follows a certificate sample
    if isinstance(decision, Acquire) and decision.classifier is None:
        round = trained.observation.round + 1
        if decision.n_train:
            commit.open(draws.random_queue(state, decision.n_train, round, "Random training items: no candidate has scored the pool."))
        else:
            commit.open(draws.nothing_asked(state, "Answers are bought, and the classifiers are measured anew."))
        return
    assert decision.classifier is not None  # after an observation there is one to rank or freeze with
    # What people labelled while the training ran is no longer in the pool.
    still = np.isin(trained.pool_ids, ids_of(state.pool))
    pool_ids, scored = trained.pool_ids[still], trained.scored[decision.classifier].part(pool=still)
    if isinstance(decision, Acquire):
        round = trained.observation.round + 1
        more_test = draws.more_test(state, decision, pool_ids, round)
        left = ~np.isin(pool_ids, more_test)
        spec = state.settings
        if spec.acquisition in NEEDS_FEATURES and scored.features is None:  # changed while the round trained: distances come with the next
            spec = spec.model_copy(update={"acquisition": "margin"})
        wanted = draws.served(decision, state)
        rest = scored.part(pool=left)
        ranking = rank_for_people(spec, rest, pool_ids[left], trained.test_ids, wanted, round=round, distances=trained.distances)
        suggested = predicted(pool_ids, scored.pool_logits)
        commit.open(draws.train_queue(state, decision, ranking, round, more_test, suggested), draws.as_test(more_test, round))
        return
    said = answered(scored.pool_logits)  # what a model from outside has no answer for is people's
    pool_ids = pool_ids[said]
    rows = frozen_rows(pool_ids, scored.pool_logits[said], state.settings.surety)
    look = decision.look if isinstance(decision, Certify) else ESTIMATE_LOOK
    frozen = digest(rows)
    bits = trained.entropy() if isinstance(decision, Certify) else None  # made once the predictions are fixed: nobody could have known V
    drawn_by = "" if bits is None else f"{bits:032x}"
    bands = bands_of(state.settings, decision, len(rows)) if isinstance(decision, Certify) else None
    commit.add(events.PoolFrozen(look=look, classifier=decision.classifier, n=len(rows), digest=frozen, entropy=drawn_by, bands=bands))
    commit.frozen = (look, rows)
    if isinstance(decision, Certify):
        assert bits is not None
        order = np.array([row.task_id for row in rows], dtype=np.int64)
        queue, assignments = draws.certificate_queue(state, trained.observation.round, decision.n_certificate, order, bits, bands)
        commit.open(queue, assignments)
    else:
        planned = planned_labels(state, rows, decision, look)
        commit.write_back(final_model_version(state.campaign_id, look), look, planned)


def predicted(ids: IntArray, logits: FloatArray) -> dict[int, int]:
    """Task id → class that the classifier thinks most likely; without those that it has no answer for."""
    if not len(ids):
        return {}
    said = answered(logits)
    return dict(zip(ids[said].tolist(), logits[said].argmax(axis=1).tolist(), strict=True))


def _measure(state: State, pool_ids: IntArray, scored: Sequence[Scored]) -> Observation:
    n_pool = len(pool_ids)
    test, train, n_items = [item for item in state.test if item.label is not None], state.train, len(state.live)
    test_ids = ids_of(test)
    settled = [replace(queue, n_taken=state.n_taken(queue)) for queue in state.queues]
    skims = [skim for skim in (queue.skim() for queue in settled) if skim is not None]
    before = [item.task_id for item in test if item.preexisting]
    standing = Standing(
        round=len(state.observations),
        n_items=n_items,
        n_classes=state.control.n_choices,
        n_train=len(state.trained_on),
        n_pool=n_pool,
        n_labels_paid=state.n_labels_paid,
        # Whatever is neither T, B nor U is people's at the end: skipped, unreadable, unanswered, the sentinel.
        n_set_aside=n_items - len(test) - len(train) - n_pool,
        n_preexisting=sum(item.preexisting for item in state.live),
        labels=labels_of(state),
        n_without_label=n_items - state.n_labels,
    )
    return measure(state.settings, standing, LabelledTest(test_ids, _labels(test), surviving(test_ids, skims, before)), scored, pool_ids)


def _labels(items: Sequence[Item]) -> IntArray:
    return np.array([item.label for item in items if item.label is not None], dtype=np.int64)
