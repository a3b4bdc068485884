"""``cnn``: a small residual net trained from scratch, for small images that look like nothing in ImageNet."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mcal_engine.classifiers import augment, devices
from mcal_engine.classifiers.base import (
    FitReport,
    ImageSource,
    Progress,
    ProgressCallback,
    UInt8Array,
    check_labels,
    fitted_first,
    spread,
)
from mcal_engine.types import FloatArray, IntArray

LARGEST_SIDE = 64  # px; larger images are averaged down to it
WIDTHS = (32, 64, 128)
EXAMPLES, FEWEST_EPOCHS, MOST_EPOCHS = 16_000, 20, 60  # an epoch is one pass; small sets get more of them, up to so many examples
PEAK_RATE, MOMENTUM, WEIGHT_DECAY, LABEL_SMOOTHING = 0.05, 0.9, 1e-3, 0.1
WARM_UP = 0.2  # share of the steps with a rising learning rate
SCORED_AT_ONCE = 512


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut; halves the side where ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shrink = nn.Identity() if stride == 1 else nn.AvgPool2d(stride, ceil_mode=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, s, s) to (n, outputs, ⌈s / stride⌉, ⌈s / stride⌉)."""
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(self.shrink(x)))


class Net(nn.Module):
    """Stem, three residual blocks, mean and maximum over places, linear head."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        narrow, middle, wide = WIDTHS
        self.body = nn.Sequential(
            nn.Conv2d(3, narrow, 3, 1, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            Residual(narrow, middle, 2),
            Residual(middle, wide, 2),
            Residual(wide, wide, 1),
        )
        self.head = nn.Linear(2 * wide, n_classes)

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Features, shape (n, 256)."""
        maps = self.body(x)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, shape (n, n_classes)."""
        return torch.as_tensor(self.head(self.pooled(x)))


class CnnClassifier:
    """Trains :class:`Net` anew at every fit, on pixels that stay on the device as uint8."""

    name = "cnn"

    def __init__(self, images: ImageSource, *, cache_dir: Path, device: str = "auto", flip: bool | None = None) -> None:
        """``flip``: also show images mirrored; None: only where images have colour, as mirrored digits and letters are others."""
        del cache_dir  # nothing is computed once per image
        self._images, self._flip = images, flip
        self._device = devices.pick(device)
        self._net: Net | None = None
        self._mirrored = False
        self._mean, self._spread = torch.zeros(3), torch.ones(3)
        self._seen: IntArray = np.empty(0, dtype=np.int64)
        self._n_classes = 0

    def prepare(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> float:
        del rows, progress
        return 0.0

    def fit(self, rows: IntArray, labels: IntArray, n_classes: int, *, seed: int, progress: ProgressCallback | None = None) -> FitReport:
        seen = check_labels(rows, labels, n_classes)
        began = time.perf_counter()
        order = np.argsort(rows, kind="stable")  # the same set of labels gives the same net
        images = self._images.batch(rows[order])
        self._mirrored = bool((images != images[..., :1]).any()) if self._flip is None else self._flip
        with devices.repeatable(self._device, seed):
            epochs, loss = self._train(images, np.searchsorted(seen, labels[order]), len(seen), seed, progress)
        self._seen, self._n_classes = seen, n_classes
        return FitReport(time.perf_counter() - began, len(rows), epochs, devices.label(self._device), loss)

    def logits(self, rows: IntArray, *, progress: ProgressCallback | None = None) -> FloatArray:
        return spread(self._run(rows, head=True, progress=progress), self._seen, self._n_classes)

    def features(self, rows: IntArray) -> FloatArray:
        return self._run(rows, head=False, progress=None)

    def _train(self, images: UInt8Array, classes: IntArray, n_seen: int, seed: int, progress: ProgressCallback | None) -> tuple[int, float]:
        """Returns the epochs and the mean loss of the last one."""
        n = len(images)
        batch = min(128 if n >= 2000 else 64, n)
        epochs = min(max(math.ceil(EXAMPLES / n), FEWEST_EPOCHS), MOST_EPOCHS)
        steps = math.ceil(n / batch)
        pixels = self._shrunk(torch.from_numpy(images).to(self._device))  # uint8
        truth = torch.from_numpy(classes).to(self._device)
        as_float = pixels.float()
        self._mean, self._spread = as_float.mean((0, 2, 3)), as_float.std((0, 2, 3)) + 1.0
        del as_float
        net = Net(n_seen).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._net = net
        optimizer = torch.optim.SGD(net.parameters(), lr=PEAK_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=epochs * steps, pct_start=WARM_UP)
        scaler = torch.amp.GradScaler("cuda", enabled=devices.needs_loss_scaling(self._device))
        draw = torch.Generator().manual_seed(seed)
        net.train()
        total = 0.0
        for epoch in range(epochs):
            shuffled = torch.randperm(n, generator=draw).to(self._device)
            total = 0.0
            # Equal parts: no last batch of one or two images, whose batch norm would be noise.
            for part in torch.tensor_split(shuffled, steps):
                shown = augment.changed(self._scaled(pixels[part]), draw, mirror=self._mirrored)
                with devices.mixed_precision(self._device):
                    loss = functional.cross_entropy(net(shown), truth[part], label_smoothing=LABEL_SMOOTHING)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                total += float(loss.detach()) * len(part)
            if progress is not None:
                progress(Progress("fit", epoch + 1, epochs, total / n))
        net.eval()
        return epochs, total / n

    @torch.inference_mode()
    def _run(self, rows: IntArray, *, head: bool, progress: ProgressCallback | None) -> FloatArray:
        """Logits or features in float64; the mean over an image and its mirror image where the net was trained on both."""
        if self._net is None:
            raise fitted_first(self.name)
        parts: list[FloatArray] = []
        for start in range(0, len(rows), SCORED_AT_ONCE):
            images = self._images.batch(rows[start : start + SCORED_AT_ONCE])
            x = self._scaled(self._shrunk(torch.from_numpy(images).to(self._device)))
            apply = self._net if head else self._net.pooled
            with devices.mixed_precision(self._device):
                out = apply(x).double()
                if self._mirrored:
                    out = (out + apply(x.flip(3)).double()) / 2
            parts.append(out.cpu().numpy())
            if progress is not None:
                progress(Progress("score", start + len(images), len(rows)))
        return np.concatenate(parts) if parts else np.empty((0, len(self._seen) if head else 2 * WIDTHS[-1]))

    def _shrunk(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (n, S, S, 3) to uint8 (n, 3, s, s), channels last in memory, s ≤ LARGEST_SIDE."""
        x = images.permute(0, 3, 1, 2)
        if x.shape[-1] > LARGEST_SIDE:
            x = functional.interpolate(x.float(), size=(LARGEST_SIDE, LARGEST_SIDE), mode="area").round().to(torch.uint8)
        return x.contiguous(memory_format=torch.channels_last)

    def _scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() - self._mean.view(3, 1, 1)) / self._spread.view(3, 1, 1)
