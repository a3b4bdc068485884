"""One round's arithmetic, shared by the simulator and the worker: rank, draw, measure, freeze, read a certificate sample."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine import streams
from mcal_engine.acquisition import NEEDS_FEATURES, Distances, Picks, acquisition_scores, by_numpy, diverse_margin, k_center
from mcal_engine.bill import Labels
from mcal_engine.certificates import bands as two_bands
from mcal_engine.certificates import per_class
from mcal_engine.curves.error_curve import theta_grid
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec
from mcal_engine.streams import Purpose
from mcal_engine.surety import answered, surety
from mcal_engine.training import Scored
from mcal_engine.types import Bands, BoolArray, CertificateOutcome, Certify, FloatArray, IntArray, LabelByMachine, Measurement, Observation
from mcal_engine.words import counted

__all__ = [
    "LabelledTest",
    "Ranking",
    "Skim",
    "Standing",
    "acquisition_scores",
    "bands_of",
    "draw_random",
    "draw_secret",
    "draw_twice",
    "freeze",
    "in_machine_set",
    "measure",
    "n_twice",
    "order_pool",
    "outcome",
    "rank_for_people",
    "surety",
    "surviving",
]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a campaign stands when a round is measured; see :class:`mcal_engine.types.Observation`."""

    round: int
    n_items: int
    n_classes: int
    n_train: int
    n_pool: int
    n_labels_paid: int
    n_set_aside: int = 0
    n_preexisting: int = 0
    n_without_label: int = 0
    labels: Labels | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelledTest:
    """The test items that people have labelled, in any order; all of shape (n_test,).

    Attributes:
        ids, labels: items and their class indices.
        survivors: of :func:`surviving`.
    """

    ids: IntArray
    labels: IntArray
    survivors: BoolArray


@dataclass(frozen=True, slots=True)
class Skim:
    """One acquisition, as far as people got: what it took out of the pool, and how the test items scored beside it.

    Attributes:
        ids, scores: items in serving order with their acquisition scores, ascending.
        n_taken: how many of them left the pool.
        test_ids, test_scores: the test items' scores under the same classifier.
    """

    ids: IntArray
    scores: FloatArray
    n_taken: int
    test_ids: IntArray
    test_scores: FloatArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """What people are asked next; and the test items' scores, for the survivors.

    Attributes:
        ids, scores: shape (n,). Pool items, lowest acquisition score first.
        test_ids, test_scores: shape (n_test,). The test items' scores under the same classifier.
    """

    ids: IntArray
    scores: FloatArray
    test_ids: IntArray
    test_scores: FloatArray


def order_pool(pool_ids: IntArray, logits: FloatArray, kind: str = "margin") -> IntArray:
    """Positions into ``pool_ids``, surest first, ties by ascending id: a total order. For ids (n,) and logits (n, n_classes): (n,)."""
    return np.asarray(np.lexsort((np.asarray(pool_ids), -surety(logits, kind))))


def draw_random(spec: CampaignSpec, purpose: Purpose, number: int, ids: IntArray, n: int) -> IntArray:
    """A uniform draw of ``n`` items without replacement; it depends on the set of ids, not on their order.

    Args:
        purpose, number: the random stream, see :mod:`mcal_engine.streams`.
        ids: shape (m,). What is drawn from.

    Raises:
        InvalidValue: there are fewer than ``n``.
    """
    if n > len(ids):
        raise InvalidValue(f"cannot draw {n} of {counted(len(ids), 'item')}")
    return streams.generator(spec.seed, purpose, number).permutation(np.sort(np.asarray(ids, dtype=np.int64)))[:n]


def draw_secret(entropy: int, ids: IntArray, n: int) -> IntArray:
    """A uniform draw like :func:`draw_random`, from bits that nobody could know before ``ids`` and their predictions were fixed.

    Args:
        entropy: 128 bits from the operating system, made after the freeze and kept with it.
        ids: shape (m,). What is drawn from.

    Raises:
        InvalidValue: there are fewer than ``n``.
    """
    if n > len(ids):
        raise InvalidValue(f"cannot draw {n} of {counted(len(ids), 'item')}")
    return streams.from_entropy(entropy).permutation(np.sort(np.asarray(ids, dtype=np.int64)))[:n]


