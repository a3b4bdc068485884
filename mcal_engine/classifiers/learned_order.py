"""``ordered:NAME``: the answers of a model from outside, in an order that training items teach.

What such a model says of its own confidence is often a poor ranking. On B, where people have labelled, it is known which of its answers are
right. A logistic regression learns from that how likely an answer is to be right, from the model's confidence, from the class it names and,
where a candidate that is trained here races too, from what that one says of the same item. Test and certificate items have no part in it.

The trained candidate has seen B. What it says of B is had from fits on two thirds of it, each time of the third that was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from mcal_engine.classifiers.head import fold_of
from mcal_engine.classifiers.outside import LARGEST_CONFIDENCE, LEAST_GAP, NO_ANSWER, logits_of
from mcal_engine.surety import answered
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import BoolArray, FloatArray

FEWEST = 10  # answers that people have judged, below which the model's own order stands
MOST_CLASSES = 100  # up to which the class of an answer says something about it
LARGEST_GAP = 7.0  # logits; a confidence above 99.9 % tells no more than that
LEAST_CHANCE = 1e-4  # that the trained candidate gives an answer
SPREAD = 1.0  # prior standard deviation of each weight

Ask = Callable[[TrainingRequest], Scored]
"""Has a candidate trained or asked. ``bought`` of its answer is all that was paid for the candidate in this round so far."""


def in_learned_order(request: TrainingRequest, ask: Ask, source: str, beside: str | None, known: Mapping[str, Scored]) -> Scored:
    """The answers of ``source`` to a request, in the order that the request's B teaches.

    Args:
        request: with labels of two classes at least.
        ask: of the candidates below, nothing else.
        source: the model from outside.
        beside: a candidate that is trained here; ``None``: there is none.
        known: what candidates have said in this round already, to the same request; they are not asked again.
    """
    nothing = request.pool_ids[:0]
    asked: list[Scored] = []

    def scored(name: str) -> Scored:
        if name not in known:
            asked.append(ask(replace(request, classifier=name)))
        return known.get(name) or asked[-1]

    said = scored(source)
    of_train = ask(replace(request, classifier=source, test_ids=request.train_ids, pool_ids=nothing, with_features=False))
    folds = fold_of(np.unique(request.train_labels, return_inverse=True)[1])
    left_out: FloatArray | None = None
    peer = None if beside is None else scored(beside)
    if beside is not None:
        left_out = np.zeros((len(folds), request.n_classes))
        for fold in range(int(folds.max()) + 1):
            out = folds == fold
            part = replace(request, classifier=beside, test_ids=nothing, with_features=False)
            rest = replace(
                part, train_ids=request.train_ids[~out], train_labels=request.train_labels[~out], pool_ids=request.train_ids[out]
            )
            asked.append(ask(rest))
            left_out[out] = asked[-1].pool_logits
    judged = (folds >= 0) & answered(of_train.test_logits)
    weights = _fit(
        _traits(of_train.test_logits, left_out)[judged], of_train.test_logits.argmax(axis=1)[judged] == request.train_labels[judged]
    )

    def reordered(logits: FloatArray, others: FloatArray | None) -> FloatArray:
        if weights is None or not len(logits):
            return logits
        labels = np.where(answered(logits), logits.argmax(axis=1), NO_ANSWER)
        return logits_of(labels, _chance(_traits(logits, others), weights), request.n_classes)

    pool = said.pool_logits
    bought = of_train.bought - (known[source].bought if source in known else 0.0)
    return Scored(
        request.classifier,
        reordered(said.test_logits, None if peer is None else peer.test_logits),
        reordered(pool, None if peer is None else peer.pool_logits[: len(pool)]),
        {"order": sum(one.training_seconds for one in [*asked, of_train])},
        sum(one.one_off_seconds for one in [*asked, of_train]),
        device=said.device if peer is None else peer.device,
        features=said.features,
        bought=max(bought, 0.0),
        price=said.price,
        n_unbought=said.n_unbought,
    )


def _traits(logits: FloatArray, others: FloatArray | None) -> FloatArray:
    """What is known of each answer, shape (n, d); the last column is 1.

    Args:
        logits: of the answers, shape (n, n_classes).
        others: what the trained candidate says of the same items.
    """
    n, n_classes = logits.shape
    label = logits.argmax(axis=1)
    gap = np.clip(logits.max(axis=1) - np.partition(logits, -2, axis=1)[:, -2], LEAST_GAP, LARGEST_GAP)
    found = [gap[:, None]]
    if others is not None:
        chance = np.exp(others - others.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        first_two = np.partition(chance, -2, axis=1)[:, -2:]
        of_answer = np.log(chance[np.arange(n), label] + LEAST_CHANCE)
        found.append(np.stack([others.argmax(axis=1) == label, of_answer, first_two[:, 1] - first_two[:, 0]], axis=1))
    if n_classes <= MOST_CLASSES:
        found.append(np.eye(n_classes)[label])
    return np.concatenate([*found, np.ones((n, 1))], axis=1)


def _fit(traits: FloatArray, right: BoolArray) -> FloatArray | None:
    """Weights, shape (d,), of the logistic regression of ``right``; ``None`` where too little is known to learn from.

    Minimises Σ log(1 + exp(−y·x·w)) + ½·Σ (w_j / SPREAD)², y = ±1, over all weights but the last one's part of the sum.
    """
    if len(right) < FEWEST or right.all() or not right.any():
        return None
    signs = np.where(right, 1.0, -1.0)
    shrunk = np.full(traits.shape[1], SPREAD**-2)
    shrunk[-1] = 0.0

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        z = signs * (traits @ weights)
        slope = -signs * _sigmoid(-z)
        return float(np.logaddexp(0.0, -z).sum() + 0.5 * (shrunk * weights**2).sum()), traits.T @ slope + shrunk * weights

    return np.asarray(minimize(loss, np.zeros(traits.shape[1]), jac=True, method="L-BFGS-B").x, dtype=np.float64)


def _chance(traits: FloatArray, weights: FloatArray) -> FloatArray:
    return np.minimum(_sigmoid(traits @ weights), LARGEST_CONFIDENCE)


def _sigmoid(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))
