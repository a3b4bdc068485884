"""Kernel least squares against its own formula, with every example and with some of them as anchors."""

from __future__ import annotations

import numpy as np
import pytest

from mcal_engine.classifiers import neighbours
from mcal_engine.classifiers.head import cross_entropy, fit_head, fold_of
from mcal_engine.classifiers.neighbours import RIDGE, fit_neighbours


def rings(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two rings, one around the other, in a plane of 12 dimensions: no line parts them."""
    draw = np.random.default_rng(seed)
    classes = np.arange(n) % 2
    angle, radius = draw.uniform(0, 2 * np.pi, n), 1.0 + 2.0 * classes
    plane = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(12, 12)))[0][:2]
    return (plane @ turn + 0.1 * draw.normal(size=(n, 12))).astype(np.float16), classes


def test_the_weights_solve_the_ridge_problem_on_the_kernel():
    features, classes = rings(60)
    fitted, _ = fit_neighbours(features, classes, fold_of(classes))
    z = ((features.astype(np.float64) - fitted.mean) / fitted.spread) @ fitted.axes
    kernel = np.exp(-((z[:, None] - z[None]) ** 2).sum(axis=2) / fitted.width)
    expected = np.linalg.solve(kernel + RIDGE * np.eye(60), np.eye(2)[classes] - 0.5)
    assert fitted.weights == pytest.approx(expected, abs=1e-3)
    assert fitted.scores(features) == pytest.approx(kernel @ expected, abs=1e-3)


def test_held_out_scores_are_those_of_a_fit_without_the_fold():
    features, classes = rings(60)
    folds = fold_of(classes)
    folds[5] = -1
    fitted, held_out = fit_neighbours(features, classes, folds)
    kernel = np.exp(-neighbours._squared_distances(fitted.anchors, fitted.anchors) / fitted.width).astype(np.float64)
    known, out = folds != 1, folds == 1
    weights = np.linalg.solve(kernel[np.ix_(known, known)] + RIDGE * np.eye(known.sum()), (np.eye(2)[classes] - 0.5)[known])
    assert held_out[out] == pytest.approx(kernel[np.ix_(out, known)] @ weights, abs=1e-4)
    assert not held_out[5].any()


@pytest.mark.slow
def test_some_anchors_say_about_what_all_of_them_say(monkeypatch):
    features, classes = rings(400)
    fresh, truth = rings(400, seed=1)
    folds = fold_of(classes)
    whole, _ = fit_neighbours(features, classes, folds)
    monkeypatch.setattr(neighbours, "ANCHORS", 80)
    monkeypatch.setattr(neighbours, "AXES_FROM", 50)
    few, held_out = fit_neighbours(features, classes, folds)
    assert len(few.anchors) == 80
    assert np.abs(few.scores(fresh) - whole.scores(fresh)).mean() < 0.05
    assert (few.scores(fresh).argmax(axis=1) == truth).mean() > 0.97
    judged = folds >= 0
    assert (held_out[judged].argmax(axis=1) == classes[judged]).mean() > 0.95


def test_scores_do_not_depend_on_what_else_is_scored(monkeypatch):
    features, classes = rings(60)
    fitted, _ = fit_neighbours(features, classes, fold_of(classes))
    whole = fitted.scores(features)
    monkeypatch.setattr(neighbours, "SCORED_AT_ONCE", 7)
    assert fitted.scores(features) == pytest.approx(whole, abs=1e-6)
    assert fitted.scores(features[:0]).shape == (0, 2)


@pytest.mark.slow
def test_the_head_listens_to_neighbours_where_no_line_tells_the_classes_apart_and_not_to_noise():
    features, classes = rings(200)
    fresh, truth = rings(200, seed=1)
    fitted = fit_head([features], classes)
    assert fitted.nearness > 0
    assert (fitted.logits([fresh]).argmax(axis=1) == truth).mean() > 0.97
    assert cross_entropy(fitted.logits([fresh]), truth) < 0.2
    noise = np.random.default_rng(3).normal(size=(200, 12)).astype(np.float16)
    assert fit_head([noise], classes).cross_entropy == pytest.approx(np.log(2), abs=0.05)


def test_two_examples_are_enough():
    features, classes = rings(2)
    fitted, held_out = fit_neighbours(features, classes, np.array([-1, -1]))
    assert np.isfinite(fitted.scores(features)).all()
    assert not held_out.any()
