"""What is asked of a candidate in one round, and what it answers: one request and one result for the loop, the child process and the
simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mcal_engine.acquisition import Features
from mcal_engine.parts import Parts
from mcal_engine.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRequest:
    """Train one candidate on B, then score the test items and the pool. The same request gives the same logits on the same machine.

    Attributes:
        round: that asks; it has no part in the answer.
        train_ids, train_labels: shape (n_train,), items of B and their class indices.
        test_ids, pool_ids: shapes (n_test,) and (n_pool,), the items to score, in the order of the answer's rows.
        with_features: also bring what the last layer sees, for acquisitions that measure distances.
        buys: whether the pool's answers may be paid for. Where not, a candidate that asks a price answers for the test items alone.
        parts: what the classes are made of, where they are whole answers.
    """

    round: int
    classifier: str
    n_classes: int
    train_ids: IntArray
    train_labels: IntArray
    test_ids: IntArray
    pool_ids: IntArray
    seed: int
    with_features: bool = False
    buys: bool = True
    parts: Parts | None = None

    @property
    def score_ids(self) -> IntArray:
        """Shape (n_test + n_pool,): the test items, then the pool."""
        return np.concatenate([self.test_ids, self.pool_ids])


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What one candidate says of the test items and the pool after its training, and what that took.

    Attributes:
        test_logits, pool_logits: shapes (n_test, n_classes) and (n_pool, n_classes).
        seconds: by part, such as embed, fit, score; all of them are paid.
        one_off_seconds: the part of them that later rounds do not pay again (filling the embedding cache).
        device: what it was trained on, in words.
        features: of the test items, the pool and B, shapes (n_test, d), (n_pool, d) and (n_train, d), where they were asked for.
        bought: money paid for answers that were had from elsewhere, in the campaign's currency.
        price, n_unbought, learns: see :class:`mcal_engine.types.Measurement`. Where something is unbought, ``pool_logits`` has no rows.
    """

    classifier: str
    test_logits: FloatArray
    pool_logits: FloatArray
    seconds: Mapping[str, float]
    one_off_seconds: float = 0.0
    device: str = ""
    features: tuple[Features, Features, Features] | None = None
    bought: float = 0.0
    price: float = 0.0
    n_unbought: int = 0
    learns: bool = True

    @classmethod
    def of(
        cls,
        request: TrainingRequest,
        logits: FloatArray,
        seconds: Mapping[str, float],
        *,
        one_off_seconds: float = 0.0,
        device: str = "",
        features: Features | None = None,
    ) -> Scored:
        """The answer to a request.

        Args:
            request: that was asked.
            logits: shape (n_test + n_pool, n_classes), in the order of ``request.score_ids``.
            seconds, one_off_seconds, device: see the class.
            features: shape (n_test + n_pool + n_train, d), in the order of ``request.score_ids`` and then of B.
        """
        n_test, n_scored = len(request.test_ids), len(request.test_ids) + len(request.pool_ids)
        parts = None if features is None else (features[:n_test], features[n_test:n_scored], features[n_scored:])
        return cls(request.classifier, logits[:n_test], logits[n_test:], seconds, one_off_seconds, device, parts)

    @property
    def training_seconds(self) -> float:
        """All that is paid."""
        return sum(self.seconds.values())

    def part(self, *, test: BoolArray | None = None, pool: BoolArray | None = None) -> Scored:
        """The same answer for some of the items: masks of shapes (n_test,) and (n_pool,); ``None`` keeps all."""
        of_test, of_pool = (slice(None) if mask is None else mask for mask in (test, None if self.n_unbought else pool))
        features = None if self.features is None else (self.features[0][of_test], self.features[1][of_pool], self.features[2])
        return replace(self, test_logits=self.test_logits[of_test], pool_logits=self.pool_logits[of_pool], features=features)
