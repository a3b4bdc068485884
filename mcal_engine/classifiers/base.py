"""What a classifier is to the rest of the project: rows of images in, logits out. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mcal_engine.errors import InvalidValue, MCALError
from mcal_engine.parts import Parts
from mcal_engine.types import FloatArray, IntArray
from mcal_engine.words import counted

UInt8Array = npt.NDArray[np.uint8]

UNSEEN_CLASS_GAP = 20.0  # logits; how far a class without any example stays below the least likely class that has some


class TooFewClasses(InvalidValue):
    """The labels hold fewer than two classes, so there is nothing to tell apart yet; more labels are the fix."""


class UnreadableImage(MCALError):
    """An image that cannot be used. ``reason`` is for the person at the screen."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a long piece of work stands: ``done`` of ``total`` (images while embedding and scoring, epochs while fitting).

    ``note`` is something a person should know, such as that memory ran out and what was done about it.
    """

    phase: str  # "embed", "fit" or "score"
    done: int
    total: int
    loss: float | None = None
    seconds_left: float | None = None  # of this phase, at its speed so far; known to who relays the progress
    note: str | None = None


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class FitReport:
    """What one fit took. ``seconds`` leaves out the embedding of images, which :meth:`Classifier.prepare` reports, and counts
    those of a fit that was cut short and gone on with. ``notes`` are for the person at the screen.
    """

    seconds: float
    n_train: int
    epochs: int
    device: str
    final_loss: float
    notes: tuple[str, ...] = ()


class ImageSource(Protocol):
    """Decoded images of one size, addressed by row. A row never changes its image."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels, equal."""

    def __len__(self) -> int: ...

    def batch(self, rows: IntArray) -> UInt8Array:
        """RGB images, shape (n, S, S, 3), in the order of ``rows``."""

    def keys(self, rows: IntArray) -> IntArray:
        """Shape (n,). A digest of each row's pixels: what a cache of something computed from an image is keyed by."""


class TextSource(Protocol):
    """Texts, addressed by row. A row never changes its text."""

    def __len__(self) -> int: ...

    def batch(self, rows: IntArray) -> list[str]:
        """The texts, in the order of ``rows``."""

    def keys(self, rows: IntArray) -> IntArray:
        """Shape (n,). A digest of each row's text: what a cache of something computed from a text is keyed by."""


class Classifier(Protocol):
    """A candidate: trained from scratch by each :meth:`fit`, so that the same rows, labels and seed give the same logits.

    One whose class says ``learns = False`` knows its classes from elsewhere. It is fitted without any label too, and no label changes what
    it says.

    One whose class says ``takes_parts = True`` is told what the classes are made of where they are whole answers to several questions: its
    ``fit`` takes ``parts`` beside the other arguments. To all others such a class is one like any other; :func:`fit` sees to that.
    """

    name: str

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        """Do once what is done once per image (embedding it); return the seconds that took, 0 where it was done before."""

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        """Train on ``rows`` with class indices ``labels``, both of shape (n,).

        Raises:
            TooFewClasses: fewer than two different labels.
            InvalidValue: a label outside 0 … n_classes − 1, or lengths that differ.
        """

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        """Shape (n, n_classes), float64, finite. Classes without an example in the last fit get the lowest values of their row."""

    def features(self, rows: IntArray) -> FloatArray:
        """Shape (n, d): what the head sees, for k-centre."""


def fit(
    classifier: Classifier,
    rows: IntArray,
    labels: IntArray,
    n_classes: int,
    parts: Parts | None,
    *,
    seed: int,
    progress: ProgressCallback | None = None,
) -> FitReport:
    """Train a classifier, with what the classes are made of where it makes use of that; see :meth:`Classifier.fit`."""
    some = {"parts": parts} if parts is not None and getattr(classifier, "takes_parts", False) else {}
    return classifier.fit(rows, labels, n_classes, seed=seed, progress=progress, **some)


def check_labels(rows: IntArray, labels: IntArray, n_classes: int) -> IntArray:
    """The classes that have at least one example, ascending; raises as :meth:`Classifier.fit` says."""
    seen = check_range(rows, labels, n_classes)
    if len(seen) < 2:
        raise TooFewClasses(f"training needs labels of at least 2 classes, got {len(seen)} in {counted(len(labels), 'label')}")
    return seen


def check_range(rows: IntArray, labels: IntArray, n_classes: int) -> IntArray:
    """The classes that have at least one example, ascending; there may be none. Raises :class:`InvalidValue` as :func:`check_labels`."""
    if len(rows) != len(labels):
        raise InvalidValue(f"rows and labels must have one length, got {len(rows)} and {len(labels)}")
    seen = np.unique(np.asarray(labels, dtype=np.int64))
    if len(seen) and (seen[0] < 0 or seen[-1] >= n_classes):
        raise InvalidValue(f"labels must be in 0 … {n_classes - 1}, got {seen[0] if seen[0] < 0 else seen[-1]}")
    return seen


def spread(logits: FloatArray, seen: IntArray, n_classes: int) -> FloatArray:
    """Logits over the seen classes, shape (n, len(seen)), to all classes, shape (n, n_classes); see ``UNSEEN_CLASS_GAP``."""
    if len(seen) == n_classes:
        return logits
    full = np.repeat(logits.min(axis=1, keepdims=True) - UNSEEN_CLASS_GAP, n_classes, axis=1)
    full[:, seen] = logits
    return full


def fitted_first(name: str) -> InvalidValue:
    """The error of a classifier that is asked for logits before its first fit."""
    return InvalidValue(f"classifier {name!r} must be fitted before it can score")
