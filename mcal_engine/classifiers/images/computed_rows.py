"""What is computed once per item and kept on disk: embeddings of images and texts, and the maps that fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mcal_engine.classifiers.base import Progress, ProgressCallback
from mcal_engine.classifiers.images.row_store import RowStore
from mcal_engine.types import IntArray

HalfArray = npt.NDArray[np.float16]
Compute = Callable[[Any], HalfArray]  # a batch of the source's items to their rows


class Source(Protocol):
    """Items by row: :class:`~mcal_engine.classifiers.base.ImageSource` and texts."""

    def batch(self, rows: IntArray) -> Any:
        """The items, in the order of ``rows``."""

    def keys(self, rows: IntArray) -> IntArray:
        """Shape (n,). A digest of each row's item."""


class ComputedRows:
    """Float16 rows of one shape, one per item.

    They are found by the digest of the image's pixels or of the text, so the same folder serves any number of caches, in any order, and
    rows of another item can never be taken for these.
    """

    def __init__(self, items: Source, directory: Path, shape: tuple[int, ...], make: Callable[[], Compute], batch: int) -> None:
        """``make`` loads what computes rows of at most ``batch`` items; called when something is missing."""
        self._items, self._make, self._batch, self._shape = items, make, batch, shape
        self._store = RowStore(directory, shape, np.float16)
        self._compute: Compute | None = None

    @property
    def width(self) -> int:
        """Numbers of one row."""
        return int(np.prod(self._shape))

    def fill(self, rows: IntArray, progress: ProgressCallback | None = None) -> int:
        """Compute what is missing or damaged; return how many items that were. Each batch is kept as soon as it is done."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        keys, first = np.unique(self._items.keys(wanted), return_index=True)
        found = self._store.find(keys)
        self._store.forget_damaged(found[found >= 0])
        missing = wanted[np.sort(first[self._store.find(keys) < 0])]
        if len(missing) == 0:
            return 0
        self._compute = self._compute or self._make()
        for start in range(0, len(missing), self._batch):
            batch = missing[start : start + self._batch]
            self._store.append(self._items.keys(batch), self._compute(self._items.batch(batch)))
            if progress is not None:
                progress(Progress("embed", start + len(batch), len(missing)))
        self._store.flush()
        return len(missing)

    def places(self, rows: IntArray) -> IntArray:
        """Where each row is, for :meth:`at`; −1 where it was not filled."""
        return self._store.find(self._items.keys(rows))

    def at(self, places: IntArray) -> npt.NDArray[Any]:
        """Shape (n, *shape), float16; IndexError for what was not filled."""
        return self._store.read(places)