def draw_twice(spec: CampaignSpec, number: int, ids: IntArray) -> IntArray:
    """Which of the items of T or V that were just drawn two people label: a random ``overlap_share`` of them.

    ``number`` sets this draw apart from all others of the campaign.
    """
    return draw_random(spec, "overlap", number, ids, n_twice(spec, len(ids)))


def n_twice(spec: CampaignSpec, n: int) -> int:
    """How many of ``n`` items of T or V two people label."""
    return math.floor(spec.overlap_share * n + 0.5)


def rank_for_people(
    spec: CampaignSpec,
    scored: Scored,
    pool_ids: IntArray,
    test_ids: IntArray,
    n: int,
    *,
    round: int = 0,
    distances: Distances = by_numpy,
) -> Ranking:
    """The first ``n`` pool items in the order people should label them (Algorithm 1, line 10).

    Args:
        scored: what the acquiring classifier says of the test items and the pool.
        pool_ids, test_ids: shapes (n_pool,) and (n_test,), in the order of ``scored``.
        round: names the random stream of acquisition = random.
        distances: measures them where the acquisition needs features.

    Raises:
        InvalidValue: an acquisition that needs features, and ``scored`` has none.
    """
    pool_ids = np.asarray(pool_ids, dtype=np.int64)
    if spec.acquisition == "random":
        drawn = draw_random(spec, "train", round, pool_ids, min(n, len(pool_ids)))
        return Ranking(drawn, np.zeros(len(drawn)), np.asarray(test_ids, dtype=np.int64), np.full(len(test_ids), np.inf))
    test_ids = np.asarray(test_ids, dtype=np.int64)
    if spec.acquisition in NEEDS_FEATURES:
        picks = _pick(spec.acquisition, scored, pool_ids, test_ids, n, distances)
        # Pick j has the score j; a test item that would have been pick j stands just before it, one that never would behind them all.
        test_scores = np.where(picks.entry < len(picks.positions), picks.entry - 0.5, np.inf)
        return Ranking(pool_ids[picks.positions], np.arange(len(picks.positions), dtype=np.float64), test_ids, test_scores)
    scores = acquisition_scores(scored.pool_logits, spec.acquisition)
    first = np.lexsort((pool_ids, scores))[:n]
    return Ranking(pool_ids[first], scores[first], test_ids, acquisition_scores(scored.test_logits, spec.acquisition))


def _pick(acquisition: str, scored: Scored, pool_ids: IntArray, test_ids: IntArray, n: int, distances: Distances) -> Picks:
    if scored.features is None:
        raise InvalidValue(f"acquisition {acquisition!r} needs the classifier's features of T, the pool and B")
    test, pool, train = scored.features
    if acquisition == "k_center":
        return k_center(pool, test, train, pool_ids, test_ids, n, distances)
    margins, test_margins = acquisition_scores(scored.pool_logits, "margin"), acquisition_scores(scored.test_logits, "margin")
    return diverse_margin(pool, test, margins, test_margins, pool_ids, test_ids, n, distances)


def surviving(test_ids: IntArray, skims: Sequence[Skim], not_in_pool: Collection[int]) -> BoolArray:
    """Which test items every acquisition so far would have left in the pool (survivor calibration).

    A test item is skimmed if, in some acquisition, it stood before the last item taken (by score, then by id). Items that were
    labelled before the campaign left the pool as well, so test items among them (``not_in_pool``) do not survive. A test item that
    an acquisition has no score for came later and counts as a survivor of it.

    Args:
        test_ids: shape (n_test,).
        skims: the acquisitions so far.
        not_in_pool: items that were labelled before the campaign.

    Returns:
        Flags of shape (n_test,), in the order of ``test_ids``.
    """
    test_ids = np.asarray(test_ids, dtype=np.int64)
    alive = ~np.isin(test_ids, np.fromiter(not_in_pool, dtype=np.int64, count=len(not_in_pool)))
    for skim in skims:
        if skim.n_taken == 0:
            continue
        cut_score, cut_id = skim.scores[skim.n_taken - 1], skim.ids[skim.n_taken - 1]
        skimmed = (skim.test_scores < cut_score) | ((skim.test_scores == cut_score) & (skim.test_ids < cut_id))
        alive &= ~np.isin(test_ids, skim.test_ids[skimmed])
    return alive


