"""The certified bound is a number of wrong labels; pages and reports tell it as a share of the labels that there really are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.campaign.state import Phase, State
from backend.views.certificate import certificate
from backend.views.report import make_report
from mcal_engine.types import LabelByMachine
from tests.backend.world import World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, State]:
    world = World(tmp_path_factory.mktemp("counted"), n=400)
    state = world.run(until=[Phase.RESIDUAL])
    assert isinstance(state.decision, LabelByMachine)
    assert state.decision.certified
    return world, state


def with_skipped(state: State, share: float) -> State:
    """The same campaign after people skipped a share of what was left to them."""
    rest = state.residual
    gone = {item.task_id for item in rest[: round(share * len(rest))]}
    items = {task: replace(item, skipped=True) if task in gone else item for task, item in state.items.items()}
    return replace(state, items=items)


def test_items_that_people_skip_after_the_sample_was_drawn_make_the_bound_a_larger_share(certified: tuple[World, State]) -> None:
    world, state = certified
    assert isinstance(state.decision, LabelByMachine)
    before = make_report(state, world.now())
    after = make_report(with_skipped(state, 0.9), world.now())
    assert before["error_upper_bound"] == pytest.approx(state.decision.error_upper_bound)
    n_labels = after["n_items"] - after["n_set_aside"]
    assert n_labels < before["n_items"] - before["n_set_aside"]
    assert before["error_upper_bound"] is not None
    assert after["error_upper_bound"] == pytest.approx(round(before["error_upper_bound"] * 400) / n_labels)
    assert after["error_upper_bound"] > before["error_upper_bound"]


def test_a_bound_that_has_grown_beyond_the_target_is_said_in_words(certified: tuple[World, State]) -> None:
    world, state = certified
    tight = replace(
        state, settings=state.settings.model_copy(update={"target_error": make_report(state, world.now())["error_upper_bound"]})
    )
    assert "more than the target" not in str(certificate(tight, make_report(tight, world.now())))
    skipped = with_skipped(tight, 0.9)
    assert "more than the target" in str(certificate(skipped, make_report(skipped, world.now())))


def test_the_report_s_confidence_is_one_minus_what_the_looks_have_spent(certified: tuple[World, State]) -> None:
    world, state = certified
    raised = replace(state, settings=state.settings.model_copy(update={"confidence_level": 0.99}))
    assert (
        make_report(raised, world.now())["confidence_level"] == make_report(state, world.now())["confidence_level"] == pytest.approx(0.96)
    )
