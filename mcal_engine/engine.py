"""Algorithm 1 of MCAL as a pure function of (spec, history), and its ask/tell face.

A history is the rows in the order they happened: ``Acquire, Observation, Acquire, Observation, … Certify, CertificateOutcome,
MachineLabel``. The same prefix always gives the same decision; nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcal_engine import certificate, error_curve, search
from mcal_engine.cost import TrainingCost, money, training_cost
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.learning_curve import FitFailed
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import (
    Acquire,
    CertificateOutcome,
    Certify,
    Decision,
    FloatArray,
    HumanLabelAll,
    MachineLabel,
    Measurement,
    Observation,
    Plan,
    StopReason,
    Verdict,
)

Row = Observation | CertificateOutcome | Decision


def default_test_size(n_items: int) -> int:
    """|T|: 5 % of X as in the paper, but between 150 and 600 items, and never more than 15 % of a small project."""
    return max(1, min(int(np.clip(round(0.05 * n_items), 150, 600)), round(0.15 * n_items)))


def default_batch_size(n_items: int, n_classes: int) -> int:
    """δ0: 1 % of X as in the paper, but enough for about five of each class where that is below 5 % of X."""
    return max(1, round(0.01 * n_items), min(5 * n_classes, round(0.05 * n_items)))


def start(spec: CampaignSpec, n_items: int, n_classes: int, n_unlabelled: int) -> Acquire:
    """The first decision: a random test set T out of all items and a random B0 out of those without a label."""
    if n_classes < 2:
        raise InvalidValue(f"a campaign needs at least 2 choices, the label config has {n_classes}")
    if n_items < 2:
        raise InvalidValue(f"a campaign needs at least 2 items, the project has {n_items}")
    n_test = min(spec.test_size or default_test_size(n_items), n_items // 2)
    n_train = min(spec.batch_size or default_batch_size(n_items, n_classes), n_unlabelled)
    sentence = f"To begin with: {n_test:,} random test items and {n_train:,} random training items."
    return Acquire(n_test, n_train, "random", None, spec.classifiers, None, sentence)


def decide(spec: CampaignSpec, history: Sequence[Row], *, stop_requested: bool = False) -> Decision:
    """The decision after the last row of ``history``, which must be an observation or a certificate outcome."""
    if not history or not isinstance(history[-1], Observation | CertificateOutcome):
        raise HistoryError("a decision follows an observation or a certificate outcome")
    if isinstance(history[-1], CertificateOutcome):
        return _after_certificate(spec, history)
    return _Round(spec, history).decide(stop_requested)


class Engine:
    """Ask/tell face of :func:`decide`, for notebooks and the simulator."""

    def __init__(self, spec: CampaignSpec, n_items: int, n_classes: int, n_unlabelled: int | None = None) -> None:
        self.spec = spec
        self.history: list[Row] = [start(spec, n_items, n_classes, n_items if n_unlabelled is None else n_unlabelled)]

    def ask(self) -> Decision:
        """The decision that is due; asking twice gives the same one."""
        if isinstance(self.history[-1], Observation | CertificateOutcome):
            self.history.append(decide(self.spec, self.history))
        last = self.history[-1]
        assert not isinstance(last, Observation | CertificateOutcome)
        return last

    def tell(self, row: Observation | CertificateOutcome) -> Engine:
        """Record what came of the last decision."""
        decision = self.ask()
        expected = {Acquire: Observation, Certify: CertificateOutcome}.get(type(decision))
        if expected is None or not isinstance(row, expected):
            raise HistoryError(f"{type(decision).__name__} is not followed by {type(row).__name__}")
        self.history.append(row)
        return self


@dataclass(frozen=True, slots=True)
class _Forecast:
    """One candidate's best plan; ``fitted`` tells whether it rests on learning curves or on this round's counts alone."""

    plan: Plan
    fitted: bool
    future: float  # smallest total of any larger B; infinity where no fit says
    floor: float  # what any larger B must cost at least, were its classifier perfect
    cost_model: TrainingCost


class _Round:
    """The decision after one observation."""

    def __init__(self, spec: CampaignSpec, history: Sequence[Row]) -> None:
        self.spec = spec
        self.observations = [row for row in history if isinstance(row, Observation)]
        self.now = self.observations[-1]
        self.plans = [row.plan for row in history if isinstance(row, Acquire)]
        self.batch = spec.batch_size or default_batch_size(self.now.n_items, self.now.n_classes)
        self.level = certificate.level_of_look(spec.confidence_level, 1)
        self.spent = float(money(sum(o.training_seconds for o in self.observations), spec.machine_price_per_hour))
        self.human_only = spec.price_per_label * self.now.n_items
        self.step = max(min(self.batch, self.now.n_pool), 1)

    def decide(self, stop_requested: bool) -> Decision:
        if self.now.n_pool == 0:
            return HumanLabelAll(None, Verdict(StopReason.POOL_EMPTY, "People have labelled every item that could be machine-labelled."))
        forecasts = {m.classifier: self._forecast(m) for m in self.now.measurements}
        racing = self._race(forecasts)
        leader = min(racing, key=lambda name: (forecasts[name].plan.total_cost, self.spec.classifiers.index(name)))
        forecast = forecasts[leader]
        plan = forecast.plan
        if stop_requested:
            return self._stop(forecast, StopReason.STOPPED_BY_ADMIN, "Stopped by the admin.")
        reason = self._reason_to_stop(forecast)
        if reason is not None:
            return self._stop(forecast, *reason)
        n_train = min(plan.batch_size if self._stable(plan) else self.step, self.now.n_pool)
        return Acquire(0, n_train, self.spec.acquisition, leader, racing, plan, self._why_go_on(forecast, n_train))

    def _forecast(self, measurement: Measurement) -> _Forecast:
        name, now = measurement.classifier, self.now
        cost_model = training_cost(self.observations, name)
        price_list = search.terms(self.spec, now.n_items, now.n_pool, self.level)
        errors_model = error_curve.model(self.observations, name, self.spec.theta_step, self.spec.seed)
        if isinstance(errors_model, FitFailed):
            sizes = np.array([float(now.n_train)])
            shares, errors = self._measured(measurement)
            shares, errors = shares[None], errors[None, None]
        else:
            sizes = search.candidate_sizes(now.n_train, now.n_pool, self.step)
            shares, errors = errors_model.at(sizes, now.n_pool - (sizes - now.n_train), now.n_items)
        training = self.spent + money(cost_model.path(now.n_train, sizes, float(self.step)), self.spec.machine_price_per_hour)
        priced = search.surface(self.spec, now, shares, errors, sizes, price_list, training, self._doubt(measurement))
        best = int(np.argmin(priced.cost[0]))
        replicates = priced.cost[1:].min(axis=1)
        total = float(priced.cost[0, best])
        target = int(sizes[best])
        plan = Plan(
            classifier=name,
            target_error=self.spec.target_error,
            price_per_label=self.spec.price_per_label,
            n_train=target,
            theta=float(priced.theta[best]),
            n_machine=int(priced.n_machine[best]),
            n_certificate=int(priced.n_certificate[best]),
            batch_size=search.batch_for(self.spec, cost_model, now.n_train, target, total, float(training[best]) - self.spent, self.step),
            human_cost=total - float(training[best]),
            training_cost=float(training[best]),
            total_cost=total,
            total_cost_now=float(priced.cost[0, 0]),
            low=float(np.quantile(replicates, 0.05)) if len(replicates) else None,
            high=float(np.quantile(replicates, 0.95)) if len(replicates) else None,
        )
        future = float(priced.cost[0, 1:].min()) if len(sizes) > 1 else np.inf
        return _Forecast(plan, len(replicates) > 0, future, self._floor(cost_model, price_list), cost_model)

    def _floor(self, cost_model: TrainingCost, price_list: search.Terms) -> float:
        """The least that buying one more batch can lead to: every later label from the machine, the cheapest certificate."""
        now = self.now
        left = max(now.n_pool - self.step, 0)
        machine = left * (1 - float(price_list.share.min(initial=1.0))) if len(price_list.share) else 0.0
        seconds = cost_model.path(now.n_train, np.array([float(now.n_train + self.step)]), float(self.step))[0]
        by_hand = now.n_items - now.n_preexisting - machine
        return self.spec.price_per_label * by_hand + self.spent + float(money(seconds, self.spec.machine_price_per_hour))

    def _race(self, forecasts: dict[str, _Forecast]) -> tuple[str, ...]:
        """Drop a candidate whose optimistic C* is above the best pessimistic one."""
        names = tuple(name for name in self.spec.classifiers if name in forecasts) or tuple(forecasts)
        highs = [f.plan.high for f in forecasts.values() if f.plan.high is not None]
        if len(names) < 2 or len(highs) < len(names):
            return names
        return tuple(name for name in names if (low := forecasts[name].plan.low) is None or low <= min(highs))

    def _stable(self, plan: Plan) -> bool:
        """Two forecasts in a row, made for the same price and ε, that differ by at most Δ."""
        previous = self.plans[-1] if self.plans else None
        if previous is None or plan.low is None or previous.low is None:
            return False
        if (previous.target_error, previous.price_per_label) != (plan.target_error, plan.price_per_label):
            return False
        return abs(plan.total_cost - previous.total_cost) <= self.spec.stability_tolerance * plan.total_cost

    def _reason_to_stop(self, forecast: _Forecast) -> tuple[StopReason, str] | None:
        plan, now, spec = forecast.plan, self.now, self.spec
        next_seconds = forecast.cost_model.path(now.n_train, np.array([float(now.n_train + self.step)]), float(self.step))[0]
        next_spend = self.spent + float(money(next_seconds, spec.machine_price_per_hour)) * len(now.measurements)
        if plan.n_machine == 0 and next_spend > spec.exploration_tax * self.human_only:
            return (
                StopReason.EXPLORATION_TAX,
                f"Another round would bring training to {next_spend:,.2f} {spec.currency}, above {spec.exploration_tax:.0%} of the "
                f"{self.human_only:,.2f} that labelling by hand costs, and no share of the items can be machine-labelled yet.",
            )
        if now.round + 1 >= spec.max_rounds:
            return StopReason.MAX_ROUNDS, f"{spec.max_rounds} rounds are done."
        if plan.total_cost_now <= forecast.floor:
            return (
                StopReason.NO_GAIN,
                f"Finishing now costs {plan.total_cost_now:,.2f} {spec.currency}; after another batch even a perfect classifier "
                f"would cost {forecast.floor:,.2f}.",
            )
        if not self._stable(plan):
            return None
        if plan.n_machine == 0:
            return (
                StopReason.MACHINE_CANNOT_PAY,
                f"No plan with machine labels is cheaper than {plan.total_cost:,.2f} {spec.currency}, where people label everything.",
            )
        if plan.total_cost_now - forecast.future <= spec.stop_tolerance * plan.total_cost_now:
            return (
                StopReason.NO_GAIN,
                f"Finishing now costs {plan.total_cost_now:,.2f} {spec.currency}; the best plan with more training labels costs "
                f"{forecast.future:,.2f}.",
            )
        if plan.n_train <= now.n_train:
            return StopReason.OPTIMUM_REACHED, f"The {now.n_train:,} training labels in hand are the cheapest training set."
        return None

    def _stop(self, forecast: _Forecast, reason: StopReason, sentence: str) -> Decision:
        """End the search with the best plan for the training set in hand."""
        spec, now = self.spec, self.now
        measurement = next(m for m in now.measurements if m.classifier == forecast.plan.classifier)
        plan = self._plan_now(measurement, forecast)
        evidence = {
            "total_cost_now": plan.total_cost,
            "best_future_cost": forecast.future,
            "floor": forecast.floor,
            "training_spent": self.spent,
        }
        verdict = Verdict(reason, sentence, {name: value for name, value in evidence.items() if np.isfinite(value)})
        if plan.n_machine == 0:
            return HumanLabelAll(plan, verdict)
        if spec.guarantee == "certified":
            n_certificate = self._exact_certificate_size(plan)
            if n_certificate is None:
                return HumanLabelAll(plan, verdict)
            return Certify(plan.classifier, n_certificate, 1, self.level, plan, verdict)
        n_ranked = min(int(plan.theta * now.n_items), now.n_pool)
        estimate = float(np.interp(plan.theta, *self._measured(measurement)))
        return MachineLabel(plan.classifier, n_ranked, n_ranked, False, estimate, None, plan, replace(verdict, reason=StopReason.ESTIMATED))

    def _plan_now(self, measurement: Measurement, forecast: _Forecast) -> Plan:
        """The plan for exactly today's B, from this round's counts: what is machine-labelled now is measured, not extrapolated."""
        spec, now = self.spec, self.now
        shares, errors = self._measured(measurement)
        price_list = search.terms(spec, now.n_items, now.n_pool, self.level)
        sizes, training = np.array([float(now.n_train)]), np.array([self.spent])
        priced = search.surface(spec, now, shares[None], errors[None, None], sizes, price_list, training, self._doubt(measurement))
        return replace(
            forecast.plan,
            n_train=now.n_train,
            theta=float(priced.theta[0]),
            n_machine=int(priced.n_machine[0]),
            n_certificate=int(priced.n_certificate[0]),
            human_cost=float(priced.cost[0, 0]) - self.spent,
            training_cost=self.spent,
            total_cost=float(priced.cost[0, 0]),
            total_cost_now=float(priced.cost[0, 0]),
        )

    def _measured(self, measurement: Measurement) -> tuple[FloatArray, FloatArray]:
        grid = error_curve.theta_grid(self.spec.theta_step)
        return error_curve.measured(self.now, error_curve.count(self.now, measurement, len(grid)), grid)

    def _doubt(self, measurement: Measurement) -> FloatArray:
        wrong = int((self.now.survivors & ~measurement.correct).sum())
        if self.spec.guarantee == "estimate":
            return np.ones(1)
        return search.doubt_about(min(wrong, self.spec.target_error * int(self.now.survivors.sum())))

    def _exact_certificate_size(self, plan: Plan) -> int | None:
        """The planned V, shrunk or grown by a few items to where the exact rule tolerates as many errors as planned."""
        spec, now = self.spec, self.now
        if spec.certificate_size is not None:
            return min(spec.certificate_size, now.n_pool)
        allowed = certificate.allowance(spec.target_error, now.n_items)
        share = plan.n_certificate / now.n_pool
        planned = np.arange(3000)
        tolerated = (
            int(np.searchsorted(certificate.sample_share(planned, allowed=allowed, level=self.level), share + 1e-12, side="right")) - 1
        )
        return certificate.sample_size(max(tolerated, 0), n_pool=now.n_pool, allowed=allowed, level=self.level)

    def _why_go_on(self, forecast: _Forecast, n_train: int) -> str:
        plan, spec = forecast.plan, self.spec
        if not forecast.fitted:
            return f"Round {self.now.round}: {n_train:,} more labels, to learn how the error falls with more of them."
        return (
            f"Round {self.now.round}: {n_train:,} more labels. Finishing now would cost {plan.total_cost_now:,.2f} {spec.currency}, the "
            f"forecast with {plan.n_train:,} training labels is {plan.total_cost:,.2f} (90 % band {plan.low:,.2f} to {plan.high:,.2f})."
        )


def _after_certificate(spec: CampaignSpec, history: Sequence[Row]) -> Decision:
    outcome, asked = history[-1], history[-2] if len(history) > 1 else None
    if not isinstance(outcome, CertificateOutcome) or not isinstance(asked, Certify) or outcome.look != asked.look:
        raise HistoryError("a certificate outcome answers the Certify just before it")
    n_items, n_classes = next((row.n_items, row.n_classes) for row in reversed(history) if isinstance(row, Observation))
    allowed = certificate.allowance(spec.target_error, n_items)
    certified = certificate.certify(outcome, allowed=allowed, level=asked.level)
    seen = int(outcome.errors.sum())
    evidence = {
        "sample": float(len(outcome.ranks)),
        "errors_in_sample": float(seen),
        "tolerated": float(-1 if certified.tolerated is None else certified.tolerated),
        "allowed_errors": float(allowed),
        "level": asked.level,
    }
    sampled_inside = certified.n_ranked - certified.n_machine
    error_inside = certified.errors_in_prefix / max(sampled_inside, 1)
    if certified.n_machine == 0 or error_inside > search.worst_useful_error(spec.target_error, n_classes):
        sentence = (
            f"The certificate sample holds {seen:,} errors of {len(outcome.ranks):,}; no useful set of machine labels can be certified."
        )
        return HumanLabelAll(asked.plan, Verdict(StopReason.CERTIFICATE_FAILED, sentence, evidence))
    sentence = (
        f"{certified.errors_in_prefix:,} errors among the certificate sample in front of the cut, where {certified.tolerated:,} are "
        f"tolerated: at most {certified.max_errors:,} of {n_items:,} labels are wrong, at level {asked.level:.3f}."
    )
    return MachineLabel(
        asked.classifier,
        certified.n_ranked,
        certified.n_machine,
        True,
        error_inside * certified.n_machine / n_items,
        certified.max_errors / n_items,
        asked.plan,
        Verdict(StopReason.CERTIFIED, sentence, evidence),
    )


__all__ = ["Engine", "Row", "decide", "default_batch_size", "default_test_size", "start"]
