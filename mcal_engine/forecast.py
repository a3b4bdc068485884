"""The cheapest way to finish, as forecast now: for each candidate classifier over every size of B, θ and V (Eq. 1, 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mcal_engine import search
from mcal_engine.certificates import bands, per_class
from mcal_engine.class_forecast import kept_by_classes
from mcal_engine.cost import CostModel, money
from mcal_engine.curves import error_curve
from mcal_engine.curves.learning_curve import FitFailed
from mcal_engine.situation import Situation
from mcal_engine.types import CertificateRule, FloatArray, Measurement, Plan


@dataclass(frozen=True, slots=True)
class Forecast:
    """One candidate's best plan, and what the decision to go on or to stop is made from. Money is in the campaign's currency.

    Attributes:
        plan: the best plan.
        fitted: whether it rests on learning curves, or on this round's counts alone.
        future: the smallest total of any larger B; infinity where no fit says. With a budget: the smallest error, a share of X.
        floor: what any larger B must cost at least, were its classifier perfect.
        hope: what a larger B saves in the most favourable tenth of the bootstrap; infinity where no fit says.
        cost_model: what training will cost.
    """

    plan: Plan
    fitted: bool
    future: float
    floor: float
    hope: float
    cost_model: CostModel


@dataclass(frozen=True, slots=True)
class Curves:
    """One candidate's error curves at the sizes of B that are weighed; the first size is today's.

    Attributes:
        sizes: shape (n_sizes,). |B|, items.
        shares: shape (n_sizes, n_points). θ, a share of X, ascending.
        errors: shape (R, n_sizes, n_points). ε_θ, a share of X; replicate 0 is the data, the others are the bootstrap's.
        training: shape (n_sizes,). C_t on the way to each size, money: what is spent and what is still to be spent.
        cost_model: what it is made from.
        to_buy: shape (n_sizes,). Money for answers of the pool, to be paid only where the machine labels something.
    """

    sizes: FloatArray
    shares: FloatArray
    errors: FloatArray
    training: FloatArray
    cost_model: CostModel
    to_buy: FloatArray

    @property
    def fitted(self) -> bool:
        """Whether there are learning curves; else there is today's size alone."""
        return len(self.errors) > 1


# In this room ``situation`` is what is known now, and ``measurement`` is the candidate's in ``situation.observation``.


def curves(situation: Situation, measurement: Measurement) -> Curves:
    """The learning curves (Eq. 3) and the training costs (Eq. 4) of one candidate; this round's counts alone where there is no fit."""
    observation, spec = situation.observation, situation.spec
    if not measurement.learns:  # no larger B changes what it says
        return today(situation, measurement)
    fitted = error_curve.model(situation.rounds, measurement.classifier, spec.theta_step, spec.seed)
    if isinstance(fitted, FitFailed):
        return today(situation, measurement)
    sizes = search.candidate_sizes(observation.n_train, observation.n_pool, situation.step)
    n_pool = (observation.n_pool - (sizes - observation.n_train)) / situation.share_left
    shares, errors = fitted.at(sizes, n_pool, observation.n_items)
    cost_model = situation.cost_model(measurement.classifier)
    # The way to each size in one jump: δ is chosen afterwards, so that smaller steps add no more than the slack β (Algorithm 1, line 20).
    jump = np.maximum(sizes - observation.n_train, float(situation.step))
    training = situation.spent + money(cost_model.path(observation.n_train, sizes, jump), spec.machine_price_per_hour)
    to_buy = measurement.to_buy * (observation.n_pool - (sizes - observation.n_train)) / observation.n_pool
    return Curves(sizes, shares * situation.share_left, errors * situation.share_left, training, cost_model, to_buy)


def today(situation: Situation, measurement: Measurement) -> Curves:
    """This round's counts: what is machine-labelled with today's B is measured and not extrapolated."""
    shares, errors = situation.measured(measurement)
    sizes, training = np.array([float(situation.observation.n_train)]), np.array([situation.spent])
    cost_model = situation.cost_model(measurement.classifier)
    return Curves(sizes, shares[None], errors[None, None], training, cost_model, np.array([measurement.to_buy]))


def _priced(situation: Situation, found: Curves, prices: search.Terms, doubt: FloatArray) -> search.Surface:
    return search.surface(
        situation.spec,
        situation.observation,
        found.shares,
        found.errors,
        found.sizes,
        prices,
        found.training,
        doubt,
        found.to_buy,
    )


