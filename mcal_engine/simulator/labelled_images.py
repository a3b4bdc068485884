"""A data set whose labels play the people: what the readers bring and what a simulation runs on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from mcal_engine.answers import Questions
from mcal_engine.classifiers.base import ImageSource, TextSource
from mcal_engine.classifiers.candidates import Reads
from mcal_engine.parts import Parts
from mcal_engine.types import IntArray


class LabelledData(Protocol):
    """Images or texts with labels; the attributes are those of :class:`LabelledImages`."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> IntArray: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def n_skipped(self) -> int: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def unused(self) -> Mapping[str, int]: ...

    @property
    def questions(self) -> Questions | None: ...

    @property
    def parts(self) -> Parts | None: ...

    @property
    def n_classes(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def reads(self) -> Reads:
        """What the items are."""

    def __len__(self) -> int: ...

    def source(self) -> ImageSource | TextSource:
        """The items by row, as classifiers take them."""

    def source_beside(self) -> TextSource | None:
        """The texts beside images, in the same rows, where there are such."""

    def relabelled(self, labels: IntArray, note: str) -> Self:
        """The same items under other labels, which the note tells of."""

    def part(self, rows: IntArray) -> Self:
        """The items of some rows."""


@dataclass(frozen=True)
class LabelledImages:
    """A data set whose labels play the people.

    Attributes:
        name: what reports call it.
        images: shape (n, S, S, 3) or (n, S, S, 1), uint8.
        labels: shape (n,). Index into ``class_names``.
        class_names: one per class; classes without an item are kept, since people could pick them.
        n_skipped: images that could not be read; they are not part of the n.
        notes: what was done to the data, as sentences for the reader of a report.
        unused: reason → number of files or rows that are not items, such as those without a label.
        questions: what people are asked, where that is more than one choice; ``class_names`` are the texts of whole answers then.
        beside: the text beside each image, "" where there is none; ``None``: there are images alone.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: IntArray
    class_names: tuple[str, ...]
    n_skipped: int = 0
    notes: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)
    questions: Questions | None = None
    beside: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def parts(self) -> Parts | None:
        """What the classes are made of, where they are whole answers."""
        return None if self.questions is None else Parts.of(self.questions, self.class_names)

    @cached_property
    def digest(self) -> str:
        """Names the images and what stands beside them (not the labels), so that embeddings can be kept for the next run."""
        hasher = hashlib.blake2b(repr(self.images.shape).encode(), digest_size=8)
        hasher.update(np.ascontiguousarray(self.images).data)
        for text in self.beside or ():
            hasher.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return hasher.hexdigest()

    @property
    def reads(self) -> Reads:
        return "image"

    def source(self) -> ImageSource:
        from mcal_engine.classifiers.images.image_cache import ArrayImages

        return ArrayImages(self.images)

    def source_beside(self) -> TextSource | None:
        from mcal_engine.classifiers.texts.text_cache import ListTexts

        return None if self.beside is None else ListTexts(self.beside)

    def relabelled(self, labels: IntArray, note: str) -> LabelledImages:
        return replace(self, labels=np.asarray(labels, dtype=np.int64), notes=(*self.notes, note))

    def part(self, rows: IntArray) -> LabelledImages:
        beside = None if self.beside is None else tuple(self.beside[row] for row in rows.tolist())
        return replace(self, images=self.images[rows], labels=self.labels[rows], beside=beside)

    def with_labels(self, labels: IntArray, name: str) -> LabelledImages:
        """The same images under other labels, e.g. shuffled ones for a hopeless case."""
        return replace(self, labels=np.asarray(labels, dtype=np.int64), name=name)
