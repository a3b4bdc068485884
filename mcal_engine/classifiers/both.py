"""``both``: what an image shows and what the text beside it says, features side by side under one head. Neither encoder is ever trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcal_engine.classifiers.base import ImageSource, ProgressCallback, TextSource
from mcal_engine.classifiers.frozen import FrozenClassifier
from mcal_engine.classifiers.images.computed_rows import HalfArray
from mcal_engine.classifiers.on_features import Embeddings, OnFeatures
from mcal_engine.classifiers.texts.frozen import FrozenTexts
from mcal_engine.types import IntArray


class BothClassifier(OnFeatures):
    """One view of the text's features, one of all, and neighbours in all, blended as held-out examples say.

    The text is the first view since it has fewer features, which would be drowned among the image's where it alone tells the classes.
    """

    name = "both"

    def __init__(self, images: ImageSource, *, beside: TextSource, cache_dir: Path, device: str = "auto") -> None:
        """``beside``: the text of each image, in the same rows; "" where there is none."""
        image, text = FrozenClassifier(images, cache_dir=cache_dir, device=device), FrozenTexts(beside, cache_dir=cache_dir, device=device)
        rows = SideBySide(text.embeddings, image.embeddings)
        super().__init__(rows, image.device, n_front=rows.n_first)


class SideBySide:
    """Two kinds of features of the same items, the first ones in front."""

    def __init__(self, first: Embeddings, second: Embeddings) -> None:
        self._parts = (first, second)

    @property
    def width(self) -> int:
        """Features of both."""
        return sum(part.width for part in self._parts)

    @property
    def n_first(self) -> int:
        """Features of the first kind."""
        return self._parts[0].width

    def fill(self, rows: IntArray, progress: ProgressCallback | None = None) -> int:
        """Compute what is missing; return how many of either kind that were."""
        return sum(part.fill(rows, progress) for part in self._parts)

    def places(self, rows: IntArray) -> IntArray:
        """Where the features of each row are, shape (n, 2)."""
        return np.stack([part.places(rows) for part in self._parts], axis=1)

    def at(self, places: IntArray) -> HalfArray:
        """Shape (n, width)."""
        return np.concatenate([part.at(places[:, kind]) for kind, part in enumerate(self._parts)], axis=1)