def forecast(situation: Situation, measurement: Measurement) -> Forecast:
    """The best plan with one candidate: the argmin of Eq. 1 under Eq. 2 (Algorithm 1, line 18)."""
    spec, observation = situation.spec, situation.observation
    found = curves(situation, measurement)
    prices = price_list(situation, measurement)
    priced = _priced(situation, found, prices, situation.doubt(measurement))
    best = int(np.argmin(priced.cost[0]))
    replicates = priced.cost[1:].min(axis=1)
    total, training, target = float(priced.cost[0, best]), float(found.training[best]), int(found.sizes[best])
    theta = float(priced.theta[best])
    to_buy = float(found.to_buy[best]) if priced.n_machine[best] else 0.0
    plan = Plan(
        classifier=measurement.classifier,
        target_error=spec.target_error,
        price_per_label=spec.price_per_label,
        n_train=target,
        theta=theta,
        n_machine=int(priced.n_machine[best]),
        n_certificate=int(priced.n_certificate[best]),
        batch_size=search.batch_for(spec, found.cost_model, observation.n_train, target, total, training - situation.spent, situation.step),
        human_cost=total - training - to_buy,
        training_cost=training + to_buy,
        total_cost=total,
        total_cost_now=float(priced.cost[0, 0]),
        low=float(np.quantile(replicates, 0.05)) if found.fitted else None,
        high=float(np.quantile(replicates, 0.95)) if found.fitted else None,
        predicted_error=float(np.interp(theta, found.shares[best], found.errors[0, best])) if priced.n_machine[best] else 0.0,
        to_buy=to_buy,
    )
    if not measurement.learns:
        band = [
            float(_priced(situation, found, prices, np.array([factor])).cost[0, 0]) for factor in situation.doubt(measurement, search.BAND)
        ]
        made = replace(plan, low=min(band), high=max(band))
        return Forecast(made, True, np.inf, _floor(situation, found.cost_model, prices), 0.0, found.cost_model)
    larger = len(found.sizes) > 1
    future = float(priced.cost[0, 1:].min()) if larger else np.inf
    gains = priced.cost[1:, 0] - priced.cost[1:, 1:].min(axis=1) if larger else np.zeros(0)
    hope = float(np.quantile(gains, 0.9)) if len(gains) else np.inf
    return Forecast(plan, found.fitted, future, _floor(situation, found.cost_model, prices), hope, found.cost_model)


def plan_now(situation: Situation, measurement: Measurement, made: Forecast, rule: CertificateRule | None = None) -> Plan:
    """The plan for exactly today's B, from this round's counts; what ``made`` forecast fills the rest of it.

    ``rule``: how V would be drawn; ``None``: as the settings say, by the cheaper rule where they leave that open.
    """
    found = today(situation, measurement)
    priced = _priced(situation, found, price_list(situation, measurement, rule), situation.doubt(measurement))
    theta, total = float(priced.theta[0]), float(priced.cost[0, 0])
    to_buy = measurement.to_buy if priced.n_machine[0] else 0.0
    return replace(
        made.plan,
        n_train=situation.observation.n_train,
        theta=theta,
        n_machine=int(priced.n_machine[0]),
        n_certificate=int(priced.n_certificate[0]),
        human_cost=total - situation.spent - to_buy,
        training_cost=situation.spent + to_buy,
        total_cost=total,
        total_cost_now=total,
        predicted_error=float(np.interp(theta, found.shares[0], found.errors[0, 0])) if priced.n_machine[0] else 0.0,
        to_buy=to_buy,
    )


def cost_if_error_were(situation: Situation, measurement: Measurement, factors: FloatArray) -> float:
    """The mean bill for today's B, money, if the true error were known and V sized for it.

    ``factors``: shape (m,). Equally likely true errors, each as a multiple of the counted one.
    """
    found, prices = today(situation, measurement), price_list(situation, measurement)
    return float(np.mean([_priced(situation, found, prices, np.array([factor])).cost[0, 0] for factor in factors]))


def price_list(situation: Situation, measurement: Measurement, rule: CertificateRule | None = None) -> search.Terms:
    """What a V of each size buys of today's pool, by the rule that will draw it and by what a bound per class would leave of that.

    ``rule``: as for :func:`plan_now`. What a peel spares is in no price, so that it favours neither rule.
    """
    spec, observation = situation.spec, situation.observation
    level = per_class.level_of_each(spec, situation.level)
    shares, errors = situation.measured(measurement)
    made = search.terms(spec, situation.n_labels, observation.n_pool, level)
    wanted = rule or spec.rule_for(learns=measurement.learns)
    if spec.certifies and level > 0 and wanted in ("two_bands", "cheaper"):
        drawn = bands.plan_by_size(observation.n_pool, situation.allowed, level, spec.certificate_size)
        sure = 0.0 if drawn is None else float(np.interp(drawn.n_sure / observation.n_items, shares, errors)) * observation.n_items
        in_bands = search.terms_of_bands(drawn, sure)
        return in_bands if wanted == "two_bands" else in_bands.beside(made)
    left = situation.share_left
    return replace(made, kept=kept_by_classes(spec, observation, measurement, (shares / left, errors / left), level))


def _floor(situation: Situation, cost_model: CostModel, prices: search.Terms) -> float:
    """The least that buying one more batch can lead to: the machine labels all that is left, with the cheapest certificate."""
    observation = situation.observation
    left = max(observation.n_pool - situation.step, 0)
    machine = left * (1 - float(prices.share.min(initial=1.0))) if len(prices.share) else 0.0
    by_hand = observation.counted.n_at_end(machine)
    return situation.spec.price_per_label * by_hand + situation.spent + situation.next_training(cost_model)
