"""npz files: pictures and labels as arrays, under the names that MedMNIST, Keras and people give them."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mcal_engine.classifiers.images.decoding import GrayRange, range_of
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.labels import Classes, classes_of, from_one_hot
from mcal_engine.simulator.readers.listing import Listing, Pixels, listing_of, shown
from mcal_engine.words import counted

Array = npt.NDArray[Any]
_IMAGES = ("images", "image", "x", "data", "imgs", "pictures", "features")
_LABELS = ("labels", "label", "y", "targets", "target", "classes")
_NAMES = ("class_names", "classes_names", "label_names", "names")
_SPLITS = ("", "train_", "val_", "valid_", "test_", "_train", "_val", "_valid", "_test")
_CHANNELS = {1, 3, 4}
HOW = "save them with np.savez('data.npz', images=images, labels=labels)"


def read_npz(path: Path) -> Listing:
    """``images`` (n, H, W), (n, H, W, 1, 3 or 4) or channels first, and ``labels``; also in splits, which are put together.

    Pictures: uint8; bool; floats from 0 to 1 or from 0 to 255; uint16 and other deep integers, by one range for all. Labels: numbers,
    words, a column, one-hot; optional ``class_names``.
    """
    arrays = _load(path)
    names = next((arrays.pop(name) for name in list(arrays) if name in _NAMES), None)
    pairs = _pairs(arrays, path)
    pictures, notes = _together([_pictures(images, path) for images, _ in pairs.values()], path)
    parts = [_flat(labels, path) for _, labels in pairs.values()]
    if len({part.shape[1:] for part in parts}) > 1:
        raise InvalidValue(f"{path}: the labels of {shown(list(pairs))} have different shapes")
    labels = np.concatenate(parts)
    if len(pictures) != len(labels):
        raise InvalidValue(f"{path}: {counted(len(pictures), 'image')} need as many labels, got {len(labels):,}")
    class_names = None if names is None else [_word(name) for name in names.reshape(-1).tolist()]
    classes = _classes(labels, class_names, path)
    used = {name for pair in pairs for name in pair.split(" and ")}
    unused = Counter({f"array named {name}": 1 for name in arrays if name not in used})
    if len(pairs) > 1:
        notes.append(f"{shown(list(pairs))} were put together")
    return listing_of(path.stem, pictures, classes, unused, notes, source=str(path))


def _load(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name.lower(): archive[name] for name in archive.files}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise InvalidValue(
                f"{path} is not a readable .npz file: it holds Python objects, which could run code when read; {HOW} as plain arrays"
            ) from None
        raise InvalidValue(f"{path} is not a readable .npz file: {error}") from None
    except (OSError, TypeError, zipfile.BadZipFile, EOFError, KeyError, AttributeError) as error:
        raise InvalidValue(f"{path} is not a readable .npz file: {error}") from None


def _pairs(arrays: Mapping[str, Array], path: Path) -> dict[str, tuple[Array, Array]]:
    """Images with their labels, by the names of the two; one pair for each split."""
    pairs = {}
    for split in _SPLITS:
        images = next((name for name in (_named(split, each) for each in _IMAGES) if name in arrays), None)
        labels = next((name for name in (_named(split, each) for each in _LABELS) if name in arrays), None)
        if images and labels:
            pairs[f"{images} and {labels}"] = (arrays[images], arrays[labels])
    if pairs:
        return pairs
    if len(arrays) == 2:  # np.savez without names: the one of pictures has more dimensions
        (first, second) = sorted(arrays, key=lambda name: -arrays[name].ndim)
        if arrays[first].ndim >= 3 and arrays[second].ndim <= 2 and not ({first, second} & {*_IMAGES, *_LABELS}):
            return {f"{first} and {second}": (arrays[first], arrays[second])}
    missing = [name for name in ("images", "labels") if name not in arrays]
    raise InvalidValue(
        f"{path} has no array named {' and none named '.join(missing)}; it holds {shown(sorted(arrays)) or 'nothing'}; {HOW}"
    )


def _named(split: str, name: str) -> str:
    return f"{name}{split}" if split.startswith("_") else f"{split}{name}"


def _pictures(images: Array, path: Path) -> Array:
    """Shape (n, H, W, 1, 3 or 4), of the type that was given."""
    if images.ndim == 3 and images.shape[2] > 4:
        return images[..., None]
    if images.ndim == 4 and images.shape[3] in _CHANNELS:
        return images
    if images.ndim == 4 and images.shape[1] in _CHANNELS:
        return images.transpose(0, 2, 3, 1)
    flat = " They look flattened: reshape them." if images.ndim == 2 else ""
    raise InvalidValue(
        f"{path}: images must be of shape (n, H, W[, 1, 3 or 4]) or (n, 1, 3 or 4, H, W), got {images.dtype} {images.shape}.{flat}"
    )


def _together(parts: list[Array], path: Path) -> tuple[Pixels, list[str]]:
    """All pictures as uint8 with 1 or 3 channels."""
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1 or len({part.dtype for part in parts}) > 1:
        raise InvalidValue(f"{path}: the images of all splits must have one shape and type, got {shown(sorted(map(str, shapes)))}")
    images = np.concatenate(parts) if len(parts) > 1 else parts[0]
    pixels, notes = _bytes(images, path)
    if pixels.shape[3] == 4:
        opaque = pixels[..., 3:].astype(np.float32) / 255
        pixels = np.round(pixels[..., :3] * opaque + 255 * (1 - opaque)).astype(np.uint8)
        notes.append("transparent parts were made white")
    return pixels, notes


def _bytes(images: Array, path: Path) -> tuple[Pixels, list[str]]:
    if images.dtype == np.uint8 or not images.size:
        return images.astype(np.uint8, copy=False), []
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * np.uint8(255), ["images of yes and no were read as white and black"]
    if not (np.issubdtype(images.dtype, np.integer) or np.issubdtype(images.dtype, np.floating)):
        raise InvalidValue(f"{path}: images must be numbers, got {images.dtype}")
    low, high = range_of(images)
    if low < 0 or (np.issubdtype(images.dtype, np.floating) and high > 255):
        raise InvalidValue(
            f"{path}: images must hold 0 … 255, or fractions 0 … 1, got {images.dtype} from {low:.3g} to {high:.3g}; save them before they "
            "are normalized"
        )
    fractions = np.issubdtype(images.dtype, np.floating)
    span = GrayRange(0.0, 1.0 if high <= 1 else 255.0) if fractions else GrayRange.of(low, high, whole_numbers=True)
    pixels = np.concatenate([span.to_bytes(images[at : at + 1000]) for at in range(0, len(images), 1000)])
    return pixels, [f"images of {images.dtype} were read as 0 … {span.high:,.0f}"]


def _flat(labels: Array, path: Path) -> Array:
    """Shape (n,) or, one-hot, (n, k)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim in {1, 2}:
        return labels
    raise InvalidValue(f"{path}: labels must be one per image, got {labels.dtype} {labels.shape}")


def _classes(labels: Array, names: list[str] | None, path: Path) -> Classes:
    def where(position: int) -> str:
        return f"{path.name} item {position}"

    if labels.ndim == 1:
        return classes_of(labels.tolist(), names, where, str(path))
    if not (np.issubdtype(labels.dtype, np.number) or labels.dtype == np.bool_):
        raise InvalidValue(f"{path}: labels must be one per image, got {labels.dtype} {labels.shape}")
    return from_one_hot(labels, names, where, str(path))


def _word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
