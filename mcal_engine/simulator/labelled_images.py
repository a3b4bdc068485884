"""A data set whose labels play the people: what the readers bring and what a simulation runs on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mcal_engine.types import IntArray


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
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: IntArray
    class_names: tuple[str, ...]
    n_skipped: int = 0
    notes: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def digest(self) -> str:
        """Names the images (not the labels), so that embeddings can be kept for the next run."""
        hasher = hashlib.blake2b(repr(self.images.shape).encode(), digest_size=8)
        hasher.update(np.ascontiguousarray(self.images).data)
        return hasher.hexdigest()

    def with_labels(self, labels: IntArray, name: str) -> LabelledImages:
        """The same images under other labels, e.g. shuffled ones for a hopeless case."""
        return replace(self, labels=np.asarray(labels, dtype=np.int64), name=name)
