"""Texts whose labels play the people."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mcal_engine.answers import Questions
from mcal_engine.classifiers.base import TextSource
from mcal_engine.classifiers.candidates import Reads
from mcal_engine.classifiers.texts.text_cache import ListTexts
from mcal_engine.parts import Parts
from mcal_engine.types import IntArray


@dataclass(frozen=True)
class LabelledTexts:
    """As :class:`~mcal_engine.simulator.labelled_images.LabelledImages`, with ``texts`` as people see them, one per item."""

    name: str
    texts: tuple[str, ...]
    labels: IntArray
    class_names: tuple[str, ...]
    n_skipped: int = 0
    notes: tuple[str, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)
    questions: Questions | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def reads(self) -> Reads:
        return "text"

    @cached_property
    def parts(self) -> Parts | None:
        """What the classes are made of, where they are whole answers."""
        return None if self.questions is None else Parts.of(self.questions, self.class_names)

    @cached_property
    def digest(self) -> str:
        """Names the texts (not the labels), so that embeddings can be kept for the next run."""
        hasher = hashlib.blake2b(digest_size=8)
        for text in self.texts:
            hasher.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return hasher.hexdigest()

    def source(self) -> TextSource:
        return ListTexts(self.texts)

    def source_beside(self) -> TextSource | None:
        return None

    def relabelled(self, labels: IntArray, note: str) -> LabelledTexts:
        return replace(self, labels=np.asarray(labels, dtype=np.int64), notes=(*self.notes, note))

    def part(self, rows: IntArray) -> LabelledTexts:
        return replace(self, texts=tuple(self.texts[row] for row in rows.tolist()), labels=self.labels[rows])
