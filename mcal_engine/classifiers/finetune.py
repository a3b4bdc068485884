"""``finetune[:ENCODER]``: a pretrained encoder whose upper part is trained anew, from its pretrained weights, at every fit.

The lower part sees edges and textures, which are the same everywhere: it stays as it is, and what it makes of each image, and of its mirror
image, is computed once and kept (23 KB for an image and its mirror image, EfficientNet-Lite0 at 96 px). Encoders that are not cut are
trained end to end.

Measured on CIFAR-10 (JPEG copy), 2,000 random labels, 6 epochs, one seed, on one core of an EPYC with AVX512-BF16: the share of 4,000
other items that a machine could label at ε = 5 % of X, had it known which. The peak learning rate decides: .67 at 1e-3, .76 at 4e-4, .77 at
2e-4 with five times that for the new linear layer (accuracy .785, .835, .848). The mean over an image and its mirror image is worth 2.7 to
2.8 points of X (.745 to .772 at the last) for twice the scoring.

Two nets of other seeds err on other images, and so does the head on the encoder as it was. The share of X that people would still label,
had the pool's labels been known, B drawn by margin: one net, two nets, two nets and 0.3 times the head's logits (which alone): CIFAR-10,
|B| = 7,200, 17.3, 16.1, 16.3 % (33.7); Fashion-MNIST, |B| = 2,100, 8.1, 7.6, 6.6 % (8.0), |B| = 700, 15.7, 14.3, 12.8 % (13.0); clothing
photos, |B| = 600, 19.0, 18.1, 17.6 % (20.2). A weight of 0.2 gives 16.2, 6.7, 13.2 and 17.8 %, one of 0.5 16.5, 6.4, 12.3 and 17.6 %.
"""

from __future__ import annotations

import copy
import functools
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from mcal_engine.classifiers import devices, encoders
from mcal_engine.classifiers.base import FitReport, ImageSource, ProgressCallback, UInt8Array, check_labels, fitted_first, spread
from mcal_engine.classifiers.encoder import filled_up
from mcal_engine.classifiers.frozen import FrozenClassifier
from mcal_engine.classifiers.images.computed_rows import ComputedRows, HalfArray
from mcal_engine.classifiers.nets.checkpoints import Checkpoint, NetShelf, digest
from mcal_engine.classifiers.nets.fitting import Fitting, Recipe, one_of
from mcal_engine.classifiers.nets.headed import Headed
from mcal_engine.classifiers.nets.mirroring import mirror_helps
from mcal_engine.classifiers.nets.scoring import scored
from mcal_engine.types import FloatArray, IntArray

EXAMPLES, FEWEST_EPOCHS, MOST_EPOCHS = 16_000, 5, 30  # an epoch is one pass; small sets get more of them, up to so many examples
WARM_EPOCHS = 0.5  # share of the epochs that a warm start needs
BATCH, FEWEST_STEPS, SMALLEST_BATCH = 64, 16, 8  # small sets are shown in smaller batches, so many steps per epoch
WEIGHT_DECAY, LABEL_SMOOTHING, DROPOUT = 0.05, 0.1, 0.2
HEAD_RATE = 5  # times the rate of the pretrained layers
COMPUTED_AT_ONCE, SCORED_AT_ONCE = 64, 256
NETS, FROZEN_WEIGHT = 2, 0.3


