"""The order in which a learned regression puts the answers of a model from outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcal_engine.classifiers.candidates import beside, parse, source_of
from mcal_engine.classifiers.learned_order import in_learned_order
from mcal_engine.classifiers.outside import logits_of
from mcal_engine.errors import InvalidValue
from mcal_engine.surety import answered, surety
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import FloatArray, IntArray

N, K = 600, 4
DRAW = np.random.default_rng(0)
TRUTH = DRAW.integers(0, K, N)
WRONG = DRAW.random(N) < 0.3
SAID = np.where(WRONG, (TRUTH + 1) % K, TRUTH)
SURE = DRAW.random(N)  # tells nothing
PEER = np.where(DRAW.random(N) < 0.2, DRAW.integers(0, K, N), TRUTH)  # errs on others than the model
B, T, POOL = np.arange(90), np.arange(90, 150), np.arange(150, N)


class Candidates:
    """The model, and one that is trained here: on an item of its B it says the label that it was given."""

    def __init__(self, silent: IntArray | None = None, n_unbought: int = 0) -> None:
        self.requests: list[TrainingRequest] = []
        self.silent = np.zeros(0, dtype=np.int64) if silent is None else silent
        self.n_unbought = n_unbought

    def __call__(self, request: TrainingRequest) -> Scored:
        self.requests.append(request)
        pool = request.pool_ids[:0] if request.classifier == "llm:m" and self.n_unbought else request.pool_ids
        test, rest = (self.logits(request, ids) for ids in (request.test_ids, pool))
        found = Scored(request.classifier, test, rest, {"train": 1.0}, device="cpu")
        paid = 0.01 * len({row for one in self.requests if one.classifier == "llm:m" for row in one.test_ids.tolist()})
        return replace(found, bought=paid, price=0.01, n_unbought=self.n_unbought) if request.classifier == "llm:m" else found

    def logits(self, request: TrainingRequest, ids: IntArray) -> FloatArray:
        if request.classifier == "llm:m":
            return logits_of(np.where(np.isin(ids, self.silent), -1, SAID[ids]), SURE[ids], K)
        known = dict(zip(request.train_ids.tolist(), request.train_labels.tolist(), strict=True))
        return 3.0 * np.eye(K)[[known.get(row, PEER[row]) for row in ids.tolist()]]


def request() -> TrainingRequest:
    return TrainingRequest(3, "ordered:llm:m", K, B, TRUTH[B], T, POOL, 0)


def wrong_among_surest(logits: FloatArray, share: float = 0.6) -> float:
    surest = np.argsort(-surety(logits), kind="stable")[: int(share * len(logits))]
    return float(WRONG[POOL][surest].mean())


def test_answers_stay_and_those_that_the_trained_candidate_shares_come_first() -> None:
    model = Candidates()
    found = in_learned_order(request(), model, "llm:m", "frozen", {})
    assert np.array_equal(found.pool_logits.argmax(axis=1), SAID[POOL])
    assert np.array_equal(found.test_logits.argmax(axis=1), SAID[T])
    assert wrong_among_surest(logits_of(SAID[POOL], SURE[POOL], K)) > 0.2
    assert wrong_among_surest(found.pool_logits) < 0.07


def test_what_the_trained_candidate_says_of_b_comes_from_fits_that_have_not_seen_it() -> None:
    model = Candidates()
    in_learned_order(request(), model, "llm:m", "frozen", {})
    folds = [one for one in model.requests if one.classifier == "frozen" and len(one.train_ids) < len(B)]
    assert all(not np.isin(one.pool_ids, one.train_ids).any() for one in folds)
    assert sorted(np.concatenate([one.pool_ids for one in folds]).tolist()) == B.tolist()
    # The labels of B that it was trained on agree with every right answer and with no wrong one: an order learned from them is another.
    assert all(np.isin(one.train_ids, B).all() for one in model.requests)


def test_nobody_is_asked_twice_in_a_round_and_only_what_b_s_answers_cost_is_told() -> None:
    model = Candidates()
    known = {name: model(replace(request(), classifier=name)) for name in ("llm:m", "frozen")}
    model.requests = model.requests[:1]  # what the model was paid for
    found = in_learned_order(request(), model, "llm:m", "frozen", known)
    again = model.requests[1:]
    assert [one.classifier for one in again].count("llm:m") == 1 and [one.classifier for one in again].count("frozen") == 3
    assert found.bought == pytest.approx(0.01 * len(B))
    assert found.training_seconds == 4.0
    assert found.learns and found.price == 0.01


def test_before_the_pool_is_bought_the_test_items_alone_are_ordered() -> None:
    found = in_learned_order(request(), Candidates(n_unbought=len(POOL)), "llm:m", "frozen", {})
    assert (len(found.test_logits), len(found.pool_logits), found.n_unbought) == (len(T), 0, len(POOL))


def test_an_item_without_an_answer_stays_without_one() -> None:
    silent = np.concatenate([B[:5], POOL[:7]])
    found = in_learned_order(request(), Candidates(silent), "llm:m", "frozen", {})
    assert np.array_equal(answered(found.pool_logits), ~np.isin(POOL, silent))


def test_where_too_little_is_known_the_model_s_own_order_stands() -> None:
    few = replace(request(), train_ids=B[:6], train_labels=TRUTH[B[:6]])
    found = in_learned_order(few, Candidates(), "llm:m", None, {})
    assert np.array_equal(found.pool_logits, logits_of(SAID[POOL], SURE[POOL], K))


def test_names_say_whose_answers_are_ordered() -> None:
    assert parse("ordered:llm:gpt-4o:in=2.5").arguments == {"source": "llm:gpt-4o:in=2.5"}
    assert not parse("ordered:backend:http://yolo:9090").asked
    assert (source_of("ordered:llm:m"), source_of("llm:m"), source_of("frozen")) == ("llm:m", "llm:m", "frozen")
    assert beside(("llm:m", "ordered:llm:m", "cnn", "frozen")) == "cnn" and beside(("llm:m", "ordered:llm:m")) is None
    with pytest.raises(InvalidValue, match="stands before a candidate that is asked"):
        parse("ordered:frozen")
