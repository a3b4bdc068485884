"""A head over features that are computed once per item and kept: what frozen encoders of images and of texts have in common."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mcal_engine.classifiers import devices
from mcal_engine.classifiers.base import FitReport, Progress, ProgressCallback, check_labels, fitted_first, spread
from mcal_engine.classifiers.head import Features, Head, fit_head
from mcal_engine.classifiers.joint_head import JointHead, fit_joint_head
from mcal_engine.parts import Parts
from mcal_engine.types import FloatArray, IntArray

_SCORED_AT_ONCE = 2048  # rows; bounds the memory of a large pool


class Embeddings(Protocol):
    """Features by row, computed once and kept: :class:`~mcal_engine.classifiers.images.computed_rows.ComputedRows`, and two of them."""

    @property
    def width(self) -> int:
        """Features of one row."""

    def fill(self, rows: IntArray, progress: ProgressCallback | None = None) -> int:
        """Compute what is missing; return how many that were."""

    def places(self, rows: IntArray) -> IntArray:
        """Where the features of each row are, for :meth:`at`."""

    def at(self, places: IntArray) -> npt.NDArray[Any]:
        """Shape (n, width), float16."""


class OnFeatures:
    """One view of all features, one of those in front where there are such, and neighbours in all, blended as held-out examples say.

    Where the classes are whole answers, each question has such a head; see :mod:`mcal_engine.classifiers.joint_head`.
    """

    name = "features"
    takes_parts = True

    def __init__(self, embeddings: Embeddings, device: torch.device, *, n_front: int = 0) -> None:
        """``n_front``: features that are a view of their own as well; 0: none."""
        self.embeddings, self.device, self._n_front = embeddings, device, n_front
        self._head: Head | JointHead | None = None
        self._seen: IntArray = np.empty(0, dtype=np.int64)
        self._n_classes = 0

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        began = time.perf_counter()
        return time.perf_counter() - began if self.embeddings.fill(rows, progress) else 0.0

    def fit(
        self,
        rows: IntArray,
        labels: IntArray,
        n_classes: int,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
        parts: Parts | None = None,
    ) -> FitReport:
        """See :class:`~mcal_engine.classifiers.base.Classifier`. ``seed`` changes nothing: the fit is a convex problem."""
        seen = check_labels(rows, labels, n_classes)
        self.prepare(rows, progress=progress)
        began = time.perf_counter()
        # The order of examples decides their folds; sorted by row, the same set of labels gives the same head.
        order = np.argsort(rows, kind="stable")
        if parts is None:
            self._head, self._seen = fit_head(self._views(rows[order]), np.searchsorted(seen, labels[order])), seen
        else:
            self._head = fit_joint_head(self._views(rows[order]), labels[order], parts)
            self._seen = self._head.scored
        self._n_classes = n_classes
        if progress is not None:
            progress(Progress("fit", 1, 1, self._head.cross_entropy))
        return FitReport(time.perf_counter() - began, len(rows), 1, devices.label(self.device), self._head.cross_entropy)

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
        features = self.embeddings.at(self.embeddings.places(rows))
        return [features[:, : self._n_front], features] if self._n_front else [features]
