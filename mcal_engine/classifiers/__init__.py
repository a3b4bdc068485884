"""Candidate classifiers by name. The names need no torch; making one does."""

from __future__ import annotations

import importlib
from pathlib import Path

from mcal_engine.classifiers.base import Classifier, ImageSource
from mcal_engine.classifiers.candidates import FAMILIES, default_candidates, names, parse

__all__ = ["default_candidates", "make", "names", "parse"]


def make(name: str, images: ImageSource, *, cache_dir: Path, device: str = "auto") -> Classifier:
    """A fresh classifier over ``images``; what it computes once per image is kept in ``cache_dir``.

    Raises:
        InvalidValue: a name that does not exist (the text lists those that do), an option that is wrong, an unknown device.
    """
    candidate = parse(name)
    family = FAMILIES[candidate.family]
    kind = getattr(importlib.import_module(family.module), family.kind)
    made: Classifier = kind(images, cache_dir=cache_dir, device=device, **candidate.arguments)
    made.name = name
    return made
