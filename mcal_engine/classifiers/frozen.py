"""``frozen[:ENCODER]``: a pretrained encoder that is never trained, each image embedded once, and a head that fits in seconds."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mcal_engine.classifiers import devices, encoder, encoders
from mcal_engine.classifiers.base import FitReport, ImageSource, Progress, ProgressCallback, UInt8Array, check_labels, fitted_first, spread
from mcal_engine.classifiers.head import Features, Head, fit_head
from mcal_engine.classifiers.images.computed_rows import ComputedRows, HalfArray
from mcal_engine.types import FloatArray, IntArray

_SCORED_AT_ONCE = 2048  # rows; bounds the memory of a large pool


class FrozenClassifier:
    """Head over embeddings: one view of the middle features, one of all, and neighbours in all, blended as held-out examples say.

    The default encoder is :mod:`mcal_engine.classifiers.encoder`; another one, see :mod:`mcal_engine.classifiers.encoders`, gives one view.
    """

    name = "frozen"

    def __init__(
        self, images: ImageSource, *, cache_dir: Path, device: str = "auto", encoder: str | None = None, weights: Path | None = None
    ) -> None:
        """``weights``: a local file with the encoder's weights, instead of its hub."""
        self._device = devices.pick(device)
        self._n_middle, self._embeddings = _embeddings(images, cache_dir, self._device, encoder, weights)
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
        self._head = fit_head(self._views(rows[order]), np.searchsorted(seen, labels[order]))
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
            scored[some] = self._head.logits(self._views(rows[some]))
            if progress is not None:
                progress(Progress("score", some.stop, len(rows)))
        return spread(scored, self._seen, self._n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        self.prepare(rows)
        return np.asarray(self._views(rows)[-1], dtype=np.float64)

    def _views(self, rows: IntArray) -> list[Features]:
        features = self._embeddings.at(self._embeddings.places(rows))
        return [features[:, : self._n_middle], features] if self._n_middle else [features]


def _embeddings(
    images: ImageSource, cache_dir: Path, device: torch.device, name: str | None, weights: Path | None
) -> tuple[int, ComputedRows]:
    """The middle features in front, if any, and the cache of all features."""
    size = images.shape[0]
    if name in (None, encoder.NAME) and weights is None:
        folder = f"{encoder.NAME}-v{encoder.VERSION}-{size}to{encoder.input_size(size)}px"
        made = ComputedRows(images, cache_dir / folder, (encoder.FEATURES,), lambda: encoder.Encoder(device), encoder.BATCH)
        return encoder.MIDDLE_FEATURES, made
    pretrained = encoders.load(name, size, weights)
    folder = f"features-{pretrained.name}-{size}to{pretrained.side}px"
    width = pretrained.shapes()[1]
    return 0, ComputedRows(images, cache_dir / folder, (width,), lambda: _Whole(pretrained, device), encoder.BATCH)


class _Whole:
    """A net on one device: images (n, S, S, 3), n ≤ ``encoder.BATCH``, to its pooled features (n, width)."""

    def __init__(self, pretrained: encoders.Pretrained, device: torch.device) -> None:
        self._pretrained, self._device = pretrained, device
        self._net = nn.Sequential(pretrained.lower, pretrained.upper).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, images: UInt8Array) -> HalfArray:
        x = self._pretrained.standardised(torch.from_numpy(encoder.filled_up(images, encoder.BATCH)).to(self._device))
        with devices.mixed_precision(self._device):
            features = self._net(x)[: len(images)]
        return np.asarray(features.float().clamp(-6e4, 6e4).to(torch.float16).cpu().numpy())
