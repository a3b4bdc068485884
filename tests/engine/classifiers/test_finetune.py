"""Fine-tuning through the contract of all candidates, and what is its own: kept maps, mirror images, warm starts, class weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mcal_engine.classifiers import finetune, make
from mcal_engine.classifiers.base import UNSEEN_CLASS_GAP, Progress, TooFewClasses
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.classifiers.nets import checkpoints
from mcal_engine.classifiers.nets.headed import Headed
from mcal_engine.errors import InvalidValue

pytestmark = pytest.mark.slow

TRAIN, REST = np.arange(12), np.arange(12, 20)
SIDE = 20


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """One cache of maps for the module: the same 20 images serve most tests."""
    return tmp_path_factory.mktemp("maps")


def tuned(cache: Path, name: str = "finetune:epochs=1:nets=1:frozen=no", *, labels=None, n_classes: int = 3, seed: int = 7, images=None):
    pictures, classes = shapes(20, side=SIDE)
    classifier = make(name, ArrayImages(pictures if images is None else images), cache_dir=cache, device="cpu")
    classifier.fit(TRAIN, classes[TRAIN] if labels is None else labels, n_classes, seed=seed)
    return classifier


def count_lower(monkeypatch) -> list[int]:
    counted: list[int] = []
    real = finetune._Lower.__call__

    def counting(self, images):
        counted.append(len(images))
        return real(self, images)

    monkeypatch.setattr(finetune._Lower, "__call__", counting)
    return counted


def test_several_nets_say_the_mean_of_what_each_would_say_alone_and_look_like_the_first(kept):
    together = tuned(kept, "finetune:epochs=1:nets=2:frozen=no")
    alone = [tuned(kept, seed=seed) for seed in (7, 8)]
    assert np.allclose(together.logits(REST), np.mean([one.logits(REST) for one in alone], axis=0), rtol=0, atol=1e-9)
    assert np.array_equal(together.features(REST), alone[0].features(REST))


def test_the_head_on_the_untrained_encoder_has_its_say(kept):
    both = tuned(kept, "finetune:epochs=1:nets=1", n_classes=4).logits(REST)
    alone, frozen = tuned(kept, n_classes=4).logits(REST), tuned(kept, "frozen", n_classes=4).logits(REST)
    assert np.allclose(both[:, :3], (alone + finetune.FROZEN_WEIGHT * frozen)[:, :3], rtol=0, atol=1e-6)
    assert np.allclose(both[:, 3], both[:, :3].min(axis=1) - UNSEEN_CLASS_GAP)


def test_a_warm_start_of_several_nets_gives_each_its_own(tmp_path):
    images, labels = shapes(20, side=SIDE)
    logits = []
    for _ in range(2):
        after = make("finetune:epochs=2:nets=2:frozen=no:warm=yes", ArrayImages(images), cache_dir=tmp_path, device="cpu")
        after.fit(TRAIN[:8], labels[:8], 3, seed=0)
        assert after.fit(TRAIN, labels[TRAIN], 3, seed=0).epochs == 2
        logits.append([net.head(torch.ones(1, 1280)) for net in after._nets])
    assert not torch.equal(logits[0][0], logits[0][1])


def test_shapes_are_learnt_from_a_few_examples(kept):
    images, labels = shapes(60, side=SIDE)
    classifier = make("finetune", ArrayImages(images), cache_dir=kept, device="cpu")
    classifier.fit(np.arange(36), labels[:36], 3, seed=7)
    assert (classifier.logits(np.arange(36, 60)).argmax(axis=1) == labels[36:]).mean() > 0.9


def test_the_same_inputs_and_seed_give_the_same_logits_bit_for_bit_in_any_order_of_labels(kept):
    state = torch.random.get_rng_state()
    first = tuned(kept).logits(REST)
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's generator is left alone
    images, labels = shapes(20, side=SIDE)
    again = make("finetune:epochs=1:nets=1:frozen=no", ArrayImages(images), cache_dir=kept, device="cpu")
    again.fit(TRAIN[::-1].copy(), labels[TRAIN[::-1]], 3, seed=7)
    assert np.array_equal(first, again.logits(REST))
    assert not np.array_equal(first, tuned(kept, seed=8).logits(REST))


def test_a_row_s_logits_do_not_depend_on_what_else_is_scored(kept):
    classifier = tuned(kept)
    assert np.array_equal(classifier.logits(REST)[5:7], classifier.logits(REST[5:7]))
    assert classifier.logits(REST[:0]).shape == (0, 3)
    assert classifier.features(REST[:0]).shape == (0, 1280)


def test_classes_without_an_example_are_far_below_the_others_but_finite(kept):
    logits = tuned(kept, labels=np.array([1, 4, 4])[shapes(20)[1][TRAIN]], n_classes=6).logits(REST)
    assert np.isfinite(logits).all()
    lowest_seen = logits[:, [1, 4]].min(axis=1, keepdims=True)
    assert np.allclose(logits[:, [0, 2, 3, 5]], lowest_seen - UNSEEN_CLASS_GAP)


def test_one_class_alone_is_refused_and_so_is_scoring_before_fitting(kept):
    with pytest.raises(TooFewClasses):
        tuned(kept, labels=np.zeros(12, dtype=np.int64))
    with pytest.raises(InvalidValue, match="must be fitted"):
        make("finetune", ArrayImages(shapes(3, side=SIDE)[0]), cache_dir=kept, device="cpu").logits(np.arange(3))


def test_the_lower_part_sees_each_image_and_its_mirror_image_once_across_restarts(tmp_path, monkeypatch):
    counted = count_lower(monkeypatch)
    classifier = tuned(tmp_path)
    classifier.logits(REST)
    assert sum(counted) == 2 * 20
    images = shapes(20, side=SIDE)[0]
    again = make("finetune:frozen=no", ArrayImages(images[::-1].copy()), cache_dir=tmp_path, device="cpu")
    assert again.prepare(np.arange(20)) == 0.0
    assert sum(counted) == 2 * 20


def test_images_that_are_not_mirrored_are_seen_once_and_scored_as_they_are(tmp_path, monkeypatch):
    counted = count_lower(monkeypatch)
    classifier = tuned(tmp_path, "finetune:nets=1:frozen=no:epochs=1:flip=no")
    classifier.logits(REST)
    assert sum(counted) == 20


def test_an_image_and_its_mirror_image_get_the_same_logits_where_both_are_shown(tmp_path):
    images = shapes(20, side=SIDE)[0]
    both = np.concatenate([images, images[:, :, ::-1]])
    classifier = tuned(tmp_path, "finetune:nets=1:frozen=no:epochs=1:flip=yes", images=both)
    assert np.allclose(classifier.logits(np.arange(20)), classifier.logits(np.arange(20, 40)), atol=0.01)


def test_progress_is_told_and_ends_at_the_total(tmp_path):
    images, labels = shapes(12, side=SIDE)
    told: list[Progress] = []
    classifier = make("finetune:epochs=2:nets=1:frozen=no", ArrayImages(images), cache_dir=tmp_path, device="cpu")
    report = classifier.fit(np.arange(12), labels, 3, seed=0, progress=told.append)
    classifier.logits(np.arange(12), progress=told.append)
    ends = {progress.phase: (progress.done, progress.total) for progress in told}
    assert ends == {"embed": (12, 12), "fit": (2, 2), "score": (12, 12)}
    assert (report.n_train, report.epochs) == (12, 2)
    assert report.seconds > 0


def test_a_warm_start_goes_on_from_the_net_of_fewer_labels_with_half_the_epochs(tmp_path):
    images, labels = shapes(20, side=SIDE)
    name = "finetune:epochs=2:nets=1:frozen=no:warm=yes"
    first = make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu")
    assert first.fit(TRAIN[:8], labels[:8], 3, seed=0).epochs == 2
    after_restart = make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu")
    assert after_restart.fit(TRAIN, labels[TRAIN], 3, seed=0).epochs == 1
    stranger = make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu")
    assert stranger.fit(TRAIN[4:], labels[4:12], 3, seed=0).epochs == 2  # the kept nets know labels that this one must not


class Killed(Exception):
    pass


def test_a_fit_that_was_killed_goes_on_from_its_last_state_to_the_same_net(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVED_EVERY", 0.0)
    name = "finetune:epochs=3:nets=1:frozen=no"
    whole = tuned(kept, name).logits(REST)
    images, labels = shapes(20, side=SIDE)
    epochs: list[int] = []

    def stop(progress: Progress) -> None:
        if progress.phase == "fit" and progress.done == 2:
            raise Killed

    with pytest.raises(Killed):
        make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu").fit(TRAIN, labels[TRAIN], 3, seed=7, progress=stop)
    again = make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu")
    again.fit(TRAIN, labels[TRAIN], 3, seed=7, progress=lambda told: epochs.append(told.done) if told.phase == "fit" else None)
    assert epochs == [2, 3]  # the state after the first epoch was the last one kept
    assert np.array_equal(again.logits(REST), whole)
    assert not list((tmp_path / "fits").iterdir())


def test_of_several_nets_the_finished_ones_survive_a_kill(kept, tmp_path):
    name = "finetune:epochs=2:nets=3:frozen=no"
    whole = tuned(kept, name).logits(REST)
    images, labels = shapes(20, side=SIDE)

    def stop(progress: Progress) -> None:
        if progress.phase == "fit" and progress.done == 5:  # in the third net
            raise Killed

    with pytest.raises(Killed):
        make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu").fit(TRAIN, labels[TRAIN], 3, seed=7, progress=stop)
    epochs: list[int] = []
    again = make(name, ArrayImages(images), cache_dir=tmp_path, device="cpu")
    again.fit(TRAIN, labels[TRAIN], 3, seed=7, progress=lambda told: epochs.append(told.done) if told.phase == "fit" else None)
    assert epochs == [5, 6]
    assert np.array_equal(again.logits(REST), whole)
    assert not list((tmp_path / "fits").iterdir())


def test_memory_that_runs_out_halves_the_batch_while_training_and_while_scoring_and_that_is_said(kept, monkeypatch):
    expected = tuned(kept, "finetune:nets=1:frozen=no:epochs=1:batch=12")
    images, labels = shapes(20, side=SIDE)
    classifier = make("finetune:nets=1:frozen=no:epochs=1:batch=12", ArrayImages(images), cache_dir=kept, device="cpu")
    trained_at_once: list[int] = []
    real = Headed.forward

    def small(self, x):
        trained_at_once.append(len(x))
        if len(x) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, x)

    monkeypatch.setattr(Headed, "forward", small)
    told: list[Progress] = []
    report = classifier.fit(TRAIN, labels[TRAIN], 3, seed=7, progress=told.append)
    assert trained_at_once == [12, 6, 3, 3, 3, 3]
    assert [progress.note for progress in told if progress.note] == list(report.notes)
    assert report.notes[-1].endswith("the batch was halved, 3 images at a time from here on")
    assert classifier._nets
    scored_at_once: list[int] = []

    def watch(module, arguments):
        scored_at_once.append(len(arguments[0]))
        if scored_at_once[-1] > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(finetune, "SCORED_AT_ONCE", 8)
    classifier._nets[0].body.register_forward_pre_hook(watch)
    logits = classifier.logits(REST, progress=told.append)
    assert scored_at_once[:2] == [8, 4]
    assert told[-1].done == len(REST)
    assert any("4 images are scored at a time" in (progress.note or "") for progress in told)
    # One step from zero: where dropout fell differs, what was learnt points the same way.
    assert np.corrcoef(logits.ravel(), expected.logits(REST).ravel())[0, 1] > 0.9


def test_balanced_loss_lifts_the_rare_class(kept):
    labels = np.zeros(12, dtype=np.int64)
    labels[0] = 1
    lead = {}
    for loss in ("plain", "balanced"):
        logits = tuned(kept, f"finetune:epochs=2:nets=1:frozen=no:loss={loss}", labels=labels, n_classes=2).logits(REST)
        lead[loss] = float((logits[:, 1] - logits[:, 0]).mean())
    assert lead["balanced"] > lead["plain"]
