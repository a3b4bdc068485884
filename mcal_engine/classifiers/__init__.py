"""Candidate classifiers by name. The names need no torch; making one does."""

from __future__ import annotations

import importlib
from pathlib import Path

from mcal_engine.classifiers.base import Classifier, ImageSource
from mcal_engine.errors import InvalidValue

__all__ = ["make", "names"]

_WHERE = {"frozen": ("mcal_engine.classifiers.frozen", "FrozenClassifier"), "cnn": ("mcal_engine.classifiers.cnn", "CnnClassifier")}


def names() -> tuple[str, ...]:
    """The classifiers there are, cheapest first."""
    return tuple(_WHERE)


def make(name: str, images: ImageSource, *, cache_dir: Path, device: str = "auto") -> Classifier:
    """A fresh classifier over ``images``; what it computes once per image is kept in ``cache_dir``.

    Raises:
        InvalidValue: unknown name or device; the text lists those there are.
    """
    if name not in _WHERE:
        raise InvalidValue(f"unknown classifier {name!r}; known: {', '.join(_WHERE)}")
    module, kind = _WHERE[name]
    made: Classifier = getattr(importlib.import_module(module), kind)(images, cache_dir=cache_dir, device=device)
    return made
