"""The head for whole answers: what it can say, what it cannot, and its parts against independent solutions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from mcal_engine.answers import Question, Questions
from mcal_engine.classifiers.head import fit_view, fold_of
from mcal_engine.classifiers.joint_head import SHRINKAGE, _bias, fit_joint_head
from mcal_engine.parts import Parts, every_answer

KIND, SIZE = Question("kind", ("cat", "cow", "dog")), Question("size", ("large", "small"))
TAGS = Question("tags", ("a", "b", "c", "d"), several=True)


def shown(choices: np.ndarray, seed: int = 0) -> np.ndarray:
    """Features of items with these parts, shape (n, parts): each has a direction of its own in 12 dimensions."""
    draw = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(choices.shape[1], 12))
    return (choices @ directions + 0.3 * draw.normal(size=(len(choices), 12))).astype(np.float16)


def two_questions(*, without: tuple[str, str] | None = None, n: int = 180) -> tuple[Parts, np.ndarray, list[tuple[str, str]]]:
    questions = Questions((KIND, SIZE))
    given = [pair for pair in itertools.product(KIND.choices, SIZE.choices) if pair != without]
    texts = every_answer(questions)
    places = [texts.index(questions.text_of({"kind": (kind,), "size": (size,)})) for kind, size in given]
    return Parts.of(questions, texts), np.array(places)[np.arange(n) % len(places)], given


def test_an_answer_that_nobody_gave_is_predicted_from_its_parts():
    parts, classes, _ = two_questions(without=("dog", "small"))
    fitted = fit_joint_head([shown(parts.members[classes].astype(float))], classes, parts)
    missing = np.setdiff1d(np.arange(len(parts)), classes)
    assert len(missing) == 1
    said = fitted.logits([shown(np.repeat(parts.members[missing].astype(float), 40, axis=0), seed=1)])
    assert (fitted.scored[said.argmax(axis=1)] == missing[0]).mean() > 0.9


def test_of_an_open_list_only_answers_with_an_example_are_predicted():
    parts, classes, _ = two_questions(without=("dog", "small"))
    part = Parts(parts.members, parts.widths, parts.several, complete=False)
    fitted = fit_joint_head([shown(parts.members[classes].astype(float))], classes, part)
    assert fitted.scored.tolist() == sorted(set(classes.tolist()))


def test_a_choice_without_an_example_is_in_no_answer_that_is_predicted():
    parts, classes, _ = two_questions()
    cow = parts.members[:, 1]
    classes = classes[~cow[classes]]
    fitted = fit_joint_head([shown(parts.members[classes].astype(float))], classes, parts)
    assert fitted.scored.tolist() == np.flatnonzero(~cow).tolist()


def test_a_question_with_one_answer_so_far_is_no_hindrance():
    parts, classes, _ = two_questions()
    classes = classes[parts.members[classes, 3]]  # all are large
    features = shown(parts.members[classes].astype(float))
    fitted = fit_joint_head([features, features], classes, parts)
    assert (fitted.scored[fitted.logits([features, features]).argmax(axis=1)] == classes).mean() > 0.95


def test_sets_are_predicted_whole():
    questions = Questions((TAGS,))
    texts = every_answer(questions)
    parts = Parts.of(questions, texts)
    classes = np.arange(len(parts) * 16) % len(parts)
    fitted = fit_joint_head([shown(parts.members[classes].astype(float))], classes, parts)
    fresh = shown(parts.members[classes].astype(float), seed=1)
    assert (fitted.scored[fitted.logits([fresh]).argmax(axis=1)] == classes).mean() > 0.9


@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_handful_of_examples_is_enough(n):
    parts, classes, _ = two_questions(n=n)
    features = shown(parts.members[classes].astype(float))
    fitted = fit_joint_head([features, features], classes, parts)
    said = fitted.logits([features, features])
    assert np.isfinite(said).all()
    assert (fitted.scored[said.argmax(axis=1)] == classes).all()


def test_the_same_examples_give_the_same_logits_bit_for_bit():
    parts, classes, _ = two_questions(n=30)
    features = shown(parts.members[classes].astype(float))
    first, second = (fit_joint_head([features], classes, parts).logits([features]) for _ in range(2))
    assert np.array_equal(first, second)


def test_the_bias_brings_expected_numbers_to_the_counts_as_far_as_it_is_shrunk():
    draw = np.random.default_rng(3)
    logits, truth = draw.normal(size=(400, 3)), np.repeat([0, 1, 2], [250, 140, 10])
    bias = _bias(logits, truth)
    chance = np.exp(logits + bias)
    expected = (chance / chance.sum(axis=1, keepdims=True)).sum(axis=0)
    before = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).sum(axis=0)
    assert np.abs(before - [250, 140, 10]).max() > 100
    assert (expected + SHRINKAGE) / (np.array([250, 140, 10]) + SHRINKAGE) == pytest.approx(1, abs=0.02)


def test_logits_of_several_choices_are_the_minimum_of_their_loss():
    draw = np.random.default_rng(5)
    features = draw.normal(size=(40, 6)).astype(np.float16)
    truth = (features[:, :3] + draw.normal(size=(40, 3)) > 0).astype(np.float64)
    view, _ = fit_view(features, truth, fold_of(np.arange(40) % 2), "several")
    x = (features.astype(np.float64) - view.mean) / view.spread

    def loss(flat):
        weights, bias = flat[:18].reshape(6, 3), flat[18:]
        logits = x @ weights + bias
        return (np.log1p(np.exp(logits)) - logits * truth).sum() / 40 + 0.5 * view.l2 * (weights**2).sum()

    ours = loss(np.concatenate([view.weights.ravel(), view.bias]))
    best = minimize(loss, np.zeros(21), method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-12}).fun
    assert best <= ours <= best + 0.01
