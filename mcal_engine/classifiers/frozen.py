"""``frozen[:ENCODER]``: a pretrained encoder that is never trained, each image embedded once, and a head that fits in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mcal_engine.classifiers import devices, encoder, encoders
from mcal_engine.classifiers.base import ImageSource, UInt8Array
from mcal_engine.classifiers.images.computed_rows import ComputedRows, HalfArray
from mcal_engine.classifiers.on_features import OnFeatures


class FrozenClassifier(OnFeatures):
    """Head over embeddings: one view of the middle features, one of all, and neighbours in all, blended as held-out examples say.

    The default encoder is :mod:`mcal_engine.classifiers.encoder`; another one, see :mod:`mcal_engine.classifiers.encoders`, gives one view.
    """

    name = "frozen"

    def __init__(
        self, images: ImageSource, *, cache_dir: Path, device: str = "auto", encoder: str | None = None, weights: Path | None = None
    ) -> None:
        """``weights``: a local file with the encoder's weights, instead of its hub."""
        picked = devices.pick(device)
        n_middle, embeddings = _embeddings(images, cache_dir, picked, encoder, weights)
        super().__init__(embeddings, picked, n_front=n_middle)


def _embeddings(
    images: ImageSource, cache_dir: Path, device: torch.device, name: str | None, weights: Path | None
) -> tuple[int, ComputedRows]:
    """The middle features in front, if any, and the cache of all features."""
    size = images.shape[0]
    if name in (None, encoder.NAME) and weights is None:
        folder = f"{encoder.NAME}-v{encoder.VERSION}-{size}to{encoder.input_size(size)}px"
        made = ComputedRows(images, cache_dir / folder, (encoder.FEATURES,), lambda: encoder.Encoder(device), encoder.BATCH)
        return encoder.MIDDLE_FEATURES, made
    pretrained = encoders.load(name, size, weights)
    folder = f"features-{pretrained.name}-{size}to{pretrained.side}px"
    width = pretrained.shapes()[1]
    return 0, ComputedRows(images, cache_dir / folder, (width,), lambda: _Whole(pretrained, device), encoder.BATCH)


class _Whole:
    """A net on one device: images (n, S, S, 3), n ≤ ``encoder.BATCH``, to its pooled features (n, width)."""

    def __init__(self, pretrained: encoders.Pretrained, device: torch.device) -> None:
        self._pretrained, self._device = pretrained, device
        self._net = nn.Sequential(pretrained.lower, pretrained.upper).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, images: UInt8Array) -> HalfArray:
        x = self._pretrained.standardised(torch.from_numpy(encoder.filled_up(images, encoder.BATCH)).to(self._device))
        with devices.mixed_precision(self._device):
            features = self._net(x)[: len(images)]
        return np.asarray(features.float().clamp(-6e4, 6e4).to(torch.float16).cpu().numpy())
