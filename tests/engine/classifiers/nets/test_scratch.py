"""Nets from scratch: what makes a fit repeatable, resumable and robust on any device."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from mcal_engine.classifiers import devices, make
from mcal_engine.classifiers.base import Progress
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.pixels import Pixels
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.classifiers.nets import checkpoints, fitting, paper, scratch
from mcal_engine.classifiers.nets import named as nets
from mcal_engine.classifiers.nets.headed import Headed
from mcal_engine.classifiers.nets.mirroring import mirror_helps

pytestmark = pytest.mark.slow

SIDE = 16
TRAIN, REST = np.arange(36), np.arange(36, 60)
IMAGES, LABELS = shapes(60, side=SIDE)
ROOT = Path(__file__).resolve().parents[3]


def fit(cache: Path, name: str = "cnn:epochs=4", rows: np.ndarray = TRAIN, **keywords):
    classifier = make(name, ArrayImages(IMAGES), cache_dir=cache, device="cpu")
    report = classifier.fit(rows, LABELS[rows], 3, seed=7, **keywords)
    return classifier, report


def test_streamed_images_give_the_same_net_as_resident_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("mcal_engine.classifiers.images.pixels.READ_AT_ONCE", 10)
    resident = fit(tmp_path, "cnn:epochs=2:batch=8")[0].logits(REST)
    monkeypatch.setattr(devices, "room", lambda device: 0)
    streamed, _ = fit(tmp_path, "cnn:epochs=2:batch=8")
    assert np.array_equal(streamed.logits(REST), resident)


def test_images_larger_than_the_net_likes_are_averaged_down():
    large, _ = shapes(6, side=128)
    pixels = Pixels(ArrayImages(large), np.arange(6), torch.device("cpu"), largest_side=64, room=10**9)
    (batch,) = pixels.batches([torch.arange(6)])
    assert batch.shape == (6, 3, 64, 64)
    expected = large.reshape(6, 64, 2, 64, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    assert np.abs(batch.numpy() - expected).max() <= 0.5
    assert np.allclose(pixels.mean.numpy(), expected.mean((0, 2, 3)), atol=0.5)


class Killed(Exception):
    pass


def test_a_fit_that_was_killed_goes_on_and_ends_with_the_same_net(tmp_path, monkeypatch):
    whole = fit(tmp_path / "whole")[0].logits(REST)
    monkeypatch.setattr(checkpoints, "SAVED_EVERY", 0.0)
    epochs: list[int] = []

    def stop(progress: Progress) -> None:
        epochs.append(progress.done)
        if progress.done == 3:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "cut", progress=stop)
    resumed, report = fit(tmp_path / "cut", progress=lambda progress: epochs.append(progress.done))
    assert epochs == [1, 2, 3, 3, 4]  # the state after the second epoch was the last one kept
    assert np.array_equal(resumed.logits(REST), whole)
    assert report.epochs == 4
    assert not list((tmp_path / "cut" / "fits").iterdir())


def test_a_checkpoint_that_was_cut_short_starts_the_fit_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVED_EVERY", 0.0)

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path, progress=stop)
    (kept,) = (tmp_path / "fits").glob("*.pt")
    kept.write_bytes(kept.read_bytes()[:1000])
    epochs: list[int] = []
    fit(tmp_path, progress=lambda progress: epochs.append(progress.done))
    assert epochs == [1, 2, 3, 4]


def too_large(monkeypatch, largest: int) -> list[int]:
    """A device that holds so many images; returns what was tried."""
    tried: list[int] = []
    real = Headed.forward

    def forward(self, x):
        tried.append(len(x))
        if len(x) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, x)

    monkeypatch.setattr(Headed, "forward", forward)
    return tried


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_that_is_said(tmp_path, monkeypatch):
    tried = too_large(monkeypatch, 10)
    told: list[Progress] = []
    _, report = fit(tmp_path, "cnn:epochs=2:batch=36", progress=told.append)
    assert tried == [36, 18, *[9] * 8]  # two epochs of one step in four pieces
    assert [note.rpartition(": ")[2] for note in report.notes] == [
        "the batch was halved, 18 images at a time from here on",
        "the batch was halved, 9 images at a time from here on",
    ]
    assert [progress.note for progress in told if progress.note] == list(report.notes)


def test_an_image_that_does_not_fit_alone_is_an_error(tmp_path, monkeypatch):
    too_large(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        fit(tmp_path)


def test_scoring_that_does_not_fit_is_done_in_smaller_pieces(tmp_path, monkeypatch):
    classifier, _ = fit(tmp_path)
    expected = classifier.logits(REST)
    body = classifier._trained.nets[0].body
    sizes: list[int] = []

    def watch(module, arguments):
        sizes.append(len(arguments[0]))
        if sizes[-1] > 7:
            raise torch.OutOfMemoryError("CUDA out of memory")

    body.register_forward_pre_hook(watch)
    told: list[Progress] = []
    monkeypatch.setattr("mcal_engine.classifiers.nets.scratch.SCORED_AT_ONCE", 24)
    assert np.allclose(classifier.logits(REST, progress=told.append), expected, atol=0.05)
    assert max(sizes[2:]) <= 12
    assert any("images are scored at a time" in (progress.note or "") for progress in told)


def test_without_torch_compile_the_fit_goes_on_and_says_so(tmp_path, monkeypatch):
    expected = fit(tmp_path / "plain")[0].logits(REST)

    def broken(images):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(devices, "compiled", lambda net, device, images: broken)
    classifier, report = fit(tmp_path / "broken")
    assert report.notes == ("torch.compile failed (RuntimeError); trained without it",)
    assert np.array_equal(classifier.logits(REST), expected)


def test_a_warm_start_takes_half_the_epochs_and_never_a_net_that_saw_other_labels(tmp_path):
    name = "cnn:epochs=4:warm=yes"
    assert fit(tmp_path, name, np.arange(24))[1].epochs == 4  # nothing to start from
    assert fit(tmp_path, name, np.arange(24))[1].epochs == 4  # nor from itself: the same labels give the same net
    assert fit(tmp_path, name, np.arange(30))[1].epochs == 2
    assert fit(tmp_path, name, np.arange(10, 60))[1].epochs == 4  # rows 0 to 9 are no labels of this one, maybe test items


def test_a_balanced_loss_weighs_every_class_the_same_and_changes_the_net(tmp_path, monkeypatch):
    given: list[torch.Tensor | None] = []
    real = fitting.Fitting.__init__

    def noting(self, *arguments, class_weights, **keywords):
        given.append(class_weights)
        real(self, *arguments, class_weights=class_weights, **keywords)

    monkeypatch.setattr(fitting.Fitting, "__init__", noting)
    rows = np.concatenate([np.flatnonzero(LABELS == 0), np.flatnonzero(LABELS == 1)[:4], np.flatnonzero(LABELS == 2)[:8]])
    plain, _ = fit(tmp_path, "cnn:epochs=2", rows)
    balanced, _ = fit(tmp_path, "cnn:epochs=2:loss=balanced", rows)
    assert given[0] is None
    assert np.allclose(given[1].numpy() * np.bincount(LABELS[rows]), len(rows) / 3)
    assert not np.allclose(balanced.logits(REST), plain.logits(REST))


def test_letters_are_not_mirrored_and_symmetric_shapes_are():
    draw = np.random.default_rng(0)
    hooks = np.zeros((80, 12, 12, 3), dtype=np.uint8)  # class 1 is class 0 in the mirror
    classes = np.arange(80) % 2
    for image, kind in zip(hooks, classes, strict=True):
        image[2:10, 3 if kind == 0 else 8] = 255
        image[9, 3:9] = 255
    noise = draw.integers(0, 60, (80, 12, 12, 1), dtype=np.uint8)
    assert not mirror_helps(ArrayImages(np.maximum(hooks, noise)), np.arange(80), classes)
    assert mirror_helps(ArrayImages(IMAGES), np.arange(60), LABELS)  # in colour, and nothing speaks against it


@pytest.mark.parametrize("net", sorted(paper.NETS))
def test_small_images_keep_their_detail_in_the_paper_s_nets(net):
    """Four halvings at 32 px where the net made for 224 px halves five times."""
    small = nets.build(net, 10, 32).eval()
    with torch.inference_mode():
        assert small(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
        assert small.body(torch.zeros(1, 3, 32, 32)).shape == (1, small.width)
    stems = {"efficientnet_b0": lambda body: body.features[0][0]}
    stem = stems.get(net, lambda body: body.conv1)
    assert stem(small.body).stride == (1, 1)
    assert stem(nets.build(net, 10, 64).body).stride == (2, 2)


def test_cnn18_is_resnet18_without_its_shortcuts():
    plain, residual = (nets.build(net, 10, 32) for net in ("cnn18", "resnet18"))
    shortcuts = sum(weights.numel() for name, weights in residual.named_parameters() if "downsample" in name)
    assert shortcuts > 0
    assert sum(w.numel() for w in plain.parameters()) == sum(w.numel() for w in residual.parameters()) - shortcuts
    block = plain.body.layer1[0].eval()
    with torch.inference_mode():
        torch.nn.init.zeros_(block.bn2.weight)
        assert not block(torch.rand(1, 64, 8, 8)).any()  # nothing goes around the convolutions


def test_the_paper_s_rate_falls_at_its_four_epochs():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=scratch.PAPER_RATES[0])
    schedule = fitting._schedule(optimizer, scratch.PAPER_RECIPE, 200)
    rates = []
    for _ in range(200):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert [rates[epoch] for epoch in (79, 80, 120, 160, 180)] == pytest.approx([0.1, 0.01, 1e-3, 1e-4, 1e-5])


TOGETHER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    import torch
    from mcal_engine.classifiers import make
    from mcal_engine.classifiers.nets import parallel
    from mcal_engine.classifiers.images.image_cache import ArrayImages
    from mcal_engine.classifiers.images.shapes import shapes

    images, labels = shapes(60, side=16)
    with parallel.joined("cpu") as device:
        classifier = make("cnn:epochs=3:batch=36:flip=no", ArrayImages(images), cache_dir=Path(sys.argv[1]), device=device)
        classifier.fit(np.arange(36), labels[:36], 3, seed=7)
        logits = classifier.logits(np.arange(36, 60))
        rank, size = parallel.rank_and_size()
        weights = torch.cat([w.detach().flatten() for w in classifier._trained.nets[0].parameters()]).numpy()
        np.savez(Path(sys.argv[1]) / f"{rank}of{size}.npz", logits=logits, weights=weights)
    """
)


def test_two_processes_train_the_net_that_one_trains_in_two_pieces(tmp_path, monkeypatch):
    """As torchrun starts them for two GPUs; here over gloo on the CPU. Batch norm sees half a batch at a time in both."""
    (tmp_path / "together.py").write_text(TOGETHER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, str(tmp_path / "together.py"), str(tmp_path)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (np.load(tmp_path / f"{rank}of2.npz") for rank in range(2))
    assert np.array_equal(first["weights"], second["weights"])
    assert np.array_equal(first["logits"], second["logits"])
    tried = too_large(monkeypatch, 18)
    alone, _ = fit(tmp_path / "alone", "cnn:epochs=3:batch=36:flip=no")
    assert tried[:3] == [36, 18, 18]
    weights = torch.cat([w.detach().flatten() for w in alone._trained.nets[0].parameters()]).numpy()
    assert np.abs(weights - first["weights"]).max() < 2e-3
    # The running means follow the two halves in turn, or their average: logits agree up to their scale.
    assert np.corrcoef(alone.logits(REST).ravel(), first["logits"].ravel())[0, 1] > 0.99
