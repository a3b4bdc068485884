"""L(.): how sure a prediction is. Higher is surer; what is machine-labelled comes from the sure end.

Each kind is a monotone function of the paper's quantity on an unbounded scale in float64, so that thousands of predictions whose
probability rounds to 1 keep an order.
"""

from __future__ import annotations

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.types import BoolArray, FloatArray


def surety(logits: FloatArray, kind: str = "margin") -> FloatArray:
    """Shape (n,), for logits of shape (n, n_classes).

    Args:
        logits: finite scores of the classes.
        kind: ``margin``: the gap between the two largest logits, log(p₁/p₂). ``least_confidence``: log(p₁/(1 − p₁)).
            ``entropy``: −log H(p).
    """
    logits = np.asarray(logits, dtype=np.float64)
    if kind == "margin":
        top = np.partition(logits, -2, axis=1)
        return np.asarray(top[:, -1] - top[:, -2], dtype=np.float64)
    if kind not in ("least_confidence", "entropy"):
        raise InvalidValue(f"surety must be margin, entropy or least_confidence, got {kind!r}")
    gaps = logits.max(axis=1, keepdims=True) - logits
    odds = np.exp(-gaps)
    odds[np.arange(len(odds)), logits.argmax(axis=1)] = 0.0
    others = odds.sum(axis=1)  # (1 − p₁) / p₁
    tiny = np.finfo(np.float64).tiny
    if kind == "least_confidence":
        return np.asarray(-np.log(np.maximum(others, tiny)))
    # H = log(1 + others) + Σ p_j·gap_j; neither part cancels, however sure the prediction is.
    entropy = np.log1p(others) + (odds * gaps).sum(axis=1) / (1 + others)
    return np.asarray(-np.log(np.maximum(entropy, tiny)))


def answered(logits: FloatArray) -> BoolArray:
    """Shape (n,). Which rows of logits say anything; one whose values are all equal is that of an item without an answer."""
    return np.asarray(np.ptp(logits, axis=1) > 0, dtype=np.bool_)
