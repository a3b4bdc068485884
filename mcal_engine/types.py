"""The engine's nouns: what is observed, what is planned, what is decided. All are frozen values.

A campaign's history is a sequence of rows ``Observation | CertificateOutcome | PeelOrder`` with the ``Decision`` that followed each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from mcal_engine.bill import Labels

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
CertificateRule = Literal["two_bands", "one_band", "uniform"]


def _nothing() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One classifier, trained on B, scored on the test items T and the pool U.

    Attributes:
        classifier: name of the candidate.
        level: shape (n_test,). Index into the θ grid of the smallest machine set S_θ that would contain the test item, judged by
            surety against the pool's own θ·|X|-th surest item; ``len(grid)`` if only the whole pool would.
        correct: shape (n_test,). Whether the predicted class is the people's label.
        training_seconds: training, embedding and scoring of this candidate in this round.
        one_off_seconds: the part of it that later rounds do not pay again (filling the embedding cache).
        predicted: shape (n_test,). Predicted classes; empty in histories from before they were kept.
        bought: money paid in this round for answers of a model from outside.
        price: of one more answer, as the test items' answers cost; money.
        n_unbought: items of the pool whose answers are not paid yet. Above 0 the model has been asked for the test items alone, and
            ``level`` says how sure it is of each among the surviving test items, which stand for the pool.
        learns: whether more training labels may change what it says.
    """

    classifier: str
    level: IntArray
    correct: BoolArray
    training_seconds: float
    one_off_seconds: float = 0.0
    predicted: IntArray = field(default_factory=_nothing)
    bought: float = 0.0
    price: float = 0.0
    n_unbought: int = 0
    learns: bool = True

    @property
    def to_buy(self) -> float:
        """What its answers for the rest of the pool cost, money."""
        return self.price * self.n_unbought


@dataclass(frozen=True, slots=True)
class Observation:
    """One round, measured: the only thing a decision is made from.

    Attributes:
        round: 0, 1, 2 …
        n_items: |X|, every live item of the project, set-aside ones included.
        n_classes: number of choices people can pick.
        n_train: |B| that the classifiers were trained on.
        n_pool: |U|, items that machines could label now.
        n_set_aside: items nobody labels by machine: unreadable, skipped, not answered yet, or labelled and of no use for training.
        n_preexisting: human labels that were there before the campaign; they cost nothing.
        n_labels_paid: human labels bought so far, repeats included.
        test_ids: shape (n_test,). The labelled test items, ascending.
        survivors: shape (n_test,). Test items that every acquisition so far would have left in the pool.
        measurements: one per candidate still in the race.
        labels: what the human labels come to, as of this round; ``None`` where no label was of no use and every item can be labelled.
        n_without_label: those of the items set aside that will never carry a label: skipped or unreadable, and nobody has labelled them.
            ε is a share of the others.
    """

    round: int
    n_items: int
    n_classes: int
    n_train: int
    n_pool: int
    n_set_aside: int
    n_preexisting: int
    n_labels_paid: int
    test_ids: IntArray
    survivors: BoolArray
    measurements: tuple[Measurement, ...]
    labels: Labels | None = None
    n_without_label: int = 0

    @property
    def counted(self) -> Labels:
        """What the human labels come to; every label that was paid is T's or B's, or a repeat, where nothing else was noted."""
        if self.labels is not None:
            return self.labels
        repeats = max(self.n_labels_paid + self.n_preexisting - self.n_train - len(self.test_ids), 0)
        left = self.n_items - self.n_preexisting + repeats - self.n_labels_paid
        return Labels(self.n_labels_paid, repeats, left)

    @property
    def training_seconds(self) -> float:
        return sum(measurement.training_seconds for measurement in self.measurements)

    @property
    def bought(self) -> float:
        """Money paid in this round for answers of models from outside."""
        return sum(measurement.bought for measurement in self.measurements)


