"""Candidate classifiers by name. The names need no torch; making one does."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from mcal_engine.acquisition import Closest, Distances, Features
from mcal_engine.classifiers.base import Classifier, ImageSource, TextSource
from mcal_engine.classifiers.candidates import (
    FAMILIES,
    ORDERED,
    PYTHON,
    Candidate,
    Reads,
    check_race,
    default_candidates,
    names,
    parse,
    race_of,
)
from mcal_engine.errors import InvalidValue
from mcal_engine.types import FloatArray

__all__ = ["check_race", "default_candidates", "distances_on", "make", "names", "parse", "race_of"]


def make(
    name: str,
    items: ImageSource | TextSource,
    *,
    cache_dir: Path,
    device: str = "auto",
    reads: Reads = "image",
    beside: TextSource | None = None,
) -> Classifier:
    """A fresh classifier over ``items``, which are what ``reads`` says; what it computes once per item is kept in ``cache_dir``.

    ``beside``: the texts beside images, in the same rows, where there are such; most classifiers do without them.

    Raises:
        InvalidValue: a name that does not exist (the text lists those that do), an option that is wrong, an unknown device.
    """
    candidate = parse(name)
    if candidate.asked or candidate.family == ORDERED:
        raise InvalidValue(f"classifier {name!r} is asked by the worker of a campaign; it cannot be trained here")
    check_race([name], reads, beside is not None)
    kind = _class_of(candidate, reads)
    more = {"beside": beside} if candidate.pairs else {}
    try:
        made: Classifier = kind(items, cache_dir=cache_dir, device=device, **candidate.arguments, **more)
    except TypeError as error:
        if candidate.family != PYTHON:
            raise
        raise InvalidValue(f"classifier {name!r} cannot be made: {error}") from error
    made.name = name
    return made


def _class_of(candidate: Candidate, reads: Reads) -> Any:
    module, _, kind = candidate.path.partition(":")
    if candidate.family in FAMILIES:
        module, kind = FAMILIES[candidate.family].place(reads)
    try:
        found = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError) as error:
        if candidate.family != PYTHON:
            raise
        raise InvalidValue(f"classifier {candidate.name!r} cannot be found: {error}") from error
    lacking = [method for method in ("prepare", "fit", "logits", "features") if not callable(getattr(found, method, None))]
    if lacking:
        raise InvalidValue(f"classifier {candidate.name!r} must have the methods of the classifier contract; it lacks {', '.join(lacking)}")
    return found


def distances_on(device: str) -> Distances:
    """How acquisitions measure distances: on the GPU where ``device`` is or finds one. torch is brought by the first distance only."""

    def distances(points: Features, norms: FloatArray) -> Closest:
        return importlib.import_module("mcal_engine.classifiers.distances").on(device)(points, norms)  # type: ignore[no-any-return]

    return distances
