"""After a certificate sample is answered: take what it certifies, or go on and look again, whichever the forecast says is cheaper.

Going on means that V joins T, the classifiers are measured anew, and a fresh V is drawn from what is by then the pool, at the next look's
share of the level. V was drawn from the pool, so its items stand for what is left of it as the surviving test items do, and a forecast that
was too bright because T was lucky is not made twice. (As training labels V's would serve the classifier, but not the forecast.) What an
earlier look has certified stays good meanwhile: its predictions and order are frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine import certificate, search
from mcal_engine.certificate import Certified
from mcal_engine.cost import CostLaw, money
from mcal_engine.errors import HistoryError
from mcal_engine.policy import Evidence, Forecast, Round
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import (
    Acquire,
    CertificateOutcome,
    Certify,
    Decision,
    HumanLabelAll,
    MachineLabel,
    Measurement,
    Row,
    StopReason,
    Verdict,
)

GAIN = 0.02  # of the bill: what another look must be forecast to save before people are asked again


@dataclass(frozen=True, slots=True)
class Look:
    """One answered sample, what it certifies, and how many of these items are still the machine's to label."""

    asked: Certify
    outcome: CertificateOutcome
    certified: Certified
    error_inside: float
    n_machine: int  # at least: what was labelled since may have been in it

    @property
    def sampled_inside(self) -> int:
        return self.certified.n_ranked - self.certified.n_machine


def after_certificate(spec: CampaignSpec, history: Sequence[Row], *, stop_requested: bool, cost_law: CostLaw | None) -> Decision:
    """The decision after a :class:`CertificateOutcome`, the last row of ``history``."""
    looks = _looks(spec, history)
    now = Round(spec, history, cost_law)
    best = max(looks, key=lambda look: (look.n_machine, look.asked.look))
    by_hand = now.now.n_items - now.now.n_preexisting + search.repeats(now.now)
    finishing = spec.price_per_label * (by_hand - best.n_machine) + now.spent
    if not stop_requested and len(looks) < spec.max_looks and now.now.n_pool > 0:
        going_on = _go_on(now, looks[-1], finishing)
        if going_on is not None:
            return going_on
    return _finish(spec, now, best, looks[-1])


def _looks(spec: CampaignSpec, history: Sequence[Row]) -> list[Look]:
    found: list[Look] = []
    last = history[-1]
    assert isinstance(last, CertificateOutcome)
    for place, row in enumerate(history):
        if not isinstance(row, CertificateOutcome):
            continue
        asked = history[place - 1] if place else None
        if not isinstance(asked, Certify) or row.look != asked.look:
            raise HistoryError("a certificate outcome answers the Certify just before it")
        now = Round(spec, history[:place])
        if spec.error_scope == "machine":
            certified = certificate.certify_inside(row, target_error=spec.target_error, level=asked.level)
        else:
            allowed = certificate.allowance(spec.target_error, now.now.n_items)
            certified = certificate.certify(row, allowed=allowed, level=asked.level)
        inside = certified.errors_in_prefix / max(certified.n_ranked - certified.n_machine, 1)
        useful = inside <= search.worst_useful_error(spec.target_error, now.now.n_classes)
        n_machine = max(certified.n_machine - (last.n_labels_paid - row.n_labels_paid), 0) if useful else 0
        found.append(Look(asked, row, certified, inside, n_machine))
    return found


def _go_on(now: Round, look: Look, finishing: float) -> Decision | None:
    """Measure again with V in T, if the forecast at the next look's level says that this saves enough."""
    if look.outcome.errors.mean() > search.worst_useful_error(now.spec.target_error, now.now.n_classes):
        return None  # the classifier knows next to nothing, whatever T said: no forecast from T is worth money
    forecasts = {m.classifier: now.forecast(m, _evidence(now, m, look)) for m in now.now.measurements}
    racing = now.race(forecasts)
    forecast = forecasts[now.leader(forecasts, racing)]
    total = forecast.plan.total_cost + _retraining(now, forecast)
    if forecast.plan.n_machine == 0 or total > finishing * (1 - GAIN):
        return None
    spec = now.spec
    sentence = (
        f"Look {look.asked.look} certifies {look.n_machine:,} machine labels, and finishing with them costs {finishing:,.2f} "
        f"{spec.currency}. With the sample's {len(look.outcome.ranks):,} items as test items and a fresh sample, {total:,.2f} is forecast."
    )
    return Acquire(0, 0, spec.acquisition, None, racing, forecast.plan, sentence)


def _retraining(now: Round, forecast: Forecast) -> float:
    seconds = forecast.cost_model.path(now.now.n_train - 1, np.array([float(now.now.n_train)]), 1.0)[0]
    return float(money(seconds, now.spec.machine_price_per_hour))


def _evidence(now: Round, measurement: Measurement, look: Look) -> Evidence:
    """Compare V's errors with the forecast that V was sized by, within the planned S*; both counts weigh by their number of items."""
    plan, outcome = look.asked.plan, look.outcome
    if measurement.classifier != look.asked.classifier:
        return Evidence(1.0, 1.0)
    observation = now.observations[-1]
    n_survivors, n_sample = int(observation.survivors.sum()), len(outcome.ranks)
    error = float(np.interp(plan.theta, *now.measured(measurement))) * observation.n_items / max(outcome.n_pool, 1)
    counted = max(error * n_survivors, 0.5)
    seen = int(outcome.errors[outcome.ranks < plan.theta * observation.n_items].sum())
    expected = error * (n_survivors + n_sample)
    return Evidence(float(np.clip((counted + seen) / max(expected, 1e-9), 0.2, 50.0)), counted + seen)


def _finish(spec: CampaignSpec, now: Round, best: Look, last: Look) -> Decision:
    n_items = now.now.n_items
    chosen = best if best.n_machine > 0 else last
    certified, asked = chosen.certified, chosen.asked
    seen = int(chosen.outcome.errors.sum())
    evidence = {
        "sample": float(len(chosen.outcome.ranks)),
        "errors_in_sample": float(seen),
        "tolerated": float(-1 if certified.tolerated is None else certified.tolerated),
        "allowed_errors": float(certificate.allowance(spec.target_error, n_items)),
        "level": asked.level,
    }
    if best.n_machine == 0:
        sample = f"The certificate sample holds {seen:,} errors of {len(chosen.outcome.ranks):,}"
        sentence = f"{sample}; no useful set of machine labels can be certified."
        return HumanLabelAll(asked.plan, Verdict(StopReason.CERTIFICATE_FAILED, sentence, evidence))
    errors = f"{certified.errors_in_prefix:,} error{'' if certified.errors_in_prefix == 1 else 's'}"
    if spec.error_scope == "machine":
        sentence = (
            f"{errors} among the {chosen.sampled_inside:,} items of the certificate sample in front of the cut: at most "
            f"{spec.target_error:.2%} of the machine's labels are wrong, at level {asked.level:.3f}."
        )
    else:
        sentence = (
            f"{errors} among the certificate sample in front of the cut, where {certified.tolerated:,} "
            f"{'is' if certified.tolerated == 1 else 'are'} tolerated: at most {certified.max_errors:,} of {n_items:,} labels are wrong, "
            f"at level {asked.level:.3f}."
        )
    return MachineLabel(
        asked.classifier,
        certified.n_ranked,
        chosen.n_machine,
        True,
        chosen.error_inside * certified.n_machine / n_items,
        certified.max_errors / n_items,
        asked.plan,
        Verdict(StopReason.CERTIFIED, sentence, evidence),
        asked.look,
    )