@dataclass(frozen=True, slots=True)
class Bands:
    """What is drawn and what it tolerates, fixed before V is drawn; :mod:`mcal_engine.certificates.bands` makes it.

    Attributes:
        n_pool: M, items of U.
        n_sure: M1, the surest items of U, which are band 1; 0 makes one band of all.
        sample_sure, sample_unsure: n1 and n2, items of V in each band.
        allowed: E.
        level: a, the chance that may be spent on more than E wrong machine labels.
        sure_tolerated: c1, errors of V in band 1 up to which all of band 1 is the machine's; 0 with one band.
        tolerated: t[0] ≥ t[1] ≥ …, errors of V that may stay in band 2; where the tuple ends, band 2 is people's.
        worst_case: max W(k), the exact chance of more than E wrong machine labels under the worst errors; at most ``level``.
    """

    n_pool: int
    n_sure: int
    sample_sure: int
    sample_unsure: int
    allowed: int
    level: float
    sure_tolerated: int
    tolerated: tuple[int, ...]
    worst_case: float

    @property
    def n_sample(self) -> int:
        return self.sample_sure + self.sample_unsure

    @property
    def n_unsure(self) -> int:
        return self.n_pool - self.n_sure


@dataclass(frozen=True, slots=True)
class CertificateOutcome:
    """A certificate sample V, fully answered, read in the frozen order of the pool.

    Attributes:
        look: 1, 2 … (each look has a fresh V and its own share of the level).
        n_pool: |U| at the freeze, V included.
        ranks: shape (n,). Position of each item of V in the frozen order of U, 0 = surest; ascending.
        errors: shape (n,). Whether the frozen prediction differs from the label; skipped and unreadable items are errors.
        n_labels_paid: human labels bought so far, repeats included.
        classes: shape (n,). Predicted classes; this and the next two are empty without a bound per class.
        cuts: shape (n_cuts,). Ranks at which classes are tested, ascending, fixed before V was drawn.
        fronts: shape (n_cuts, n_classes). Items of U of each predicted class in front of each cut.
        bands: what V was drawn by and is read by; ``None``: one uniform sample, read by :mod:`mcal_engine.certificates.uniform`.
    """

    look: int
    n_pool: int
    ranks: IntArray
    errors: BoolArray
    n_labels_paid: int
    classes: IntArray = field(default_factory=_nothing)
    cuts: IntArray = field(default_factory=_nothing)
    fronts: IntArray = field(default_factory=_nothing)
    bands: Bands | None = None


@dataclass(frozen=True, slots=True)
class PeelOrder:
    """What people were asked to peel is labelled, and a ranker that has learned from it says which items should leave band 2 next.

    Attributes:
        look: whose frozen order the ranks are in.
        order: shape (n,). Ranks of items inside band 2, least trusted first: at least one batch of them, or all that are left. Empty: they
            can be ranked no more, and band 2 is people's.
        n_labels_paid: human labels bought so far, repeats included.
        training_seconds: of the ranker.
    """

    look: int
    order: IntArray
    n_labels_paid: int
    training_seconds: float


