"""Decoded images, embeddings and checkpoints on storage that several machines reach, so that another machine starts warm.

The working copy is always the local disk, memory-mapped (:class:`~mcal_engine.classifiers.images.row_store.RowStore`). What is shared are
immutable chunks of its rows, two objects each, named by their content: ``ROWBYTES-DIGEST.rows`` and, written after it,
``ROWBYTES-DIGEST.index`` with the rows' keys and digests. Nothing is ever changed in place, so writers need no lock, the same rows
shared twice do no harm, and a chunk that is torn or damaged is told by its digests and passed over. It is a cache: when the storage is
away, work goes on with what is here.

With a key, each object begins with a signature of its name and its content (HMAC-SHA256). One that has no signature, or a wrong one, is as
if it were not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fsspec.core import url_to_fs

from backend.jobs import scrub
from mcal_engine.classifiers.images.row_store import INDEX, RowStore, records_in, row_bytes_of
from mcal_engine.errors import InvalidValue
from mcal_engine.types import IntArray

logger = logging.getLogger(__name__)

CHUNK_BYTES = 32 << 20
LARGEST_ROW = 256 << 20  # bytes
SIGNED = b"MCAL-HMAC-SHA256\n"  # what a signed object begins with; then its signature, then its content
SIGNATURE_BYTES = hashlib.sha256().digest_size
_CHUNK = re.compile(r"(\d{1,9})-([0-9a-f]{32})")  # ROWBYTES-DIGEST
AWAY_SECONDS = 60.0  # without another try after a failure, so that each round does not wait for storage that is down
CONNECT_SECONDS, READ_SECONDS, TRIES = 5, 60, 2
_OPTIONS: dict[str, dict[str, Any]] = {
    "file": {"auto_mkdir": True},
    "s3": {
        "use_listings_cache": False,  # other machines add chunks
        "config_kwargs": {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retries": {"max_attempts": TRIES}},
    },
}
T = TypeVar("T")
Heartbeat = Callable[[], None]


class SharedCache:
    """Chunks of row stores below one address. Threads may share it; each place below it belongs to one kind of rows.

    Credentials come from where the storage's own library looks for them (for S3: ``AWS_…`` variables, files, the machine's role).
    """

    def __init__(self, url: str, key: bytes | None = None) -> None:
        """Ask nothing of the storage yet.

        Args:
            url: ``file:///FOLDER``, ``s3://BUCKET/PREFIX``, or another scheme that fsspec has a file system for.
            key: secret that all machines have: only objects that were signed with it are believed. ``None``: whatever is there is believed.

        Raises:
            InvalidValue: there is none for this scheme, or its library is not installed.
        """
        scheme = url.partition("://")[0]
        try:
            self._fs, self._root = url_to_fs(url, **_OPTIONS.get(scheme, {}))
        except ImportError:
            extra = ": pip install 'mcal-backend[s3]'" if scheme == "s3" else ""
            raise InvalidValue(f"cache_url {scheme}://… needs a library that is not installed{extra}") from None
        except ValueError as error:
            raise InvalidValue(f"cache_url must look like file:///FOLDER or s3://BUCKET/PREFIX: {scrub(str(error))}") from None
        self._scheme, self._key = scheme, key
        self._chunks: dict[str, dict[str, bytes]] = {}  # place → chunk's name → its records
        self._damaged: set[str] = set()
        self._unbelieved: set[str] = set()  # names of objects, each told once
        self._files: dict[Path, int] = {}  # local file → its time of change when it was shared
        self._lock = threading.Lock()
        self._away_until = 0.0

    def places(self, above: str) -> list[str]:
        """The names of the places directly below ``above``."""
        return sorted(name for name in self._names(above) if not name.endswith((".rows", ".index")) and name not in (".", ".."))

    def pull(self, place: str, directory: Path, heartbeat: Heartbeat, *, wanted: IntArray | None = None) -> int:
        """Take the rows that are missing in the local store into it; all of them, or the chunks with any of the ``wanted`` keys.

        ``heartbeat`` is called before each chunk; what it raises ends the pull. Returns how many rows were added.
        """
        added = 0
        store: RowStore | None = None
        for name, records in self._known(place).items():
            heartbeat()
            row_bytes = int(name.partition("-")[0])
            here = row_bytes_of(directory)
            if here != row_bytes and (here is not None or (directory / INDEX).exists()):
                continue  # rows of another version of the program, or nobody can tell
            if store is None:
                store = RowStore(directory, (row_bytes,), np.uint8)
            keys = np.asarray(records_in(records)["key"], dtype=np.int64)
            missing = keys[store.find(keys) < 0]
            if len(missing) == 0 or (wanted is not None and not np.isin(missing, wanted).any()):
                continue
            stored = self._try(f"reading {place}", partial(self._fs.cat_file, f"{self._root}/{place}/{name}.rows"))
            if stored is None:
                break
            content = self._believed(f"{place}/{name}.rows", stored)
            if content is None:
                self._pass_over(place, name)
                continue
            before = len(store)
            try:
                store.take_in(records, content)
            except ValueError as error:
                logger.warning("cache: %s/%s is damaged and passed over: %s", place, name, error)
                self._pass_over(place, name)
            added += len(store) - before
            store.flush()
        if added:
            logger.info("cache: %d rows of %s came from the shared storage", added, place)
        return added

    def push(self, place: str, directory: Path, heartbeat: Heartbeat) -> int:
        """Share the local store's rows that nobody has shared yet; returns how many."""
        row_bytes = row_bytes_of(directory)
        if row_bytes is None:
            return 0
        store = RowStore(directory, (row_bytes,), np.uint8)
        keys = [np.asarray(records_in(records)["key"], dtype=np.int64) for records in self._known(place).values()]
        known = np.concatenate([np.empty(0, dtype=np.int64), *keys])
        store.forget_damaged(store.rows()[~np.isin(store.keys(), known)])
        new = store.rows()[~np.isin(store.keys(), known)]
        step = max(CHUNK_BYTES // row_bytes, 1)
        done = 0
        for start in range(0, len(new), step):
            heartbeat()
            rows = new[start : start + step]
            if self._try(f"writing {place}", partial(self._write, place, row_bytes, *store.chunk(rows))) is None:
                break
            done += len(rows)
        if done:
            logger.info("cache: %d rows of %s shared", done, place)
        return done

    def pull_files(self, place: str, directory: Path, pattern: str, heartbeat: Heartbeat) -> None:
        """Take the whole files of a place that are missing in ``directory``, as they were shared last."""
        root = f"{self._root}/{place}"
        for path in self._try(f"listing {place}", partial(self._find, root)) or []:
            name = path[len(root) :].lstrip("/")
            here = directory / name
            if here.exists() or not here.match(pattern) or ".." in Path(name).parts:
                continue
            heartbeat()
            stored = self._try(f"reading {place}", partial(self._fs.cat_file, path))
            if stored is None:
                return
            content = self._believed(f"{place}/{name}", stored)
            if content is None:
                continue
            here.parent.mkdir(parents=True, exist_ok=True)
            fresh = here.with_name(f"{here.name}.new")
            fresh.write_bytes(content)
            fresh.replace(here)
            self._files[here] = here.stat().st_mtime_ns

    def push_files(self, place: str, directory: Path, pattern: str) -> None:
        """Share the files that are new or have changed here, and delete those that are gone here again."""
        there: dict[Path, int] = {}
        for path in directory.rglob(pattern):
            with contextlib.suppress(FileNotFoundError):  # its owner has just deleted it
                there[path] = path.stat().st_mtime_ns
        for path, changed in there.items():
            if self._files.get(path) != changed:
                name = path.relative_to(directory).as_posix()
                if self._try(f"writing {place}", partial(self._put, f"{place}/{name}", path)) is None:
                    return
                self._files[path] = changed
        for path in [each for each in self._files if each.is_relative_to(directory) and each not in there]:
            self._try(f"deleting {place}", partial(self._delete, f"{self._root}/{place}/{path.relative_to(directory).as_posix()}"))
            del self._files[path]

    def remove(self, place: str) -> None:
        """Delete a place and everything below it."""
        self._try(f"deleting {place}", partial(self._delete, f"{self._root}/{place}"))
        with self._lock:
            for known in [each for each in self._chunks if each == place or each.startswith(f"{place}/")]:
                del self._chunks[known]

    def _find(self, root: str) -> list[str]:
        self._fs.invalidate_cache()
        return list(self._fs.find(root)) if self._fs.exists(root) else []

    def _put(self, name: str, source: Path) -> bool:
        self._store(name, source.read_bytes())
        return True

    def _store(self, name: str, content: bytes) -> None:
        head = b"" if self._key is None else SIGNED + _signature(self._key, name, content)
        self._fs.pipe_file(f"{self._root}/{name}", head + content)

    def _believed(self, name: str, stored: bytes) -> bytes | None:
        """The content of an object; ``None``, told once, where it is not signed as this machine's key asks."""
        start = len(SIGNED) + SIGNATURE_BYTES
        if not stored.startswith(SIGNED):
            if self._key is None:
                return stored
            wrong = "has no signature"
        elif self._key is None:
            wrong = "is signed, MCAL_CACHE_KEY is not set here,"
        elif hmac.compare_digest(stored[len(SIGNED) : start], _signature(self._key, name, stored[start:])):
            return stored[start:]
        else:
            wrong = "does not have the signature of MCAL_CACHE_KEY"
        with self._lock:
            told = name in self._unbelieved
            self._unbelieved.add(name)
        if not told:
            logger.warning("cache: %s %s and is passed over", name[:200], wrong)
        return None

    def _delete(self, target: str) -> bool:
        if self._fs.exists(target):
            self._fs.rm(target, recursive=True)
        return True

    def _write(self, place: str, row_bytes: int, records: bytes, content: bytes) -> bool:
        name = f"{row_bytes}-{_digest(records)}"
        self._store(f"{place}/{name}.rows", content)
        self._store(f"{place}/{name}.index", records)  # last: a chunk counts once its index is there
        with self._lock:
            self._chunks.setdefault(place, {})[name] = records
        return True

    def _known(self, place: str) -> dict[str, bytes]:
        """The whole chunks of a place, by name; reads only the indexes that were not read before."""
        listed = {name.removesuffix(".index") for name in self._names(place) if name.endswith(".index")}
        with self._lock:
            known = dict(self._chunks.get(place, {}))
        for name in sorted(listed - known.keys()):
            if f"{place}/{name}" in self._damaged:
                continue
            stored = self._try(f"reading {place}", partial(self._fs.cat_file, f"{self._root}/{place}/{name}.index"))
            if stored is None:
                break
            records = self._believed(f"{place}/{name}.index", stored)
            if records is None:
                continue
            if _is_chunk(name, records):
                known[name] = records
            elif _CHUNK.fullmatch(name) is None or _digest(records) == name.partition("-")[2]:  # else it may be being written
                logger.warning("cache: %s/%s is no index of this program's and passed over", place, name[:100])
                with self._lock:
                    self._damaged.add(f"{place}/{name}")
        with self._lock:
            self._chunks.setdefault(place, {}).update(known)
        return {name: records for name, records in known.items() if name in listed}

    def _pass_over(self, place: str, name: str) -> None:
        with self._lock:
            self._damaged.add(f"{place}/{name}")
            self._chunks[place].pop(name, None)

    def _names(self, place: str) -> list[str]:
        def listed() -> list[str]:
            self._fs.invalidate_cache()
            try:
                return [path.rstrip("/").rpartition("/")[2] for path in self._fs.ls(f"{self._root}/{place}", detail=False)]
            except FileNotFoundError:
                return []

        return self._try(f"listing {place}", listed) or []

    def _try(self, what: str, work: Callable[[], T]) -> T | None:
        """``work()``, or ``None`` when the storage fails: each library has errors of its own, and none may stop a campaign."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return work()
        except Exception as error:  # noqa: BLE001
            self._away_until = time.monotonic() + AWAY_SECONDS
            told = scrub(f"{type(error).__name__}: {error}")
            logger.warning("cache: %s on the shared storage (%s) failed; going on without it for a while: %s", what, self._scheme, told)
            return None


def _is_chunk(name: str, records: bytes) -> bool:
    """Whether an index is whole and has a name that can be its own. Whoever writes to the storage can put anything there."""
    found = _CHUNK.fullmatch(name)
    if found is None or not 0 < int(found[1]) <= LARGEST_ROW or _digest(records) != found[2]:
        return False
    try:
        return len(records_in(records)) > 0
    except ValueError:
        return False


def _signature(key: bytes, name: str, content: bytes) -> bytes:
    """HMAC-SHA256 of an object. The name counts by its digest, which has one length: no content can pass for a part of it."""
    made = hmac.new(key, hashlib.sha256(name.encode(errors="surrogatepass")).digest(), hashlib.sha256)
    made.update(content)
    return made.digest()


def _digest(records: bytes) -> str:
    return hashlib.blake2b(records, digest_size=16).hexdigest()
