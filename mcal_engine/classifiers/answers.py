"""What a candidate said after a fit, kept: asked again after the same fit, nothing has to be trained or scored anew.

That happens when T is topped up while B stays, when a certificate sample joins T, and when a worker dies between training and deciding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from mcal_engine.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Answers:
    """Logits by item after one fit.

    Attributes:
        trained_on: of :func:`trained_on`.
        ids: shape (n,), ascending.
        logits: shape (n, n_classes), in the order of ``ids``.
    """

    trained_on: str
    ids: IntArray
    logits: FloatArray

    @classmethod
    def of(cls, trained_on: str, ids: IntArray, logits: FloatArray) -> Answers:
        """``ids`` in any order."""
        order = np.argsort(ids)
        return cls(trained_on, ids[order], logits[order])

    def to(self, trained_on: str, ids: IntArray) -> FloatArray | None:
        """Logits of ``ids``, in their order; None after another fit, or where one of them was not scored."""
        if trained_on != self.trained_on or not len(self.ids):
            return None
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return self.logits[places] if np.array_equal(self.ids[places], ids) else None


def trained_on(train_ids: IntArray, train_labels: IntArray, *parts: object) -> str:
    """Names a training set, whatever its order, and what else ``parts`` say about a fit."""
    order = np.argsort(train_ids, kind="stable")
    hasher = hashlib.blake2b(repr(parts).encode(), digest_size=12)
    for array in (train_ids[order], train_labels[order]):
        hasher.update(np.ascontiguousarray(array, dtype=np.int64).data)
    return hasher.hexdigest()