class StopReason(StrEnum):
    """Why the search for more training labels ended."""

    NO_GAIN = "no_gain"  # the forecast says that no larger B lowers the total
    OPTIMUM_REACHED = "optimum_reached"  # |B| has reached the forecast's B_opt
    MACHINE_CANNOT_PAY = "machine_cannot_pay"  # the best plan is that people label everything
    EXPLORATION_TAX = "exploration_tax"  # training spend passed its limit with nothing feasible
    POOL_EMPTY = "pool_empty"  # people have labelled everything
    BUDGET_REACHED = "budget_reached"  # the rest of the budget is for what machines should not label
    MAX_ROUNDS = "max_rounds"
    STOPPED_BY_ADMIN = "stopped_by_admin"
    CERTIFICATE_FAILED = "certificate_failed"  # V held too many errors for any S*
    CERTIFIED = "certified"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Plan:
    """The cheapest way to finish, as forecast now (Eq. 1, 2). Counts are items, money is in the campaign's currency.

    ``low`` and ``high`` bound ``total_cost`` at 90 % over a bootstrap of the test items; ``None`` before a fit can be had.
    ``predicted_error`` is the expected overall error of the finished labels, as a share of X. ``to_buy`` is the part of
    ``training_cost`` that answers for the pool still cost.
    """

    classifier: str
    target_error: float
    price_per_label: float
    n_train: int
    theta: float
    n_machine: int
    n_certificate: int
    batch_size: int
    human_cost: float
    training_cost: float
    total_cost: float
    total_cost_now: float
    low: float | None = None
    high: float | None = None
    predicted_error: float | None = None
    to_buy: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the engine stopped asking for training labels: the reason and the numbers it rests on."""

    reason: StopReason
    sentence: str
    evidence: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask people for ``n_test`` random test items and ``n_train`` training items picked by ``acquisition``.

    ``buys``: candidates whose answers for the whole pool are paid from now on; of others that ask a price only the test items are scored.
    """

    n_test: int
    n_train: int
    acquisition: str
    classifier: str | None  # whose scores rank the pool; None: the draw is random
    candidates: tuple[str, ...]  # classifiers still in the race, to be trained next round
    plan: Plan | None
    sentence: str
    buys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Promise:
    """What a look is drawn under. It is stored with the look and read from there: settings that change later never re-read the sample.

    Attributes:
        target_error: ε.
        allowed: E, wrong machine labels allowed among the ``n_labels`` labels.
        n_labels: items that will carry a label, so those that were set aside are not among them.
        min_class_precision: the bound per class, if there is one.
    """

    target_error: float
    allowed: int
    n_labels: int
    min_class_precision: float | None


@dataclass(frozen=True, slots=True)
class Certify:
    """Freeze the classifier's predictions on U, then ask people for a random blind sample V of ``n_certificate`` items.

    ``rule``: how V is drawn and read. ``two_bands`` and ``one_band``: by the :class:`Bands` of the frozen pool, and peeled; ``uniform``:
    one uniform sample that is read at once. A look is finished under the rule that it was drawn under. ``why`` says in a sentence what that
    rule was preferred to, where there was a choice; the forecasts that were compared are evidence of the verdict. ``promise`` is ``None``
    in histories of version 0.1, which did not store it.
    """

    classifier: str
    n_certificate: int
    look: int
    level: float  # this look's share of 1 − confidence_level
    plan: Plan
    verdict: Verdict
    promise: Promise | None = None
    rule: CertificateRule = "uniform"
    why: str = ""


@dataclass(frozen=True, slots=True)
class PeelBatch:
    """The items at these ranks leave band 2 of a look's frozen order, in this order; people label those of them that V does not hold.

    Attributes:
        classifier: whose predictions are frozen; trained anew, it ranks what leaves next.
        leaving: ranks.
        n_asked: how many of them people have still to label.
    """

    classifier: str
    look: int
    leaving: tuple[int, ...]
    n_asked: int
    plan: Plan
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class LabelByMachine:
    """Machine-label the ``n_ranked`` surest items of the frozen order of U, without those of V; the rest is people's.

    ``peeled``: ranks in front of ``n_ranked`` that have left, ascending; they are people's too. The error's estimate and bound are over all
    items. With a bound per predicted class, class c's items in front of rank
    ``class_cuts[c]`` are the machine's; no cuts: those of all classes in front of ``n_ranked`` are.
    """

    classifier: str
    n_ranked: int
    n_machine: int
    certified: bool
    error_estimate: float
    error_upper_bound: float | None
    plan: Plan
    verdict: Verdict
    look: int = 1  # whose frozen order is meant: an earlier look's certificate stays good when a later one fails
    class_cuts: tuple[int, ...] = ()
    peeled: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class HumanLabelAll:
    """People label everything that is left: machine labels do not pay, or cannot be trusted. A first-class outcome."""

    plan: Plan | None
    verdict: Verdict


Decision = Acquire | Certify | PeelBatch | LabelByMachine | HumanLabelAll
Row = Observation | CertificateOutcome | PeelOrder | Decision
