"""The linear head against an independent solution of the same problem, and its behaviour at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from mcal_engine.classifiers import head
from mcal_engine.classifiers.head import FOLDS, ONE_FOLD_FROM, cross_entropy, fit_head, fold_of


def clouds(n: int, d: int, k: int, *, apart: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    classes = np.arange(n) % k
    centres = np.random.default_rng(99).normal(size=(k, d)) * apart / np.sqrt(d)
    return (centres[classes] + draw.normal(size=(n, d)) / np.sqrt(d)).astype(np.float16), classes


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(30, 80), (120, 10)])
def test_a_view_is_the_minimum_of_its_loss_for_wide_and_tall_features(n, d):
    features, classes = clouds(n, d, 3)
    view = fit_head([features], classes).views[0]
    x = (features.astype(np.float64) - view.mean) / view.spread

    def loss(flat):
        weights, bias = flat[: d * 3].reshape(d, 3), flat[d * 3 :]
        return -log_softmax(x @ weights + bias, axis=1)[np.arange(n), classes].mean() + 0.5 * view.l2 * (weights**2).sum()

    ours = loss(np.concatenate([view.weights.ravel(), view.bias]))
    best = minimize(loss, np.zeros(d * 3 + 3), method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**7, "ftol": 1e-12}).fun
    assert best <= ours <= best + 0.01


@pytest.mark.slow
def test_the_blend_prefers_the_view_that_tells_the_classes_apart():
    telling, classes = clouds(150, 20, 3, apart=8)
    noise = np.random.default_rng(5).normal(size=(150, 20)).astype(np.float16)
    fitted = fit_head([noise, telling], classes)
    assert fitted.blend[0] == 0
    assert fitted.blend[1] > 0
    fresh, truth = clouds(90, 20, 3, apart=8, seed=1)
    assert (fitted.logits([noise[:90], fresh]).argmax(axis=1) == truth).mean() > 0.95


@pytest.mark.slow
def test_held_out_cross_entropy_is_about_that_of_new_examples():
    features, classes = clouds(300, 20, 3, apart=3)
    fitted = fit_head([features], classes)
    fresh, truth = clouds(3000, 20, 3, apart=3, seed=1)
    assert cross_entropy(fitted.logits([fresh]), truth) == pytest.approx(fitted.cross_entropy, abs=0.08)


def test_every_class_is_in_every_fold_s_training_part():
    classes = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3])
    folds = fold_of(classes)
    assert folds[9] == -1  # the only example of its class
    for fold in range(FOLDS):
        assert set(classes[folds != fold]) == {0, 1, 2, 3}


def test_large_sets_are_judged_on_one_fold():
    folds = fold_of(np.arange(ONE_FOLD_FROM) % 7)
    assert set(folds.tolist()) == {-1, 0}
    assert (folds == 0).sum() == ONE_FOLD_FROM // FOLDS


def test_one_example_per_class_is_enough_to_fit():
    features, classes = clouds(3, 10, 3, apart=20)
    fitted = fit_head([features, features], classes)
    assert np.isnan(fitted.cross_entropy)
    assert (fitted.logits([features, features]).argmax(axis=1) == classes).all()


def test_constant_features_do_no_harm():
    features, classes = clouds(60, 12, 2, apart=8)
    features[:, 3] = 7
    fitted = fit_head([features], classes)
    other = features[:10].copy()
    other[:, 3] = 9
    assert np.isfinite(fitted.logits([other])).all()
    assert head.cross_entropy(fitted.logits([features]), classes) < 0.2
