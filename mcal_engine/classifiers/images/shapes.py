"""Small images of simple shapes, told apart by shape and colour, with noise."""

from __future__ import annotations

import numpy as np

from mcal_engine.classifiers.base import UInt8Array
from mcal_engine.types import IntArray


def shapes(n: int, *, side: int = 28, n_classes: int = 3, seed: int = 0, colour: bool = True) -> tuple[UInt8Array, IntArray]:
    """Images uint8 (n, side, side, 3) and classes (n,): a bar across, a bar down, a square, a frame."""
    draw = np.random.default_rng(seed)
    classes = np.arange(n) % n_classes
    images = draw.integers(0, 60, (n, side, side, 3), dtype=np.uint8)
    quarter = side // 4
    for image, kind in zip(images, classes, strict=True):
        top, left = draw.integers(1, quarter, 2)
        paint = [255, 200, 90] if colour else [230, 230, 230]
        if kind == 0:
            image[top + quarter : top + 2 * quarter, left:-2] = paint
        elif kind == 1:
            image[top:-2, left + quarter : left + 2 * quarter] = paint
        elif kind == 2:
            image[top + quarter : top + 3 * quarter, left + quarter : left + 3 * quarter] = paint
        else:
            image[[top, -top - 1], left:-left] = paint
            image[top:-top, [left, -left - 1]] = paint
    if not colour:
        images[:] = images[..., :1]
    return images, classes.astype(np.int64)
