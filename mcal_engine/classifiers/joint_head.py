"""A head for whole answers: one set of logits for each question on the same features, and whole answers scored by the sum of their parts.

Of a question with one choice the parts' logits are those of a softmax; of one with several, each choice has a logit of its own. For a whole
answer a with the parts P(a), logit(a) = Σ_{p ∈ P(a)} logit(p) + bias(a), and its probability is the softmax over the answers that may be
predicted. With all bias 0 the questions are independent given the features; bias(a) makes up for what goes together more or less often than
that, by iterative scaling: on held-out examples the expected number of each answer comes to its count, both shrunk by ``SHRINKAGE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine.classifiers.head import FOLDS, ONE_FOLD_FROM, Features, Head, Truth, View, best_scale, cross_entropy, fit_view, weigh
from mcal_engine.classifiers.neighbours import Neighbours, fit_towards
from mcal_engine.parts import Parts
from mcal_engine.types import BoolArray, FloatArray, IntArray

SHRINKAGE = 3.0  # examples added to an answer's count and to its expected number
SCALING_STEPS = 30
STEP = 0.5  # of the way to the count, in logits


@dataclass(frozen=True, slots=True)
class JointHead:
    """Attributes:
    head: parts' logits, shape (n, n_told), of the parts that some examples have and others do not.
    members: shape (n_told, n_scored). Which of these parts each scored answer has, times the common scale.
    bias: shape (n_scored,).
    scored: shape (n_scored,). The classes that have logits, ascending.
    cross_entropy: the mean over held-out examples, of whole answers (nan without any).
    """

    head: Head
    members: FloatArray
    bias: FloatArray
    scored: IntArray
    cross_entropy: float

    def logits(self, features: Sequence[Features]) -> FloatArray:
        """Shape (n, n_scored)."""
        return np.asarray(self.head.logits(features) @ self.members + self.bias, dtype=np.float64)


def fit_joint_head(features: Sequence[Features], classes: IntArray, parts: Parts) -> JointHead:
    """Fit the heads of all questions.

    Args:
        features: per view, shape (n, d_view).
        classes: shape (n,), indices into ``parts``, two different ones at least.
        parts: what the classes are made of. Classes with an example are scored; where the list of classes is complete, so are the others of
            whose parts each has one.
    """
    has = parts.members[classes]
    some, all_of = np.asarray(has.any(axis=0)), np.asarray(has.all(axis=0))
    given = np.zeros(len(parts), dtype=np.bool_)
    given[classes] = True
    if parts.complete:
        given |= np.asarray(~(parts.members & ~some).any(axis=1))
    scored = np.flatnonzero(given)
    starts = np.cumsum((0, *parts.widths))
    blocks: list[tuple[IntArray, Truth]] = []
    for first, end, several in zip(starts, starts[1:], parts.several, strict=False):
        told = first + np.flatnonzero((some & ~all_of)[first:end])
        if len(told):
            blocks.append((told, "several" if several else "one"))
    folds = _folds(classes, [has[:, told] for told, kind in blocks if kind == "one"])
    head, held_out = _fit_parts(features, [(has[:, told].astype(np.float64), kind) for told, kind in blocks], folds)
    members = parts.members[np.ix_(scored, np.concatenate([told for told, _ in blocks]))].T.astype(np.float64)
    judged = folds >= 0
    if not judged.any():
        return JointHead(head, members, np.zeros(len(scored)), scored, float("nan"))
    truth = np.searchsorted(scored, classes[judged])
    logits = held_out[judged] @ members
    _, _, scale = best_scale([logits], np.eye(len(scored))[truth], "one")
    bias = _bias(scale * logits, truth)
    return JointHead(head, scale * members, bias, scored, cross_entropy(scale * logits + bias, truth))


def _fit_parts(features: Sequence[Features], blocks: Sequence[tuple[FloatArray, Truth]], folds: IntArray) -> tuple[Head, FloatArray]:
    """One head for the parts of all blocks side by side, and its held-out logits, shape (n, n_told)."""
    judged = folds >= 0
    fitted = [[fit_view(x, truth, folds, kind) for x in features] for truth, kind in blocks]
    if not judged.any():
        weights = [tuple(1 / len(features) for _ in features) for _ in blocks]
        views = _side_by_side([[view for view, _ in some] for some in fitted], weights)
        return Head(views, tuple(1.0 for _ in views), float("nan")), np.zeros((len(folds), sum(truth.shape[1] for truth, _ in blocks)))
    targets = [truth - (1 / truth.shape[1] if kind == "one" else truth.mean(axis=0)) for truth, kind in blocks]
    near, scores = fit_towards(features[-1], np.concatenate(targets, axis=1), folds)
    cuts = np.cumsum([truth.shape[1] for truth, _ in blocks])[:-1]
    weighed = [
        weigh([held_out for _, held_out in some], score, truth, folds, kind)
        for some, score, (truth, kind) in zip(fitted, np.split(scores, cuts, axis=1), blocks, strict=True)
    ]
    nearness = np.concatenate([np.full(truth.shape[1], one.nearness) for one, (truth, _) in zip(weighed, blocks, strict=True)])
    neighbours = Neighbours(near.mean, near.spread, near.axes, near.anchors, near.width, near.weights * nearness)
    views = _side_by_side([[view for view, _ in some] for some in fitted], [one.blend for one in weighed])
    head = Head(views, tuple(1.0 for _ in views), float("nan"), neighbours, float(nearness.any()))
    return head, np.concatenate([one.held_out for one in weighed], axis=1)


def _side_by_side(fitted: Sequence[Sequence[View]], weights: Sequence[Sequence[float]]) -> tuple[View, ...]:
    """Per view, the maps of all blocks as one, each at its weight; ``l2`` is that of the first block."""
    return tuple(
        View(
            some[0].mean,
            some[0].spread,
            np.concatenate([weight * view.weights for view, weight in zip(some, of_view, strict=True)], axis=1),
            np.concatenate([weight * view.bias for view, weight in zip(some, of_view, strict=True)]),
            some[0].l2,
        )
        for some, of_view in zip(zip(*fitted, strict=True), zip(*weights, strict=True), strict=True)
    )


def _folds(classes: IntArray, choices: Sequence[BoolArray]) -> IntArray:
    """As :func:`mcal_engine.classifiers.head.fold_of`, but what is never held out are the examples of a choice that one fold has all of.

    Args:
        classes: shape (n,).
        choices: of each question with one choice, shape (n, choices).
    """
    order = np.lexsort((np.arange(len(classes)), classes))
    folds = np.empty(len(classes), dtype=np.int64)
    folds[order] = np.arange(len(classes)) % FOLDS
    for chosen in choices:
        in_folds = np.stack([chosen[folds == fold].sum(axis=0) for fold in range(FOLDS)])
        folds[chosen[:, (in_folds > 0).sum(axis=0) == 1].any(axis=1)] = -1
    if len(classes) >= ONE_FOLD_FROM:
        folds[folds > 0] = -1
    return folds


def _bias(logits: FloatArray, truth: IntArray) -> FloatArray:
    """Shape (K,), for held-out logits (n, K) and their classes (n,)."""
    counts = np.bincount(truth, minlength=logits.shape[1])
    bias = np.zeros(logits.shape[1])
    for _ in range(SCALING_STEPS):
        chance = np.exp(logits + bias - (logits + bias).max(axis=1, keepdims=True))
        expected = (chance / chance.sum(axis=1, keepdims=True)).sum(axis=0)
        bias += STEP * np.log((counts + SHRINKAGE) / (expected + SHRINKAGE))
    return bias
