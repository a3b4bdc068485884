"""Pause, resume, stop, settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.state import Phase
from backend.steering.control import change_settings
from mcal_engine.errors import InvalidValue
from mcal_engine.types import Acquire
from tests.backend.world import World

pytestmark = pytest.mark.slow


def test_a_paused_campaign_decides_nothing_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    world.act("pause", by="ann")
    world.label()
    state = world.advance()
    assert (state.phase, state.stage) == (Phase.PAUSED, Phase.TRAINING_DUE)
    assert world.trainer.requests == [] and state.n_labels_paid == 52
    world.act("resume", by="ann")
    assert len(world.advance().observations) == 1


def test_a_campaign_paused_before_its_first_look_does_not_begin(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.act("pause", by="ann")
    assert world.advance().phase == Phase.PAUSED and world.label_studio.locked_by(max(world.tasks)) == set()
    world.act("resume", by="ann")
    assert world.advance().phase == Phase.COLLECTING


def test_a_stop_ends_the_search_with_the_labels_in_hand(tmp_path: Path) -> None:
    world = World(tmp_path, hopeless=True)
    world.advance()
    world.label()
    queue = world.advance().queue
    assert queue is not None and queue.kind == "train"
    half = world.label(5)
    world.act("stop", by="ann")
    state = world.advance()
    assert state.observations[-1].n_train == 12 + 5
    unasked = set(queue.asked) - set(half)
    assert unasked <= set(world.trainer.requests[-1].score_ids)  # what nobody answered went back to the pool
    decision = world.state().decision
    assert decision is not None and not isinstance(decision, Acquire) and decision.verdict.reason == "stopped_by_admin"
    assert world.run().phase == Phase.FINISHED


def test_a_stop_waits_for_the_test_items(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    world.label(10)
    world.act("stop", by="ann")
    assert world.advance().stage == Phase.COLLECTING
    assert world.run().phase == Phase.FINISHED


def test_settings_count_from_the_next_decision_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    notes = change_settings(world.store, world.campaign.id, {"target_error": 0.1, "quorum": 0.8}, world.now(), by="ann")
    assert any("target_error is 0.1" in note for note in notes)
    world.label()
    state = world.advance()
    assert state.settings.target_error == 0.1 and state.settings.quorum == 0.8
    assert state.decision is not None and state.decision.plan is not None and state.decision.plan.target_error == 0.1


def test_a_sample_is_judged_by_the_target_it_was_drawn_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(until=[Phase.CERTIFYING])
    notes = change_settings(world.store, world.campaign.id, {"target_error": 0.4, "patience_minutes": 1}, world.now(), by="ann")
    assert any("judged with target_error 0.05" in note for note in notes)
    state = world.advance()
    assert state.settings.target_error == 0.05 and state.settings.patience_minutes == 1 and state.wanted.target_error == 0.4
    report = world.run().report
    assert report is not None and report["target_error"] == 0.05 and (report["error_upper_bound"] or 0) <= 0.05


def test_bad_and_fixed_settings_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    with pytest.raises(InvalidValue, match=r"did you mean 0\.05"):
        change_settings(world.store, world.campaign.id, {"target_error": 5}, world.now(), by="ann")
    with pytest.raises(InvalidValue, match="seed cannot change"):
        change_settings(world.store, world.campaign.id, {"seed": 9}, world.now(), by="ann")
    assert change_settings(world.store, world.campaign.id, {"price": 0.04}, world.now(), by="ann") == [
        "nothing changes: these are the settings in force"
    ]


def test_an_exchanged_classifier_takes_part_from_the_next_round_on(tmp_path: Path) -> None:
    world = World(tmp_path, hopeless=True)
    world.advance()
    world.label()
    world.advance()
    world.trainer.during = lambda: None
    change_settings(world.store, world.campaign.id, {"classifiers": "cnn"}, world.now(), by="ann")
    world.label()
    world.advance()
    assert [request.classifier for request in world.trainer.requests] == ["frozen", "cnn"]


def test_classifiers_are_named_once_a_campaign_has_begun(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert change_settings(world.store, world.campaign.id, {"quorum": 0.8}, world.now(), by="ann")  # before it: auto stays
    world.advance()
    with pytest.raises(InvalidValue, match="classifiers must be named once a campaign has begun; known: frozen"):
        change_settings(world.store, world.campaign.id, {"classifiers": "auto"}, world.now(), by="ann")


def test_an_ended_campaign_cannot_be_steered(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.run()
    for action in ("pause", "resume", "stop"):
        with pytest.raises(InvalidValue, match="has ended: it is finished"):
            world.act(action)
