"""``cnn``, ``cnn18``, ``resnet18``, ``resnet50``, ``efficientnet_b0``: nets that are trained from scratch at every fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mcal_engine.classifiers import devices
from mcal_engine.classifiers.base import FitReport, ImageSource, ProgressCallback, check_labels, fitted_first, spread
from mcal_engine.classifiers.images.pixels import Pixels, standardised, to_device
from mcal_engine.classifiers.nets import parallel
from mcal_engine.classifiers.nets.checkpoints import Checkpoint, NetShelf, digest
from mcal_engine.classifiers.nets.fitting import Fitting, Recipe, descent, one_of
from mcal_engine.classifiers.nets.headed import Headed
from mcal_engine.classifiers.nets.mirroring import mirror_helps
from mcal_engine.classifiers.nets.named import build
from mcal_engine.classifiers.nets.scoring import scored
from mcal_engine.types import FloatArray, IntArray

CNN_LARGEST_SIDE = 64  # px; our own net is for small images, larger ones are averaged down to it
EXAMPLES, FEWEST_EPOCHS, MOST_EPOCHS = 16_000, 25, 60  # an epoch is one pass; small sets get more of them, up to so many examples
PAPER_EPOCHS, PAPER_BATCH = 200, 256
WARM_SHARE = 0.5  # of the weights of an earlier net that a warm start keeps, and of the epochs it then takes
SCORED_AT_ONCE = 512


def cnn_recipe(n: int) -> Recipe:
    """Our own: one cycle, smoothed labels."""
    epochs = min(max(math.ceil(EXAMPLES / n), FEWEST_EPOCHS), MOST_EPOCHS)
    return Recipe(epochs, 128 if n >= 2000 else 64, 0.1, "one-cycle", mirror=False)


PAPER_RECIPE = Recipe(PAPER_EPOCHS, PAPER_BATCH, 0.0, "steps", mirror=False)
CNN_RATES, PAPER_RATES = (0.05, 1e-3), (0.1, 5e-4)  # highest learning rate and weight decay; the paper leaves them open


@dataclass(frozen=True, slots=True)
class _Trained:
    """What a fit leaves for scoring."""

    nets: tuple[Headed, ...]
    mean: torch.Tensor
    spread: torch.Tensor
    mirrored: bool
    seen: IntArray
    n_classes: int


class ScratchClassifier:
    """Trains a net anew at every fit, on pixels that stay uint8; scores with the mean over mirror images where it trained on them."""

    def __init__(
        self,
        images: ImageSource,
        *,
        cache_dir: Path,
        device: str = "auto",
        net: str = "cnn",
        epochs: int | None = None,
        batch: int | None = None,
        flip: bool | None = None,
        loss: bool = False,
        warm: bool = False,
        nets: int = 1,
    ) -> None:
        """For the keywords see :data:`~mcal_engine.classifiers.candidates.TRAINING_OPTIONS`; None is what the net's recipe says.

        Args:
            loss: whether every class weighs the same, however many examples it has.
            nets: nets of other seeds, whose logits are averaged.
        """
        self.name = net
        self._images, self._cache_dir, self._kind = images, cache_dir, net
        self._epochs, self._batch, self._flip, self._balanced, self._warm, self._n_nets = epochs, batch, flip, loss, warm, nets
        self._device = devices.pick(device)
        self._largest_side = CNN_LARGEST_SIDE if net == "cnn" else images.shape[0]
        self._trained: _Trained | None = None

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        del rows, progress
        return 0.0

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        seen = check_labels(rows, labels, n_classes)
        began = time.perf_counter()
        order = np.argsort(rows, kind="stable")  # the same set of labels gives the same net
        rows, classes = np.asarray(rows)[order], np.searchsorted(seen, np.asarray(labels)[order])
        recipe = self._recipe(rows, classes)
        pixels = Pixels(self._images, rows, self._device, largest_side=self._largest_side, room=devices.room(self._device))
        truth = torch.from_numpy(classes).to(self._device)
        weights = torch.from_numpy(len(classes) / (len(seen) * np.bincount(classes))).float().to(self._device) if self._balanced else None
        keys = self._images.keys(rows)
        finished, points, notes, losses, before = [], [], [], [], 0.0
        for number in range(self._n_nets):
            with devices.repeatable(self._device, seed + number):
                net = build(self._kind, len(seen), pixels.side).to(self._device)
                plan, shelf = self._start(net, recipe, keys, seen[classes], len(seen), number)
                point = Checkpoint(
                    self._cache_dir, digest(self.name, number, seed, n_classes, pixels.side, keys, seen[classes], plan), writes=_first()
                )
                rates = descent(net, *(CNN_RATES if self._kind == "cnn" else PAPER_RATES))
                fitting = Fitting(net, pixels, truth, plan, rates, seed=seed + number, class_weights=weights, checkpoint=point)
                more = number + 1 < self._n_nets
                loss, earlier = fitting.run(progress, tell=one_of(number, self._n_nets, plan.epochs), keep=more)
                if shelf is not None:
                    shelf.keep(keys, seen[classes], {"net": net.state_dict(), "n_seen": len(seen)})
            finished.append(net)
            points.append(point)
            notes += fitting.notes
            losses.append(loss)
            before += earlier
        for point in points:
            point.forget()
        self._trained = _Trained(tuple(finished), pixels.mean, pixels.spread, recipe.mirror, seen, n_classes)
        took = time.perf_counter() - began + before
        return FitReport(took, len(rows), plan.epochs * self._n_nets, devices.label(self._device), float(np.mean(losses)), tuple(notes))

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        trained = self._after_fit()

        def run(x: torch.Tensor) -> torch.Tensor:
            shown = [x, x.flip(3)] if trained.mirrored else [x]
            # The head in float32: margins that are rounded to 8 bits tie.
            with devices.scoring_precision(self._device):
                found = [(net, net.body(one)) for net in trained.nets for one in shown]
            return torch.stack([net.head(features.float()) for net, features in found]).mean(0)

        return spread(self._run(rows, run, len(trained.seen), progress), trained.seen, trained.n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        trained = self._after_fit()
        net = trained.nets[0]

        def run(x: torch.Tensor) -> torch.Tensor:
            with devices.scoring_precision(self._device):
                found: torch.Tensor = net.body(x).float()
                return (found + net.body(x.flip(3)).float()) / 2 if trained.mirrored else found

        return self._run(rows, run, net.width, None)

    def _recipe(self, rows: IntArray, classes: IntArray) -> Recipe:
        usual = cnn_recipe(len(rows)) if self._kind == "cnn" else PAPER_RECIPE
        mirror = mirror_helps(self._images, rows, classes) if self._flip is None else self._flip
        return replace(usual, epochs=self._epochs or usual.epochs, batch=self._batch or usual.batch, mirror=mirror)

    def _start(
        self, net: Headed, recipe: Recipe, keys: IntArray, labels: IntArray, n_seen: int, number: int
    ) -> tuple[Recipe, NetShelf | None]:
        """Give a fresh net some of what an earlier one learnt, if asked and there is one; the recipe from there on."""
        if not self._warm:
            return recipe, None
        shelf = NetShelf(self._cache_dir, f"{self.name} {number} {self._images.shape}", writes=_first())
        earlier = shelf.best(keys, labels)
        if earlier is None or earlier["n_seen"] != n_seen:
            return recipe, shelf
        # Half old, half fresh weights: a net that starts where it fitted fewer labels perfectly learns the new ones badly.
        fresh = net.state_dict()
        mixed = {
            name: torch.lerp(weights, earlier["net"][name].to(weights.device), WARM_SHARE) if weights.is_floating_point() else weights
            for name, weights in fresh.items()
        }
        net.load_state_dict(mixed)
        return replace(recipe, epochs=max(1, round(recipe.epochs * WARM_SHARE))), shelf

    def _after_fit(self) -> _Trained:
        if self._trained is None:
            raise fitted_first(self.name)
        return self._trained

    @torch.inference_mode()
    def _run(
        self, rows: IntArray, run: Callable[[torch.Tensor], torch.Tensor], width: int, progress: ProgressCallback | None
    ) -> FloatArray:
        """What ``run`` makes of each image, shape (n, width), float64; this process's part of the rows, then everybody's."""
        trained = self._after_fit()

        def piece(some: IntArray, at_once: int) -> torch.Tensor:
            del at_once
            return run(standardised(to_device(self._images.batch(some), self._device, self._largest_side), trained.mean, trained.spread))

        return scored(rows, piece, width, SCORED_AT_ONCE, self._device, progress)


def _first() -> bool:
    return parallel.rank_and_size()[0] == 0
