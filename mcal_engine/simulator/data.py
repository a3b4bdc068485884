"""Labelled images from the four shapes people keep them in, checked, at one size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mcal_engine import streams
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator import readers
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.types import IntArray

MIN_ITEMS = 200
SHAPES = "an .npz file (images, labels), a .csv file (path,label), a .parquet file (image, label) or a folder CLASS/*.jpg"


def shuffled(data: LabelledImages, seed: int) -> LabelledImages:
    """The same images, each with another one's label: nothing can be learned, so a campaign should find that out cheaply."""
    order = streams.generator(seed, "shuffled_labels").permutation(data.labels)
    found = data.with_labels(order, data.name)
    return replace(found, notes=(*data.notes, "labels were shuffled among the images"))


def read(path: Path | str) -> LabelledImages:
    """Read a data set; the shape is told from the path.

    Raises:
        InvalidValue: one sentence that names the file and what is wrong with it.
    """
    path = Path(path)
    if not path.exists():
        raise InvalidValue(f"data: {path} does not exist")
    if path.is_dir():
        data = readers.read_parquet(path) if any(path.glob("*.parquet")) else readers.read_folder(path)
    else:
        by_suffix = {".npz": readers.read_npz, ".csv": readers.read_csv, ".parquet": readers.read_parquet}
        if path.suffix.lower() not in by_suffix:
            raise InvalidValue(f"data must be {SHAPES}, got {path.name}")
        data = by_suffix[path.suffix.lower()](path)
    return checked(data, str(path))


def checked(data: LabelledImages, source: str) -> LabelledImages:
    """``data`` if a campaign can be simulated on it."""
    skipped = f" ({data.n_skipped:,} more could not be read)" if data.n_skipped else ""
    if len(data) < MIN_ITEMS:
        raise InvalidValue(f"a simulation needs at least {MIN_ITEMS} items, {source} has {len(data)}{skipped}")
    present = np.unique(data.labels)
    if len(present) < 2:
        raise InvalidValue(f"a simulation needs at least 2 classes, every item of {source} is {data.class_names[int(present[0])]!r}")
    return data


def subset(data: LabelledImages, n: int | None, seed: int, per_class: int | None = None) -> IntArray:
    """Rows of a random part of the data, ascending: ``n`` of all, or ``per_class`` of each class.

    Rows rather than a copy, so that parts of one data set share its embeddings.
    """
    if n is not None and per_class is not None:
        raise InvalidValue(f"give items or per_class, not both; got {n} and {per_class}")
    order = streams.generator(seed, "images").permutation(len(data)).astype(np.int64)
    if per_class is not None:
        groups = [order[data.labels[order] == label][:per_class] for label in range(data.n_classes)]
        rows = np.concatenate(groups)
    else:
        rows = order if n is None else order[:n]
    if len(rows) < MIN_ITEMS:
        raise InvalidValue(f"items must be at least {MIN_ITEMS}, got {len(rows)}")
    if n is not None and n > len(data):
        raise InvalidValue(f"items must be at most the {len(data):,} of the data set, got {n:,}")
    return np.sort(rows)
