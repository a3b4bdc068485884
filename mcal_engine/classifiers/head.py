"""Multinomial logistic regression on fixed features: an L2 path chosen by cross-validation, and a blend of several feature views.

Minimises, over W (d, K) and b (K,), mean cross-entropy + (l2 / 2)·‖W‖², on features standardised and scaled to rows of about unit length.
By the representer theorem W lies in the span of the n training rows, so for n < d the fit runs in n dimensions and loses nothing.
Plain numpy and scipy; everything is a deterministic function of (features, labels).

Beside the linear views there are kernel scores of neighbours, weighed on held-out examples too. What they are worth, as the share of X that
people would still label at ε = 5 % were the pool's labels known (B half random, half by margin): Fashion-MNIST 20,000, |B| = 700 and 2,000:
18.1 to 17.1 %, 14.7 to 14.0 %; CIFAR-10 20,000, |B| = 600 and 3,000: 51.9 to 50.2 %, 40.2 to 37.0 %; clothing photos, |B| = 600, two seeds:
26.0 to 24.9 %, 26.4 to 25.6 % (weight 8, all directions; one seed where none is named). Fashion-MNIST 70,000, B by margin, 700 and 2,100:
16.9 to 16.2 %, 9.1 to 8.3 %; at 2,100 they take 1.6 s of a fit of 10.8, and 4.8 of 7.5 s of scoring 70,000 (one core). Three perceptrons of
512 units did as well in their place for five times the fit; pseudo-labels of the pool and mirror images did nothing on Fashion-MNIST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.optimize import minimize

from mcal_engine.classifiers.neighbours import Neighbours, fit_neighbours
from mcal_engine.types import FloatArray, IntArray

L2_PATH = (1e-3, 2e-4, 5e-5, 1e-5)  # strongest first; each fit starts from the one before
L2_DEFAULT = 1e-4  # where there are too few examples to choose by
FOLDS = 3
ONE_FOLD_FROM = 1500  # examples; a third of them is enough to choose by, and two of three fits are saved
ITERATIONS = 60  # per step of the path
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)  # weight of the first view
NEARNESS = (0.0, 2.0, 4.0, 8.0, 16.0)  # weight of the neighbours' scores beside the blended logits
SCALES = tuple(float(scale) for scale in np.geomspace(0.5, 2.0, 9))
_SPREAD_FLOOR = 1e-3  # keeps features that hardly vary in training from exploding elsewhere

Features = npt.NDArray[Any]
Truth = Literal["one", "several"]
"""What a row of truth, shape (K,), holds: a 1 for its one class; or one for each choice that was made, each told by itself."""


@dataclass(frozen=True, slots=True)
class View:
    """One linear map: logits = ((x − mean) / spread) @ weights + bias."""

    mean: FloatArray
    spread: FloatArray
    weights: FloatArray
    bias: FloatArray
    l2: float

    def logits(self, features: Features) -> FloatArray:
        # Folded into one matrix product in the features' own precision times float64 weights: no standardised copy of a large pool.
        folded = self.weights / self.spread[:, None]
        return np.asarray(features.astype(np.float64) @ folded + (self.bias - self.mean @ folded), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Head:
    """A blend of views, each on its own features, and the neighbours' scores on those of the last view.

    ``cross_entropy`` is the mean over held-out examples (nan without any).
    """

    views: tuple[View, ...]
    blend: tuple[float, ...]
    cross_entropy: float
    neighbours: Neighbours | None = None
    nearness: float = 0.0

    def logits(self, features: Sequence[Features]) -> FloatArray:
        """Shape (n, K), for the views' features in the order of the fit."""
        total = sum(weight * view.logits(x) for view, weight, x in zip(self.views, self.blend, features, strict=True) if weight > 0)
        if self.neighbours is not None and self.nearness > 0:
            total = total + self.nearness * self.neighbours.scores(features[-1])
        return np.asarray(total, dtype=np.float64)


