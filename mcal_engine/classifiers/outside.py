"""A candidate that is asked, not trained: an ML backend of somebody else's. What it says of an item is an answer and a confidence.

Nothing here asks anybody: who makes one says how answers are had. An item without an answer gets a row of equal logits. Such a row is the
least sure there is, it counts as wrong where it is measured, and it is never a machine label: people get the item.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from mcal_engine.classifiers.base import FitReport, Progress, ProgressCallback, check_range, fitted_first
from mcal_engine.types import FloatArray, IntArray

NO_ANSWER = -1
LEAST_GAP = 1e-3  # logits, between an answer without any confidence and no answer
LARGEST_CONFIDENCE = 1 - 1e-9


class Answered(Protocol):
    """What an outside model says of items, in their order."""

    @property
    def labels(self) -> IntArray:
        """Shape (n,). Class indices; ``NO_ANSWER`` where there is none."""

    @property
    def confidences(self) -> FloatArray:
        """Shape (n,). In [0, 1]; 0 where the model told none."""


Ask = Callable[[IntArray, ProgressCallback | None], Answered]
"""Answers for rows of shape (n,). Asked twice for the same row it must say the same: answers are kept by who asks."""


class OutsideClassifier:
    """A :class:`~mcal_engine.classifiers.base.Classifier` whose answers come from elsewhere.

    Its order is that of the model's own confidence. B changes nothing about it, so it can be judged without any.
    """

    learns = False

    def __init__(self, name: str, ask: Ask, now: Callable[[], float]) -> None:
        """``now``: a clock in seconds, which measures how long the answers took."""
        self.name = name
        self._ask, self._now = ask, now
        self._asked: set[int] = set()
        self._n_classes = 0

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        """Have the answers; the seconds that this took."""
        new = [row for row in rows.tolist() if row not in self._asked]
        if not new:
            return 0.0
        began = self._now()
        self._ask(np.array(new, dtype=np.int64), progress)
        self._asked.update(new)
        return self._now() - began

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        """Check the labels, of which there may be none, and note how many classes there are. ``seed`` changes nothing."""
        check_range(rows, labels, n_classes)
        self._n_classes = n_classes
        if progress is not None:
            progress(Progress("fit", 1, 1))
        return FitReport(0.0, len(rows), 1, "elsewhere", float("nan"))

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        """See :func:`logits_of`."""
        if not self._n_classes:
            raise fitted_first(self.name)
        if not len(rows):
            return np.zeros((0, self._n_classes))
        self.prepare(rows, progress=progress)
        answered = self._ask(rows, None)
        return logits_of(answered.labels, answered.confidences, self._n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        """The logits: what the model knows of an item is its answer."""
        return self.logits(rows)


def logits_of(labels: IntArray, confidences: FloatArray, n_classes: int) -> FloatArray:
    """Answers as logits, shape (n, n_classes): the answer's class stands −log(1 − confidence) above the others, which are equal.

    Args:
        labels: shape (n,). Class indices; ``NO_ANSWER`` where there is none, which makes a row of zeros.
        confidences: shape (n,). In [0, 1].
    """
    logits = np.zeros((len(labels), n_classes))
    there = np.flatnonzero(labels != NO_ANSWER)
    gap = LEAST_GAP - np.log1p(-np.clip(confidences[there], 0.0, LARGEST_CONFIDENCE))
    logits[there, labels[there]] = gap
    return logits
