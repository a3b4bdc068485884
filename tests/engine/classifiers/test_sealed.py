"""Files that say themselves whether they are whole: checkpoints, nets, kept answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mcal_engine.classifiers import sealed
from mcal_engine.classifiers.nets.checkpoints import Checkpoint, NetShelf

pytestmark = pytest.mark.slow


def damages(content: bytes, step: int) -> list[bytes]:
    """The content cut short, and with one bit flipped here and there."""
    flipped = [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in range(0, len(content), step)]
    return [b"", content[:5], content[:40], content[:-1], *flipped]


def test_what_was_written_is_read_and_anything_else_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.pt"
    assert sealed.read(path) is None
    sealed.write(path, b"content")
    assert sealed.read(path) == b"content"
    for damaged in damages(path.read_bytes(), 1):
        path.write_bytes(damaged)
        assert sealed.read(path) is None
    assert [each.name for each in path.parent.iterdir()] == ["file.pt"]


def test_a_damaged_checkpoint_or_net_is_as_none(tmp_path: Path) -> None:
    keys, labels = np.arange(3), np.zeros(3, dtype=np.int64)
    point, shelf = Checkpoint(tmp_path, "key"), NetShelf(tmp_path, "candidate")
    point.save({"epoch": 3, "weights": torch.arange(50.0)}, at_once=True)
    shelf.keep(keys, labels, {"weights": torch.arange(50.0)})
    loads = {path: path.read_bytes() for path in tmp_path.rglob("*.pt")}
    assert len(loads) == 2
    assert point.load() is not None and shelf.best(np.arange(4), np.zeros(4, dtype=np.int64)) is not None
    for path, content in loads.items():
        for damaged in damages(content, 37):
            path.write_bytes(damaged)
            found = point.load() if path.parent.name == "fits" else shelf.best(np.arange(4), np.zeros(4, dtype=np.int64))
            assert found is None
            assert not path.exists()
