from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcal_engine.classifiers import make
from mcal_engine.classifiers.base import TooFewClasses
from mcal_engine.classifiers.encoders import EncoderUnavailable
from mcal_engine.classifiers.texts.text_cache import ListTexts
from mcal_engine.errors import InvalidValue
from tests.engine.classifiers.texts.sentences import sentences

pytestmark = pytest.mark.slow

TRAIN, REST = np.arange(60), np.arange(60, 150)


def learns(name: str, folder: Path) -> None:
    """It tells the classes apart, the same way each time, and says least of a class that it has not seen."""
    texts, labels = sentences(150)
    one, again = (make(name, ListTexts(texts), cache_dir=folder / str(n), device="cpu", reads="text") for n in range(2))
    one.fit(TRAIN, labels[TRAIN], 4, seed=1)
    again.fit(TRAIN[::-1].copy(), labels[TRAIN][::-1].copy(), 4, seed=2)
    logits = one.logits(REST)
    assert np.array_equal(logits, again.logits(REST))
    assert logits.shape == (90, 4)
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == labels[REST]).mean() > 0.9
    assert (logits.argmin(axis=1) == 3).all()
    assert one.features(REST).shape[0] == 90
    with pytest.raises(TooFewClasses):
        one.fit(TRAIN[:3], np.zeros(3, dtype=np.int64), 4, seed=1)


def test_words_tell_classes_apart_without_a_download(tmp_path: Path) -> None:
    learns("tfidf", tmp_path)


def test_a_frozen_encoder_tells_classes_apart_and_long_texts_are_read_to_their_end(tmp_path: Path) -> None:
    learns("frozen", tmp_path)
    from mcal_engine.classifiers import devices
    from mcal_engine.classifiers.texts.encoders import TextEncoder, find

    encoder = TextEncoder(find(None), devices.pick("cpu"))
    texts, _ = sentences(10)
    alone, among = encoder(texts[:1]), encoder(["another, much longer text " * 60, *texts[::-1]])
    assert np.array_equal(alone[0], among[-1])  # whatever comes with it
    start, same_start, other = encoder(["the weather is fine " * 70, "the weather is fine " * 70 + "a goal of the team " * 60, texts[0]])
    assert np.linalg.norm(start.astype(float) - same_start.astype(float)) > 0.1  # what stands behind the first window counts
    assert find(None).layers == (6, 4, 2)
    assert np.allclose(np.linalg.norm(other.astype(float).reshape(find(None).shape), axis=1), 1, atol=1e-2)


def test_an_encoder_that_is_not_there_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderUnavailable, match="holds no model"):
        make(f"frozen:{tmp_path / 'empty'}", ListTexts(["a"]), cache_dir=tmp_path, device="cpu", reads="text")
    with pytest.raises(InvalidValue, match="for encoders of images"):
        make("frozen:weights=x.pt", ListTexts(["a"]), cache_dir=tmp_path, device="cpu", reads="text")
