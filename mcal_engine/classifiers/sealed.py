"""Files with a digest in front of their content: what a disk has changed since is as if it were not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

MARK = b"mcal-1\n"
_SIZE = 32


def write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(MARK + _digest(content))
        file.write(content)
    fresh.replace(path)


def read(path: Path) -> bytes | None:
    """What was written; ``None`` without the file, and where it is damaged, cut short, or of a version that wrote no digest."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return None
    start = len(MARK) + _SIZE
    content = found[start:]
    return content if found[:start] == MARK + _digest(content) else None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_SIZE).digest()
