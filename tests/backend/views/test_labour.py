"""What labels take people, what that makes them cost, and that decisions follow the measured price through the history alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.campaign.history import entry
from backend.campaign.log import Log
from backend.campaign.state import Phase
from backend.label_studio.port import User
from backend.simtest.label_studio import FakeLabelStudio
from backend.steering.control import change_settings
from backend.steps.price import record_price
from backend.store import Conflict
from backend.views.people.labour import CAP, ENOUGH, labour
from backend.views.report import make_report
from backend.views.series import series
from backend.views.what_if import what_if
from mcal_engine import codec, engine
from mcal_engine.types import Acquire
from tests.backend.kills import advance_until
from tests.backend.world import World

pytestmark = pytest.mark.slow


def paced(world: World, seconds: Callable[[int], float | None]) -> World:
    """People take as long over a task as ``seconds`` says."""

    def annotate(task_id: int, user: User, choice: str | None, *, lead_time: float | None = None) -> int:
        return FakeLabelStudio.annotate(world.label_studio, task_id, user, choice, lead_time=seconds(task_id))

    world.label_studio.annotate = annotate  # type: ignore[method-assign]
    return world


def prices(world: World) -> list[float]:
    """The measured prices that were recorded, in order."""
    events = world.store.events(world.campaign.id, kinds=("settings",))
    return [event.payload["settings"]["price_per_label"] for event in events if event.payload["by"] == "lead_time"]


def test_with_an_hourly_rate_the_measured_price_feeds_the_next_decision(tmp_path: Path) -> None:
    world = paced(World(tmp_path, price_per_hour=36.0), lambda _: 8.0)
    world.advance()
    world.label()
    state = world.advance()
    assert prices(world) == [0.08] and state.settings.price_per_label == 0.08
    assert isinstance(state.decision, Acquire) and state.decision.plan is not None
    assert state.decision.plan.price_per_label == 0.08
    kinds = [event.kind for event in world.store.events(world.campaign.id)]
    assert kinds.index("settings") < kinds.index("observation") < len(kinds) - 1 - kinds[::-1].index("decision")


def test_every_decision_follows_again_from_the_history_before_it(tmp_path: Path) -> None:
    world = paced(World(tmp_path, n=260, price_per_hour=36.0), lambda task: 2.0 + task % 7 + (3 if len(world.trainer.requests) else 0))
    world.run(until=[Phase.CERTIFYING, Phase.RESIDUAL])
    assert len(prices(world)) >= 2
    log, replayed = Log(), 0
    for event in world.store.events(world.campaign.id):
        if event.kind == "decision" and event.payload["after"] == "observation":
            again = engine.decide(log.settings, log.history)
            assert codec.to_json(again) == event.payload["decision"]
            replayed += 1
        log.read(entry(event))
    assert replayed >= 2


def test_without_a_rate_labels_cost_what_was_agreed(tmp_path: Path) -> None:
    world = paced(World(tmp_path, n=220), lambda _: 8.0)
    report = world.run().report
    assert report is not None and prices(world) == []
    assert report["human_cost"] == pytest.approx(0.04 * report["human_labels"]) and "labour" not in report
    seen = labour(world.state())
    assert seen["price_per_label"] is None and seen["human_cost"] is None and seen["seconds_per_label"] == 8.0


def test_until_there_are_enough_lead_times_the_price_that_was_set_holds(tmp_path: Path) -> None:
    world = World(tmp_path, price_per_hour=36.0)
    state = world.advance()
    assert state.queue is not None
    timed = set(state.queue.ids[: ENOUGH - 1])
    paced(world, lambda task: 8.0 if task in timed else None)
    world.label()
    state = world.advance()
    assert prices(world) == [] and state.settings.price_per_label == 0.04 and not labour(state)["measured"]
    paced(world, lambda _: 8.0)
    world.label()
    world.advance()
    assert prices(world) == [0.08]


def test_a_coffee_break_counts_as_a_few_labels_and_not_as_an_hour(tmp_path: Path) -> None:
    world = World(tmp_path, price_per_hour=36.0)
    state = world.advance()
    assert state.queue is not None
    away = state.queue.ids[7]
    paced(world, lambda task: 3600.0 if task == away else 4.0)
    world.label()
    seen = labour(world.advance())
    assert seen["seconds_per_label"] == pytest.approx((51 * 4 + CAP * 4) / 52) and seen["n_capped"] == 1
    assert seen["hours"] == pytest.approx((51 * 4 + CAP * 4) / 3600)
    assert seen["seconds_low"] is not None and seen["seconds_high"] is not None
    assert seen["seconds_low"] < 4 + 16 / 52 < seen["seconds_high"]


def test_a_price_that_hardly_moves_is_left_as_it_is(tmp_path: Path) -> None:
    world = paced(World(tmp_path, price_per_hour=36.0, price_per_label=0.0405), lambda _: 4.0)
    world.advance()
    world.label()
    assert world.advance().settings.price_per_label == 0.0405 and prices(world) == []


def test_a_worker_that_dies_after_recording_the_price_does_not_record_it_again(tmp_path: Path) -> None:
    world = paced(World(tmp_path, price_per_hour=36.0), lambda _: 8.0)
    world.advance()
    world.label(51)
    world.advance()  # the names are in the history by now
    world.label()
    advance_until(world, "store.append")
    assert prices(world) == [0.08] and world.state().observations == ()
    world.advance()
    assert prices(world) == [0.08] and len(world.state().observations) == 1


def test_a_price_recorded_on_an_old_state_is_a_conflict(tmp_path: Path) -> None:
    world = paced(World(tmp_path, price_per_hour=36.0), lambda _: 8.0)
    world.advance()
    world.label(40)
    state = world.advance()
    change_settings(world.store, world.campaign.id, {"quorum": 0.8}, world.now(), by="ann")
    with pytest.raises(Conflict):
        record_price(world.store, state)


def test_what_was_paid_is_hours_times_rate_with_repeats_and_labels_without_a_time_as_the_mean(tmp_path: Path) -> None:
    world = World(tmp_path, price_per_hour=36.0)
    state = world.advance()
    assert state.queue is not None
    untimed = state.queue.ids[3]
    paced(world, lambda task: None if task == untimed else 2.0 if task % 2 else 6.0)
    world.label(40)
    world.advance()
    world.label()
    doubled, gone = state.queue.ids[0], state.queue.ids[1]
    world.label_studio.annotate(doubled, world.people[0], world.right(doubled))
    world.label_studio.annotate(doubled, world.people[1], world.right(doubled))
    world.label_studio.delete_task(gone)
    state = world.advance()
    assert state.n_labels_paid == 52 + state.n_repeats_paid == 54
    times = [2.0 if task % 2 else 6.0 for task in state.queues[0].ids if task != untimed]
    mean = sum(times) / len(times)
    hours = (sum(times) + mean * (1 + state.n_repeats_paid)) / 3600
    report = make_report(state, world.now())
    assert report["human_cost"] == pytest.approx(36.0 * hours)
    assert report["labour"]["hours"] == pytest.approx(hours) and report["labour"]["n_assumed"] == 1 + state.n_repeats_paid
    assert series(state)["forecast"][-1]["spent"] == pytest.approx(report["total_cost"], rel=0.05)


def test_lead_times_are_told_apart_by_the_queue_that_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    paced(world, lambda _: 3.0)
    world.label()
    stray = world.advance().pool[-1].task_id
    world.label_studio.annotate(stray, world.people[0], world.right(stray), lead_time=3.0)
    world.run(until=[Phase.CERTIFYING])
    world.label()
    world.run()
    seen = labour(world.state())
    counts = {row["kind"]: row["n"] for row in seen["kinds"]}
    state = world.state()
    assert counts["start"] == 52 and counts["certificate"] == len(state.outcomes[-1].ranks)
    assert sum(counts.values()) == state.n_labels_paid == seen["n"]
    assert not any(row["assisted"] for row in seen["kinds"])


def test_the_report_of_a_finished_campaign_keeps_what_was_paid(tmp_path: Path) -> None:
    world = paced(World(tmp_path, n=260, price_per_hour=36.0), lambda _: 5.0)
    report = world.run().report
    assert report is not None and report["human_cost"] == pytest.approx(36.0 * report["human_labels"] * 5 / 3600)
    assert report["human_only_cost"] == pytest.approx(0.05 * 260)
    assert report["savings"] == pytest.approx(1 - report["total_cost"] / report["human_only_cost"])


def test_another_rate_can_be_tried_out_before_it_is_set(tmp_path: Path) -> None:
    world = paced(World(tmp_path, price_per_hour=36.0), lambda _: 4.0)
    world.advance()
    world.label()
    found = what_if(world.advance(), {"price_per_hour": "72"})
    assert found["changed"] == {"price_per_hour": 72.0, "price_per_label": 0.08}
    assert found["then"]["human_only_cost"] == pytest.approx(2 * found["now"]["human_only_cost"])


def test_a_price_that_is_set_beside_a_rate_is_said_to_hold_only_for_now(tmp_path: Path) -> None:
    world = World(tmp_path, price_per_hour=36.0)
    world.advance()
    notes = change_settings(world.store, world.campaign.id, {"price": 0.5}, world.now(), by="ann")
    assert any("from lead times" in note for note in notes)
