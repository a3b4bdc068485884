"""After a certificate sample is answered: take what it certifies, or go on and look again, whichever the forecast says is cheaper.

Going on means that V joins T, the classifiers are measured anew, and a fresh V is drawn from what is by then the pool, at the next look's
share of the level. V was drawn from the pool, so its items stand for what is left of it, as the surviving test items do. The next forecast
counts V's errors beside T's. A forecast that was too bright because T held few errors by chance is so not made twice. V's items are
people's by now, and no longer counted as the machine's. (As training labels they would serve the classifier, but not the forecast.) What an
earlier look has certified stays good meanwhile: its predictions and order are frozen.

So is what a look was drawn under: target error, allowance and bound per class are read from the look, never from today's settings. Choosing
among readings of one V would break the promise more often than it says. A look that promises less than today's settings ask for is not
used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcal_engine import search
from mcal_engine.certificates import per_class, uniform
from mcal_engine.certificates.per_class import OfClasses
from mcal_engine.certificates.uniform import Certified
from mcal_engine.cost import CostLaw
from mcal_engine.errors import HistoryError
from mcal_engine.forecast import forecast, plan_now
from mcal_engine.situation import Situation
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import (
    Acquire,
    CertificateOutcome,
    Certify,
    Decision,
    HumanLabelAll,
    LabelByMachine,
    Observation,
    Promise,
    Row,
    StopReason,
    Verdict,
)
from mcal_engine.words import counted, counted_of, verb

GAIN = 0.02  # of the bill: what another look must be forecast to save before people are asked again


@dataclass(frozen=True, slots=True)
class Look:
    """One answered sample and what it certifies; with a bound per class the counts are of what that leaves of the certified set.

    Attributes:
        asked, outcome: the sample and its answers.
        certified: what the overall certificate allows.
        classes: what the bound per class leaves of it; ``None`` without such a bound.
        n_certified: items that the machine could label when the sample was answered.
        error_inside: share of V's items in front of the cut that are errors.
        n_machine: items of these that are still the machine's to label, at least: what was labelled since may have been among them.
    """

    asked: Certify
    promise: Promise
    outcome: CertificateOutcome
    certified: Certified
    classes: OfClasses | None
    n_certified: int
    error_inside: float
    n_machine: int


def after_certificate(spec: CampaignSpec, history: Sequence[Row], *, stop_requested: bool, cost_law: CostLaw | None) -> Decision:
    """The decision after a :class:`CertificateOutcome`, the last row of ``history``.

    Args:
        spec: the settings in force.
        history: every row so far, in order.
        stop_requested: the admin wants no further look.
        cost_law: the user's law of training costs, if there is one.

    Raises:
        HistoryError: an outcome that does not answer the ``Certify`` in front of it.
    """
    looks = _looks(spec, history)
    situation = Situation.after(spec, history, cost_law)
    best = max(looks, key=lambda look: (look.n_machine, look.asked.look))
    if not stop_requested and len(looks) < spec.max_looks and situation.level > 0 and situation.observation.n_pool > 0:
        going_on = _go_on(situation, looks[-1], situation.finishing(best.n_machine))
        if going_on is not None:
            return going_on
    return _finish(situation, best, looks[-1])


def _looks(spec: CampaignSpec, history: Sequence[Row]) -> list[Look]:
    """The answered samples, each read at its own level."""
    found: list[Look] = []
    last = history[-1]
    assert isinstance(last, CertificateOutcome)
    for place, row in enumerate(history):
        if not isinstance(row, CertificateOutcome):
            continue
        asked = history[place - 1] if place else None
        if not isinstance(asked, Certify) or row.look != asked.look:
            raise HistoryError("a certificate outcome answers the Certify just before it")
        before = next(each for each in reversed(history[:place]) if isinstance(each, Observation))
        promise = asked.promise or _promise_of_today(spec, before, row)
        drawn = spec.model_copy(update={"target_error": promise.target_error, "min_class_precision": promise.min_class_precision})
        level = per_class.level_of_each(drawn, asked.level)
        certified = uniform.certify(row, allowed=promise.allowed, level=level)
        n_certified, n_sampled, n_wrong = certified.n_machine, certified.n_ranked - certified.n_machine, certified.errors_in_prefix
        classes = per_class.of_classes(drawn, row, certified.n_ranked, asked.level)
        if classes is not None:
            n_certified, n_sampled, n_wrong = (int(each.sum()) for each in (classes.n_machine, classes.n_sampled, classes.n_wrong))
        inside = n_wrong / max(n_sampled, 1)
        useful = _is_enough(promise, spec) and inside <= search.worst_useful_error(promise.target_error, before.n_classes)
        n_machine = max(n_certified - (last.n_labels_paid - row.n_labels_paid), 0) if useful else 0
        found.append(Look(asked, promise, row, certified, classes, n_certified, inside, n_machine))
    return found


def _promise_of_today(spec: CampaignSpec, before: Observation, outcome: CertificateOutcome) -> Promise:
    """For looks of version 0.1, which stored none: what that version read them under. Without cuts there was no bound per class."""
    allowed = uniform.allowance(spec.target_error, before.n_items)
    return Promise(spec.target_error, allowed, before.n_items, spec.min_class_precision if len(outcome.cuts) else None)


def _is_enough(promise: Promise, spec: CampaignSpec) -> bool:
    """Whether what a look promises is at least what today's settings ask for."""
    of_classes = spec.min_class_precision is None or (promise.min_class_precision or 0.0) >= spec.min_class_precision
    return promise.target_error <= spec.target_error and of_classes


