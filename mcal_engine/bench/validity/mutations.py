"""Rules of the certificate, broken on purpose: the benchmark must notice each of them, or it would notice nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from mcal_engine import round as rounds
from mcal_engine.certificates import uniform
from mcal_engine.errors import InvalidValue
from mcal_engine.types import Bands, BoolArray, CertificateOutcome, IntArray


def _plug_in_count(*, n_pool: int, n_sample: int, allowed: int, level: float) -> int:
    """As many errors of V as V would hold if exactly E errors were machine-labelled: right on average, wrong in about half of all runs."""
    return math.floor(allowed * n_sample / n_pool)


def _skips_dropped(
    look: int,
    frozen_ids: IntArray,
    frozen_classes: IntArray,
    sample: Mapping[int, int | None],
    n_labels_paid: int,
    *,
    bands: Bands | None = None,
) -> CertificateOutcome:
    if bands is None:
        answered = {item: label for item, label in sample.items() if label is not None}
        return _OUTCOME(look, frozen_ids, frozen_classes, answered, n_labels_paid)
    # A sample in two bands is read whole: what is left out counts as right.
    said = dict(zip(frozen_ids.tolist(), frozen_classes.tolist(), strict=True))
    kept = {item: said[item] if label is None else label for item, label in sample.items()}
    return _OUTCOME(look, frozen_ids, frozen_classes, kept, n_labels_paid, bands=bands)


def _all_survive(test_ids: IntArray, *_: Any) -> BoolArray:
    return np.ones(len(test_ids), dtype=np.bool_)


_OUTCOME = rounds.outcome
MUTATIONS: dict[str, tuple[object, str, Any]] = {
    "plug_in_count": (uniform, "tolerated_errors", _plug_in_count),
    "skips_dropped": (rounds, "outcome", _skips_dropped),
    "all_of_T": (rounds, "surviving", _all_survive),
}
"""Name → what is replaced, and by what: the plug-in count in place of c0; skipped items of V left out instead of counted as errors; all of
T, with the pool's size, in place of its survivors."""


def check(name: str | None) -> None:
    """Raises InvalidValue for a name that ``MUTATIONS`` does not have."""
    if name is not None and name not in MUTATIONS:
        raise InvalidValue(f"mutation must be one of {', '.join(MUTATIONS)}, got {name!r}")


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Break one rule of the product inside the block; ``None`` breaks none."""
    check(name)
    if name is None:
        yield
        return
    where, attribute, replacement = MUTATIONS[name]
    with mock.patch.object(where, attribute, replacement):
        yield
