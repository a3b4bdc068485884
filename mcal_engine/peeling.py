"""After a certificate sample in two bands is answered: what leaves band 2 next, and what the machine may label once the peel has ended.

The peel is a fold over the history: a :class:`PeelBatch` says which items leave, and the :class:`PeelOrder` that answers it says which ones
a ranker, trained again, trusts least now. The first batch leaves from the unsure end of the frozen order, as the frozen classifier is the
ranker that has learned from no peeled item yet. The batch in which the peel ends is not asked for: its items are people's like all the
rest, and the machine labels can be written at once.

Where training again is dear the frozen order ranks alone, and the whole peel is done as soon as V is read. Which items leave depends on
predictions, on what has left and on V's counts, never on which items still inside V holds (``CERTIFICATE.md``, lemma 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcal_engine.certificates import peel
from mcal_engine.certificates.peel import Peel, Sample
from mcal_engine.cost import money
from mcal_engine.errors import HistoryError
from mcal_engine.search import worst_useful_error
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import (
    Bands,
    CertificateOutcome,
    Certify,
    Decision,
    HumanLabelAll,
    IntArray,
    LabelByMachine,
    Observation,
    PeelBatch,
    PeelOrder,
    Plan,
    Promise,
    Row,
    StopReason,
    Verdict,
)
from mcal_engine.words import counted, counted_of, verb

PEEL_SHARE = 0.012  # of X: items that leave between two trainings
SMALLEST_BATCH = 10  # items, so that people of a small project do not wait for a training after every third label
DEAR = 0.1  # of a batch's labels: a training that costs more than this share of them saves less than it takes
SLOW_SECONDS = 120.0  # of one training: people would wait longer than they label


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a look in two bands stands.

    Attributes:
        before: the last observation, made with the classifier that was frozen.
        state: of the peel, with all batches so far.
        trained: seconds of all trainings so far, rankers included.
        bought: money paid for answers of models from outside.
    """

    before: Observation
    asked: Certify
    promise: Promise
    outcome: CertificateOutcome
    bands: Bands
    state: Peel
    trained: float
    bought: float

    @property
    def seconds(self) -> float:
        """What training the frozen candidate once more takes."""
        last = next((one for one in self.before.measurements if one.classifier == self.asked.classifier), None)
        return 0.0 if last is None else last.training_seconds - last.one_off_seconds


def standing(history: Sequence[Row]) -> Standing:
    """The last look of ``history``; what people are being asked to peel has left already.

    Raises:
        HistoryError: it was not drawn in two bands, or its rows cannot have happened in this order.
    """
    place = max((place for place, row in enumerate(history) if isinstance(row, CertificateOutcome)), default=0)
    outcome, asked = history[place], history[place - 1]
    if not isinstance(outcome, CertificateOutcome) or not isinstance(asked, Certify) or outcome.look != asked.look:
        raise HistoryError("a certificate outcome answers the Certify just before it")
    promise, bands = asked.promise, outcome.bands
    if promise is None or bands is None or (bands.n_pool, bands.allowed, bands.level) != (outcome.n_pool, promise.allowed, asked.level):
        raise HistoryError(f"look {asked.look} was not drawn in two bands, or not under what it promises")
    state = peel.begin(bands, Sample(outcome.ranks, outcome.errors))
    for row in history[place + 1 :]:
        if isinstance(row, PeelBatch | PeelOrder) and row.look != asked.look:
            raise HistoryError(f"what is peeled belongs to look {asked.look}, got look {row.look}")
        if isinstance(row, PeelBatch):
            state = peel.leave(state, np.array(row.leaving, dtype=np.int64))
    rounds = [row for row in history if isinstance(row, Observation)]
    trained = sum(row.training_seconds for row in history if isinstance(row, Observation | PeelOrder))
    return Standing(rounds[-1], asked, promise, outcome, bands, state, trained, sum(row.bought for row in rounds))


def batch_size(n_items: int) -> int:
    """Items that leave between two trainings of the ranker."""
    return max(round(PEEL_SHARE * n_items), SMALLEST_BATCH)


def after_sample(spec: CampaignSpec, history: Sequence[Row]) -> Decision:
    """The decision after V was read, or after a ranker has ordered what may leave.

    Args:
        spec: the settings in force.
        history: every row so far, in order; the last one is V's outcome or a ranker's order.
    """
    found, last = standing(history), history[-1]
    state = found.state
    if found.promise.target_error > spec.target_error or spec.min_class_precision is not None:
        return _nothing(found, state, "it was drawn for a smaller promise than is asked for now")
    n = batch_size(found.before.n_items) if _pays(spec, found) else found.bands.n_pool
    if isinstance(last, PeelOrder):
        if len(last.order) == 0 and not state.ended:
            return _finish(found, _all_of_band_1(state))
        order = last.order
    else:
        order = state.peelable[::-1]
    leaving = peel.batch(state, order, n)
    after = peel.leave(state, leaving)
    return _finish(found, after) if after.ended else _ask(spec, found, after, leaving)


def _pays(spec: CampaignSpec, found: Standing) -> bool:
    """Whether training the ranker between two batches costs little beside the labels of a batch, and little time."""
    return found.seconds <= SLOW_SECONDS and _ranking(spec, found) <= DEAR * batch_size(found.before.n_items) * spec.price_per_label