def confidence_kept(spec: CampaignSpec, history: Sequence[Row]) -> float:
    """One minus what all looks that were drawn have spent, whatever the settings have become since; the setting before the first look."""
    spent = [row.level for row in history if isinstance(row, Certify)]
    return round(1 - sum(spent), 12) if spent else spec.confidence_level


def _go_on(situation: Situation, look: Look, finishing: float) -> Decision | None:
    """Measure again with V in T, if the forecast at the next look's level says that this saves enough.

    ``finishing``: the bill with what is certified now, in the campaign's currency.
    """
    spec, observation = situation.spec, situation.observation
    if look.outcome.errors.mean() > search.worst_useful_error(spec.target_error, observation.n_classes):
        return None  # the classifier knows next to nothing, whatever T said: no forecast from T is worth money
    measurement = observation.measurements[0]
    made = forecast(situation, measurement)
    # The curves rest on T in every round and on V in this one only, so a lucky T outweighs V there. What is counted today has both at
    # their weight; from the curves comes only what more training labels would change.
    today = plan_now(situation, measurement, made).total_cost
    total = today * made.plan.total_cost / made.plan.total_cost_now
    if made.plan.n_machine == 0 or total > finishing * (1 - GAIN):
        return None
    sentence = (
        f"Look {look.asked.look} certifies {counted(look.n_machine, 'machine label')}, and finishing with them costs {finishing:,.2f} "
        f"{spec.currency}. With the sample's {counted(len(look.outcome.ranks), 'item')} as test items and a fresh sample, {total:,.2f} "
        f"is forecast."
    )
    racing = tuple(one.classifier for one in situation.trained[-1].measurements)
    return Acquire(0, 0, spec.acquisition, None, racing, made.plan, sentence)


def _finish(situation: Situation, best: Look, last: Look) -> Decision:
    """What the best look certifies is the machine's; where none certifies anything of use, people label all."""
    chosen = best if best.n_machine > 0 else last
    certified, asked, promise = chosen.certified, chosen.asked, chosen.promise
    seen = int(chosen.outcome.errors.sum())
    evidence = {
        "sample": float(len(chosen.outcome.ranks)),
        "errors_in_sample": float(seen),
        "tolerated": float(-1 if certified.tolerated is None else certified.tolerated),
        "allowed_errors": float(promise.allowed),
        "level": asked.level,
    }
    if best.n_machine == 0:
        sample = f"The certificate sample holds {counted(seen, 'error')} of {len(chosen.outcome.ranks):,}"
        sentence = f"{sample}; no useful set of machine labels can be certified.{_of_classes(chosen)}"
        return HumanLabelAll(asked.plan, Verdict(StopReason.CERTIFICATE_FAILED, sentence, evidence))
    errors = counted(certified.errors_in_prefix, "error")
    sentence = (
        f"{errors} among the certificate sample in front of the cut, where {certified.tolerated:,} "
        f"{verb(certified.tolerated or 0, 'are')} tolerated: at most "
        f"{counted_of(certified.max_errors, promise.n_labels, 'label', 'are')} wrong, at level {asked.level:.3f}.{_of_classes(chosen)}"
    )
    return LabelByMachine(
        asked.classifier,
        certified.n_ranked,
        chosen.n_machine,
        True,
        chosen.error_inside * chosen.n_certified / promise.n_labels,
        certified.max_errors / promise.n_labels,
        asked.plan,
        Verdict(StopReason.CERTIFIED, sentence, evidence),
        asked.look,
        class_cuts=() if chosen.classes is None else tuple(chosen.classes.cut.tolist()),
    )


def _of_classes(look: Look) -> str:
    """What the bound per class takes from the certified set."""
    if look.classes is None:
        return ""
    n_classes = int((look.classes.n_offered > 0).sum())
    whole, part, none = n_classes, len(look.classes.cut_short), len(look.classes.left_to_people)
    whole -= part + none
    if n_classes == 0:
        return " That is less than the least for which a bound per class was to be tested."
    left = int(look.classes.n_offered.sum()) - look.n_certified
    found = [
        f"{counted_of(n, n_classes, 'class')} {what}" for n, what in ((whole, "keep all"), (part, "keep a part"), (none, "keep none")) if n
    ]
    least = f"{look.promise.min_class_precision:.4g}"
    return f" With at least {least} right in each class, {', '.join(found)} of it; people label {counted(left, 'item')} more."
