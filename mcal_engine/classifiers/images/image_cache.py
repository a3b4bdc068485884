"""Images at training size: on disk for the service, in memory for the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mcal_engine.classifiers.base import UInt8Array
from mcal_engine.classifiers.images.decoding import MAX_PIXELS, GrayRange, ImageForm, decode
from mcal_engine.classifiers.images.row_store import RowStore, digest_of
from mcal_engine.errors import InvalidValue
from mcal_engine.types import BoolArray, IntArray
from mcal_engine.words import counted_of


class ImageCache:
    """Decoded images of a campaign by item id, append-only; an :class:`~mcal_engine.classifiers.base.ImageSource`.

    Survives restarts and kills: an image counts or is to be added again (:meth:`missing`). Threads and processes may share a directory.
    """

    def __init__(self, directory: Path, size: int, *, gray: GrayRange | None = None, max_pixels: int = MAX_PIXELS) -> None:
        """``size``: side in px. Each size has its own folder in ``directory``, so another size starts empty.

        ``gray``: the data set's range of deep gray, the same for every image that is added.
        """
        if not 8 <= size <= 1024:
            raise InvalidValue(f"image size must be in 8 … 1024 px, got {size}")
        self._size, self._gray, self._max_pixels = size, gray, max_pixels
        self._store = RowStore(directory / f"{size}px", (size, size, 3), np.uint8)

    @property
    def shape(self) -> tuple[int, int]:
        return (self._size, self._size)

    @property
    def form(self) -> ImageForm:
        """How images are kept here."""
        return ImageForm(self._size, self._gray)

    def __len__(self) -> int:
        return len(self._store)

    def add(self, item_id: int, content: bytes) -> int:
        """Decode and keep one image; return its row. An item that is there already keeps its image.

        Raises:
            UnreadableImage: with a reason for the person at the screen.
        """
        key = np.array([item_id], dtype=np.int64)
        if self._store.find(key)[0] < 0:
            self._store.append(key, decode(content, self._size, gray=self._gray, max_pixels=self._max_pixels)[None])
        return int(self._store.find(key)[0])

    def has(self, ids: npt.ArrayLike) -> BoolArray:
        """Shape (n,). Whether each item is here."""
        return np.asarray(self._store.find(np.asarray(ids, dtype=np.int64)) >= 0)

    def missing(self, ids: Sequence[int] | IntArray) -> list[int]:
        """The given items that are not here, in the given order."""
        wanted = np.asarray(ids, dtype=np.int64)
        return [int(item) for item in wanted[~self.has(wanted)]]

    def rows(self, ids: npt.ArrayLike) -> IntArray:
        """Rows of the given items, shape (n,); InvalidValue names the first that is not here."""
        wanted = np.asarray(ids, dtype=np.int64)
        rows = self._store.find(wanted)
        if (rows < 0).any():
            raise InvalidValue(
                f"{counted_of(int((rows < 0).sum()), len(wanted), 'item', 'have')} no image in the cache, the first is "
                f"{wanted[rows < 0][0]}"
            )
        return rows

    def batch(self, rows: IntArray) -> UInt8Array:
        return np.asarray(self._store.read(rows), dtype=np.uint8)

    def keys(self, rows: IntArray) -> IntArray:
        return self._store.digests(rows)

    def refresh(self) -> None:
        """Take in images that other processes have added since."""
        self._store.refresh()

    def flush(self) -> None:
        """Wait until everything is on the disk; without it a power cut (not a kill) may cost some images, which are then missing."""
        self._store.flush()


class ArrayImages:
    """Images of an array in memory, uint8 of shape (n, S, S, 3), (n, S, S, 1) or (n, S, S) for gray; row = position."""

    def __init__(self, array: UInt8Array) -> None:
        if array.dtype != np.uint8:
            raise InvalidValue(f"images must be uint8, got {array.dtype}")
        if array.ndim not in (3, 4) or array.shape[1] != array.shape[2] or array.shape[3:] not in ((), (1,), (3,)):
            raise InvalidValue(f"images must have the shape (n, S, S), (n, S, S, 1) or (n, S, S, 3), got {array.shape}")
        self._array = array.reshape(*array.shape[:3], -1)
        self._keys = np.zeros(len(array), dtype=np.int64)
        self._has_key = np.zeros(len(array), dtype=np.bool_)

    @property
    def shape(self) -> tuple[int, int]:
        return (self._array.shape[1], self._array.shape[2])

    def __len__(self) -> int:
        return len(self._array)

    def batch(self, rows: IntArray) -> UInt8Array:
        images = self._array[rows]
        return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images

    def keys(self, rows: IntArray) -> IntArray:
        for row in np.unique(np.asarray(rows, dtype=np.int64)[~self._has_key[rows]]).tolist():
            self._keys[row] = digest_of(self.batch(np.array([row]))[0])
            self._has_key[row] = True
        return self._keys[rows]