def _ranking(spec: CampaignSpec, found: Standing) -> float:
    """Money that training the ranker once costs."""
    return float(money(found.seconds, spec.machine_price_per_hour))


def _all_of_band_1(state: Peel) -> Peel:
    """Fewer machine labels than the certificate allows are allowed too."""
    inside = state.inside.copy()
    inside[state.reading.n_sure :] = False
    return replace(state, inside=inside, reading=replace(state.reading, tolerated=None))


def _ask(spec: CampaignSpec, found: Standing, after: Peel, leaving: IntArray) -> PeelBatch:
    tolerated = after.reading.tolerated
    assert tolerated is not None  # else the peel has ended
    n_asked = len(peel.to_ask(found.state, leaving))
    sentence = (
        f"{counted(after.errors_left, 'wrong prediction')} of the certificate sample would be left among the machine's, where "
        f"{tolerated:,} {verb(tolerated, 'are')} tolerated: people label the {counted(n_asked, 'item')} that are trusted least."
    )
    evidence = _evidence(found, after) | {"leaving": float(len(leaving)), "asked": float(n_asked)}
    verdict = Verdict(found.asked.verdict.reason, sentence, evidence)
    return PeelBatch(found.asked.classifier, found.asked.look, tuple(leaving.tolist()), n_asked, _plan(spec, found, after), verdict)


def _plan(spec: CampaignSpec, found: Standing, after: Peel) -> Plan:
    """The bill if what still has to leave leaves in the frozen order: a ranker that learns needs fewer items, so this is no promise."""
    plan, machine = found.asked.plan, after.machine
    cut = peel.cut_now(after)
    n_machine = int((machine < cut).sum())
    n_trainings = math.ceil((after.peelable >= cut).sum() / batch_size(found.before.n_items))
    spent = float(money(found.trained, spec.machine_price_per_hour)) + found.bought
    training = spent + n_trainings * _ranking(spec, found)
    human = plan.human_cost + plan.price_per_label * (plan.n_machine - n_machine)
    shift = human + training - plan.total_cost
    low, high = (None if bound is None else bound + shift for bound in (plan.low, plan.high))
    costs = {"human_cost": human, "training_cost": training, "total_cost": human + training}
    return replace(plan, n_machine=n_machine, low=low, high=high, **costs)


def _nothing(found: Standing, state: Peel, why: str) -> HumanLabelAll:
    sentence = f"The certificate sample holds {counted(int(found.outcome.errors.sum()), 'error')} of {len(found.outcome.ranks):,}; {why}."
    return HumanLabelAll(found.asked.plan, Verdict(StopReason.CERTIFICATE_FAILED, sentence, _evidence(found, state)))


def _finish(found: Standing, state: Peel) -> Decision:
    """The machine labels what is inside; where that is of no use, people label all."""
    asked, promise = found.asked, found.promise
    kept = np.flatnonzero(state.inside)
    n_ranked, n_machine = int(kept[-1]) + 1 if len(kept) else 0, len(state.machine)
    wrong = _expected_errors(found.bands, state)
    evidence = _evidence(found, state)
    if n_machine == 0 or wrong > worst_useful_error(promise.target_error, found.before.n_classes) * n_machine:
        return _nothing(found, state, "no useful set of machine labels can be certified")
    most = min(promise.allowed, n_machine)
    left, tolerated = int(evidence["left"]), int(evidence["tolerated"])
    sentence = (
        f"{counted(left, 'wrong prediction')} of the certificate sample {verb(left, 'are')} left among the "
        f"machine's, where {tolerated:,} {verb(tolerated, 'are')} tolerated: at most "
        f"{counted_of(most, promise.n_labels, 'label', 'are')} wrong, at level {asked.level:.3f}."
    )
    return LabelByMachine(
        asked.classifier,
        n_ranked,
        n_machine,
        True,
        wrong / promise.n_labels,
        most / promise.n_labels,
        asked.plan,
        Verdict(StopReason.CERTIFIED, sentence, evidence),
        asked.look,
        peeled=tuple(np.flatnonzero(~state.inside[:n_ranked]).tolist()),
    )


def _evidence(found: Standing, state: Peel) -> dict[str, float]:
    """What the page tells of the sample: errors in all, in band 1 and those left, and how many of these the table tolerates.

    Where band 2 is people's, that is what is tolerated in band 1.
    """
    reading, bands = state.reading, found.bands
    by_bands = reading.sure_errors <= bands.sure_tolerated and reading.tolerated is not None
    inside = state.inside & state.wrong
    return {
        "sample": float(len(found.outcome.ranks)),
        "errors_in_sample": float(found.outcome.errors.sum()),
        "errors_in_sure_band": float(reading.sure_errors),
        "left": float(inside.sum()),
        "tolerated": float(reading.sure_errors + (reading.tolerated or 0) if by_bands else bands.sure_tolerated),
        "allowed_errors": float(found.promise.allowed),
        "level": found.asked.level,
        "peeled": float(state.n_left),
    }


def _expected_errors(bands: Bands, state: Peel) -> float:
    """Wrong machine labels, as V's items that are inside each band let expect."""
    found = 0.0
    for band in (slice(0, bands.n_sure), slice(bands.n_sure, bands.n_pool)):
        sampled = state.inside[band] & state.sampled[band]
        machine = int((state.inside[band] & ~state.sampled[band]).sum())
        found += machine * float((sampled & state.wrong[band]).sum()) / max(int(sampled.sum()), 1)
    return found
