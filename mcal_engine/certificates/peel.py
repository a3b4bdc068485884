"""Reading an answered sample V of two bands, and peeling band 2 until few enough of V's errors are left in it.

Peeling means that people label the least certain items of band 2, batch by batch, and the machine labels what stays.

A peel is a fold over its batches: the state is made from the table, V and the items that have left so far, in their order, and from nothing
else; so it can be killed at any time and goes on from its history. Who leaves next is for any ranker to say. What the proof asks of the
ranker (``CERTIFICATE.md``, lemma 2): it may know the labels of what has left, V's among them, and how many of V's errors are left, but
neither which items still inside belong to V nor any label of an item still inside. The predictions stay the frozen ones: a ranker that
learns between batches moves items forward or back in the order of leaving, and relabels none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mcal_engine import streams
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.types import Bands, BoolArray, FloatArray, IntArray
from mcal_engine.words import counted


@dataclass(frozen=True, slots=True)
class Sample:
    """V as it was answered, in the frozen order.

    Attributes:
        ranks: shape (n,). Position of each item of V in the frozen order, 0 = surest; ascending.
        errors: shape (n,). Whether the frozen prediction differs from the label; an item without a usable label is an error.
    """

    ranks: IntArray
    errors: BoolArray


@dataclass(frozen=True, slots=True)
class Reading:
    """What V says before anything is peeled.

    Attributes:
        sure_errors: s, V's errors in band 1.
        n_sure: the front of the frozen order that is the machine's whatever is peeled, items of V in it included.
        tolerated: t[s], V's errors that may stay in band 2; ``None`` where band 2 is people's.
        unsure_errors: V's errors in band 2.
    """

    sure_errors: int
    n_sure: int
    tolerated: int | None
    unsure_errors: int


def draw(bands: Bands, entropy: int) -> IntArray:
    """Ranks of V, ascending: n1 of band 1 and n2 of band 2, each uniform without replacement.

    ``entropy``: whole number of 128 bits from the operating system, made after the freeze. The proof is over this draw alone, so a number
    that anyone could know beforehand would leave it with nothing to stand on.
    """
    generator = streams.from_entropy(entropy)
    sure = generator.permutation(bands.n_sure)[: bands.sample_sure]
    unsure = bands.n_sure + generator.permutation(bands.n_unsure)[: bands.sample_unsure]
    return np.sort(np.concatenate([sure, unsure])).astype(np.int64)


def read(bands: Bands, sample: Sample) -> Reading:
    """Apply the table to an answered sample.

    Raises:
        InvalidValue: the sample is not one that these bands draw.
    """
    _check(bands, sample)
    in_sure = sample.ranks < bands.n_sure
    wrong = sample.ranks[in_sure & sample.errors]
    s, unsure = len(wrong), int(sample.errors[~in_sure].sum())
    if s > bands.sure_tolerated:
        return Reading(s, int(wrong[bands.sure_tolerated]), None, unsure)
    return Reading(s, bands.n_sure, bands.tolerated[s] if s < len(bands.tolerated) else None, unsure)


def static_cut(bands: Bands, sample: Sample) -> int:
    """The front of the frozen order that the machine may label if nothing is peeled, items of V in it included.

    Band 1, and band 2 in front of its (t[s] + 1)-th error of V: what peeling in the frozen order itself would leave.
    """
    reading = read(bands, sample)
    if reading.tolerated is None:
        return reading.n_sure
    wrong = sample.ranks[sample.errors & (sample.ranks >= bands.n_sure)]
    return bands.n_pool if len(wrong) <= reading.tolerated else int(wrong[reading.tolerated])


@dataclass(frozen=True, slots=True)
class Peel:
    """Where a peel stands.

    Attributes:
        reading: what it was begun with.
        n_pool: M.
        inside: shape (M,). What is still in: the front that is the machine's anyway, and what has not left of band 2.
        sampled, wrong: shape (M,). Which items V holds, and which of them are errors.
        errors_left: V's errors that are still inside band 2.
        n_left: items that have left, in all batches.
    """

    reading: Reading
    n_pool: int
    inside: BoolArray
    sampled: BoolArray
    wrong: BoolArray
    errors_left: int
    n_left: int = 0

    @property
    def ended(self) -> bool:
        """Few enough of V's errors are left, or band 2 is people's anyway."""
        return self.reading.tolerated is None or self.errors_left <= self.reading.tolerated

    @property
    def peelable(self) -> IntArray:
        """Ranks of the items that may still leave, ascending, V's among them: what a ranker is given."""
        if self.reading.tolerated is None:
            return np.empty(0, dtype=np.int64)
        start = self.reading.n_sure
        return start + np.flatnonzero(self.inside[start:]).astype(np.int64)

    @property
    def machine(self) -> IntArray:
        """Ranks of S*, ascending: what is inside, without V. Final once the peel has ended."""
        return np.flatnonzero(self.inside & ~self.sampled).astype(np.int64)


def begin(bands: Bands, sample: Sample) -> Peel:
    """The peel before its first batch; where V needs none, or leaves band 2 to people, it has ended at once."""
    reading = read(bands, sample)
    sampled, wrong = np.zeros(bands.n_pool, dtype=np.bool_), np.zeros(bands.n_pool, dtype=np.bool_)
    sampled[sample.ranks] = True
    wrong[sample.ranks[sample.errors]] = True
    inside = np.ones(bands.n_pool, dtype=np.bool_)
    if reading.tolerated is None:
        inside[reading.n_sure :] = False
    return Peel(reading, bands.n_pool, inside, sampled, wrong, reading.unsure_errors)


