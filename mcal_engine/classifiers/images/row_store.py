"""Append-only rows of one size on disk, found by a 64-bit key; survives a kill, a power cut and several writers.

Two files: ``rows.bin`` holds the rows back to back, ``index.bin`` one record per row, written after it. A row counts once its record is
there. Records carry a digest of their row: when a store is opened, rows that were not known to be on the disk (see ``synced``) are read
and compared, and everything from the first damaged one on is given up, to be added again by whoever needs it. Every other row is compared
when it is first read. One that is damaged is never handed out: its record is marked, and its key is as if it had never been added.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mcal_engine.errors import MCALError
from mcal_engine.types import IntArray
from mcal_engine.words import counted, counted_of, verb

RECORD = np.dtype([("key", "<i8"), ("digest", "<i8"), ("check", "<u8")])
SYNC_EVERY_BYTES = 32 << 20  # between two fsyncs; a kill loses nothing, a power cut at most this much
COMPARED_AT_ONCE = 256  # rows
ROW_BYTES = "row-bytes"  # the file that tells how long a row is, twice: a damaged one is told
INDEX = "index.bin"


class DamagedRows(MCALError):
    """Rows on this machine's disk are not those that were kept. They are forgotten already: whoever asks again makes them anew."""


def digest_of(row: npt.NDArray[Any]) -> int:
    """A 64-bit digest of an array's bytes."""
    return int.from_bytes(hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest(), "little", signed=True)


