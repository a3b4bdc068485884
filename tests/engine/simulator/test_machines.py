"""A candidate with a stopwatch: the same training set is trained on once, and paid for once."""

from __future__ import annotations

import numpy as np
import pytest

from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.simulator.machines import Machine, Stopwatch
from mcal_engine.training import TrainingRequest
from tests.engine.simulator.toy import RidgeClassifier, toy_data

DATA = toy_data(300)
TRAIN, TEST, POOL = np.arange(40), np.arange(40, 60), np.arange(60, 300)


def machine() -> tuple[Machine, RidgeClassifier]:
    ridge = RidgeClassifier(ArrayImages(DATA.images))
    return Machine("ridge", ridge, Stopwatch()), ridge


def scored(one: Machine, train=TRAIN, test=TEST, pool=POOL, *, labels=None, seed=0, with_features=False):
    classes = DATA.labels[train] if labels is None else labels
    return one.fit_and_score(TrainingRequest(0, "ridge", DATA.n_classes, train, classes, test, pool, seed, with_features))


def test_the_same_b_keeps_its_net_when_t_is_topped_up():
    one, ridge = machine()
    first = scored(one)
    test, pool = np.concatenate([TEST, POOL[100:110]]), np.delete(POOL, np.s_[100:110])
    again = scored(one, TRAIN[::-1], test, pool, seed=1)
    assert ridge.fits == 1
    assert np.array_equal(again.test_logits, np.concatenate([first.test_logits, first.pool_logits[100:110]]))
    assert np.array_equal(again.pool_logits, np.delete(first.pool_logits, np.s_[100:110], axis=0))


@pytest.mark.parametrize(
    "change",
    [
        {"train": np.arange(39), "pool": np.append(POOL, 39)},
        {"labels": (DATA.labels[TRAIN] + 1) % DATA.n_classes},
        {"with_features": True},
    ],
    ids=["a label less", "other labels", "features"],
)
def test_whatever_was_not_said_before_is_computed(change):
    one, ridge = machine()
    scored(one)
    found = scored(one, **change)
    assert ridge.fits == 2
    fresh, _ = machine()
    assert np.array_equal(found.pool_logits, scored(fresh, **change).pool_logits)
