"""Images with a text beside them: the picture tells one half of a class, the text the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcal_engine.classifiers import make
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.classifiers.texts.text_cache import InRowsOf, ListTexts, TextCache
from mcal_engine.errors import InvalidValue
from mcal_engine.types import IntArray
from tests.engine.classifiers.texts.sentences import sentences

N, TRAIN, REST = 240, np.arange(120), np.arange(120, 240)


def items() -> tuple[np.ndarray, list[str], IntArray]:
    """Bars and squares by three topics: six classes."""
    pictures, shape = shapes(N, n_classes=2)
    texts, topic = sentences(N, noise=0)
    return pictures, texts, shape + 2 * topic


def right(name: str, folder: Path, labels: IntArray, texts: list[str], pictures: np.ndarray) -> float:
    made = make(name, ArrayImages(pictures), cache_dir=folder, device="cpu", beside=ListTexts(texts))
    made.fit(TRAIN, labels[TRAIN], 6, seed=0)
    return float((made.logits(REST).argmax(axis=1) == labels[REST]).mean())


@pytest.mark.slow
def test_both_sees_what_picture_and_text_tell_together(tmp_path: Path) -> None:
    pictures, texts, labels = items()
    assert right("both", tmp_path, labels, texts, pictures) > 0.9
    assert right("frozen", tmp_path, labels, texts, pictures) < 0.5  # the picture alone tells two of six
    assert right("both", tmp_path / "unsaid", labels, [""] * N, pictures) < 0.5  # and no text tells nothing


@pytest.mark.slow
def test_both_keeps_features_of_each_kind_side_by_side(tmp_path: Path) -> None:
    pictures, texts, labels = items()
    image = make("frozen", ArrayImages(pictures), cache_dir=tmp_path, device="cpu")
    text = make("frozen", ListTexts(texts), cache_dir=tmp_path, device="cpu", reads="text")
    both = make("both", ArrayImages(pictures), cache_dir=tmp_path, device="cpu", beside=ListTexts(texts))
    assert np.array_equal(both.features(REST), np.concatenate([text.features(REST), image.features(REST)], axis=1))
    assert both.prepare(REST) == 0  # found again
    both.fit(TRAIN[::-1].copy(), labels[TRAIN][::-1].copy(), 6, seed=3)
    once = both.logits(REST)
    both.fit(TRAIN, labels[TRAIN], 6, seed=0)
    assert np.array_equal(both.logits(REST), once)


def test_without_a_text_beside_it_names_what_sees_the_image_alone(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="classifier 'both' needs a text beside each image, and here is none: frozen"):
        make("both", ArrayImages(shapes(6)[0]), cache_dir=tmp_path)


def test_texts_are_found_in_the_rows_of_other_caches(tmp_path: Path) -> None:
    cache = TextCache(tmp_path)
    cache.add({7: "seven", 3: "three", 5: ""})
    beside = InRowsOf(cache, np.array([3, 5, 7]), np.array([4, 0, 2]))  # where a cache of images has these items
    assert beside.batch(np.array([2, 4, 0])) == ["seven", "three", ""]
    assert beside.keys(np.array([4])).tolist() == ListTexts(["three"]).keys(np.array([0])).tolist()
    with pytest.raises(InvalidValue, match="1 item has no text in the cache, the first is 9"):
        InRowsOf(cache, np.array([9]), np.array([0]))