class RowStore:
    """Rows of ``shape`` and ``dtype`` in ``directory``. Safe for several threads and processes; all may read and append."""

    def __init__(self, directory: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape)) * self._dtype.itemsize
        directory.mkdir(parents=True, exist_ok=True)
        self._rows_path, self._index_path, self._synced_path = (directory / name for name in ("rows.bin", INDEX, "synced"))
        if row_bytes_of(directory) != self._row_bytes:
            (directory / ROW_BYTES).write_text(f"{self._row_bytes} {self._row_bytes}")
        self._thread_lock = threading.RLock()
        self._lock_path = directory / "lock"
        for path in (self._rows_path, self._index_path):
            path.touch()
        self._n = 0
        self._records: npt.NDArray[Any] = np.empty(0, dtype=RECORD)  # the first _n are in use
        self._compared = np.zeros(0, dtype=np.bool_)  # as long: whether this process has compared the row with its digest
        self._forgotten: set[int] = set()  # rows that were damaged
        self._row_of: dict[int, int] = {}
        self._unsynced = 0
        self._map: npt.NDArray[Any] = np.empty((0, *shape), dtype=self._dtype)
        with self._locked():
            self._recover()

    def __len__(self) -> int:
        return self._n

    def find(self, keys: IntArray) -> IntArray:
        """Rows of ``keys``, shape (n,); −1 where there is none."""
        return np.fromiter((self._row_of.get(key, -1) for key in keys.tolist()), dtype=np.int64, count=len(keys))

    def digests(self, rows: IntArray) -> IntArray:
        """The digest of each row, shape (n,)."""
        return np.asarray(self._records["digest"][self._checked(rows)], dtype=np.int64)

    def read(self, rows: IntArray) -> npt.NDArray[Any]:
        """A copy of the given rows, shape (n, *shape).

        Raises:
            DamagedRows: some are not what was kept; they are forgotten.
        """
        rows = self._checked(rows)
        damaged = self.forget_damaged(rows)
        if damaged:
            raise DamagedRows(
                f"{counted_of(damaged, len(rows), 'row')} in {self._rows_path} {verb(damaged, 'do')} not have "
                f"the digest that they were kept with: "
                "is the disk in order? They are forgotten, and made again at the next try"
            )
        return np.asarray(self._mapped()[rows])

    def forget_damaged(self, rows: IntArray) -> int:
        """Compare rows with their digests, once per process; forget those that differ, and return how many these are."""
        rows = np.unique(self._checked(rows))
        new = rows[~self._compared[rows]]
        if len(new) == 0:
            return 0
        mapped, expected = self._mapped(), self._records["digest"][new].tolist()
        same = np.array([digest_of(mapped[row]) == digest for row, digest in zip(new.tolist(), expected, strict=True)], dtype=np.bool_)
        self._compared[new[same]] = True
        for row in new[~same].tolist():
            self._forget(row)
        return int((~same).sum())

    def append(self, keys: IntArray, rows: npt.NDArray[Any]) -> None:
        """Add ``rows`` (n, *shape) under ``keys`` (n,); keys that are there already keep the row they have."""
        if rows.shape[1:] != self._shape or rows.dtype != self._dtype:
            raise ValueError(f"rows must be {self._dtype} of shape (n, {self._shape}), got {rows.dtype} of {rows.shape}")
        with self._locked():
            self._catch_up()
            first: dict[int, int] = {}
            for at, key in enumerate(keys.tolist()):
                if key not in self._row_of:
                    first.setdefault(key, at)
            new = list(first.values())
            if not new:
                return
            added = np.ascontiguousarray(rows[new])
            records = np.empty(len(new), dtype=RECORD)
            records["key"] = keys[new]
            records["digest"] = [digest_of(row) for row in added]
            records["check"] = _check(records)
            _write_at(self._rows_path, len(self) * self._row_bytes, added.tobytes())
            _write_at(self._index_path, len(self) * RECORD.itemsize, records.tobytes())
            self._take(records)
            self._unsynced += added.nbytes
            if self._unsynced >= SYNC_EVERY_BYTES:
                self._sync()

    def rows(self) -> IntArray:
        """All rows but those that are forgotten."""
        return np.setdiff1d(np.arange(self._n), np.array(sorted(self._forgotten), dtype=np.int64))

    def keys(self) -> IntArray:
        """The key of each of :meth:`rows`."""
        return np.asarray(self._records["key"][self.rows()], dtype=np.int64)

    def chunk(self, rows: IntArray) -> tuple[bytes, bytes]:
        """Some rows as bytes for another machine's store: their records, and the rows themselves, back to back."""
        return self._records[self._checked(rows)].tobytes(), self.read(rows).tobytes()

    def take_in(self, records: bytes, content: bytes) -> None:
        """Add what :meth:`chunk` of another store gave; keys that are there already keep the row they have.

        Raises:
            ValueError: it is not whole, or not of this shape; nothing was added.
        """
        found = records_in(records)
        if len(content) != len(found) * self._row_bytes:
            raise ValueError(f"{counted(len(found), 'row')} of {self._row_bytes} bytes were announced, {len(content)} bytes came")
        rows = np.frombuffer(content, dtype=self._dtype).reshape(len(found), *self._shape)
        if [digest_of(row) for row in rows] != found["digest"].tolist():
            raise ValueError("a row does not have the digest it was announced with")
        self.append(np.asarray(found["key"], dtype=np.int64), rows)

    def flush(self) -> None:
        """Wait until all rows are on the disk, so that the next opening need not read them."""
        with self._locked():
            self._catch_up()
            self._sync()

    def refresh(self) -> None:
        """Take in what other processes have added since."""
        with self._locked():
            self._catch_up()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock, self._lock_path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _checked(self, rows: IntArray) -> IntArray:
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows must be in 0 … {len(self) - 1}, got {rows.min()} … {rows.max()}")
        return rows

    def _mapped(self) -> npt.NDArray[Any]:
        with self._thread_lock:
            if self._rows_path.stat().st_size < len(self) * self._row_bytes:  # to read beyond the end would kill the process
                raise DamagedRows(f"{self._rows_path} has become shorter than its {counted(len(self), 'row')}: what is lost is made again")
            if len(self._map) < len(self):
                self._map = np.memmap(self._rows_path, dtype=self._dtype, mode="r", shape=(len(self), *self._shape))
            return self._map

    def _forget(self, row: int) -> None:
        """Mark a row's record, on the disk too, so that no process finds it any more; a later row of its key takes its place."""
        with self._locked():
            self._catch_up()
            record = self._records[row : row + 1].copy()
            with self._index_path.open("rb") as file:
                file.seek(row * RECORD.itemsize)
                unchanged = file.read(RECORD.itemsize) == record.tobytes()
            if unchanged:
                record["check"] = ~_check(record)
                _write_at(self._index_path, row * RECORD.itemsize, record.tobytes())
            self._forgotten.add(row)
            key = int(record["key"][0])
            if self._row_of.get(key) == row:
                del self._row_of[key]
                later = [each for each in np.flatnonzero(self._records["key"][: self._n] == key).tolist() if each not in self._forgotten]
                if later:
                    self._row_of[key] = later[0]

    def _take(self, records: npt.NDArray[Any]) -> None:
        end = self._n + len(records)
        if end > len(self._records):
            more = max(end, 1024)
            self._records = np.concatenate([self._records[: self._n], np.empty(more, dtype=RECORD)])
            self._compared = np.concatenate([self._compared[: self._n], np.zeros(more, dtype=np.bool_)])
        self._records[self._n : end] = records
        forgotten = (records["check"] != _check(records)).tolist()
        for row, (key, gone) in enumerate(zip(records["key"].tolist(), forgotten, strict=True), start=self._n):
            if gone:
                self._forgotten.add(row)
            else:
                self._row_of.setdefault(key, row)
        self._n = end

    def _catch_up(self) -> None:
        """Called with the lock held: records that others wrote since are whole, as writers hold the lock too."""
        if self._index_path.stat().st_size > self._n * RECORD.itemsize:
            self._take(self._read_records())

    def _read_records(self) -> npt.NDArray[Any]:
        """Whole, undamaged records that follow the known ones in the index and have their row in the data file."""
        with self._index_path.open("rb") as file:
            file.seek(self._n * RECORD.itemsize)
            content = file.read()
        n = min(len(content) // RECORD.itemsize, self._rows_path.stat().st_size // self._row_bytes - self._n)
        records = np.frombuffer(content, dtype=RECORD, count=max(n, 0))
        good = _check(records)
        bad = np.flatnonzero((records["check"] != good) & (records["check"] != ~good))
        return records[: bad[0]] if len(bad) else records

    def _recover(self) -> None:
        records = self._read_records()
        n = min(self._synced(), len(records))
        with self._rows_path.open("rb") as file:
            file.seek(n * self._row_bytes)
            while n < len(records):
                expected = records["digest"][n : n + COMPARED_AT_ONCE].tolist()
                content = np.frombuffer(file.read(len(expected) * self._row_bytes), dtype=np.uint8).reshape(len(expected), -1)
                dead = (records["check"] != _check(records))[n : n + COMPARED_AT_ONCE].tolist()
                same = [gone or digest_of(row) == digest for row, digest, gone in zip(content, expected, dead, strict=True)]
                n += same.index(False) if not all(same) else len(same)
                if not all(same):
                    break
        self._take(records[:n])
        # What is given up must not be taken for rows again once others are appended over it.
        os.truncate(self._index_path, n * RECORD.itemsize)
        os.truncate(self._rows_path, n * self._row_bytes)
        if n < self._synced() or len(records) > self._synced():
            self._sync()

    def _synced(self) -> int:
        try:
            return int(self._synced_path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _sync(self) -> None:
        """Called with the lock held."""
        for path in (self._rows_path, self._index_path):
            _fsync(path)
        fresh = self._synced_path.with_suffix(".new")
        fresh.write_text(str(len(self)))
        _fsync(fresh)
        fresh.replace(self._synced_path)
        self._unsynced = 0


def records_in(content: bytes) -> npt.NDArray[Any]:
    """The records of a chunk; ValueError where they are not whole."""
    if len(content) % RECORD.itemsize:
        raise ValueError(f"records have {RECORD.itemsize} bytes each, got {len(content)} bytes")
    records = np.frombuffer(content, dtype=RECORD)
    if (records["check"] != _check(records)).any():
        raise ValueError("a record does not have its checksum")
    return records


def row_bytes_of(directory: Path) -> int | None:
    """How long a row of the store in ``directory`` is, to open it as bytes without knowing its shape.

    ``None`` where there is no store, or nobody can tell until it is opened by its shape.
    """
    try:
        one, other = (directory / ROW_BYTES).read_bytes().split(b" ")
        return int(one) if one == other else None
    except (FileNotFoundError, ValueError):
        return None


def _check(records: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """A checksum of each record, so that a torn or zero-filled one is not taken for a row."""
    mixed = records["key"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ records["digest"].astype(np.uint64)
    return np.asarray((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(1))


def _write_at(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def _fsync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