def fit_head(features: Sequence[Features], classes: IntArray) -> Head:
    """Fit one head on one or two views.

    Args:
        features: per view, shape (n, d_view).
        classes: shape (n,), values 0 … K − 1, each of them present.
    """
    folds = fold_of(classes)
    truth = np.eye(int(classes.max()) + 1)[classes]
    views, held_out = zip(*(fit_view(x, truth, folds, "one") for x in features), strict=True)
    if not (folds >= 0).any():
        return Head(views, tuple(1 / len(views) for _ in views), float("nan"))
    neighbours, scores = fit_neighbours(features[-1], classes, folds)
    weighed = weigh(held_out, scores, truth, folds, "one")
    return Head(views, weighed.blend, weighed.cross_entropy, neighbours, weighed.nearness)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What views and neighbours count for, at a common scale; ``held_out``: the logits of all together, shape (n, K)."""

    blend: tuple[float, ...]
    nearness: float
    cross_entropy: float
    held_out: FloatArray


def weigh(views: Sequence[FloatArray], scores: FloatArray, truth: FloatArray, folds: IntArray, kind: Truth) -> Weighed:
    """Weigh views and the neighbours on examples that their fits have not seen: what is left is about calibrated.

    Args:
        views, scores: held-out logits of each view and scores of the neighbours, each of shape (n, K).
        truth: shape (n, K).
        folds: shape (n,), one of them at least 0.
    """
    judged = folds >= 0
    mixes = [(1.0,)] if len(views) == 1 else [(blend, 1.0 - blend) for blend in BLENDS]
    blended = [sum(weight * logits for weight, logits in zip(mix, views, strict=True)) for mix in mixes]
    _, rank, _ = best_scale([np.asarray(one)[judged] for one in blended], truth[judged], kind)
    together = [blended[rank] + nearness * scores for nearness in NEARNESS]
    loss, near, scale = best_scale([one[judged] for one in together], truth[judged], kind)
    blend = tuple(scale * weight for weight in mixes[rank])
    return Weighed(blend, scale * NEARNESS[near], loss, scale * np.asarray(together[near]))


def best_scale(candidates: Sequence[FloatArray], truth: FloatArray, kind: Truth) -> tuple[float, int, float]:
    """Least cross-entropy, of which of the candidates and at which scale."""
    return min((mean_loss(scale * logits, truth, kind), rank, scale) for rank, logits in enumerate(candidates) for scale in SCALES)


def mean_loss(logits: FloatArray, truth: FloatArray, kind: Truth) -> float:
    """Mean −log p of the truth; of several choices, the sum over them."""
    if kind == "one":
        return cross_entropy(logits, truth.argmax(axis=1))
    return float((np.logaddexp(0.0, logits) - logits * truth).sum(axis=1).mean())


def fold_of(classes: IntArray) -> IntArray:
    """Stratified folds, shape (n,): 0 … FOLDS − 1, or −1 for examples that are never held out, such as the only one of its class."""
    order = np.lexsort((np.arange(len(classes)), classes))
    folds = np.empty(len(classes), dtype=np.int64)
    folds[order] = np.arange(len(classes)) % FOLDS
    counts = np.bincount(classes)
    folds[counts[classes] == 1] = -1
    if len(classes) >= ONE_FOLD_FROM:
        folds[folds > 0] = -1
    return folds


def cross_entropy(logits: FloatArray, classes: IntArray) -> float:
    """Mean −log p of the true class."""
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(classes)), classes]).mean())


def fit_view(features: Features, truth: FloatArray, folds: IntArray, kind: Truth) -> tuple[View, FloatArray]:
    """The view at its best l2, and its held-out logits, shape (n, K); rows of fold −1 are left at 0."""
    x = features.astype(np.float64)
    mean = x.mean(axis=0)
    spread = x.std(axis=0) + _SPREAD_FLOOR
    x = (x - mean) / (spread * np.sqrt(x.shape[1]))
    z, back = _reduced(x)
    l2, held_out = _choose_l2(z, truth, folds, kind)
    weights, bias = _descend(z, truth, [strength for strength in L2_PATH if strength >= l2], kind)[-1]
    return View(mean, spread * np.sqrt(x.shape[1]), back @ weights, bias, l2), held_out


def _reduced(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coordinates z (n, r) with z = x @ back and zᵀz as informative as xᵀx; r = n for wide x, d for tall x."""
    n, d = x.shape
    if n >= d:
        return x, np.eye(d)
    values, vectors = np.linalg.eigh(x @ x.T)
    kept = values > values[-1] * 1e-12
    z = vectors[:, kept] * np.sqrt(values[kept])
    return z, np.asarray(x.T @ (vectors[:, kept] / np.sqrt(values[kept])))


def _choose_l2(z: FloatArray, truth: FloatArray, folds: IntArray, kind: Truth) -> tuple[float, FloatArray]:
    held_out = np.zeros((len(L2_PATH), *truth.shape))
    if not (folds >= 0).any():
        return L2_DEFAULT, held_out[0]
    for fold in range(FOLDS):
        out = folds == fold
        if out.any():
            for step, (weights, bias) in enumerate(_descend(z[~out], truth[~out], L2_PATH, kind)):
                held_out[step, out] = z[out] @ weights + bias
    judged = folds >= 0
    losses = [mean_loss(logits[judged], truth[judged], kind) for logits in held_out]
    best = int(np.argmin(losses))
    return L2_PATH[best], held_out[best]


def _descend(z: FloatArray, truth: FloatArray, path: Sequence[float], kind: Truth) -> list[tuple[FloatArray, FloatArray]]:
    """(weights, bias) for each l2 of ``path``, by L-BFGS from the one before. Products in float32 (half the time), sums in float64."""
    n, r = z.shape
    single = z.astype(np.float32)
    k = truth.shape[1]
    at = np.zeros((r + 1) * k)
    found = []
    for l2 in path:

        def loss(flat: FloatArray, l2: float = l2) -> tuple[float, FloatArray]:
            weights, bias = flat[: r * k].reshape(r, k), flat[r * k :]
            logits = (single @ weights.astype(np.float32)).astype(np.float64) + bias
            if kind == "one":
                logits -= logits.max(axis=1, keepdims=True)
                p = np.exp(logits)
                total = p.sum(axis=1, keepdims=True)
                normaliser, p = np.log(total).sum(), p / total
            else:
                normaliser, p = np.logaddexp(0.0, logits).sum(), special.expit(logits)
            value = (normaliser - (logits * truth).sum()) / n + 0.5 * l2 * (weights * weights).sum()
            slope = (p - truth) / n
            return float(value), np.concatenate([((single.T @ slope.astype(np.float32)) + l2 * weights).ravel(), slope.sum(axis=0)])

        at = minimize(loss, at, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "maxcor": 20, "ftol": 1e-6, "gtol": 1e-5}).x
        found.append((at[: r * k].reshape(r, k), at[r * k :]))
    return found