def measure(
    spec: CampaignSpec, standing: Standing, test: LabelledTest, scored: Sequence[Scored], pool_ids: IntArray | None = None
) -> Observation:
    """Judge each candidate by the test items, at every share θ of the items it could label (the step MEASURE of Algorithm 1).

    Args:
        spec: the settings in force.
        standing: how many items there are of each kind.
        test: what people say of the test items.
        scored: what the candidates say of them, rows in the order of ``test.ids``, and of the pool.
        pool_ids: shape (n_pool,), in the order of the pool's rows. Items that are equally sure stand in the order of their ids, as in
            :func:`order_pool`; without ``pool_ids`` a test item stands in front of all pool items that are as sure as it.
    """
    order = np.argsort(test.ids, kind="stable")
    measurements = []
    for one in scored:
        level = _levels(spec, standing, test, one, pool_ids)[order]
        predicted = np.asarray(one.test_logits).argmax(axis=1)[order].astype(np.int64)
        correct = (predicted == test.labels[order]) & answered(one.test_logits)[order]  # a label by no answer is right by chance alone
        measurements.append(
            Measurement(
                one.classifier,
                level,
                correct,
                one.training_seconds,
                one.one_off_seconds,
                predicted,
                one.bought,
                one.price,
                one.n_unbought,
                one.learns,
            )
        )
    return Observation(
        round=standing.round,
        n_items=standing.n_items,
        n_classes=standing.n_classes,
        n_train=standing.n_train,
        n_pool=standing.n_pool,
        n_set_aside=standing.n_set_aside,
        n_preexisting=standing.n_preexisting,
        n_labels_paid=standing.n_labels_paid,
        test_ids=test.ids[order],
        survivors=test.survivors[order],
        measurements=tuple(measurements),
        labels=standing.labels,
        n_without_label=standing.n_without_label,
    )


def _levels(spec: CampaignSpec, standing: Standing, test: LabelledTest, scored: Scored, pool_ids: IntArray | None) -> IntArray:
    """For each test item, in the order of ``test``, the place on the grid of the smallest S_θ that would contain it.

    Without the pool's scores (:attr:`Scored.n_unbought`) the surviving test items stand for the pool: with r of n of them surer than an
    item, (r + ½) of n of the pool are.
    """
    grid = theta_grid(spec.theta_step)
    sizes = np.floor(grid * standing.n_items + 1e-9).astype(np.int64)
    # S_θ reaches down to its last item's surety; a θ beyond the pool is the whole pool, which is the level behind the grid.
    reachable = (sizes >= 1) & (sizes < standing.n_pool)
    level_of = np.append(np.flatnonzero(reachable), len(grid)).astype(np.int64)
    test_surety = surety(scored.test_logits, spec.surety)
    if scored.n_unbought:
        surest_first = np.lexsort((test.ids, -test_surety))
        survivors = test.survivors[surest_first]
        place = np.empty(len(test.ids))
        place[surest_first] = np.cumsum(survivors) - 0.5
        ranks = place / max(int(survivors.sum()), 1) * standing.n_pool
        return level_of[np.searchsorted(sizes[reachable], ranks, side="right")]
    pool_surety = surety(scored.pool_logits, spec.surety) if standing.n_pool else np.zeros(0)
    surest_first = np.argsort(-pool_surety, kind="stable") if pool_ids is None else np.lexsort((pool_ids, -pool_surety))
    first, behind = (np.searchsorted(-pool_surety[surest_first], -test_surety, side=side) for side in ("left", "right"))
    if pool_ids is not None:
        ids = pool_ids[surest_first]
        for place in np.flatnonzero(behind > first):
            first[place] += np.searchsorted(ids[first[place] : behind[place]], test.ids[place])
    return level_of[np.searchsorted(sizes[reachable], first, side="right")]


