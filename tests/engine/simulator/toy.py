"""A small data set that a linear classifier learns in milliseconds, and that classifier: campaigns without torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcal_engine.classifiers.base import FitReport, ImageSource, ProgressCallback, check_labels, spread
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.simulator.machines import Machine, Stopwatch
from mcal_engine.types import FloatArray, IntArray

SIDE = 8


def toy_data(n: int = 1200, n_classes: int = 4, noise: float = 60.0, seed: int = 0) -> LabelledImages:
    """Gray images: one prototype per class plus noise, so that some items are easy and some are not."""
    generator = np.random.default_rng(seed)
    prototypes = generator.uniform(60, 190, (n_classes, SIDE, SIDE, 1))
    labels = generator.integers(0, n_classes, n)
    hardness = generator.gamma(2.0, 0.5, n)[:, None, None, None]
    pixels = prototypes[labels] + noise * hardness * generator.normal(size=(n, SIDE, SIDE, 1))
    return LabelledImages("toy", np.clip(pixels, 0, 255).astype(np.uint8), labels, tuple(f"class {k}" for k in range(n_classes)))


class RidgeClassifier:
    """Least squares on pixels: a deterministic stand-in that keeps the classifiers' contract."""

    name = "ridge"

    def __init__(self, images: ImageSource, name: str = "ridge", strength: float = 20.0) -> None:
        self.name = name
        self._images, self._strength = images, strength
        self.fits = 0
        self.prepared: set[int] = set()

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        new = set(rows.tolist()) - self.prepared
        self.prepared |= new
        return 0.001 * len(new)

    def features(self, rows: IntArray) -> FloatArray:
        pixels = self._images.batch(rows)[..., 0].reshape(len(rows), -1)
        return np.asarray(pixels, dtype=np.float64) / 64.0 - 2.0

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        self._seen, self._n_classes = check_labels(rows, labels, n_classes), n_classes
        x = np.column_stack([self.features(rows), np.ones(len(rows))])
        targets = np.eye(n_classes)[labels][:, self._seen]
        self._weights = np.linalg.solve(x.T @ x + self._strength * np.eye(x.shape[1]), x.T @ targets)
        self.fits += 1
        return FitReport(0.01, len(rows), 1, "cpu", 0.0)

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        return spread(8.0 * np.column_stack([self.features(rows), np.ones(len(rows))]) @ self._weights, self._seen, self._n_classes)


class FixedTimes(Stopwatch):
    """A stopwatch that always shows the same: ``seconds`` per round, nothing per item."""

    def __init__(self, seconds: float = 0.5) -> None:
        super().__init__()
        self._fixed = seconds

    def time(self, key: str, work: Callable[[], float | None]) -> float:
        work()
        return 0.001 if "prepare" in key else self._fixed


def toy_machines(data: LabelledImages, *names: str, seconds: float = 0.5) -> list[Machine]:
    images = ArrayImages(data.images)
    return [Machine(name, RidgeClassifier(images, name), FixedTimes(seconds)) for name in names or ("frozen",)]
