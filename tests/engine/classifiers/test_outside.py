"""Candidates from outside: classes of somebody else's, and models that are asked."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from importlib import metadata
from itertools import count

import numpy as np
import pytest

from mcal_engine.classifiers import check_race, make, parse
from mcal_engine.classifiers.contract import ClassifierContract
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.classifiers.outside import NO_ANSWER, OutsideClassifier, logits_of
from mcal_engine.errors import InvalidValue
from mcal_engine.round import LabelledTest, Standing, measure
from mcal_engine.spec import CampaignSpec
from mcal_engine.surety import answered, surety
from mcal_engine.training import Scored


@dataclass(frozen=True)
class Said:
    labels: np.ndarray
    confidences: np.ndarray


def ask(rows: np.ndarray, progress: object) -> Said:
    """Answers by the row alone; every seventh has none."""
    labels = np.where(rows % 7 == 6, NO_ANSWER, rows % 3)
    return Said(labels.astype(np.int64), (rows % 10) / 10)


class TestOutsideClassifier(ClassifierContract):
    learns = False

    def make(self, images, cache_dir):
        return OutsideClassifier("outside", ask, count().__next__)


def test_the_order_is_that_of_the_model_s_own_confidence_and_no_answer_comes_last():
    labels = np.array([2, 0, NO_ANSWER, 1, 1])
    logits = logits_of(labels, np.array([0.9, 0.0, 0.99, 1.0, 0.2]), 3)
    for kind in ("margin", "entropy", "least_confidence"):
        assert np.argsort(-surety(logits, kind)).tolist() == [3, 0, 4, 1, 2]
    assert logits.argmax(axis=1)[[0, 1, 3, 4]].tolist() == [2, 0, 1, 1]
    assert answered(logits).tolist() == [True, True, False, True, True]


def test_what_has_no_answer_counts_as_wrong_even_where_a_guess_would_be_right():
    logits = logits_of(np.array([0, NO_ANSWER]), np.array([0.9, 0.9]), 2)
    request_free = Scored("outside", logits, logits, {"ask": 1.0})
    test = LabelledTest(np.array([5, 6]), np.array([0, 0]), np.array([True, True]))
    spec = CampaignSpec(target_error=0.05, price_per_label=1.0, classifiers=("outside",))
    found = measure(spec, Standing(0, 10, 2, 2, 2, 4), test, [request_free])
    assert found.measurements[0].correct.tolist() == [True, False]


class Fixed:
    """Fulfils the contract on paper: the constructor and the four methods."""

    def __init__(self, images, *, cache_dir, device="auto", width="3"):
        self.width = int(width)

    def prepare(self, rows, *, progress=None): ...
    def fit(self, rows, labels, n_classes, *, seed, progress=None): ...
    def logits(self, rows, *, progress=None): ...
    def features(self, rows): ...


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    package, module = types.ModuleType("acme"), types.ModuleType("acme.models")
    module.Fixed, module.number = Fixed, 3
    monkeypatch.setitem(sys.modules, "acme", package)
    monkeypatch.setitem(sys.modules, "acme.models", module)
    return module


def test_a_class_is_named_by_its_path_and_its_options_are_text(theirs, tmp_path):
    images = ArrayImages(shapes(3)[0])
    made = make("python:acme.models:Fixed:width=5", images, cache_dir=tmp_path)
    assert isinstance(made, Fixed)
    assert (made.width, made.name) == (5, "python:acme.models:Fixed:width=5")


def test_a_package_announces_a_class_by_a_short_name(theirs, tmp_path, monkeypatch):
    point = metadata.EntryPoint("acme-vit", "acme.models:Fixed", "mcal.classifiers")
    monkeypatch.setattr(
        "mcal_engine.classifiers.candidates.metadata.entry_points",
        lambda group, name=None: metadata.EntryPoints([point] if name in (None, point.name) else []),
    )
    assert isinstance(make("acme-vit:width=2", ArrayImages(shapes(3)[0]), cache_dir=tmp_path), Fixed)
    with pytest.raises(InvalidValue, match=r"unknown classifier 'acme'; known: .*acme-vit"):
        parse("acme")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python:acme.models", "the form is python:PACKAGE.MODULE:CLASS"),
        ("python:acme/models:Fixed", "the form is"),
        ("python:acme.models:Fixed:5", "'5' has no meaning there"),
        ("python:acme.models:Fixed:device=cpu", "'device=cpu' has no meaning there"),
        ("llm:", "the form is llm:MODEL"),
        ("llm:gpt-4o:price=2:mini", "the form is llm:MODEL"),
        ("llm:gpt-4o:price=dear", "price must be a price of 0 or more, got 'dear'"),
        ("llm:gpt-4o:price=-1", "price must be a price of 0 or more"),
        ("llm:gpt-4o:samples=0", "samples must be a whole number in 1 … 32"),
        ("llm:gpt-4o:in=1:in=2", "'in' is given twice"),
        ("backend:", "the form is backend:http://HOST:PORT"),
        ("backend:ftp://host", "the form is backend:http"),
        ("backend:http://:9090", "the form is backend:http"),
        ("backend:http://host:port", "the form is backend:http"),
    ],
)
def test_a_name_that_breaks_a_rule_is_refused_by_it(name, said):
    with pytest.raises(InvalidValue, match=said):
        check_race([name])


def test_a_login_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(InvalidValue, match="without a login") as caught:
        parse("backend:http://user:hunter2@host:9090")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python:acme.models:Missing", "cannot be found: .*Missing"),
        ("python:acme.nowhere:Fixed", "cannot be found"),
        ("python:acme.models:number", "it lacks prepare, fit, logits, features"),
        ("python:acme.models:Fixed:depth=2", "cannot be made: .*depth"),
        ("python:collections:OrderedDict", "it lacks prepare, fit, logits, features"),
        ("backend:http://host:9090", "is asked by the worker of a campaign"),
    ],
)
def test_a_class_that_cannot_be_one_is_refused_by_what_is_wrong(theirs, tmp_path, name, said):
    with pytest.raises(InvalidValue, match=said):
        make(name, ArrayImages(shapes(3)[0]), cache_dir=tmp_path)


def test_a_model_s_own_name_may_hold_colons_and_options_stand_behind_it():
    assert parse("llm:llama3.2-vision:11b:in=2.5:out=10:samples=3").arguments == {
        "model": "llama3.2-vision:11b",
        "in": 2.5,
        "out": 10.0,
        "samples": 3,
    }
    assert parse("llm:gpt-4o").asked


def test_an_address_is_one_however_it_is_written():
    assert parse("backend:HTTP://Host:9090/v1/").arguments == {"address": "http://host:9090/v1"}
    assert parse("backend:http://host:9090").asked
    assert not parse("python:acme.models:Fixed").asked
