"""M(.): which pool items people are asked for next, and which test items the same rule would have taken.

Margin, entropy and least confidence score items one by one: the lowest scores are taken, so a test item whose score is below the last
one taken would have been taken too. K-centre and diverse margin pick one item after the other, each the farthest from those before; a
test item would have been pick j if, at that step, it was farther away than the pick itself. What is left of T then stands for what is
left of the pool: for any rule that treats items alike, an item added to the pool is left over as often as the pool's own are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mcal_engine.errors import InvalidValue
from mcal_engine.types import FloatArray, IntArray

Features = npt.NDArray[Any]  # floating point, shape (n, d)
Closest = Callable[[Features], FloatArray]
"""Centres (k, d) to shape (n,): each point's squared distance to the closest of them."""
Distances = Callable[[Features, FloatArray], Closest]
"""Points (n, d) in single precision, with their squared norms, to what measures distances from them; it may keep them on a device."""
NEEDS_FEATURES = frozenset({"k_center", "diverse_margin"})
BAND = 2  # diverse margin picks among this many times as many items of lowest margin
_GRID = 1e-5  # squared distances are compared on a grid of this share of the largest squared norm, far above float32's rounding
_CENTRES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Picks:
    """Items picked one after the other.

    Attributes:
        positions: shape (n,). Positions into the pool, in the order of the picks.
        entry: shape (n_test,). Which pick each test item would have been, had it been in the pool; n if none.
    """

    positions: IntArray
    entry: IntArray


def acquisition_scores(logits: FloatArray, acquisition: str) -> FloatArray:
    """What to ask people next, lowest score first. Entropy is negated, so that the most uncertain item has the lowest score.

    Args:
        logits: shape (n, n_classes).
        acquisition: margin, entropy or least_confidence.

    Returns:
        Shape (n,).

    Raises:
        InvalidValue: a rule that does not score items one by one.
    """
    logits = np.asarray(logits, dtype=np.float64)
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    if acquisition == "margin":
        ordered = np.partition(np.exp(log_p), -2, axis=1)
        return np.asarray(ordered[:, -1] - ordered[:, -2])
    if acquisition == "entropy":
        return np.asarray((np.exp(log_p) * log_p).sum(axis=1))
    if acquisition == "least_confidence":
        return np.asarray(np.exp(log_p.max(axis=1)))
    raise InvalidValue(f"acquisition {acquisition!r} does not score items one by one")


def by_numpy(points: Features, norms: FloatArray) -> Closest:
    """:data:`Distances` on the CPU."""

    def closest(centres: Features) -> FloatArray:
        squared = norms[:, None] + np.einsum("ij,ij->i", centres, centres, dtype=np.float64) - 2.0 * (points @ centres.T)
        return np.asarray(squared.min(axis=1))

    return closest


def k_center(
    pool: Features,
    test: Features,
    train: Features,
    pool_ids: IntArray,
    test_ids: IntArray,
    n: int,
    distances: Distances = by_numpy,
) -> Picks:
    """Greedy core-set (Sener and Savarese 2018): each pick is the item farthest from all labelled and picked ones; ties by id.

    Args:
        pool, test, labelled: features, shapes (n_pool, d), (n_test, d) and (n_train, d).
        pool_ids, test_ids: shapes (n_pool,) and (n_test,).
        n: picks wanted.
        distances: how they are measured.
    """
    return _farthest_first(pool, test, train, np.asarray(pool_ids), np.asarray(test_ids), n, distances)


def diverse_margin(
    pool: Features,
    test: Features,
    pool_scores: FloatArray,
    test_scores: FloatArray,
    pool_ids: IntArray,
    test_ids: IntArray,
    n: int,
    distances: Distances = by_numpy,
) -> Picks:
    """Spread inside a margin band: of the ``BAND``·n items of lowest margin, the lowest first, then each the farthest from the picks.

    Near-duplicates of a pick are thus asked last, if at all; ties by margin, then by id.
    """
    n = min(n, len(pool))
    keys = np.empty(len(pool) + len(test), dtype=np.int64)
    keys[np.lexsort((np.concatenate([pool_ids, test_ids]), np.concatenate([pool_scores, test_scores])))] = np.arange(len(keys))
    pool_keys, test_keys = keys[: len(pool)], keys[len(pool) :]
    surest_last = np.argsort(pool_keys, kind="stable")
    band, without_last = surest_last[: BAND * n], surest_last[: max(BAND * n - 1, 0)]
    picks = _farthest_first(pool[band], test[:0], pool[:0], pool_keys[band], test_keys[:0], n, distances)
    # A test item in the band would push the band's last item out, so it looks on at the picks from the others.
    in_band = np.flatnonzero(test_keys < (pool_keys[band[-1]] if len(pool) >= BAND * n > 0 else len(keys)))
    onlookers = _farthest_first(pool[without_last], test[in_band], pool[:0], pool_keys[without_last], test_keys[in_band], n, distances)
    entry = np.full(len(test), len(picks.positions), dtype=np.int64)
    entry[in_band] = np.where(onlookers.entry < len(onlookers.positions), onlookers.entry, entry[in_band])
    return Picks(band[picks.positions], entry)


def _farthest_first(
    pool: Features, test: Features, centres: Features, pool_keys: IntArray, test_keys: IntArray, n: int, distances: Distances
) -> Picks:
    """Gonzalez' greedy k-centre, with the test items looking on; of equally far items, the one with the lowest key."""
    n = min(n, len(pool))
    order = np.argsort(pool_keys, kind="stable")  # argmax takes the first of equals: the lowest key
    points = np.concatenate([pool[order], test]).astype(np.float32, copy=False)
    norms = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    unit = max(float(norms.max(initial=0.0)), 1e-300) * _GRID
    nearest = np.full(len(points), np.inf)
    closest = distances(points, norms)

    def approach(some: Features) -> None:
        np.minimum(nearest, np.round(np.maximum(closest(some), 0.0) / unit), out=nearest)

    for start in range(0, len(centres), _CENTRES_AT_ONCE):
        approach(np.asarray(centres[start : start + _CENTRES_AT_ONCE], dtype=np.float32))
    entry = np.full(len(test), n, dtype=np.int64)
    picked = np.empty(n, dtype=np.int64)
    for pick in range(n):
        at = int(np.argmax(nearest[: len(pool)]))
        far, key = nearest[at], pool_keys[order[at]]
        here = nearest[len(pool) :]
        would = (entry == n) & ((here > far) | ((here == far) & (test_keys < key)))
        entry[would] = pick
        picked[pick] = order[at]
        approach(points[at : at + 1])
        nearest[at] = -np.inf
    return Picks(picked, entry)
