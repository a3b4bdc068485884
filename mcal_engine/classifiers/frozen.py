"""``frozen``: a pretrained encoder that is never trained, each image embedded once, and a linear head that fits in seconds."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from mcal_engine.classifiers import devices, encoder
from mcal_engine.classifiers.base import FitReport, ImageSource, Progress, ProgressCallback, check_labels, fitted_first, spread
from mcal_engine.classifiers.head import Features, Head, fit_head
from mcal_engine.classifiers.row_store import RowStore
from mcal_engine.types import FloatArray, IntArray

_SCORED_AT_ONCE = 2048  # rows; bounds the memory of a large pool


class Embeddings:
    """Features of images, computed once and kept on disk.

    They are found by the digest of the image's pixels, so the same folder serves any number of image caches, in any order, and features
    of another image can never be taken for these.
    """

    def __init__(self, images: ImageSource, directory: Path, device: torch.device) -> None:
        size = images.shape[0]
        name = f"{encoder.NAME}-v{encoder.VERSION}-{size}to{encoder.input_size(size)}px"
        self._images, self._device = images, device
        self._store = RowStore(directory / name, (encoder.FEATURES,), np.float16)
        self._encoder: encoder.Encoder | None = None

    def fill(self, rows: IntArray, progress: ProgressCallback | None = None) -> int:
        """Compute what is missing; return how many images that were. Each batch is kept as soon as it is done."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        keys, first = np.unique(self._images.keys(wanted), return_index=True)
        missing = wanted[np.sort(first[self._store.find(keys) < 0])]
        if len(missing) == 0:
            return 0
        self._encoder = self._encoder or encoder.Encoder(self._device)
        for start in range(0, len(missing), encoder.BATCH):
            batch = missing[start : start + encoder.BATCH]
            self._store.append(self._images.keys(batch), self._encoder(self._images.batch(batch)))
            if progress is not None:
                progress(Progress("embed", start + len(batch), len(missing)))
        self._store.flush()
        return len(missing)

    def __call__(self, rows: IntArray) -> Features:
        """Shape (n, FEATURES), float16; rows that were not filled raise IndexError."""
        return self._store.read(self._store.find(self._images.keys(rows)))


class FrozenClassifier:
    """Head over ``Embeddings``: one view of the middle features, one of all, blended as held-out examples say."""

    name = "frozen"

    def __init__(self, images: ImageSource, *, cache_dir: Path, device: str = "auto") -> None:
        self._device = devices.pick(device)
        self._embeddings = Embeddings(images, cache_dir, self._device)
        self._head: Head | None = None
        self._seen: IntArray = np.empty(0, dtype=np.int64)
        self._n_classes = 0

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        began = time.perf_counter()
        return time.perf_counter() - began if self._embeddings.fill(rows, progress) else 0.0

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        """See :class:`~mcal_engine.classifiers.base.Classifier`. ``seed`` changes nothing: the fit is a convex problem."""
        seen = check_labels(rows, labels, n_classes)
        self.prepare(rows, progress=progress)
        began = time.perf_counter()
        # The order of examples decides their folds; sorted by row, the same set of labels gives the same head.
        order = np.argsort(rows, kind="stable")
        self._head = fit_head(_views(self._embeddings(rows[order])), np.searchsorted(seen, labels[order]))
        self._seen, self._n_classes = seen, n_classes
        if progress is not None:
            progress(Progress("fit", 1, 1, self._head.cross_entropy))
        return FitReport(time.perf_counter() - began, len(rows), 1, devices.label(self._device), self._head.cross_entropy)

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        if self._head is None:
            raise fitted_first(self.name)
        self.prepare(rows, progress=progress)
        scored = np.empty((len(rows), len(self._seen)), dtype=np.float64)
        for start in range(0, len(rows), _SCORED_AT_ONCE):
            some = slice(start, min(start + _SCORED_AT_ONCE, len(rows)))
            scored[some] = self._head.logits(_views(self._embeddings(rows[some])))
            if progress is not None:
                progress(Progress("score", some.stop, len(rows)))
        return spread(scored, self._seen, self._n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        self.prepare(rows)
        return np.asarray(self._embeddings(rows), dtype=np.float64)


def _views(features: Features) -> list[Features]:
    return [features[:, : encoder.MIDDLE_FEATURES], features]
