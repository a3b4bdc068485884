"""Words and pieces of words as numbers: TF-IDF of word pairs and of 2 to 5 characters, for every language and without a download.

Counts are hashed, so that a text's row needs no vocabulary and is computed once; which columns count, and how much, is learned from the
training texts of each fit alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mcal_engine.classifiers.base import Progress, ProgressCallback, TextSource
from mcal_engine.errors import InvalidValue
from mcal_engine.types import FloatArray, IntArray

COLUMNS = 2**20  # of hashed counts, each for words and for characters
AT_ONCE = 2048  # texts
FOLDED = 512  # width of the dense stand-in for distances
FEWEST = 2  # texts that must hold a gram for it to count


class Unavailable(InvalidValue):
    """scikit-learn is not installed."""


class Grams:
    """Hashed counts of the rows of a source, kept in memory while the process lives."""

    def __init__(self, texts: TextSource) -> None:
        try:
            from sklearn.feature_extraction.text import HashingVectorizer
        except ImportError:
            raise Unavailable(
                "tfidf needs scikit-learn, which is not installed; it comes with the extra named text: pip install 'mcal-backend[text]'"
            ) from None
        plain = {"n_features": COLUMNS, "norm": None, "alternate_sign": False, "dtype": np.float32}
        self._texts = texts
        self._counters = (
            HashingVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **plain),  # noqa: S106 (no password)
            HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), **plain),
        )
        self._counts: list[Any] = [None, None]  # a matrix each, of the rows that were asked for so far
        self._place: IntArray = np.empty(0, dtype=np.int64)  # row → its place in them, −1 where there is none

    def fill(self, rows: IntArray, progress: ProgressCallback | None = None) -> int:
        """Count what is missing; return how many texts that were."""
        from scipy import sparse

        if len(self._place) < len(self._texts):
            self._place = np.concatenate([self._place, np.full(len(self._texts) - len(self._place), -1, dtype=np.int64)])
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        missing = wanted[self._place[wanted] < 0]
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            texts = self._texts.batch(some)
            before = 0 if self._counts[0] is None else self._counts[0].shape[0]
            for at, counter in enumerate(self._counters):
                fresh = counter.transform(texts)
                self._counts[at] = fresh if self._counts[at] is None else sparse.vstack([self._counts[at], fresh], format="csr")
            self._place[some] = before + np.arange(len(some))
            if progress is not None:
                progress(Progress("embed", start + len(some), len(missing)))
        return len(missing)

    def counts(self, rows: IntArray) -> list[Any]:
        """Sparse counts (n, COLUMNS) of words and of characters."""
        self.fill(rows)
        return [counts[self._place[rows]] for counts in self._counts]

    def folded(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Dense unit rows (n, FOLDED): counts of characters, dampened and hashed once more, for distances between texts."""
        from scipy import sparse

        counts = self.counts(rows)[1]
        dampened = sparse.csr_matrix((np.log1p(counts.data), counts.indices % FOLDED, counts.indptr), shape=(counts.shape[0], FOLDED))
        dense = np.asarray(dampened.todense(), dtype=np.float32)
        return np.asarray(dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-6), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Weighing:
    """Which columns count and how much: kept columns and inverse document frequencies, for words and for characters."""

    kept: tuple[IntArray, ...]
    weights: tuple[npt.NDArray[np.float32], ...]

    @classmethod
    def of(cls, counts: list[Any]) -> Weighing:
        """From the counts of training texts: idf = log((1 + n) / (1 + df)) + 1."""
        kept, weights = [], []
        for one in counts:
            n = one.shape[0]
            df = np.bincount(one.indices, minlength=one.shape[1])
            columns = np.flatnonzero(df >= min(FEWEST, n))
            columns = columns if len(columns) else np.flatnonzero(df)
            kept.append(columns)
            weights.append((np.log((1 + n) / (1 + df[columns])) + 1).astype(np.float32))
        return cls(tuple(kept), tuple(weights))

    def weighed(self, counts: list[Any]) -> Any:
        """Sparse rows (n, columns): (1 + log count) · idf, words and characters of unit length each, side by side."""
        from scipy import sparse
        from sklearn.preprocessing import normalize

        parts = []
        for one, columns, weights in zip(counts, self.kept, self.weights, strict=True):
            part = one[:, columns].tocsr()
            part.data = 1 + np.log(part.data)
            parts.append(normalize(part.multiply(weights[None, :]).tocsr(), copy=False))
        return sparse.hstack(parts, format="csr")


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear map of weighed grams: support vectors, one class against the others."""

    weighing: Weighing
    weights: FloatArray
    bias: FloatArray

    def logits(self, counts: list[Any]) -> FloatArray:
        """Shape (n, K): signed distances to each class's border."""
        return np.asarray(self.weighing.weighed(counts) @ self.weights + self.bias, dtype=np.float64)


def fit_linear(counts: list[Any], classes: IntArray, n_classes: int) -> Linear:
    """Fit on counts of the training texts, shape (n, COLUMNS) each, with classes 0 … K − 1, at least two of them present.

    The squared hinge loss at C = 1; a class without an example lies beyond every other one's border.
    """
    import warnings

    from sklearn.svm import LinearSVC

    weighing = Weighing.of(counts)
    x = weighing.weighed(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged to the last digit
        found = LinearSVC(C=1.0, random_state=0).fit(x, classes)
    weights, bias = np.zeros((x.shape[1], n_classes)), np.full(n_classes, -3.0)
    coefficients, borders = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # one border for both
        coefficients, borders = np.concatenate([-coefficients, coefficients]), np.concatenate([-borders, borders])
    weights[:, found.classes_], bias[found.classes_] = coefficients.T, borders
    return Linear(weighing, weights, bias)
