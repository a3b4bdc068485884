"""The classifier contract as tests, for everybody who writes a classifier: subclass it in a file that pytest collects.

    from mcal_engine.classifiers.contract import ClassifierContract
    from mypackage import MyClassifier


    class TestMyClassifier(ClassifierContract):
        def make(self, images, cache_dir):
            return MyClassifier(images, cache_dir=cache_dir, device="cpu")

What it asks for is in :class:`mcal_engine.classifiers.base.Classifier`. It takes 60 pictures of 16 px and three classes, and no library
beside numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mcal_engine.classifiers.base import Classifier, ImageSource, Progress, TooFewClasses
from mcal_engine.classifiers.images.image_cache import ArrayImages
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.errors import InvalidValue
from mcal_engine.types import IntArray

SIDE, N, CLASSES = 16, 60, 3  # px, pictures, classes
TRAIN, REST = np.arange(36), np.arange(36, N)


class ClassifierContract:
    """What every candidate keeps to. A subclass says how one is made."""

    learns = True
    """Whether the classes that it tells apart are those of its training; ``False`` for one that knows them from elsewhere."""

    def make(self, images: ImageSource, cache_dir: Path) -> Classifier:
        """A fresh classifier over these pictures; ``cache_dir`` is a folder that it may use."""
        raise NotImplementedError("a subclass of ClassifierContract says how its classifier is made")

    def fitted(self, folder: Path, *, seed: int = 7, backwards: bool = False) -> Classifier:
        """One that has been trained on 36 of the pictures."""
        images, labels = shapes(N, side=SIDE)
        rows = TRAIN[::-1].copy() if backwards else TRAIN
        classifier = self.make(ArrayImages(images), folder)
        classifier.fit(rows, labels[rows], CLASSES, seed=seed)
        return classifier

    def test_the_same_inputs_and_seed_give_the_same_finite_logits_bit_for_bit(self, tmp_path: Path) -> None:
        first, second = (self.fitted(tmp_path).logits(REST) for _ in range(2))
        assert first.shape == (len(REST), CLASSES)
        assert first.dtype == np.float64
        assert np.isfinite(first).all()
        assert np.array_equal(first, second)

    def test_the_order_of_the_labels_does_not_matter(self, tmp_path: Path) -> None:
        expected = self.fitted(tmp_path).logits(REST)
        assert np.array_equal(self.fitted(tmp_path, backwards=True).logits(REST), expected)

    def test_a_row_s_logits_do_not_depend_on_what_else_is_scored(self, tmp_path: Path) -> None:
        classifier = self.fitted(tmp_path)
        few = classifier.logits(REST[5:7])
        assert np.allclose(classifier.logits(REST)[5:7], few, rtol=1e-6, atol=1e-4)  # nets on 36 pictures reach logits of 10⁴

    def test_classes_without_an_example_are_below_the_others_but_finite(self, tmp_path: Path) -> None:
        images, labels = shapes(N, side=SIDE)
        classifier = self.make(ArrayImages(images), tmp_path)
        classifier.fit(TRAIN, np.array([1, 4, 4])[labels[TRAIN]], 6, seed=0)
        logits = classifier.logits(REST)
        assert np.isfinite(logits).all()
        assert logits.shape == (len(REST), 6)
        if self.learns:
            assert set(logits.argmax(axis=1).tolist()) <= {1, 4}
            assert (logits[:, [0, 2, 3, 5]].max(axis=1) < logits[:, [1, 4]].min(axis=1)).all()

    def test_labels_of_one_class_are_too_few_to_learn_from(self, tmp_path: Path) -> None:
        if not self.learns:
            classifier = self.make(ArrayImages(shapes(6, side=SIDE)[0]), tmp_path)
            classifier.fit(np.arange(0), np.arange(0), 3, seed=0)
            assert classifier.logits(np.arange(6)).shape == (6, 3)
            return
        for labels in ([1, 1, 1], []):
            self._refused(tmp_path, np.array(labels, dtype=np.int64), len(labels), TooFewClasses, f"got {min(len(labels), 1)} in")

    def test_labels_that_break_a_rule_are_refused(self, tmp_path: Path) -> None:
        self._refused(tmp_path, np.array([0, 1, 3]), 3, InvalidValue, "0 … 2, got 3")
        self._refused(tmp_path, np.array([0, -1, 1]), 3, InvalidValue, "0 … 2, got -1")
        self._refused(tmp_path, np.array([0, 1]), 3, InvalidValue, "one length, got 3 and 2")

    def test_scoring_before_fitting_is_refused(self, tmp_path: Path) -> None:
        classifier = self.make(ArrayImages(shapes(6, side=SIDE)[0]), tmp_path)
        _raises(InvalidValue, "must be fitted", lambda: classifier.logits(np.arange(6)))

    def test_the_report_and_the_progress_say_how_far_it_came(self, tmp_path: Path) -> None:
        images, labels = shapes(12, side=SIDE)
        told: list[Progress] = []
        classifier = self.make(ArrayImages(images), tmp_path)
        report = classifier.fit(np.arange(12), labels, CLASSES, seed=0, progress=told.append)
        classifier.logits(np.arange(12), progress=told.append)
        assert report.n_train == 12
        assert report.seconds >= 0
        assert report.device
        assert all(0 <= each.done <= each.total for each in told)

    def test_preparing_twice_takes_no_second_time(self, tmp_path: Path) -> None:
        classifier = self.make(ArrayImages(shapes(6, side=SIDE)[0]), tmp_path)
        assert classifier.prepare(np.arange(6)) >= 0
        assert classifier.prepare(np.arange(6)) == 0

    def test_features_and_logits_of_no_rows_are_empty(self, tmp_path: Path) -> None:
        classifier = self.fitted(tmp_path)
        nothing = np.empty(0, dtype=np.int64)
        assert classifier.logits(nothing).shape == (0, CLASSES)
        assert classifier.features(nothing).shape == (0, classifier.features(TRAIN[:2]).shape[1])

    def _refused(self, folder: Path, labels: IntArray, n_rows: int, kind: type[Exception], said: str) -> None:
        classifier = self.make(ArrayImages(shapes(6, side=SIDE)[0]), folder)
        _raises(kind, said, lambda: classifier.fit(np.arange(n_rows), labels, CLASSES, seed=0))


def _raises(kind: type[Exception], said: str, call: Callable[[], object]) -> None:
    """What pytest.raises does; this module is part of the product, which comes without pytest."""
    try:
        call()
    except kind as caught:
        found = str(caught)
    else:
        raise AssertionError(f"expected {kind.__name__} with {said!r}")
    assert said in found, f"expected {said!r} in {found!r}"