class FinetuneClassifier:
    """Fine-tunes the upper part of a pretrained encoder; see :mod:`mcal_engine.classifiers.encoders` for their names."""

    name = "finetune"

    def __init__(
        self,
        images: ImageSource,
        *,
        cache_dir: Path,
        device: str = "auto",
        encoder: str | None = None,
        weights: Path | None = None,
        epochs: int | None = None,
        batch: int | None = None,
        flip: bool | None = None,
        loss: bool = False,
        warm: bool = False,
        nets: int = NETS,
        frozen: bool = True,
    ) -> None:
        """Args:
        weights: a local file with the encoder's weights, instead of its hub.
        epochs: passes over B; None: by the size of B.
        flip: also show images mirrored; None: where mirrored neighbours still tell the class.
        loss: whether every class weighs the same, however many examples it has.
        warm: start from the net of an earlier round instead of the pretrained weights.
        nets: nets of other seeds, whose logits are averaged.
        frozen: whether the head on the untrained encoder has its say as well, with ``FROZEN_WEIGHT``.
        """
        self._images, self._flip, self._epochs, self._batch, self._n_nets = images, flip, epochs, batch, nets
        self._balanced, self._warm, self._cache_dir = loss, warm, cache_dir
        self._device = devices.pick(device)
        self._pretrained = encoders.load(encoder, images.shape[0], weights)
        self._frozen = FrozenClassifier(images, cache_dir=cache_dir, device=device, encoder=encoder, weights=weights) if frozen else None
        self._maps: dict[bool, ComputedRows] = {}
        self._nets: tuple[_Tuned, ...] = ()
        self._mirrored = bool(flip)
        self._seen: IntArray = np.empty(0, dtype=np.int64)
        self._n_classes = 0

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        """Run the lower part over ``rows``; over their mirror images too where it is known already that they will be used."""
        began = time.perf_counter()
        filled = self._frozen is not None and self._frozen.prepare(rows, progress=progress) > 0
        for mirrored in (False, True) if self._mirrored or (self._flip is None and self._coloured(rows)) else (False,):
            filled |= self._pretrained.is_cut and self._kept(mirrored).fill(rows, progress) > 0
        return time.perf_counter() - began if filled else 0.0

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        seen = check_labels(rows, labels, n_classes)
        order = np.argsort(rows, kind="stable")  # the same set of labels gives the same net
        rows, classes = rows[order], np.searchsorted(seen, labels[order])
        self._mirrored = mirror_helps(self._images, rows, classes) if self._flip is None else self._flip
        self.prepare(rows, progress=progress)
        began = time.perf_counter()
        encoder = f"{self._pretrained.name}-{self._pretrained.side}px"
        keys = self._images.keys(rows)
        balance = torch.from_numpy(len(rows) / (len(seen) * np.bincount(classes))).float().to(self._device) if self._balanced else None
        truth = torch.from_numpy(classes).to(self._device)
        if self._frozen is not None:
            self._frozen.fit(rows, labels[order], n_classes, seed=seed)
        finished, points, notes, losses, before = [], [], [], [], 0.0
        for number in range(self._n_nets):
            shelf = NetShelf(self._cache_dir, f"{self.name}-{encoder}-{number}")
            earlier = shelf.best(keys, seen[classes]) if self._warm else None
            with devices.repeatable(self._device, seed + number):
                net = _Tuned(copy.deepcopy(self._pretrained.upper), self._shapes[1], len(seen), earlier)
                net.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
                recipe = self._recipe(len(rows), warm=earlier is not None)
                known_by = (self.name, encoder, seed + number, n_classes, keys, seen[classes], recipe, self._balanced)
                point, rates = Checkpoint(self._cache_dir, digest(*known_by)), self._descent(net)
                shown = _Shown(self, rows)
                fitting = Fitting(net, shown, truth, recipe, rates, seed=seed + number, class_weights=balance, checkpoint=point)
                more = number + 1 < self._n_nets
                loss, seconds = fitting.run(progress, tell=one_of(number, self._n_nets, recipe.epochs), keep=more)
            if self._warm:
                shelf.keep(keys, seen[classes], {"upper": net.body.state_dict()})
            finished.append(net)
            points.append(point)
            notes += fitting.notes
            losses.append(loss)
            before += seconds
        for point in points:
            point.forget()
        self._nets, self._seen, self._n_classes = tuple(finished), seen, n_classes
        took, epochs = time.perf_counter() - began + before, recipe.epochs * self._n_nets
        return FitReport(took, len(rows), epochs, devices.label(self._device), float(np.mean(losses)), tuple(notes))

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        found = self._run(rows, head=True, progress=progress)
        if self._frozen is not None:
            found = found + FROZEN_WEIGHT * self._frozen.logits(rows)[:, self._seen]
        return spread(found, self._seen, self._n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        return self._run(rows, head=False, progress=None)

    def _recipe(self, n: int, *, warm: bool) -> Recipe:
        epochs = self._epochs or min(max(math.ceil(EXAMPLES / n), FEWEST_EPOCHS), MOST_EPOCHS)
        epochs = max(1, round(epochs * WARM_EPOCHS)) if warm else epochs
        batch = self._batch or min(max(n // FEWEST_STEPS, SMALLEST_BATCH), BATCH)
        return Recipe(epochs, batch, LABEL_SMOOTHING, "one-cycle", mirror=self._mirrored)

    def _descent(self, net: _Tuned) -> torch.optim.Optimizer:
        trained = [weights for weights in net.body.parameters() if weights.requires_grad]
        rates = (self._pretrained.rate, HEAD_RATE * self._pretrained.rate)
        groups = [{"params": part, "lr": rate} for part, rate in zip((trained, list(net.head.parameters())), rates, strict=True)]
        return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)

    @torch.inference_mode()
    def _run(self, rows: IntArray, *, head: bool, progress: ProgressCallback | None) -> FloatArray:
        """Logits or features in float64; the mean over an image and its mirror image where the nets were trained on both.

        Logits are the mean over the nets; features are the first one's.
        """
        if not self._nets:
            raise fitted_first(self.name)
        self.prepare(rows, progress=progress)
        nets = self._nets if head else self._nets[:1]

        def piece(some: IntArray, at_once: int) -> torch.Tensor:
            outs = []
            for mirrored in (False, True) if self._mirrored else (False,):
                maps = self.read(some, np.full(len(some), mirrored))
                # One shape for all batches: the same kernels run, and an item's logits do not depend on what else is scored.
                maps = functional.pad(maps, (0, 0, 0, 0, 0, 0, 0, at_once - len(some))).contiguous(memory_format=torch.channels_last)
                for net in nets:
                    with devices.scoring_precision(self._device):
                        features = net.body(maps)
                    # In full precision: logits of 8 bits would tie, and ties rank nothing.
                    found = net.head(features.float()) if head else features.float()
                    outs.append(found[: len(some)].cpu().double())
            return torch.stack(outs).mean(0)

        return scored(rows, piece, len(self._seen) if head else self._shapes[1], SCORED_AT_ONCE, self._device, progress)

    @functools.cached_property
    def _shapes(self) -> tuple[tuple[int, ...], int]:
        return self._pretrained.shapes()

    def _coloured(self, rows: IntArray) -> bool:
        some = self._images.batch(rows[:COMPUTED_AT_ONCE])
        return bool((some != some[..., :1]).any())

    def _kept(self, mirrored: bool) -> ComputedRows:
        if mirrored not in self._maps:
            channels, height, width = self._shapes[0]
            size = self._images.shape[0]
            folder = f"maps-{self._pretrained.name}-{encoders.CUT}-{size}to{self._pretrained.side}px{'-mirrored' if mirrored else ''}"
            self._maps[mirrored] = ComputedRows(
                self._images, self._cache_dir / folder, (height, width, channels), lambda: self._lower(mirrored), COMPUTED_AT_ONCE
            )
        return self._maps[mirrored]

    def _lower(self, mirrored: bool) -> _Lower:
        return _Lower(self._pretrained, self._device, mirrored)

    @property
    def side(self) -> int:
        """Of the maps, px."""
        return self._shapes[0][-1]

    def read(self, rows: IntArray, turned: npt.NDArray[np.bool_]) -> torch.Tensor:
        """Maps (n, C, s, s) as float, channels last; ``turned``: which of the images are meant as mirror images, shape (n,)."""
        if not self._pretrained.is_cut:
            images = self._images.batch(rows)
            images[turned] = images[turned, :, ::-1]
            return self._pretrained.standardised(torch.from_numpy(images).to(self._device))
        shape = self._shapes[0]
        maps = np.empty((len(rows), *shape[1:], shape[0]), dtype=np.float16)
        for which in (False, True):
            if (turned == which).any():
                kept = self._kept(which)
                maps[turned == which] = kept.at(kept.places(rows[turned == which]))
        return torch.from_numpy(maps).to(self._device).permute(0, 3, 1, 2).float()


class _Shown:
    """The :class:`~mcal_engine.classifiers.nets.fitting.Examples` of a fit on some rows."""

    mirrors = True

    def __init__(self, classifier: FinetuneClassifier, rows: IntArray) -> None:
        self._classifier, self._rows = classifier, rows
        self.side = classifier.side

    def batches(self, parts: Sequence[torch.Tensor], mirrored: torch.Tensor | None) -> Iterator[torch.Tensor]:
        for part in parts:
            turned = np.zeros(len(part), dtype=np.bool_) if mirrored is None else mirrored[part].numpy()
            yield self._classifier.read(self._rows[part.numpy()], turned)

    def shown(self, examples: torch.Tensor) -> torch.Tensor:
        return examples


class _Lower:
    """The lower part on one device: images (n, S, S, 3), n ≤ COMPUTED_AT_ONCE, to maps (n, s, s, C)."""

    def __init__(self, pretrained: encoders.Pretrained, device: torch.device, mirrored: bool) -> None:
        self._pretrained, self._device, self._mirrored = pretrained, device, mirrored
        self._net = copy.deepcopy(pretrained.lower).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, images: UInt8Array) -> HalfArray:
        x = self._pretrained.standardised(torch.from_numpy(filled_up(images, COMPUTED_AT_ONCE)).to(self._device))
        with devices.scoring_precision(self._device):
            maps = self._net(x.flip(3) if self._mirrored else x)[: len(images)]
        return np.asarray(maps.float().clamp(-6e4, 6e4).permute(0, 2, 3, 1).to(torch.float16).cpu().numpy())


class _Tuned(Headed):
    """The upper part and a linear layer that starts at 0; depthwise filters and batch norms stay as they are.

    The filters' gradients are a third of a CPU's time per step (202 images/s without, 139 with, on one core at 96 px).
    """

    def __init__(self, upper: nn.Module, width: int, n_classes: int, earlier: dict[str, Any] | None) -> None:
        """``earlier``: what a warm start goes on from."""
        super().__init__(upper, width, n_classes, DROPOUT)
        if earlier is not None:
            upper.load_state_dict(earlier["upper"])
        for module in upper.modules():
            if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
                module.requires_grad_(False)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.eval()

    def train(self, mode: bool = True) -> _Tuned:
        super().train(mode)
        self.body.eval()
        return self
