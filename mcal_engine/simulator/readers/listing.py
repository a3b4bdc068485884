"""What every reader brings: images or texts with their classes, and what was left aside and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mcal_engine.answers import Questions
from mcal_engine.classifiers.candidates import Reads
from mcal_engine.errors import InvalidValue
from mcal_engine.types import IntArray

Encoded = bytes | Path
Text = str
Pixels = npt.NDArray[np.uint8]
Images = Sequence[Encoded | Text] | Pixels  # of arrays: shape (n, H, W, 1) or (n, H, W, 3)


@dataclass(frozen=True)
class Listing:
    """A data set before any image is opened.

    Attributes:
        name: what reports call it.
        images: encoded images or paths of files, or decoded ones; or texts, where ``reads`` says so.
        labels: shape (n,), int64. Index into ``class_names``.
        class_names: one per class; classes without an item are kept, since people could pick them.
        unused: reason → number of files or rows that are not items.
        notes: what was done to the data, as sentences for the reader of a report.
        questions: what people are asked, where that is more than one choice; the classes are whole answers then.
        beside: the text beside each image, "" where there is none; ``None``: there are images or texts alone.
    """

    name: str
    images: Images
    labels: IntArray
    class_names: tuple[str, ...]
    unused: Counter[str]
    notes: tuple[str, ...] = ()
    reads: Reads = "image"
    questions: Questions | None = None
    beside: Sequence[Text] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: IntArray) -> Listing:
        """The items ``rows``, in that order."""
        images = self.images[rows] if isinstance(self.images, np.ndarray) else [self.images[int(row)] for row in rows]
        beside = None if self.beside is None else [self.beside[int(row)] for row in rows]
        return replace(self, images=images, labels=self.labels[rows], beside=beside)

    def said(self) -> tuple[str, ...]:
        """The notes, with a sentence about what is not used."""
        reasons = counted(self.unused)
        return (*self.notes, f"not used: {reasons}") if reasons else self.notes


def counted(unused: Mapping[str, int]) -> str:
    """Numbers with their reasons, the largest first; "" where all is used."""
    rows = sorted(((n, reason) for reason, n in unused.items() if n), key=lambda each: (-each[0], each[1]))
    return "; ".join(f"{n:,} {reason if n != 1 else _of_one(reason)}" for n, reason in rows)


_OF_ONE = {  # parts of reasons that go with many, and with one
    "rows without": "row without",
    "rows that name": "row that names",
    "images that are": "image that is",
    "masks beside their images": "mask beside its image",
    "files that are no images": "file that is no image",
    "leavings of": "leaving of",
}


def _of_one(reason: str) -> str:
    for many, one in _OF_ONE.items():
        reason = reason.replace(many, one)
    return reason


def listing_of(
    name: str,
    images: Images,
    classes: tuple[IntArray, tuple[str, ...]],
    unused: Counter[str],
    notes: Sequence[str] = (),
    *,
    source: str,
    reads: Reads = "image",
    questions: Questions | None = None,
    beside: Sequence[Text] | None = None,
) -> Listing:
    """A listing of the items that have a label (a class of 0 or more); the others are counted.

    Raises:
        InvalidValue: there is no item, or none with a label.
    """
    labels, class_names = classes
    labelled = np.flatnonzero(labels >= 0)
    if len(labels) == 0:
        raise InvalidValue(f"{source} holds no {reads}s")
    if len(labelled) == 0:
        raise InvalidValue(f"none of the {len(labels):,} items of {source} has a label (−1, empty and NaN are no label)")
    if len(labelled) < len(labels):
        unused = unused + Counter({"without a label (−1, empty or NaN)": len(labels) - len(labelled)})
        images = images[labelled] if isinstance(images, np.ndarray) else [images[int(row)] for row in labelled]
        beside = None if beside is None else [beside[int(row)] for row in labelled]
    return Listing(name, images, labels[labelled], class_names, unused, tuple(notes), reads, questions, beside)


def shown(values: Sequence[Any], limit: int = 6) -> str:
    """Some values for a sentence: all of few, else the first with the number of the others."""
    words = [str(value) for value in values]
    return ", ".join(words) if len(words) <= limit else f"{', '.join(words[:limit])} and {len(words) - limit:,} more"
