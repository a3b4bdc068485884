"""Many images to one uint8 array: corrupt ones are left out and named, different sizes become one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.images.decoding import (
    LOOKED_AT,
    SIZES,
    ImageForm,
    choose_form,
    choose_size,
    decode,
    image_size,
    measure,
    sample_of,
)
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.listing import Encoded, Pixels
from mcal_engine.types import IntArray
from mcal_engine.words import counted, counted_of

MAX_TOTAL_BYTES = 4 << 30  # of decoded images; beyond it they are made smaller, since all of them are held in memory
REASONS_SHOWN = 4


def decode_all(encoded: Sequence[Encoded], source: str) -> tuple[Pixels, IntArray, tuple[str, ...]]:
    """Decode to RGB in one form, chosen as the Label Studio service chooses it.

    Returns:
        images (n, S, S, 3), the positions of ``encoded`` that could be read (n,), and notes for the report.
    """
    reasons: Counter[str] = Counter()
    form = _form(encoded, reasons)
    if form is None:
        raise InvalidValue(f"none of the {counted(len(encoded), 'image')} of {source} can be read: {_most(reasons)}")
    reasons.clear()
    side = affordable(form.side, len(encoded))
    images = np.empty((len(encoded), side, side, 3), dtype=np.uint8)
    kept: list[int] = []
    sizes: set[tuple[int, int]] = set()
    for position, one in enumerate(encoded):
        try:
            content = _content(one)
            images[len(kept)] = decode(content, side, gray=form.gray)
            sizes.add(image_size(content))
        except UnreadableImage as error:
            reasons[error.reason] += 1  # left out and counted, as the service sets such an item aside
            continue
        kept.append(position)
    notes = _said(sizes, side)
    if form.gray is not None:
        notes = (*notes, f"deep gray was read as {form.gray.low:g} … {form.gray.high:g} in all images")
    if reasons:
        notes = (
            *notes,
            f"{counted_of(len(encoded) - len(kept), len(encoded), 'image')} could not be read and were left out: {_most(reasons)}",
        )
    return images[: len(kept)], np.array(kept, dtype=np.int64), notes


def resize_all(images: Pixels) -> tuple[Pixels, tuple[str, ...]]:
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


def _form(encoded: Sequence[Encoded], reasons: Counter[str]) -> ImageForm | None:
    """From a sample of the whole; ``None`` where not one image can be read."""
    measured = []
    for position in sample_of(len(encoded)).tolist():
        try:
            measured.append(measure(_content(encoded[position])))
        except UnreadableImage as error:
            reasons[error.reason] += 1
        if len(measured) == LOOKED_AT:
            break
    return choose_form(measured) if measured else None


def _most(reasons: Counter[str]) -> str:
    named = "; ".join(f"{n:,} {reason}" for reason, n in reasons.most_common(REASONS_SHOWN))
    return named if len(reasons) <= REASONS_SHOWN else f"{named}; and {len(reasons) - REASONS_SHOWN:,} other reasons"


def _said(sizes: set[tuple[int, int]], size: int) -> tuple[str, ...]:
    if sizes == {(size, size)}:
        return ()
    smallest, largest = min(sizes), max(sizes)
    if len(sizes) == 1:
        return (f"images of {smallest[0]}×{smallest[1]} were resized to {size}×{size}",)
    return (f"images of {len(sizes):,} sizes ({smallest[0]}×{smallest[1]} to {largest[0]}×{largest[1]}) were resized to {size}×{size}",)


def _content(encoded: Encoded) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    try:
        return encoded.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"the file cannot be opened ({error.strerror})") from None
