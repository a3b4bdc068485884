"""What a long fit leaves on the disk: where it stands, so that a killed one goes on; and its net, for a later round to start from."""

from __future__ import annotations

import hashlib
import io
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcal_engine.classifiers import sealed
from mcal_engine.types import IntArray

SAVED_EVERY = 30.0  # seconds; shorter fits leave nothing
FORGOTTEN_AFTER = 7 * 86400.0  # seconds; fits that nobody went on with
NETS_KEPT = 4  # per candidate, for warm starts


class Checkpoint:
    """The state of one fit, found again by what is fitted. Written whole or not at all."""

    def __init__(self, directory: Path, key: str, *, writes: bool = True) -> None:
        """``writes``: whether this process keeps the state (one of several does); all read it."""
        self._path, self._writes = directory / "fits" / f"{key}.pt", writes
        self._saved_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was kept last; None without one that can be read."""
        return _load(self._path)

    def save(self, state: Mapping[str, Any], *, at_once: bool = False) -> None:
        """Keep the state, now and then or ``at_once``."""
        if self._writes and (at_once or time.monotonic() - self._saved_at >= SAVED_EVERY):
            _save(self._path, state)
            self._saved_at = time.monotonic()
            for other in self._path.parent.glob("*.pt"):
                if time.time() - other.stat().st_mtime > FORGOTTEN_AFTER:
                    other.unlink(missing_ok=True)

    def forget(self) -> None:
        """The fit is done."""
        if self._writes:
            self._path.unlink(missing_ok=True)


class NetShelf:
    """Finished nets of one candidate, each with the labels it was trained on.

    A net is handed out only for a set of labels that contains all of its own: nothing that was ever in it can be a test item now,
    though campaigns share the folder.
    """

    def __init__(self, directory: Path, candidate: str, *, writes: bool = True) -> None:
        self._folder = directory / "nets" / digest(candidate)
        self._writes = writes

    def best(self, keys: IntArray, labels: IntArray) -> dict[str, Any] | None:
        """The net with the most labels whose (key, label) pairs are some, not all, of the given ones."""
        wanted = set(zip(keys.tolist(), labels.tolist(), strict=True))
        found = [kept for path in sorted(self._folder.glob("*.pt")) if (kept := _load(path)) is not None]
        usable = [kept for kept in found if set(zip(kept["keys"].tolist(), kept["labels"].tolist(), strict=True)) < wanted]
        return max(usable, key=lambda kept: len(kept["keys"]), default=None)

    def keep(self, keys: IntArray, labels: IntArray, state: Mapping[str, Any]) -> None:
        if not self._writes:
            return
        _save(self._folder / f"{digest(keys, labels)}.pt", {"keys": torch.from_numpy(keys), "labels": torch.from_numpy(labels), **state})
        for old in sorted(self._folder.glob("*.pt"), key=lambda path: path.stat().st_mtime)[:-NETS_KEPT]:
            old.unlink(missing_ok=True)


def digest(*parts: object) -> str:
    """A file name for what ``parts`` say; arrays count with their content."""
    hasher = hashlib.blake2b(digest_size=12)
    for part in parts:
        content = np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        hasher.update(f"{len(content)};".encode() + content)
    return hasher.hexdigest()


def _load(path: Path) -> dict[str, Any] | None:
    content = sealed.read(path)
    if content is None:
        path.unlink(missing_ok=True)
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError):  # of another version of torch
        path.unlink(missing_ok=True)
        return None
    return state


def _save(path: Path, state: Mapping[str, Any]) -> None:
    content = io.BytesIO()
    torch.save(dict(state), content)
    sealed.write(path, content.getvalue())
