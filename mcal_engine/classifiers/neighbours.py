"""Least squares on Gaussian kernels around training examples: what a linear map of the features cannot say, seen from near by.

z = ((x − mean) / spread) @ axes are coordinates along the main directions of the training examples; a class's score is
Σ_a weight_a · exp(−‖z − a‖² / width) over anchors a, which are training examples. The weights minimise ‖scores − targets‖² + ridge·‖f‖²
in the kernel's own norm. Beside the linear head it ranks errors better; see :mod:`mcal_engine.classifiers.head` for what that is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from mcal_engine.types import BoolArray, FloatArray, IntArray

ANCHORS = 2048  # at most; beyond, evenly spread ones stand for all
DIRECTIONS = 512  # at most, found on AXES_FROM examples
AXES_FROM = 1024
RIDGE = 0.1
NARROWNESS = 2.0  # median squared distance between anchors, in widths
SCORED_AT_ONCE = 2048  # rows; bounds the memory of a large pool
_SPREAD_FLOOR = 1e-3  # keeps features that hardly vary in training from exploding elsewhere

SingleArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The fitted scores.

    Attributes:
        mean, spread: of the features, shape (d,).
        axes: shape (d, r).
        anchors: shape (m, r).
        weights: shape (m, K).
    """

    mean: SingleArray
    spread: SingleArray
    axes: SingleArray
    anchors: SingleArray
    width: float
    weights: FloatArray

    def scores(self, features: npt.NDArray[Any]) -> FloatArray:
        """Shape (n, K), between about 0 − 1/K and 1 − 1/K."""
        found = np.empty((len(features), self.weights.shape[1]))
        for start in range(0, len(features), SCORED_AT_ONCE):
            some = slice(start, start + SCORED_AT_ONCE)
            z: SingleArray = ((features[some].astype(np.float32) - self.mean) / self.spread).astype(np.float32) @ self.axes
            found[some] = np.exp(-_squared_distances(z, self.anchors) / self.width) @ self.weights
        return found


def fit_neighbours(features: npt.NDArray[Any], classes: IntArray, folds: IntArray) -> tuple[Neighbours, FloatArray]:
    """The scores, and those of each example by a fit without its fold, shape (n, K); rows of fold −1 are left at 0.

    Args:
        features: shape (n, d).
        classes: shape (n,), values 0 … K − 1, each of them present.
        folds: shape (n,), of :func:`mcal_engine.classifiers.head.fold_of`.
    """
    n_classes = int(classes.max()) + 1
    return fit_towards(features, np.eye(n_classes)[classes] - 1 / n_classes, folds)


def fit_towards(features: npt.NDArray[Any], targets: FloatArray, folds: IntArray) -> tuple[Neighbours, FloatArray]:
    """As :func:`fit_neighbours`, with targets of shape (n, K) in the place of classes."""
    x = features.astype(np.float32)
    mean, spread = x.mean(axis=0), x.std(axis=0) + np.float32(_SPREAD_FLOOR)
    x = (x - mean) / spread
    axes = _main_axes(x[_evenly(len(x), AXES_FROM)])
    z = x @ axes
    anchors = _evenly(len(z), ANCHORS)
    distances = _squared_distances(z, z[anchors])
    width = max(float(np.median(distances[anchors])) / NARROWNESS, 1e-6)
    kernel: SingleArray = np.exp(-distances / np.float32(width))
    held_out = np.zeros(targets.shape)
    for fold in np.unique(folds[folds >= 0]):
        out = folds == fold
        held_out[out] = kernel[out] @ _solve(kernel, targets, anchors, ~out)
    everything = np.ones(len(z), dtype=np.bool_)
    return Neighbours(mean, spread, axes, z[anchors], width, _solve(kernel, targets, anchors, everything)), held_out


def _solve(kernel: SingleArray, targets: FloatArray, anchors: IntArray, known: BoolArray) -> FloatArray:
    """Weights of all anchors, shape (m, K), from the ``known`` examples; ``kernel``: between examples and anchors, shape (n, m)."""
    weights = np.zeros((len(anchors), targets.shape[1]))
    if len(anchors) == len(kernel):  # every example is an anchor: one system of the known ones
        system = kernel[np.ix_(known, known)].astype(np.float64)
        system[np.diag_indices_from(system)] += RIDGE
        weights[known] = linalg.solve(system, targets[known], assume_a="pos")
        return weights
    system, wanted = RIDGE * kernel[anchors].astype(np.float64), np.zeros(weights.shape)
    for rows in np.array_split(np.flatnonzero(known), max(known.sum() // SCORED_AT_ONCE, 1)):  # in double precision piece by piece
        some = kernel[rows].astype(np.float64)
        system += some.T @ some
        wanted += some.T @ targets[rows]
    system[np.diag_indices_from(system)] += 1e-6  # anchors that are alike
    return np.asarray(linalg.solve(system, wanted, assume_a="pos"))


def _evenly(n: int, most: int) -> IntArray:
    """At most so many of n places, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _main_axes(x: SingleArray) -> SingleArray:
    """Principal directions of the rows of ``x``, which are about centred: orthonormal, shape (d, r)."""
    values, vectors = np.linalg.eigh(x.astype(np.float64) @ x.T if len(x) <= x.shape[1] else x.T.astype(np.float64) @ x)
    kept = np.flatnonzero(values > values[-1] * 1e-6)[-DIRECTIONS:]
    if len(x) > x.shape[1]:
        return np.asarray(vectors[:, kept], dtype=np.float32)
    return np.asarray(x.T @ (vectors[:, kept] / np.sqrt(values[kept])), dtype=np.float32)


def _squared_distances(points: SingleArray, others: SingleArray) -> SingleArray:
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :]
    return np.asarray(np.maximum(squares - 2 * points @ others.T, 0.0), dtype=np.float32)
