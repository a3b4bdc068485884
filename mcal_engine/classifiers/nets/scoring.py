"""Scoring many rows in pieces that fit in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mcal_engine.classifiers import devices
from mcal_engine.classifiers.base import Progress, ProgressCallback
from mcal_engine.classifiers.nets import parallel
from mcal_engine.types import FloatArray, IntArray

Piece = Callable[[IntArray, int], torch.Tensor]


def scored(rows: IntArray, piece: Piece, width: int, at_once: int, device: torch.device, progress: ProgressCallback | None) -> FloatArray:
    """What ``piece`` makes of each row, shape (n, width), float64; this process's part of the rows, then everybody's.

    Args:
        piece: called with some rows and how many there are at most; where memory runs out, again with fewer from there on.
    """
    mine = np.asarray(rows)[parallel.my_part(len(rows))]
    found, start = np.empty((len(mine), width)), 0
    while start < len(mine):
        some = mine[start : start + at_once]
        try:
            found[start : start + len(some)] = piece(some, at_once).cpu().numpy()
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
            at_once //= 2
        else:
            start += len(some)
            if progress is not None:
                progress(Progress("score", len(rows) * start // len(mine), len(rows)))
            continue
        devices.release(device)
        if progress is not None:
            progress(Progress("score", start, len(rows), note=f"memory ran out: {at_once} images are scored at a time from here on"))
    return parallel.all_rows(found)
