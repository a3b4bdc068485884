"""One round's decision: forecast the cheapest way to finish, then buy another batch or stop with the best plan in hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcal_engine import budget, certificate, class_certificate, error_curve, search
from mcal_engine.bill import Labels
from mcal_engine.class_forecast import kept_by_classes
from mcal_engine.cost import CostLaw, CostModel, money, training_cost
from mcal_engine.learning_curve import FitFailed
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import (
    Acquire,
    CertificateOutcome,
    Certify,
    Decision,
    FloatArray,
    HumanLabelAll,
    LabelByMachine,
    Measurement,
    Observation,
    Plan,
    Row,
    StopReason,
    Verdict,
)


def default_batch_size(n_items: int, n_classes: int) -> int:
    """δ0: 1 % of X as in the paper, but enough for about five of each class where that is below 5 % of X."""
    return max(1, round(0.01 * n_items), min(5 * n_classes, round(0.05 * n_items)))


MIN_MORE_TEST = 20  # items; fewer are not worth another round


@dataclass(frozen=True, slots=True)
class Forecast:
    """One candidate's best plan; ``fitted`` tells whether it rests on learning curves or on this round's counts alone.

    ``future`` is the smallest total of any larger B (infinity where no fit says), ``floor`` what any larger B must cost at least, were
    its classifier perfect. ``hope`` is what a larger B saves in the most favourable tenth of the bootstrap.
    """

    plan: Plan
    fitted: bool
    future: float
    floor: float
    hope: float
    cost_model: CostModel


class Round:
    """The decision after one observation; after a certificate sample, its items count as test items from then on."""

    def __init__(self, spec: CampaignSpec, history: Sequence[Row], cost_law: CostLaw | None = None) -> None:
        self.spec = spec
        self.cost_law = cost_law
        self.observations = [row for row in history if isinstance(row, Observation)]
        self.trained = list(self.observations)
        outcomes = [row for row in history if isinstance(row, CertificateOutcome)]
        self.now = self.observations[-1]
        if isinstance(history[-1], CertificateOutcome) and isinstance(history[-2], Certify):
            seen = history[-1]
            self.observations[-1] = _with_sample(self.now, history[-2].classifier, seen, spec.theta_step)
            self.now = replace(
                self.observations[-1],
                n_pool=seen.n_pool - len(seen.ranks),
                n_labels_paid=seen.n_labels_paid,
                labels=_after(self.now.labels, seen),
            )
        self.left = self.now.n_pool / max(self.observations[-1].n_pool, 1)  # of the pool that was measured: V has left it
        self.plans = [row.plan for row in history if isinstance(row, Acquire)]
        self.batch = spec.batch_size or default_batch_size(self.now.n_items, self.now.n_classes)
        self.look = len(outcomes) + 1
        self.level = certificate.level_of_look(spec.confidence_level, self.look, spec.max_looks)
        self.allowed = certificate.allowance(spec.target_error, self.now.n_items)
        self.spent = float(money(sum(o.training_seconds for o in self.trained), spec.machine_price_per_hour))
        self.human_only = spec.price_per_label * self.now.counted.n_alone
        self.step = max(min(self.batch, self.now.n_pool), 1)

    def decide(self, *, stop_requested: bool) -> Decision:
        if self.now.n_pool == 0:
            empty = Verdict(StopReason.POOL_EMPTY, "People have labelled every item that could be machine-labelled.")
            return HumanLabelAll(None, empty)
        forecasts = {m.classifier: self.forecast(m) for m in self.now.measurements}
        racing = self.race(forecasts)
        leader = self.leader(forecasts, racing)
        forecast = forecasts[leader]
        plan = forecast.plan
        if stop_requested:
            return self._stop(forecast, StopReason.STOPPED_BY_ADMIN, "Stopped by the admin.")
        reason = budget.reason_to_stop(self, forecast) if self.spec.budget is not None else self._reason_to_stop(forecast)
        if reason is not None:
            return self._stop(forecast, *reason)
        n_train = min(plan.batch_size if self.stable(plan) else self.step, self.now.n_pool)
        n_test = self._more_test(forecast, n_train) if forecast.fitted else 0
        why = self._why_go_on(forecast, n_train)
        if n_test:
            why += f" {n_test:,} more test items pay for themselves: the certificate sample can be sized better."
        return Acquire(n_test, n_train, self.spec.acquisition, leader, racing, plan, why)

    def leader(self, forecasts: dict[str, Forecast], racing: tuple[str, ...]) -> str:
        """The candidate with the cheapest plan, with a budget the one with the fewest errors; ties in the order of the setting."""

        def rank(name: str) -> tuple[float, int]:
            plan = forecasts[name].plan
            value = plan.total_cost if self.spec.budget is None else plan.predicted_error or 0.0
            return value, self.spec.classifiers.index(name)

        return min(racing, key=rank)

    def forecast(self, measurement: Measurement) -> Forecast:
        """The best plan with one candidate, over every size of B, θ and V."""
        name, now = measurement.classifier, self.now
        cost_model = self.cost_model(name)
        price_list = self._price_list(measurement)
        errors_model = error_curve.model(self.observations, name, self.spec.theta_step, self.spec.seed)
        if isinstance(errors_model, FitFailed):
            sizes = np.array([float(now.n_train)])
            shares, errors = self.measured(measurement)
            shares, errors = shares[None], errors[None, None]
        else:
            sizes = search.candidate_sizes(now.n_train, now.n_pool, self.step)
            shares, errors = errors_model.at(sizes, (now.n_pool - (sizes - now.n_train)) / self.left, now.n_items)
            shares, errors = shares * self.left, errors * self.left
        doubt = self.doubt(measurement)
        # The way to each size in one jump: δ is chosen afterwards, so that smaller steps add no more than the slack β (line 20).
        jump = np.maximum(sizes - now.n_train, float(self.step))
        training = self.spent + money(cost_model.path(now.n_train, sizes, jump), self.spec.machine_price_per_hour)
        if self.spec.budget is not None:
            plan, future = budget.plan(self.spec, now, name, shares, errors, sizes, training)
            return Forecast(plan, errors.shape[0] > 1, future, 0.0, np.inf, cost_model)
        priced = search.surface(self.spec, now, shares, errors, sizes, price_list, training, doubt)
        best = int(np.argmin(priced.cost[0]))
        replicates = priced.cost[1:].min(axis=1)
        total = float(priced.cost[0, best])
        target = int(sizes[best])
        theta = float(priced.theta[best])
        plan = Plan(
            classifier=name,
            target_error=self.spec.target_error,
            price_per_label=self.spec.price_per_label,
            n_train=target,
            theta=theta,
            n_machine=int(priced.n_machine[best]),
            n_certificate=int(priced.n_certificate[best]),
            batch_size=search.batch_for(self.spec, cost_model, now.n_train, target, total, float(training[best]) - self.spent, self.step),
            human_cost=total - float(training[best]),
            training_cost=float(training[best]),
            total_cost=total,
            total_cost_now=float(priced.cost[0, 0]),
            low=float(np.quantile(replicates, 0.05)) if len(replicates) else None,
            high=float(np.quantile(replicates, 0.95)) if len(replicates) else None,
            predicted_error=float(np.interp(theta, shares[best], errors[0, best])) if priced.n_machine[best] else 0.0,
        )
        future = float(priced.cost[0, 1:].min()) if len(sizes) > 1 else np.inf
        gains = priced.cost[1:, 0] - priced.cost[1:, 1:].min(axis=1) if len(sizes) > 1 else np.zeros(0)
        hope = float(np.quantile(gains, 0.9)) if len(gains) else np.inf
        return Forecast(plan, len(replicates) > 0, future, self._floor(cost_model, price_list), hope, cost_model)

    def _price_list(self, measurement: Measurement) -> search.Terms:
        """What a V of each size buys of today's pool, by the overall certificate and by what a bound per class would leave of that."""
        level = class_certificate.level_of_each(self.spec, self.level)
        price_list = search.terms(self.spec, self.now.n_items, self.now.n_pool, level)
        shares, errors = self.measured(measurement)
        kept = kept_by_classes(self.spec, self.now, measurement, (shares / self.left, errors / self.left), level)
        return replace(price_list, kept=kept)

    def cost_model(self, classifier: str) -> CostModel:
        """The user's law where one was given, else the measured one."""
        if self.cost_law is not None:
            return self.cost_law(self.trained, classifier)
        return training_cost(self.trained, classifier, power=2 if self.spec.training_law == "epochs_grow" else 1)

    def _floor(self, cost_model: CostModel, price_list: search.Terms) -> float:
        """The least that buying one more batch can lead to: every later label from the machine, the cheapest certificate."""
        now = self.now
        left = max(now.n_pool - self.step, 0)
        machine = left * (1 - float(price_list.share.min(initial=1.0))) if len(price_list.share) else 0.0
        return self.spec.price_per_label * now.counted.n_at_end(machine) + self.spent + self._next_training(cost_model)

    def _next_training(self, cost_model: CostModel) -> float:
        """Money that training after one more batch costs."""
        seconds = cost_model.path(self.now.n_train, np.array([float(self.now.n_train + self.step)]), float(self.step))[0]
        return float(money(seconds, self.spec.machine_price_per_hour))

    def race(self, forecasts: dict[str, Forecast]) -> tuple[str, ...]:
        """Drop a candidate whose optimistic C* is above the best pessimistic one."""
        names = tuple(name for name in self.spec.classifiers if name in forecasts) or tuple(forecasts)
        highs = [f.plan.high for f in forecasts.values() if f.plan.high is not None]
        if len(names) < 2 or len(highs) < len(names):
            return names
        return tuple(name for name in names if (low := forecasts[name].plan.low) is None or low <= min(highs))

    def stable(self, plan: Plan) -> bool:
        """Two forecasts in a row, for one ε, that differ by at most Δ; in labels, so that a price that drifts is no change of plan."""
        previous = self.plans[-1] if self.plans else None
        if previous is None or plan.low is None or previous.low is None or previous.target_error != plan.target_error:
            return False
        tolerance = self.spec.stability_tolerance
        if abs(previous.price_per_label - plan.price_per_label) > tolerance * plan.price_per_label:
            return False
        labels, labels_before = plan.total_cost / plan.price_per_label, previous.total_cost / previous.price_per_label
        return abs(labels - labels_before) <= tolerance * labels

    def _reason_to_stop(self, forecast: Forecast) -> tuple[StopReason, str] | None:
        plan, now, spec = forecast.plan, self.now, self.spec
        next_spend = self.spent + self._next_training(forecast.cost_model) * len(now.measurements)
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
        if plan.n_machine > 0 and forecast.hope <= spec.stop_tolerance * plan.total_cost_now:
            # While nothing is to be gained each batch only adds its own price, and the forecast would never be stable.
            return (
                StopReason.NO_GAIN,
                f"Finishing now costs {plan.total_cost_now:,.2f} {spec.currency}; even the most favourable tenth of the bootstrap "
                f"saves no more than {max(forecast.hope, 0.0):,.2f} with more training labels.",
            )
        if not self.stable(plan):
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

    def _stop(self, forecast: Forecast, reason: StopReason, sentence: str) -> Decision:
        """End the search with the best plan for the training set in hand."""
        spec, now = self.spec, self.now
        measurement = next(m for m in now.measurements if m.classifier == forecast.plan.classifier)
        plan = self.plan_now(measurement, forecast)
        evidence = {
            "total_cost_now": plan.total_cost,
            "best_future_cost": forecast.future,
            "floor": forecast.floor,
            "training_spent": self.spent,
        }
        verdict = Verdict(reason, sentence, {name: value for name, value in evidence.items() if np.isfinite(value)})
        if plan.n_machine == 0:
            return HumanLabelAll(plan, verdict)
        if spec.certifies:
            n_certificate = self._exact_certificate_size(plan)
            if n_certificate is None:
                return HumanLabelAll(plan, verdict)
            return Certify(plan.classifier, n_certificate, self.look, self.level, plan, verdict)
        n_ranked = plan.n_machine if spec.budget is not None else min(int(plan.theta * now.n_items), now.n_pool)
        estimate = float(np.interp(n_ranked / now.n_items, *self.measured(measurement, allow_unseen=False)))
        return LabelByMachine(
            plan.classifier, n_ranked, n_ranked, False, estimate, None, plan, replace(verdict, reason=StopReason.ESTIMATED)
        )

    def _more_test(self, forecast: Forecast, n_train: int) -> int:
        """How many more test items pay: 0 where none do.

        With the error known exactly, V would be sized for it; the expected saving is the value of perfect information. n further items
        on top of n_T resolve about n/(n + n_T) of the doubt. They cost a label each where the machine would have given one, and another
        one where two people are asked. The net gain is largest at n = √(value·n_T/cost) − n_T.
        """
        spec, now = self.spec, self.now
        if spec.test_size is not None or spec.certificate_size is not None or not spec.certifies:
            return 0
        measurement = next(m for m in now.measurements if m.classifier == forecast.plan.classifier)
        plan = self.plan_now(measurement, forecast)
        shares, errors = self.measured(measurement)
        price_list = self._price_list(measurement)
        sizes, training = np.array([float(now.n_train)]), np.array([self.spent])
        doubt = self.doubt(measurement)
        known = [
            search.surface(spec, now, shares[None], errors[None, None], sizes, price_list, training, np.array([factor])).cost[0, 0]
            for factor in doubt
        ]
        value = (plan.total_cost - float(np.mean(known))) / spec.price_per_label
        n_test = max(int(now.survivors.sum()), 1)
        wanted = int(np.sqrt(max(value, 0.0) * n_test / max(plan.theta + spec.overlap_share, 1e-9))) - n_test
        wanted = min(wanted, (now.n_pool - n_train) // 20)
        return wanted if wanted >= max(MIN_MORE_TEST, n_test // 4) else 0

    def plan_now(self, measurement: Measurement, forecast: Forecast) -> Plan:
        """The plan for exactly today's B, from this round's counts: what is machine-labelled now is measured, not extrapolated."""
        spec, now = self.spec, self.now
        shares, errors = self.measured(measurement)
        price_list = self._price_list(measurement)
        sizes, training = np.array([float(now.n_train)]), np.array([self.spent])
        if spec.budget is not None:
            return budget.plan(spec, now, measurement.classifier, shares[None], errors[None, None], sizes, training)[0]
        priced = search.surface(spec, now, shares[None], errors[None, None], sizes, price_list, training, self.doubt(measurement))
        theta = float(priced.theta[0])
        return replace(
            forecast.plan,
            n_train=now.n_train,
            theta=theta,
            n_machine=int(priced.n_machine[0]),
            n_certificate=int(priced.n_certificate[0]),
            human_cost=float(priced.cost[0, 0]) - self.spent,
            training_cost=self.spent,
            total_cost=float(priced.cost[0, 0]),
            total_cost_now=float(priced.cost[0, 0]),
            predicted_error=float(np.interp(theta, shares, errors)) if priced.n_machine[0] else 0.0,
        )

    def finishing(self, n_machine: int) -> float:
        """The bill if the machine labels ``n_machine`` items more, people all the rest, and nothing is trained any more."""
        return self.spec.price_per_label * self.now.counted.n_at_end(n_machine) + self.spent

    def measured(self, measurement: Measurement, *, allow_unseen: bool = True) -> tuple[FloatArray, FloatArray]:
        """This round's error curve: θ and ε, ascending; as counted, or with an error more that T may not have shown."""
        grid = error_curve.theta_grid(self.spec.theta_step)
        last = self.observations[-1]
        shares, errors = error_curve.measured(last, error_curve.count(last, measurement, len(grid)), grid, allow_unseen=allow_unseen)
        return shares * self.left, errors * self.left

    def doubt(self, measurement: Measurement) -> FloatArray:
        """Factors by which the true error may differ from the counted one; see :func:`mcal_engine.search.doubt_about`."""
        if not self.spec.certifies:
            return np.ones(1)
        wrong = int((self.now.survivors & ~measurement.correct).sum())
        return search.doubt_about(min(wrong, self.spec.target_error * int(self.now.survivors.sum())))

    def _exact_certificate_size(self, plan: Plan) -> int | None:
        """The planned V, shrunk or grown by a few items to where the exact rule tolerates as many errors as planned."""
        spec, now = self.spec, self.now
        if spec.certificate_size is not None:
            return min(spec.certificate_size, now.n_pool)
        share = plan.n_certificate / now.n_pool
        level = class_certificate.level_of_each(spec, self.level)
        shares = certificate.sample_share(np.arange(3000), allowed=self.allowed, level=level)
        tolerated = int(np.searchsorted(shares, share + 1e-12, side="right")) - 1
        return certificate.sample_size(max(tolerated, 0), n_pool=now.n_pool, allowed=self.allowed, level=level)

    def _why_go_on(self, forecast: Forecast, n_train: int) -> str:
        plan, spec = forecast.plan, self.spec
        if not forecast.fitted:
            return f"Round {self.now.round}: {n_train:,} more labels, to learn how the error falls with more of them."
        if spec.budget is not None:
            return (
                f"Round {self.now.round}: {n_train:,} more labels. With {plan.n_train:,} training labels and a budget of "
                f"{spec.budget:,.2f} {spec.currency}, {plan.predicted_error or 0.0:.2%} of all labels are forecast to be wrong."
            )
        return (
            f"Round {self.now.round}: {n_train:,} more labels. Finishing now would cost {plan.total_cost_now:,.2f} {spec.currency}, the "
            f"forecast with {plan.n_train:,} training labels is {plan.total_cost:,.2f} (90 % band {plan.low:,.2f} to {plan.high:,.2f})."
        )


def _after(labels: Labels | None, seen: CertificateOutcome) -> Labels | None:
    """The labels once V is answered: what was paid beyond one for each of its items is a repeat."""
    if labels is None:
        return None
    n_sample = len(seen.ranks)
    more = max(seen.n_labels_paid - labels.n_paid - n_sample, 0)
    return Labels(seen.n_labels_paid, labels.n_repeats + more, max(labels.n_left - n_sample, 0), labels.n_machine)


def _with_sample(observation: Observation, classifier: str, seen: CertificateOutcome, theta_step: float) -> Observation:
    """The measurement as if V's items had been test items: both stand for the pool that V was drawn from. Others than ``classifier`` have
    not been measured on V, so nothing is forecast for them.
    """
    grid = error_curve.theta_grid(theta_step)
    sizes = np.floor(grid * observation.n_items + 1e-9).astype(np.int64)
    reachable = sizes < seen.n_pool
    level = np.append(np.flatnonzero(reachable), len(grid))[np.searchsorted(sizes[reachable], seen.ranks, side="right")]
    n_sample = len(seen.ranks)
    measurements = tuple(
        replace(
            one,
            level=np.concatenate([one.level, level]),
            correct=np.concatenate([one.correct, ~seen.errors]),
            predicted=np.concatenate([one.predicted, seen.classes]) if len(seen.classes) else seen.classes,
        )
        for one in observation.measurements
        if one.classifier == classifier
    )
    return replace(
        observation,
        n_pool=seen.n_pool,
        test_ids=np.concatenate([observation.test_ids, -1 - np.arange(n_sample)]),
        survivors=np.concatenate([observation.survivors, np.ones(n_sample, dtype=np.bool_)]),
        measurements=measurements,
    )
