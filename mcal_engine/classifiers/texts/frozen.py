"""``frozen[:ENCODER]`` for texts: a pretrained encoder that is never trained, each text embedded once, and the head that images have."""

from __future__ import annotations

from pathlib import Path

from mcal_engine.classifiers import devices
from mcal_engine.classifiers.base import TextSource
from mcal_engine.classifiers.images.computed_rows import ComputedRows
from mcal_engine.classifiers.on_features import OnFeatures
from mcal_engine.classifiers.texts.encoders import TextEncoder, find
from mcal_engine.errors import InvalidValue

EMBEDDED_AT_ONCE = 256  # texts; windows of like length among them go through the encoder together


class FrozenTexts(OnFeatures):
    """Head over embeddings of texts; see :mod:`mcal_engine.classifiers.texts.encoders` for the encoders' names."""

    name = "frozen"

    def __init__(
        self, texts: TextSource, *, cache_dir: Path, device: str = "auto", encoder: str | None = None, weights: Path | None = None
    ) -> None:
        if weights is not None:
            raise InvalidValue("weights=… is for encoders of images; name a folder that holds a text encoder, as in frozen:/models/NAME")
        picked = devices.pick(device)
        source = find(encoder)
        width = source.shape[0] * source.shape[1]
        rows = ComputedRows(texts, cache_dir / source.name, (width,), lambda: TextEncoder(source, picked), EMBEDDED_AT_ONCE)
        super().__init__(rows, picked)
