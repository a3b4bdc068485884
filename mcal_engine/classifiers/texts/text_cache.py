"""Texts by row: on disk for the service, in memory for the simulator."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mcal_engine.classifiers import sealed
from mcal_engine.classifiers.images.row_store import DamagedRows
from mcal_engine.errors import InvalidValue
from mcal_engine.types import BoolArray, IntArray
from mcal_engine.words import counted

PART, DAMAGED = ".json", ".damaged"  # ends of the names of files, and of those that are set aside


def digest_of(text: str) -> int:
    """A 64-bit digest of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little", signed=True)


class ListTexts:
    """Texts in memory; row = position."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        self._keys = np.array([digest_of(text) for text in self._texts], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._texts)

    def batch(self, rows: IntArray) -> list[str]:
        return [self._texts[row] for row in np.asarray(rows).tolist()]

    def keys(self, rows: IntArray) -> IntArray:
        return self._keys[rows]


class InRowsOf:
    """Texts of a cache in the rows of another one, such as that of the images which they stand beside; a ``TextSource``."""

    def __init__(self, texts: TextCache, ids: IntArray, rows: IntArray) -> None:
        """``rows``: the other cache's, of the items ``ids``, both of shape (n,). No other rows may be asked for.

        Raises:
            InvalidValue, DamagedRows: as :meth:`TextCache.rows`.
        """
        self._texts, self._row_of = texts, np.full(int(rows.max(initial=-1)) + 1, -1, dtype=np.int64)
        self._row_of[rows] = texts.rows(ids)

    def __len__(self) -> int:
        return len(self._row_of)

    def batch(self, rows: IntArray) -> list[str]:
        return self._texts.batch(self._row_of[rows])

    def keys(self, rows: IntArray) -> IntArray:
        return self._texts.keys(self._row_of[rows])


class TextCache:
    """Texts of a campaign by item id, append-only, for one writer and any number of readers; a ``TextSource``.

    Every :meth:`add` writes one file, whole or not at all, so that a text counts or is to be added again (:meth:`missing`). So are the
    texts of a file that is damaged when it is read: it is set aside under another name.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._read: set[str] = set()
        self._texts: list[str] = []
        self._keys: list[int] = []
        self._row_of: dict[int, int] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, texts: Mapping[int, str]) -> None:
        """Keep texts by item id. An item that is there already keeps its text."""
        fresh = {item: text for item, text in texts.items() if item not in self._row_of}
        if not fresh:
            return
        numbers = [int(each.stem.partition("-")[2]) for end in (PART, DAMAGED) for each in self._directory.glob(f"part-*{end}")]
        part = self._directory / f"part-{max(numbers, default=-1) + 1:06d}{PART}"
        sealed.write(part, json.dumps(list(fresh.items())).encode())
        self.refresh()

    def refresh(self) -> None:
        """Take in texts that another process has added since."""
        for part in sorted(self._directory.glob(f"part-*{PART}")):
            if part.name in self._read:
                continue
            content = sealed.read(part)
            if content is None:
                with contextlib.suppress(FileNotFoundError):  # another process was first
                    part.replace(part.with_suffix(DAMAGED))
                continue
            for item, text in json.loads(content):
                if item not in self._row_of:
                    self._row_of[item] = len(self._texts)
                    self._texts.append(text)
                    self._keys.append(digest_of(text))
            self._read.add(part.name)

    def has(self, ids: npt.ArrayLike) -> BoolArray:
        """Shape (n,). Whether each item is here."""
        return np.array([item in self._row_of for item in np.asarray(ids, dtype=np.int64).tolist()], dtype=np.bool_)

    def missing(self, ids: Sequence[int] | IntArray) -> list[int]:
        """The given items that are not here, in the given order."""
        return [item for item in np.asarray(ids, dtype=np.int64).tolist() if item not in self._row_of]

    def rows(self, ids: npt.ArrayLike) -> IntArray:
        """Rows of the given items, shape (n,).

        Raises:
            InvalidValue: some are not here; the first is named.
            DamagedRows: and there are files that were damaged, so that they may have been.
        """
        missing = self.missing(np.asarray(ids, dtype=np.int64))
        damaged = sorted(self._directory.glob(f"part-*{DAMAGED}")) if missing else []
        if damaged:
            raise DamagedRows(f"{len(missing)} texts are lost, as {damaged[-1]} is damaged: is the disk in order? They are added anew")
        if missing:
            raise InvalidValue(f"{counted(len(missing), 'item', 'have')} no text in the cache, the first is {missing[0]}")
        return np.array([self._row_of[item] for item in np.asarray(ids, dtype=np.int64).tolist()], dtype=np.int64)

    def batch(self, rows: IntArray) -> list[str]:
        return [self._texts[row] for row in np.asarray(rows).tolist()]

    def keys(self, rows: IntArray) -> IntArray:
        return np.array([self._keys[row] for row in np.asarray(rows).tolist()], dtype=np.int64)
