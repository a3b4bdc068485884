"""One round's decision: forecast the cheapest way to finish, then buy another batch or stop with the best plan in hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcal_engine import budget
from mcal_engine.certificates import bands, per_class, uniform
from mcal_engine.forecast import Forecast, cost_if_error_were, forecast, plan_now
from mcal_engine.situation import Situation
from mcal_engine.types import (
    Acquire,
    CertificateRule,
    Certify,
    Decision,
    HumanLabelAll,
    LabelByMachine,
    Measurement,
    Plan,
    Promise,
    StopReason,
    Verdict,
)
from mcal_engine.words import counted

MIN_MORE_TEST = 20  # items; fewer are not worth another round
LOOK_AROUND = 0.02  # of the bill of a candidate that needs no training: what others may cost before they must be forecast to be cheaper


def decide(situation: Situation, *, stop_requested: bool) -> Decision:
    """The decision after an observation (Algorithm 1, lines 9, 18 to 22).

    Args:
        situation: after the observation.
        stop_requested: the admin wants no further batch.
    """
    spec, observation = situation.spec, situation.observation
    if observation.n_pool == 0:
        empty = Verdict(StopReason.POOL_EMPTY, "People have labelled every item that could be machine-labelled.")
        return HumanLabelAll(None, empty)
    foresee = forecast if spec.budget is None else budget.forecast
    forecasts = {one.classifier: foresee(situation, one) for one in observation.measurements}
    racing = race(situation, forecasts)
    leader = leading(situation, forecasts, racing)
    made = forecasts[leader]
    measurement = next(one for one in observation.measurements if one.classifier == leader)
    if stop_requested:
        return _stop(situation, measurement, made, racing, StopReason.STOPPED_BY_ADMIN, "Stopped by the admin.")
    if not measurement.learns:
        reason = _reason_to_look_no_further(situation, made, forecasts, racing)
    else:
        reason = _reason_to_stop(situation, made) if spec.budget is None else budget.reason_to_stop(situation, made)
    if reason is not None:
        return _stop(situation, measurement, made, racing, *reason)
    n_train = min(made.plan.batch_size if measurement.learns and stable(situation, made.plan) else situation.step, observation.n_pool)
    n_test = _more_test(situation, measurement, made, n_train) if made.fitted and measurement.learns else 0
    why = _why_go_on(situation, measurement, made, n_train)
    if n_test:
        why += f" {counted(n_test, 'more test item')} pay for themselves: the certificate sample can be sized better."
    ranks = _who_ranks(situation, forecasts, racing)
    return Acquire(n_test, n_train, "random" if ranks is None else spec.acquisition, ranks, racing, made.plan, why)


def _who_ranks(situation: Situation, forecasts: dict[str, Forecast], racing: tuple[str, ...]) -> str | None:
    """Whose scores say which items people label next: the best of those that learn from them; ``None``: nobody has scored the pool."""
    able = {one.classifier: one.learns for one in situation.observation.measurements if not one.n_unbought}
    learners = tuple(name for name in racing if able.get(name))
    others = tuple(name for name in racing if name in able)
    return leading(situation, forecasts, learners or others) if learners or others else None


def race(situation: Situation, forecasts: dict[str, Forecast]) -> tuple[str, ...]:
    """The candidates that stay in the race: one whose optimistic C* is above the best pessimistic one is dropped.

    ``forecasts``: by name of the candidate. Before all have a band none is dropped.
    """
    measured = tuple(name for name in situation.spec.classifiers if name in forecasts) or tuple(forecasts)
    names = (*measured, *situation.awaited)
    highs = [made.plan.high for made in forecasts.values() if made.plan.high is not None]
    if len(names) < 2 or len(highs) < len(names):
        return names
    return tuple(name for name in names if (low := forecasts[name].plan.low) is None or low <= min(highs))


def leading(situation: Situation, forecasts: dict[str, Forecast], racing: tuple[str, ...]) -> str:
    """The candidate with the cheapest plan, with a budget the one with the fewest errors; ties in the order of the setting.

    Where no plan has machine labels all cost the same, and one that learns leads: only that may change.
    """
    learns = {one.classifier: one.learns for one in situation.observation.measurements}

    def rank(name: str) -> tuple[float, bool, int]:
        plan = forecasts[name].plan
        value = plan.total_cost if situation.spec.budget is None else plan.predicted_error or 0.0
        return value, plan.n_machine == 0 and not learns[name], situation.spec.classifiers.index(name)

    return min((name for name in racing if name in forecasts), key=rank)


def stable(situation: Situation, plan: Plan) -> bool:
    """Whether two forecasts in a row, for one ε, differ by at most Δ (Algorithm 1, line 18).

    They are compared in labels, so that a price that drifts is no change of plan.
    """
    previous = situation.plans[-1] if situation.plans else None
    if previous is None or plan.low is None or previous.low is None or previous.target_error != plan.target_error:
        return False
    tolerance = situation.spec.stability_tolerance
    if abs(previous.price_per_label - plan.price_per_label) > tolerance * plan.price_per_label:
        return False
    labels, labels_before = plan.total_cost / plan.price_per_label, previous.total_cost / previous.price_per_label
    return abs(labels - labels_before) <= tolerance * labels


def _reason_to_stop(situation: Situation, made: Forecast) -> tuple[StopReason, str] | None:
    """Why another batch does not pay (Algorithm 1, line 9): the reason and a sentence; ``None``: go on."""
    plan, observation, spec = made.plan, situation.observation, situation.spec
    next_spend = situation.spent + situation.next_training(made.cost_model) * len(observation.measurements)
    if plan.n_machine == 0 and next_spend > spec.exploration_tax * situation.human_only:
        return (
            StopReason.EXPLORATION_TAX,
            f"Another round would bring training to {next_spend:,.2f} {spec.currency}, above {spec.exploration_tax:.0%} of the "
            f"{situation.human_only:,.2f} that labelling by hand costs, and no share of the items can be machine-labelled yet.",
        )
    if observation.round + 1 >= spec.max_rounds:
        return StopReason.MAX_ROUNDS, f"{spec.max_rounds} rounds are done."
    if plan.total_cost_now <= made.floor:
        return (
            StopReason.NO_GAIN,
            f"Finishing now costs {plan.total_cost_now:,.2f} {spec.currency}; after another batch even a perfect classifier "
            f"would cost {made.floor:,.2f}.",
        )
    if plan.n_machine > 0 and made.hope <= spec.stop_tolerance * plan.total_cost_now:
        # While nothing is to be gained each batch only adds its own price, and the forecast would never be stable.
        return (
            StopReason.NO_GAIN,
            f"Finishing now costs {plan.total_cost_now:,.2f} {spec.currency}; even the most favourable tenth of the bootstrap "
            f"saves no more than {max(made.hope, 0.0):,.2f} with more training labels.",
        )
    if not stable(situation, plan):
        return None
    if plan.n_machine == 0:
        return (
            StopReason.MACHINE_CANNOT_PAY,
            f"No plan with machine labels is cheaper than {plan.total_cost:,.2f} {spec.currency}, where people label everything.",
        )
    if plan.total_cost_now - made.future <= spec.stop_tolerance * plan.total_cost_now:
        return (
            StopReason.NO_GAIN,
            f"Finishing now costs {plan.total_cost_now:,.2f} {spec.currency}; the best plan with more training labels costs "
            f"{made.future:,.2f}.",
        )
    if plan.n_train <= observation.n_train:
        return StopReason.OPTIMUM_REACHED, f"The {counted(observation.n_train, 'training label')} in hand are the cheapest training set."
    return None


def _reason_to_look_no_further(
    situation: Situation, made: Forecast, forecasts: dict[str, Forecast], racing: tuple[str, ...]
) -> tuple[StopReason, str] | None:
    """Why the leader, which needs no training, is not held against the others any longer; ``None``: they may still be cheaper.

    What they learn from costs labels that the leader's plan does not need. They get 2 % of its bill, or as much as the leader's
    answers would cost where that is more: so late a purchase costs at most twice its price. After that they must be forecast to be
    cheaper, which would make them lead.
    """
    plan, observation, spec = made.plan, situation.observation, situation.spec
    learners = [one for one in observation.measurements if one.learns and one.classifier in racing]
    waiting = [name for name in racing if name in situation.awaited]
    if plan.n_machine == 0:
        if waiting:
            return None
        sentence = f"No plan with machine labels is cheaper than {plan.total_cost:,.2f} {spec.currency}, where people label everything."
        return StopReason.MACHINE_CANNOT_PAY, sentence
    now = f"Finishing now costs {plan.total_cost_now:,.2f} {spec.currency}"
    if not learners and not waiting:
        return StopReason.NO_GAIN, f"{now}; {plan.classifier} is as good as it will be, with any number of training labels."
    if plan.total_cost_now <= made.floor:
        return StopReason.NO_GAIN, f"{now}; after another batch even a perfect classifier would cost {made.floor:,.2f}."
    if observation.round + 1 >= spec.max_rounds:
        return StopReason.MAX_ROUNDS, f"{spec.max_rounds} rounds are done."
    n_train = observation.n_train + situation.step
    training = sum(situation.next_training(forecasts[one.classifier].cost_model) for one in learners)
    looking = n_train * spec.price_per_label * plan.n_machine / observation.n_pool + training
    if looking <= max(LOOK_AROUND * plan.total_cost, plan.to_buy):
        return None
    foreseen = [one for one in learners if forecasts[one.classifier].fitted]
    others = "no other candidate is forecast to be cheaper"
    if not foreseen:  # this close to the beginning the others may well be cheaper: nothing is known of it
        others = "the other candidates would still have too few of them for a forecast"
    return (
        StopReason.NO_GAIN,
        f"{now} with {plan.classifier}, which needs no training; with {counted(n_train, 'training label')}, "
        f"which would cost {looking:,.2f} more, {others}.",
    )


def _stop(
    situation: Situation, measurement: Measurement, made: Forecast, racing: tuple[str, ...], reason: StopReason, sentence: str
) -> Decision:
    """End the search with the best plan for the training set in hand (Algorithm 1, lines 26 and 27); what it needs is bought before."""
    spec, observation = situation.spec, situation.observation
    plan = plan_now(situation, measurement, made) if spec.budget is None else budget.plan_now(situation, measurement)
    if measurement.n_unbought and plan.n_machine:
        return _buy(situation, measurement, plan, racing, sentence)
    evidence = {
        "total_cost_now": plan.total_cost,
        "best_future_cost": made.future,
        "floor": made.floor,
        "training_spent": situation.spent,
    }
    verdict = Verdict(reason, sentence, {name: value for name, value in evidence.items() if np.isfinite(value)})
    if spec.certifies:
        found = _certify(situation, measurement, made, verdict)
        return HumanLabelAll(plan, verdict) if found is None else found
    if plan.n_machine == 0:
        return HumanLabelAll(plan, verdict)
    n_ranked = plan.n_machine if spec.budget is not None else min(int(plan.theta * observation.n_items), observation.n_pool)
    estimate = float(np.interp(n_ranked / observation.n_items, *situation.measured(measurement, allow_unseen=False)))
    return LabelByMachine(plan.classifier, n_ranked, n_ranked, False, estimate, None, plan, replace(verdict, reason=StopReason.ESTIMATED))


def _certify(situation: Situation, measurement: Measurement, made: Forecast, verdict: Verdict) -> Certify | None:
    """Draw V by the rule that is forecast to cost less, of those that the settings allow; ``None``: no V pays for itself.

    Nothing of V is known yet, so the choice costs no certainty.
    """
    spec = situation.spec
    wanted = spec.rule_for(learns=measurement.learns)
    rules: tuple[CertificateRule, ...] = ("two_bands", "one_band") if wanted == "cheaper" else (wanted,)
    offers: list[tuple[Plan, int, CertificateRule]] = []
    for rule in rules:
        plan = plan_now(situation, measurement, made, rule)
        size = _exact_certificate_size(situation, plan, rule) if plan.n_machine else None
        if size is not None:
            offers.append((plan, size, rule))
    if not offers:
        return None
    plan, size, rule = min(offers, key=lambda offer: offer[0].total_cost)
    why = ""
    if wanted == "cheaper":
        verdict = replace(verdict, evidence=verdict.evidence | {f"total_cost_{of}": each.total_cost for each, _, of in offers})
        why = _why_so_drawn(offers, rule, spec.currency)
    promise = Promise(spec.target_error, situation.allowed, situation.n_labels, spec.min_class_precision)
    return Certify(plan.classifier, size, situation.look, situation.level, plan, verdict, promise, rule, why)


def _why_so_drawn(offers: list[tuple[Plan, int, CertificateRule]], chosen: CertificateRule, currency: str) -> str:
    """One sentence: how V is drawn, and what that was held against."""
    ways = {"one_band": "drawn evenly", "two_bands": "drawn more densely among the less sure half"}
    bills = [f"at {plan.total_cost:,.2f} {currency} with {counted(size, 'item')} {ways[rule]}" for plan, size, rule in offers]
    if len(bills) == 1:
        return f"Before the draw the whole bill was forecast {bills[0]}; no other sample was of use."
    return f"Before the draw the whole bill was forecast {' and '.join(bills)}, so the sample was {ways[chosen]}."


def _buy(situation: Situation, measurement: Measurement, plan: Plan, racing: tuple[str, ...], sentence: str) -> Acquire:
    """Pay for the pool's answers, then measure again: what was bought is no part of what finishing costs any more."""
    currency = situation.spec.currency
    why = (
        f"{sentence} In this are {measurement.to_buy:,.2f} {currency} for what {measurement.classifier} says of {measurement.n_unbought:,} "
        f"items, {measurement.price:.4g} {currency} each as measured on the test items: these answers are bought."
    )
    return Acquire(0, 0, situation.spec.acquisition, None, racing, plan, why, (measurement.classifier,))


