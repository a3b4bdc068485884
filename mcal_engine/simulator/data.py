"""Labelled images and texts from the layouts people keep them in, checked, at one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mcal_engine import streams
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.decoding import decode_all, resize_all
from mcal_engine.simulator.labelled_images import LabelledData, LabelledImages
from mcal_engine.simulator.labelled_texts import LabelledTexts
from mcal_engine.simulator.readers import Listing, read_listing
from mcal_engine.simulator.readers.listing import counted, shown
from mcal_engine.types import IntArray

MIN_ITEMS = 200


def shuffled(data: LabelledData, seed: int) -> LabelledData:
    """The same images, each with another one's label: nothing can be learned, so a campaign should find that out cheaply."""
    order = streams.generator(seed, "shuffled_labels").permutation(data.labels)
    return data.relabelled(order, "labels were shuffled among the items")


def read(path: Path | str, label_column: str | Sequence[str] | None = None) -> LabelledData:
    """Read a data set; see :func:`mcal_engine.simulator.readers.read_listing`.

    Raises:
        InvalidValue: one sentence that names the file and what is wrong with it.
    """
    path = Path(path)
    return checked(decoded(read_listing(path, label_column), str(path)), str(path))


def read_part(
    path: Path | str, n: int | None, seed: int, per_class: int | None = None, label_column: str | Sequence[str] | None = None
) -> tuple[LabelledData, IntArray]:
    """Read a data set and draw a random part of it as :func:`subset` does; of encoded images no others are decoded.

    Returns:
        The images, and the rows of them that are the part, ascending.

    Raises:
        InvalidValue: as :func:`read` and :func:`subset`.
    """
    listing = read_listing(Path(path), label_column)
    if (n is None and per_class is None) or isinstance(listing.images, np.ndarray):
        data = checked(decoded(listing, str(path)), str(path))
        return data, subset(data, n, seed, per_class)
    _enough(listing, str(path))
    data = checked(decoded(listing.part(subset(listing, n, seed, per_class)), str(path)), str(path))
    return data, np.arange(len(data), dtype=np.int64)


def decoded(listing: Listing, source: str) -> LabelledData:
    """The texts of a listing, or its images at one size; those that cannot be read are left out and named in the notes."""
    unused = {reason: n for reason, n in listing.unused.items() if n}
    if listing.reads == "text":
        texts = tuple(text for text in listing.images if isinstance(text, str))
        return LabelledTexts(listing.name, texts, listing.labels, listing.class_names, 0, listing.said(), unused, listing.questions)
    if isinstance(listing.images, np.ndarray):
        images, notes = resize_all(listing.images)
        return LabelledImages(
            listing.name, images, listing.labels, listing.class_names, 0, (*listing.said(), *notes), unused, listing.questions
        )
    images, kept, notes = decode_all([image for image in listing.images if not isinstance(image, str)], source)
    labels = listing.labels[kept]
    lost = [listing.class_names[label] for label in np.setdiff1d(listing.labels, labels).tolist()]
    notes = (*listing.said(), *notes, *([f"no image of the class {shown(lost)} can be read"] if lost else []))
    beside = None if listing.beside is None else tuple(listing.beside[int(row)] for row in kept)
    n_skipped = len(listing) - len(kept)
    return LabelledImages(listing.name, images, labels, listing.class_names, n_skipped, notes, unused, listing.questions, beside)


def checked(data: LabelledData, source: str) -> LabelledData:
    """``data`` if a campaign can be simulated on it."""
    _enough(data, source, data.n_skipped)
    present = np.unique(data.labels)
    if len(present) < 2:
        raise InvalidValue(f"a simulation needs at least 2 classes, every item of {source} is {data.class_names[int(present[0])]!r}")
    return data


def _enough(data: LabelledData | Listing, source: str, n_skipped: int = 0) -> None:
    if len(data) >= MIN_ITEMS:
        return
    left = counted({**data.unused, "that cannot be read": n_skipped})
    why = f" (not used: {left})" if left else ""
    raise InvalidValue(f"a simulation needs at least {MIN_ITEMS} items, {source} has {len(data)}{why}")


def subset(data: LabelledData | Listing, n: int | None, seed: int, per_class: int | None = None) -> IntArray:
    """Rows of a random part of the data, ascending: ``n`` of all, or ``per_class`` of each class.

    Rows rather than a copy, so that parts of one data set share its embeddings.
    """
    if n is not None and per_class is not None:
        raise InvalidValue(f"give items or per_class, not both; got {n} and {per_class}")
    order = streams.generator(seed, "images").permutation(len(data)).astype(np.int64)
    if per_class is not None:
        groups = [order[data.labels[order] == label][:per_class] for label in range(len(data.class_names))]
        rows = np.concatenate(groups)
    else:
        rows = order if n is None else order[:n]
    if len(rows) < MIN_ITEMS:
        raise InvalidValue(f"items must be at least {MIN_ITEMS}, got {len(rows)}")
    if n is not None and n > len(data):
        raise InvalidValue(f"items must be at most the {len(data):,} of the data set, got {n:,}")
    return np.sort(rows)