def freeze(pool_ids: IntArray, logits: FloatArray, kind: str = "margin") -> tuple[IntArray, IntArray, FloatArray]:
    """The pool in its frozen order: item ids, predicted classes and sureties, surest first; each of shape (n_pool,).

    Args:
        pool_ids: shape (n_pool,).
        logits: shape (n_pool, n_classes).
        kind: of surety, see :func:`mcal_engine.surety.surety`.
    """
    order = order_pool(pool_ids, logits, kind)
    classes = np.asarray(logits).argmax(axis=1)[order].astype(np.int64)
    return np.asarray(pool_ids, dtype=np.int64)[order], classes, surety(logits, kind)[order]


def in_machine_set(decision: LabelByMachine, frozen_classes: IntArray) -> BoolArray:
    """Which places of the frozen order the decision gives to the machine, those of V included; shape (n_pool,).

    ``frozen_classes``: shape (n_pool,). Predicted classes in the frozen order.
    """
    if not decision.class_cuts:
        inside = np.arange(len(frozen_classes)) < decision.n_ranked
        inside[np.array(decision.peeled, dtype=np.int64)] = False
        return np.asarray(inside)
    cuts = np.array(decision.class_cuts, dtype=np.int64)
    return np.asarray(np.arange(len(frozen_classes)) < cuts[frozen_classes])


def bands_of(spec: CampaignSpec, asked: Certify, n_pool: int) -> Bands | None:
    """What V is drawn by once the pool is frozen; ``None``: one uniform sample. The same arguments always give the same bands.

    Args:
        spec: the settings in force.
        asked: the decision to draw V.
        n_pool: items of the frozen pool; what was labelled while the last round was measured is not among them.
    """
    if asked.rule == "uniform" or asked.promise is None:
        return None
    if asked.rule == "one_band":
        size = min(asked.n_certificate, n_pool)
        return two_bands.plan(n_pool, allowed=asked.promise.allowed, level=asked.level, n_bands=1, n_sample=size)
    return two_bands.plan_by_size(n_pool, asked.promise.allowed, asked.level, spec.certificate_size)


def outcome(
    look: int,
    frozen_ids: IntArray,
    frozen_classes: IntArray,
    sample: Mapping[int, int | None],
    n_labels_paid: int,
    *,
    cuts: IntArray | None = None,
    bands: Bands | None = None,
) -> CertificateOutcome:
    """Read V in the frozen order. An item without a usable label (``None``) counts as an error: dropping it would break ε.

    Args:
        look: 1, 2, …
        frozen_ids, frozen_classes: shape (n_pool,). The pool in its frozen order.
        sample: V: item → people's label.
        n_labels_paid: human labels bought so far, repeats included.
        cuts: where a bound per class is tested (:func:`mcal_engine.certificates.per_class.cuts_planned`), if there is one.
        bands: what V was drawn by, if not as one uniform sample.

    Raises:
        InvalidValue: an item of V is not in the frozen pool.
    """
    rank_of = {int(item): rank for rank, item in enumerate(frozen_ids)}
    strangers = [item for item in sample if item not in rank_of]
    if strangers:
        raise InvalidValue(f"item {strangers[0]} of the certificate sample is not in the frozen pool")
    ranks = np.array(sorted(rank_of[item] for item in sample), dtype=np.int64)
    errors = np.array([sample[int(frozen_ids[rank])] != int(frozen_classes[rank]) for rank in ranks], dtype=np.bool_)
    if cuts is None:
        return CertificateOutcome(look, len(frozen_ids), ranks, errors, n_labels_paid, bands=bands)
    fronts = per_class.fronts(frozen_classes, cuts)
    return CertificateOutcome(look, len(frozen_ids), ranks, errors, n_labels_paid, frozen_classes[ranks], cuts, fronts)
