"""Many encoded images to one uint8 array: corrupt ones are left out and counted, different sizes become one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.decoding import SIZES, choose_size, decode, image_size
from mcal_engine.errors import InvalidValue
from mcal_engine.types import IntArray

Encoded = bytes | Path
MAX_TOTAL_BYTES = 4 << 30  # of decoded images; beyond it they are made smaller, since all of them are held in memory


def decode_all(encoded: Sequence[Encoded], source: str) -> tuple[npt.NDArray[np.uint8], IntArray, tuple[str, ...]]:
    """Decode to RGB at one size, chosen as the Label Studio service chooses it.

    Returns:
        images (n, S, S, 3), the positions of ``encoded`` that could be read (n,), and notes for the report.
    """
    sizes = {position: known for position, one in enumerate(encoded) if (known := _size_of(one)) is not None}
    if not sizes:
        raise InvalidValue(f"none of the {len(encoded):,} images of {source} can be read")
    size = affordable(choose_size(list(sizes.values())), len(encoded))
    images = np.empty((len(sizes), size, size, 3), dtype=np.uint8)
    kept: list[int] = []
    for position in sizes:
        try:
            images[len(kept)] = decode(_content(encoded[position]), size)
        except UnreadableImage:
            continue  # left out and counted, as the service sets such an item aside
        kept.append(position)
    if not kept:
        raise InvalidValue(f"none of the {len(encoded):,} images of {source} can be read")
    notes = _said({sizes[position] for position in kept}, size)
    if len(kept) < len(encoded):
        notes = (*notes, f"{len(encoded) - len(kept):,} of {len(encoded):,} images could not be read and were left out")
    return images[: len(kept)], np.array(kept, dtype=np.int64), notes


def resize_all(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Decoded images (n, H, W, C) as squares of at most 128 px, with a note if that changed them."""
    n, height, width, channels = images.shape
    size = height if height == width <= SIZES[-1] else choose_size([(width, height)])
    size = affordable(size, n)
    if (height, width) == (size, size):
        return images, ()
    resized = np.empty((n, size, size, channels), dtype=np.uint8)
    for row, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if channels == 1 else image).resize((size, size), Image.Resampling.BILINEAR)
        resized[row] = np.asarray(picture).reshape(size, size, channels)
    return resized, _said({(width, height)}, size)


def affordable(size: int, n_images: int) -> int:
    """``size``, or the largest smaller one at which all images fit into ``MAX_TOTAL_BYTES``."""
    fitting = [one for one in (size, *reversed(SIZES)) if one <= size and n_images * one * one * 3 <= MAX_TOTAL_BYTES]
    return fitting[0] if fitting else SIZES[0]


def _said(sizes: set[tuple[int, int]], size: int) -> tuple[str, ...]:
    if sizes == {(size, size)}:
        return ()
    smallest, largest = min(sizes), max(sizes)
    if len(sizes) == 1:
        return (f"images of {smallest[0]}×{smallest[1]} were resized to {size}×{size}",)
    return (f"images of {len(sizes):,} sizes ({smallest[0]}×{smallest[1]} to {largest[0]}×{largest[1]}) were resized to {size}×{size}",)


def _size_of(encoded: Encoded) -> tuple[int, int] | None:
    try:
        return image_size(_content(encoded))
    except UnreadableImage:
        return None


def _content(encoded: Encoded) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    try:
        return encoded.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"the file cannot be opened ({error.strerror})") from None