def batch(peel: Peel, least_trusted_first: IntArray, n: int) -> IntArray:
    """Ranks of the next items to leave, in their order: at most ``n``, and none behind the very item that ends the peel.

    ``least_trusted_first``: a ranker's order of :attr:`Peel.peelable`, or the beginning of it.
    """
    if n < 1:
        raise InvalidValue(f"a batch holds 1 item or more, got {n}")
    if peel.ended:
        return np.empty(0, dtype=np.int64)
    order = np.asarray(least_trusted_first, dtype=np.int64)[:n]
    _check_order(peel, order)
    assert peel.reading.tolerated is not None
    too_many = peel.errors_left - peel.reading.tolerated
    ending = np.flatnonzero(np.cumsum(peel.wrong[order]) >= too_many)
    return order[: int(ending[0]) + 1] if len(ending) else order


def cut_now(peel: Peel) -> int:
    """The rank in front of which everything that is inside stays, if all that has still to leave leaves in the frozen order."""
    start, tolerated = peel.reading.n_sure, peel.reading.tolerated
    wrong = start + np.flatnonzero(peel.inside[start:] & peel.wrong[start:])
    return peel.n_pool if tolerated is None or len(wrong) <= tolerated else int(wrong[tolerated])


def to_ask(peel: Peel, leaving: IntArray) -> IntArray:
    """Which of the items that leave people have still to label: those that V does not hold, in the order of leaving."""
    return np.asarray(leaving[~peel.sampled[leaving]], dtype=np.int64)


def leave(peel: Peel, leaving: IntArray) -> Peel:
    """The state after a batch has left; applied to all batches of a history in turn, it is the whole peel.

    Raises:
        HistoryError: the peel had ended, or ends within the batch and not with its last item: what is behind that item may not be touched.
        InvalidValue: an item is not inside band 2, or is named twice.
    """
    leaving = np.asarray(leaving, dtype=np.int64)
    _check_order(peel, leaving)
    if peel.ended and len(leaving):
        raise HistoryError(
            f"the peel has ended with {peel.errors_left} errors of the sample left; {counted(len(leaving), 'more item')} cannot leave"
        )
    gone = int(peel.wrong[leaving].sum())
    after = peel.errors_left - gone
    if peel.reading.tolerated is not None and after <= peel.reading.tolerated and len(leaving):
        before_last = after + int(peel.wrong[leaving[-1]])
        if before_last <= peel.reading.tolerated:
            raise HistoryError("the peel ends within this batch; the items behind the one that ends it stay inside")
    inside = peel.inside.copy()
    inside[leaving] = False
    return replace(peel, inside=inside, errors_left=after, n_left=peel.n_left + len(leaving))


def least_trusted_first(ranks: IntArray, logits: FloatArray, frozen_classes: IntArray) -> IntArray:
    """``ranks`` in the order of leaving: by how far the logit of the class that was frozen is above the best other one, least first.

    Args:
        ranks: shape (n,). Items that may leave.
        logits: shape (n, n_classes). Of the same items, by a classifier that learned from B and from what has left.
        frozen_classes: shape (n,). What the frozen classifier said of them, and what the machine would label them.

    Equal ones leave from the unsure end of the frozen order first.
    """
    logits = np.array(logits, dtype=np.float64)
    if logits.shape[0] != len(ranks) or logits.shape[1] < 2:
        raise InvalidValue(f"logits must be of shape ({len(ranks)}, 2 or more), got {logits.shape}")
    rows = np.arange(len(ranks))
    said = logits[rows, frozen_classes].copy()
    logits[rows, frozen_classes] = -np.inf
    order = np.lexsort((-np.asarray(ranks), said - logits.max(axis=1)))
    return np.asarray(np.asarray(ranks)[order], dtype=np.int64)


def _check_order(peel: Peel, order: IntArray) -> None:
    start = peel.reading.n_sure
    outside = order[(order < start) | (order >= peel.n_pool)]
    if len(outside) or not peel.inside[order].all():
        found = int(outside[0]) if len(outside) else int(order[~peel.inside[order]][0])
        raise InvalidValue(f"rank {found} is not inside band 2, ranks {start} to {peel.n_pool - 1}, any more")
    if len(np.unique(order)) != len(order):
        raise InvalidValue("an item can leave only once")


def _check(bands: Bands, sample: Sample) -> None:
    ranks = sample.ranks
    if len(ranks) != len(sample.errors):
        raise InvalidValue(f"ranks and errors must have one length, got {len(ranks)} and {len(sample.errors)}")
    if len(ranks) and (np.any(np.diff(ranks) <= 0) or ranks[0] < 0 or ranks[-1] >= bands.n_pool):
        raise InvalidValue(f"ranks must ascend within [0, {bands.n_pool}), got {ranks[:5].tolist()} …")
    counts = int((ranks < bands.n_sure).sum()), int((ranks >= bands.n_sure).sum())
    if counts != (bands.sample_sure, bands.sample_unsure):
        raise InvalidValue(f"the sample must hold {bands.sample_sure} and {bands.sample_unsure} items of the bands, got {counts}")
