"""A bound per predicted class: of the machine's labels that say c, at least a share p is right, for every c, with one V for all of them.

How many of a class's labels are wrong is no monotone share: the cut of :mod:`mcal_engine.certificates.uniform`, which depends on V,
cannot be tested as if it had been fixed. So everything that is tested is fixed before V is drawn, by the frozen order, |V| and the plan
alone:

- cuts r_1 < r_2 < … of the frozen order (:func:`cuts_around`). K_j of the items in front of r_j are predicted c, about |V|·K_j/|U| of them
  will be in V, and E_j = ⌊(1 − p)·(K_j less somewhat more than these)⌋.
- which classes can pass at all: those in which that many sampled items without an error would do. They share the level equally; people
  label the others.

Class c is tested at r_1, r_2, … in turn, each time at its whole share a_c, and no further once a test has failed. Test j passes where
P[Hypergeometric(population K_j, successes E_j + 1, draws v_j) ≤ s_j] ≤ a_c, for s_j errors among the v_j items of V that it is about.
Given v_j these are a uniform draw from the K_j, so if more than E_j of the K_j are wrong, test j passes with probability ≤ a_c. Let j*
be the first such j. It is fixed, and to claim anything false of class c the scan would have to pass j*: so it does with probability ≤ a_c,
however many cuts are tried (a fixed sequence of hypotheses). Over all classes that is the level at most, whatever the classifier and the
data (Bonferroni), and all passed tests hold at once. So the machine may stop at whichever passed cut it likes, even by V: it takes the last
one in front of the overall certificate's cut at which the E_j − s_j errors that may be left are at most a share 1 − p of the K_j − v_j
labels. Leaving items out never adds to the overall errors, and each of the two promises has half of a look's level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcal_engine.spec import CampaignSpec
from mcal_engine.types import BoolArray, CertificateOutcome, Certify, FloatArray, IntArray

FIRST, LAST = 80, 140  # per cent of the planned cut between which a class may be cut, at every per cent


@dataclass(frozen=True, slots=True)
class OfClasses:
    """What V shows of each class; all arrays have shape (n_classes,).

    Attributes:
        cut: rank in front of which the class's items are the machine's; 0: people label all of them.
        n_machine: items of U∖V that this gives to the machine.
        n_offered: as many as the overall certificate alone would have given it.
        n_sampled, n_wrong: V's items of the class in front of the cut, and the errors among them.
        n_seen, n_seen_wrong: the same in front of the last cut that the overall certificate leaves room for.
    """

    cut: IntArray
    n_machine: IntArray
    n_offered: IntArray
    n_sampled: IntArray
    n_wrong: IntArray
    n_seen: IntArray
    n_seen_wrong: IntArray

    @property
    def left_to_people(self) -> IntArray:
        """Classes of which the machine would have got items, and gets none; shape (n,)."""
        return np.flatnonzero((self.n_machine == 0) & (self.n_offered > 0))

    @property
    def cut_short(self) -> IntArray:
        """Classes of which the machine gets a part; shape (n,)."""
        return np.flatnonzero((self.n_machine > 0) & (self.n_machine < self.n_offered))


def level_of_each(spec: CampaignSpec, level: float) -> float:
    """The part of a look's level that the overall certificate may spend.

    With a bound per class it is half; the other half is the bound's. Without one it is all of the level.
    """
    return level if spec.min_class_precision is None else level / 2


def cuts_planned(spec: CampaignSpec, asked: Certify, n_items: int, n_pool: int) -> IntArray | None:
    """The cuts at which classes are tested, or ``None`` without a bound per class.

    They are at each per cent of the planned one, from ``FIRST`` to ``LAST``, as far as the pool goes.

    Args:
        asked: the decision to draw V, for its plan.
        n_items, n_pool: |X| and |U|.

    Returns:
        Ranks of the frozen order, ascending, shape (n_cuts,).
    """
    if spec.min_class_precision is None:
        return None
    ranks = np.round(np.arange(FIRST, LAST + 1) * max(asked.plan.theta * n_items, 1.0) / 100).astype(np.int64)
    return np.unique(np.clip(ranks, 1, max(n_pool, 1)))


def fronts(frozen_classes: IntArray, cuts: IntArray) -> IntArray:
    """How many items of each class stand in front of each cut of the frozen order; shape (n_cuts, n_classes).

    Args:
        frozen_classes: shape (n_pool,). Predicted classes in the frozen order.
        cuts: shape (n_cuts,). Ranks, ascending.
    """
    n_classes = int(frozen_classes.max(initial=-1)) + 1
    return _in_front(np.arange(len(frozen_classes)), frozen_classes, cuts, n_classes)


def of_classes(spec: CampaignSpec, outcome: CertificateOutcome, n_ranked: int, level: float) -> OfClasses | None:
    """What the bound per class leaves of a look's certified set; ``None`` where there is no such bound.

    Args:
        outcome: the answered sample.
        n_ranked: the overall certificate's cut.
        level: of the whole look.
    """
    if spec.min_class_precision is None:
        return None
    return certify_classes(outcome, n_ranked, precision=spec.min_class_precision, level=level_of_each(spec, level))


def certify_classes(outcome: CertificateOutcome, n_ranked: int, *, precision: float, level: float) -> OfClasses:
    """Apply the rule of the module's head to an answered sample.

    Args:
        outcome: with ``classes``, ``cuts`` and ``fronts``.
        n_ranked: the overall certificate's cut.
        precision: p, the share of each class's machine labels that must be right.
        level: for all classes together.
    """
    n_classes = outcome.fronts.shape[1]
    inside = _in_front(outcome.ranks, outcome.classes, outcome.cuts, n_classes)
    wrong = _in_front(outcome.ranks[outcome.errors], outcome.classes[outcome.errors], outcome.cuts, n_classes)
    allowed = _allowed(outcome.fronts, precision, len(outcome.ranks), outcome.n_pool)
    begins, each = _shares(outcome, allowed, level)
    passed = _scan(outcome.fronts, inside, wrong, allowed, begins, each)
    fine = passed & (outcome.cuts <= n_ranked)[:, None] & (allowed - wrong <= _share_of(outcome.fronts - inside, precision))
    last = len(fine) - 1 - np.argmax(fine[::-1], axis=0)
    return described(outcome, n_ranked, np.where(fine.any(axis=0), outcome.cuts[last], 0))


def described(outcome: CertificateOutcome, n_ranked: int, cut: IntArray) -> OfClasses:
    """What given cuts mean for each class.

    Args:
        outcome: the answered sample, with ``classes``, ``cuts`` and ``fronts``.
        n_ranked: the overall certificate's cut.
        cut: shape (n_classes,). Each is 0 or one of ``outcome.cuts``.
    """
    n_classes = outcome.fronts.shape[1]
    room = int(np.searchsorted(outcome.cuts, n_ranked, side="right"))
    end = np.full(n_classes, outcome.cuts[room - 1] if room else 0)

    def front(cut: IntArray) -> IntArray:
        row = np.searchsorted(outcome.cuts, cut)
        return np.where(cut > 0, outcome.fronts[np.minimum(row, len(outcome.cuts) - 1), np.arange(n_classes)], 0)

    def counted(cut: IntArray, among: BoolArray) -> IntArray:
        return np.bincount(outcome.classes[among & (outcome.ranks < cut[outcome.classes])], minlength=n_classes).astype(np.int64)

    every = np.ones(len(outcome.ranks), dtype=np.bool_)
    return OfClasses(
        cut=np.asarray(cut, dtype=np.int64),
        n_machine=front(cut) - counted(cut, every),
        n_offered=front(end) - counted(end, every),
        n_sampled=counted(cut, every),
        n_wrong=counted(cut, outcome.errors),
        n_seen=counted(end, every),
        n_seen_wrong=counted(end, outcome.errors),
    )


def _shares(outcome: CertificateOutcome, allowed: IntArray, level: float) -> tuple[IntArray, FloatArray]:
    """For each class the cut that its tests begin at, the first at which it can pass, and its share of the level."""
    table, cuts = outcome.fronts, outcome.cuts
    n_classes = table.shape[1]
    expected = table * len(outcome.ranks) // outcome.n_pool
    planned = int(np.argmin(np.abs(cuts - cuts[0] * 100 / FIRST)))  # where the pool ends before it, it is the last
    largest = np.lexsort((np.arange(n_classes), -table[planned]))
    chance = _tail(np.zeros(n_classes, dtype=np.int64), table[planned], expected[planned], allowed[planned])[largest]
    can_pass = np.flatnonzero((chance <= level / np.arange(1, n_classes + 1)) & (table[planned, largest] > 0))
    n_sharing = int(can_pass[-1]) + 1 if len(can_pass) else 0
    each = np.zeros(n_classes)
    each[largest[:n_sharing]] = level / max(n_sharing, 1)
    feasible = _tail(np.zeros_like(table), table, expected, allowed) <= each
    feasible &= each > 0
    return np.where(feasible.any(axis=0), np.argmax(feasible, axis=0), len(cuts)), each


def _scan(table: IntArray, inside: IntArray, wrong: IntArray, allowed: IntArray, begins: IntArray, each: FloatArray) -> BoolArray:
    """Shape (n_cuts, n_classes): the tests passed, one after the other until one fails."""
    passed = np.zeros(table.shape, dtype=np.bool_)
    going = np.ones(table.shape[1], dtype=np.bool_)
    for row in range(len(table)):
        now = np.flatnonzero(going & (begins <= row))
        passed[row, now] = _tail(wrong[row, now], table[row, now], inside[row, now], allowed[row, now]) <= each[now]
        going[now] = passed[row, now]
    return passed


def _tail(seen: IntArray, n_front: IntArray, n_drawn: IntArray, allowed: IntArray) -> FloatArray:
    """The chance of no more than ``seen`` errors among those drawn, if more than ``allowed`` of those in front were wrong."""
    from scipy import stats  # its import takes more than a second, which servers that only show campaigns need not wait for

    with np.errstate(all="ignore"):
        chance = stats.hypergeom.cdf(seen, n_front, np.minimum(allowed + 1, n_front), n_drawn)
    return np.where(allowed >= n_front, 0.0, chance)  # there are not so many


def _allowed(table: IntArray, precision: float, n_sample: int, n_pool: int) -> IntArray:
    """E: a share 1 − p of each class's items in front of a cut, less V's, of which somewhat more than are expected are taken off."""
    expected = table * (n_sample / n_pool)
    return _share_of(np.maximum(table - np.ceil(expected + np.sqrt(expected)).astype(np.int64), 0), precision)


def _share_of(labels: IntArray, precision: float) -> IntArray:
    """How many of so many labels may be wrong; rounded first, so that a tenth of 100 is 10 and not 9."""
    return np.floor(np.round((1 - precision) * labels, 9)).astype(np.int64)


def _in_front(ranks: IntArray, classes: IntArray, cuts: IntArray, n_classes: int) -> IntArray:
    """Shape (n_cuts, n_classes): items of each class with a rank below each cut."""
    segment = np.searchsorted(cuts, ranks, side="right")
    counted = np.bincount(segment * n_classes + classes, minlength=(len(cuts) + 1) * n_classes).reshape(len(cuts) + 1, n_classes)
    return np.cumsum(counted, axis=0)[:-1].astype(np.int64)