def _exact_certificate_size(situation: Situation, plan: Plan, rule: CertificateRule) -> int | None:
    """The planned V, shrunk or grown by a few items to where the exact rule tolerates as many errors as planned; ``None``: none can be."""
    spec, n_pool = situation.spec, situation.observation.n_pool
    if rule == "two_bands":
        if situation.level <= 0:
            return None
        drawn = bands.plan_by_size(n_pool, situation.allowed, situation.level, spec.certificate_size)
        return None if drawn is None else drawn.n_sample
    if spec.certificate_size is not None:
        return min(spec.certificate_size, n_pool)
    level = per_class.level_of_each(spec, situation.level)
    if rule == "one_band":
        level *= 1 - 2 * bands.ARITHMETIC  # its table keeps this far below the level
    shares = uniform.sample_share(np.arange(3000), allowed=situation.allowed, level=level)
    tolerated = int(np.searchsorted(shares, plan.n_certificate / n_pool + 1e-12, side="right")) - 1
    return uniform.sample_size(max(tolerated, 0), n_pool=n_pool, allowed=situation.allowed, level=level)


def _more_test(situation: Situation, measurement: Measurement, made: Forecast, n_train: int) -> int:
    """How many more test items pay: 0 where none do.

    With the error known exactly, V would be sized for it; the expected saving is the value of perfect information. n further items
    on top of n_T resolve about n/(n + n_T) of the doubt. They cost a label each where the machine would have given one, and another
    one where two people are asked. The net gain is largest at n = √(value·n_T/cost) − n_T.
    """
    spec, observation = situation.spec, situation.observation
    if spec.test_size is not None or spec.certificate_size is not None or not spec.certifies:
        return 0
    if spec.rule_for(learns=measurement.learns) == "two_bands":  # draws one size of V, whatever T says
        return 0
    plan = plan_now(situation, measurement, made)
    known = cost_if_error_were(situation, measurement, situation.doubt(measurement))
    value = (plan.total_cost - known) / spec.price_per_label
    n_test = max(int(observation.survivors.sum()), 1)
    wanted = int(np.sqrt(max(value, 0.0) * n_test / max(plan.theta + spec.overlap_share, 1e-9))) - n_test
    wanted = min(wanted, (observation.n_pool - n_train) // 20)
    return wanted if wanted >= max(MIN_MORE_TEST, n_test // 4) else 0


def _why_go_on(situation: Situation, measurement: Measurement, made: Forecast, n_train: int) -> str:
    """What the next labels cost and why they are bought, in one sentence: the rule that did not let the search end."""
    plan, spec = made.plan, situation.spec
    cost = f"{n_train * spec.price_per_label:,.2f} {spec.currency}"
    more = f"Round {situation.observation.round}: {counted(n_train, 'more label')} for {cost}"
    if not made.fitted:
        return f"{more}, to learn how the error falls with more of them."
    if spec.budget is not None:
        return (
            f"{more}: with {counted(plan.n_train, 'training label')} and a budget of {spec.budget:,.2f} {spec.currency}, "
            f"{plan.predicted_error or 0.0:.2%} of all labels are forecast to be wrong."
        )
    band = f"{plan.total_cost:,.2f} {spec.currency} (90 % band {plan.low:,.2f} to {plan.high:,.2f})"
    if not measurement.learns:
        return f"{more}: with {plan.classifier}, which needs no training, the bill is {band}; candidates that learn may still be cheaper."
    if stable(situation, plan):
        less = plan.total_cost_now - plan.total_cost
        return (
            f"{more}: with {counted(plan.n_train, 'training label')} the bill is forecast at {band}, {less:,.2f} less than finishing now."
        )
    if plan.n_machine == 0:
        return (
            f"{more}: no plan with machine labels is forecast to be cheaper than people alone, {band}, but the forecast is not stable yet."
        )
    hope = f"; in its most favourable tenth more labels save {made.hope:,.2f} or more" if np.isfinite(made.hope) else ""
    return f"{more}: the forecast of {band} is not stable yet{hope}."
