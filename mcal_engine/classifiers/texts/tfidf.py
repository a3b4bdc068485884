"""``tfidf``: words and pieces of words, a linear map, nothing pretrained. For every language, in seconds, on a CPU."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from mcal_engine.classifiers.base import FitReport, Progress, ProgressCallback, TextSource, check_labels, fitted_first, spread
from mcal_engine.classifiers.head import cross_entropy, fold_of
from mcal_engine.classifiers.texts.grams import Grams, Linear, fit_linear
from mcal_engine.types import FloatArray, IntArray

SCALES = tuple(float(scale) for scale in np.geomspace(1.0, 32.0, 16))
SCALE = 6.0  # where there are too few examples to choose by
_SCORED_AT_ONCE = 4096  # rows


class TfidfClassifier:
    """See :mod:`mcal_engine.classifiers.texts.grams`. Its logits are scaled so that held-out examples are about calibrated."""

    name = "tfidf"

    def __init__(self, texts: TextSource, *, cache_dir: Path, device: str = "auto") -> None:
        """``cache_dir`` and ``device`` change nothing: counting is cheap, and runs on the CPU."""
        del cache_dir, device
        self._grams = Grams(texts)
        self._linear: Linear | None = None
        self._scale = SCALE
        self._seen: IntArray = np.empty(0, dtype=np.int64)
        self._n_classes = 0

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        began = time.perf_counter()
        return time.perf_counter() - began if self._grams.fill(rows, progress) else 0.0

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        """See :class:`~mcal_engine.classifiers.base.Classifier`. ``seed`` changes nothing: the fit is a convex problem."""
        seen = check_labels(rows, labels, n_classes)
        self.prepare(rows, progress=progress)
        began = time.perf_counter()
        order = np.argsort(rows, kind="stable")
        counts, classes = self._grams.counts(rows[order]), np.searchsorted(seen, labels[order])
        folds = fold_of(classes)
        judged, held_out = folds >= 0, held_out_of(counts, classes, folds)
        loss, self._scale = float("nan"), SCALE
        if judged.any():
            loss, self._scale = min((cross_entropy(scale * held_out[judged], classes[judged]), scale) for scale in SCALES)
        self._linear = fit_linear(counts, classes, len(seen))
        self._seen, self._n_classes = seen, n_classes
        if progress is not None:
            progress(Progress("fit", 1, 1, loss))
        return FitReport(time.perf_counter() - began, len(rows), 1, "cpu", loss)

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        if self._linear is None:
            raise fitted_first(self.name)
        self.prepare(rows, progress=progress)
        scored = np.empty((len(rows), len(self._seen)), dtype=np.float64)
        for start in range(0, len(rows), _SCORED_AT_ONCE):
            some = slice(start, min(start + _SCORED_AT_ONCE, len(rows)))
            scored[some] = self._scale * self._linear.logits(self._grams.counts(rows[some]))
            if progress is not None:
                progress(Progress("score", some.stop, len(rows)))
        return spread(scored, self._seen, self._n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        return np.asarray(self._grams.folded(rows), dtype=np.float64)


def held_out_of(counts: list[object], classes: IntArray, folds: IntArray) -> FloatArray:
    """Logits of each example by a fit without its fold, shape (n, K); rows of fold −1 are left at 0."""
    held_out = np.zeros((len(classes), int(classes.max()) + 1))
    for fold in np.unique(folds[folds >= 0]):
        out = folds == fold
        if len(np.unique(classes[~out])) > 1:
            some = [one[~out] for one in counts]  # type: ignore[index]
            held_out[out] = fit_linear(some, classes[~out], held_out.shape[1]).logits([one[out] for one in counts])  # type: ignore[index]
    return held_out
