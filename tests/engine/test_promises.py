"""A look is read under what it was drawn under, whatever the settings have become since; and no more is spent than there is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mcal_engine import codec
from mcal_engine.certificates import uniform
from mcal_engine.engine import decide
from mcal_engine.looks import confidence_kept
from mcal_engine.situation import Situation
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, CertificateOutcome, Certify, HumanLabelAll, LabelByMachine, Observation, Row
from tests.engine.test_looks import SPEC, answered, asked


@cache
def two_looks() -> tuple[Row, ...]:
    """Look 1 certifies half of what was planned; look 2, all of it wrong, certifies nothing."""
    first = asked()
    certify = first[-1]
    assert isinstance(certify, Certify)
    last = next(row for row in reversed(first) if isinstance(row, Observation))
    half = answered([last.n_pool // 2 + place for place in range(40)])
    n_left = last.n_pool - len(half.ranks)
    going_on = Acquire(0, 0, "margin", None, ("frozen",), certify.plan, "going on")
    ranks = np.arange(0, n_left, 9)
    wrong = CertificateOutcome(2, n_left, ranks, np.ones(len(ranks), dtype=bool), half.n_labels_paid + len(ranks))
    again = replace(last, round=last.round + 1, n_pool=n_left)
    return (*first, half, going_on, again, replace(certify, look=2, level=0.008), wrong)


def changed(**changes: object) -> CampaignSpec:
    return CampaignSpec.parse(SPEC.model_dump() | changes)


def machine(spec: CampaignSpec, history: tuple[Row, ...]) -> LabelByMachine:
    decision = decide(spec, history)
    assert isinstance(decision, LabelByMachine)
    return decision


@pytest.mark.slow
def test_a_target_that_is_raised_later_does_not_read_an_earlier_sample_again() -> None:
    drawn, raised = machine(SPEC, two_looks()), machine(changed(target_error=0.1), two_looks())
    assert raised.look == drawn.look == 1
    assert (raised.n_ranked, raised.n_machine, raised.error_upper_bound) == (drawn.n_ranked, drawn.n_machine, drawn.error_upper_bound)
    assert raised.verdict.evidence["allowed_errors"] == uniform.allowance(0.05, 1200)


def test_choosing_a_target_after_the_sample_was_seen_breaks_the_promise_no_more_often_than_one_that_was_fixed() -> None:
    """Whatever target between 1 % and 20 % is chosen afterwards, the first look gives the same set or none."""
    found = set()
    for target in np.linspace(0.01, 0.2, 13):
        decision = decide(changed(target_error=round(float(target), 4)), two_looks())
        found.add(decision.n_ranked if isinstance(decision, LabelByMachine) else 0)
    assert len(found - {0}) == 1


def test_a_look_that_promises_less_than_is_asked_for_now_is_not_used() -> None:
    assert isinstance(decide(changed(target_error=0.03), two_looks()), HumanLabelAll)


def test_a_bound_per_class_that_is_set_between_two_looks_leaves_a_campaign_that_can_decide() -> None:
    decision = decide(changed(min_class_precision=0.9), two_looks())
    assert isinstance(decision, HumanLabelAll)  # look 1 was not drawn for such a bound, look 2 certifies nothing


def test_looks_of_a_version_that_stored_no_promise_are_read_as_that_version_read_them() -> None:
    history = tuple(replace(row, promise=None) if isinstance(row, Certify) else row for row in two_looks())
    assert machine(SPEC, history) == machine(SPEC, two_looks())
    assert isinstance(decide(changed(min_class_precision=0.9), history), LabelByMachine | HumanLabelAll)


def test_what_a_look_is_drawn_under_is_stored_with_it() -> None:
    certify = asked()[-1]
    assert isinstance(certify, Certify)
    assert certify.promise is not None
    assert (certify.promise.target_error, certify.promise.allowed, certify.promise.n_labels) == (0.05, 60, 1200)
    assert certify.promise.min_class_precision is None
    assert codec.from_json(codec.to_json(certify)) == certify


def test_items_that_will_never_carry_a_label_are_not_counted_in_what_may_be_wrong() -> None:
    """1,200 items of which 120 are unreadable: 5 % of the 1,080 labels are 54 errors, not 60, and the bound is a share of 1,080."""
    history = [replace(row, n_without_label=120) if isinstance(row, Observation) else row for row in asked()[:-1]]
    certify = decide(SPEC, history, stop_requested=True)
    assert isinstance(certify, Certify)
    assert certify.promise is not None
    assert (certify.promise.allowed, certify.promise.n_labels) == (54, 1080)
    full = [*history, certify]
    decision = decide(SPEC, [*full, answered([], tuple(full))])
    assert isinstance(decision, LabelByMachine)
    assert decision.error_upper_bound is not None
    assert decision.error_upper_bound * 1080 == pytest.approx(round(decision.error_upper_bound * 1080))
    assert decision.error_upper_bound <= 0.05


@pytest.mark.parametrize(
    ("level", "spent", "max_looks", "expected"),
    [
        (0.95, [], 1, 0.05),
        (0.95, [], 3, 0.04),
        (0.95, [0.04], 3, 0.008),
        (0.95, [0.16], 3, 0.0),  # drawn at 80 %: nothing is left of 5 %
        (0.95, [0.05], 3, 0.0),  # the only look had it all, and then more looks were allowed
        (0.8, [0.04], 3, 0.032),
        (0.99, [0.04, 0.008], 3, 0.0),
    ],
)
def test_a_further_look_spends_no_more_than_the_looks_before_it_have_left(
    level: float, spent: list[float], max_looks: int, expected: float
) -> None:
    assert uniform.next_level(level, spent, max_looks) == pytest.approx(expected)


def test_after_the_confidence_was_raised_no_look_is_drawn_that_nothing_is_left_for_and_the_report_says_what_was_spent() -> None:
    first = asked()
    certify = first[-1]
    assert isinstance(certify, Certify)
    spent = (*first[:-1], replace(certify, level=0.16))  # drawn when 80 % were asked for
    now = [*spent, answered([50, 60, 70, 80, 90, 100, 110], spent)]
    assert Situation.after(SPEC, now).level == 0
    decision = decide(SPEC, now)
    assert not isinstance(decision, Acquire)
    assert confidence_kept(SPEC, now) == pytest.approx(0.84)
    assert confidence_kept(SPEC, first[:-1]) == 0.95
    observation = next(row for row in reversed(first) if isinstance(row, Observation))
    assert isinstance(decide(SPEC, [*now, observation], stop_requested=True), HumanLabelAll)
