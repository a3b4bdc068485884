"""A classifier for thousands of campaigns: least squares on the frozen encoder's features, reduced once, fitted in hundredths of a second.

What the certificate promises holds for any classifier, so hundreds of campaigns may use a cheap one; its features are the product's own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mcal_engine.classifiers.base import Classifier, FitReport, ProgressCallback, check_labels, spread
from mcal_engine.types import FloatArray, IntArray

Float32Array = npt.NDArray[np.float32]

DIMENSIONS = 256
_ROWS_AT_ONCE = 2048
_SPREAD_FLOOR = 1e-3  # as in the frozen classifier's head
_LOGIT_SCALE = 8.0  # least squares predicts indicators between 0 and 1; only the acquisition's probabilities see the scale


class RidgeClassifier:
    """Ridge regression on the classes' indicators, its strength chosen by generalised cross-validation (Golub, Heath and Wahba 1979)."""

    name = "ridge"

    def __init__(self, features: Float32Array) -> None:
        """``features``: shape (n, d), one row per item of the data set."""
        self._features = features
        self._weights: FloatArray = np.zeros((0, 0))
        self._mean: FloatArray = np.zeros(0)
        self._shares: FloatArray = np.zeros(0)
        self._seen: IntArray = np.zeros(0, dtype=np.int64)
        self._n_classes = 0

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        return 0.0

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        """See :class:`~mcal_engine.classifiers.base.Classifier`. ``seed`` changes nothing."""
        self._seen, self._n_classes = check_labels(rows, labels, n_classes), n_classes
        order = np.argsort(rows, kind="stable")
        x = self._features[rows[order]].astype(np.float64)
        targets = np.eye(n_classes)[labels[order]][:, self._seen]
        self._mean, self._shares = x.mean(axis=0), targets.mean(axis=0)
        self._weights = _ridge(x - self._mean, targets - self._shares)
        return FitReport(0.0, len(rows), 1, "cpu", 0.0)

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        folded = self._weights.astype(np.float32)
        found = np.asarray(self._features[rows] @ folded, dtype=np.float64) + (self._shares - self._mean @ self._weights)
        return spread(_LOGIT_SCALE * found, self._seen, self._n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        return np.asarray(self._features[rows], dtype=np.float64)


def _ridge(x: FloatArray, targets: FloatArray) -> FloatArray:
    """Weights (d, k) at the strength whose generalised cross-validation error is least; one eigendecomposition serves all strengths."""
    n, d = x.shape
    wide = n < d
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = values > values[-1] * 1e-10
    values, vectors = values[kept], vectors[:, kept]
    # Singular vectors on both sides of x = left · √values · rightᵀ, whichever product was decomposed.
    right = x.T @ vectors / np.sqrt(values) if wide else vectors
    along = vectors.T @ targets if wide else (vectors.T @ (x.T @ targets)) / np.sqrt(values)[:, None]
    energy, total = (along**2).sum(axis=1), float((targets**2).sum())
    best, chosen = np.inf, float(values[-1])
    for strength in values.mean() * np.geomspace(1e-3, 30.0, 16):
        shrink = values / (values + strength)
        left = total - float((energy * (1 - (1 - shrink) ** 2)).sum())
        error = left / max(n - 1 - float(shrink.sum()), 1e-9) ** 2
        if error < best:
            best, chosen = error, float(strength)
    return np.asarray(right @ ((np.sqrt(values) / (values + chosen))[:, None] * along))


def reduced_features(classifier: Classifier, n_items: int, file: Path, n_dimensions: int = DIMENSIONS) -> Float32Array:
    """The first principal components of a classifier's standardised features, shape (n_items, d), computed once and kept in ``file``.

    The components are found on all items without their labels. The array is mapped from the file, so that many processes share it.
    """
    if not file.exists():
        blocks = [np.arange(start, min(start + _ROWS_AT_ONCE, n_items)) for start in range(0, n_items, _ROWS_AT_ONCE)]
        total: FloatArray | float = 0.0
        product: FloatArray | float = 0.0
        for rows in blocks:
            x = classifier.features(rows).astype(np.float32)
            total = total + x.sum(axis=0, dtype=np.float64)
            product = product + (x.T @ x).astype(np.float64)
        mean = np.asarray(total) / n_items
        covariance = np.asarray(product) / n_items - np.outer(mean, mean)
        scale = np.sqrt(np.maximum(np.diag(covariance), 0.0)) + _SPREAD_FLOOR
        vectors = np.linalg.eigh(covariance / np.outer(scale, scale))[1][:, ::-1][:, :n_dimensions] / scale[:, None]
        reduced = np.concatenate([((classifier.features(rows) - mean) @ vectors).astype(np.float32) for rows in blocks])
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, reduced)
        partial.replace(file)
    return np.asarray(np.load(file, mmap_mode="r"))
