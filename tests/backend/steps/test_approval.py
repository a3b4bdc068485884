"""Approval mode: the write-back waits for the admin's yes."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.state import Phase
from backend.steering.control import change_settings
from backend.views.review import review
from backend.views.status import sentence, status_line
from mcal_engine.errors import InvalidValue
from tests.backend.kills import advance_until
from tests.backend.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def waiting(tmp_path: Path) -> World:
    world = World(tmp_path, n=260, approve_write_back="on")
    assert world.run(until=[Phase.AWAITING_APPROVAL]).phase == Phase.AWAITING_APPROVAL
    return world


def test_nothing_is_written_before_the_yes_and_everything_after_it(waiting: World) -> None:
    state = waiting.state()
    n = len(state.machine_labels)
    assert n > 50 and waiting.machine_annotations() == {} and not state.blind
    assert sentence(state) == f"waiting for the admin's yes to write {n} machine labels"
    assert "admin's yes" in status_line(waiting.store, waiting.campaign.id, waiting.now())
    assert f"{n} machine labels are written now" in waiting.act("approve", by="ann")
    report = waiting.run().report
    assert report is not None and len(waiting.machine_annotations()) == report["n_machine"] == n
    (event,) = waiting.store.events(waiting.campaign.id, kinds=("write_back_approved",))
    assert event.payload == {"by": "ann"}


def test_the_review_shows_what_would_be_written_and_the_sample_s_errors_meanwhile(waiting: World) -> None:
    found = review(waiting.store, waiting.state())
    assert found["certificate_decided"] and found["n_machine"] == len(waiting.state().machine_labels)
    assert found["least_sure"] and found["n_sample"] > 0


def test_a_restarted_worker_goes_on_waiting_and_a_killed_one_writes_after_the_yes(waiting: World) -> None:
    waiting.fresh_services()
    assert waiting.advance().phase == Phase.AWAITING_APPROVAL
    waiting.act("approve", by="ann")
    advance_until(waiting, "label_studio.predictions_to_annotations")
    assert waiting.state().stage == Phase.WRITING_BACK
    report = waiting.run().report
    assert report is not None and report["n_machine"] == len(waiting.machine_annotations())


def test_people_are_served_nothing_while_it_waits_for_days(waiting: World) -> None:
    for _ in range(5):
        waiting.wait(hours=11)
        waiting.advance()
        assert waiting.label() == []


def test_a_no_leaves_everything_to_people(waiting: World) -> None:
    assert "residual items" in waiting.act("label-all", by="ann")
    report = waiting.run().report
    assert report is not None and report["n_machine"] == 0 and report["human_items"] == 260
    assert waiting.machine_annotations() == {} and {row.state for row in waiting.state().machine_labels} == {"removed"}


def test_people_who_label_meanwhile_come_first(waiting: World) -> None:
    task = waiting.state().machine_labels[0].task_id
    waiting.label_studio.annotate(task, waiting.people[0], waiting.right(task))
    waiting.advance()
    waiting.act("approve", by="ann")
    waiting.run()
    assert task not in waiting.machine_annotations()


def test_switching_the_setting_off_is_a_yes_too(waiting: World) -> None:
    change_settings(waiting.store, waiting.campaign.id, {"approve_write_back": "off"}, waiting.now(), by="ann")
    assert waiting.run().phase == Phase.FINISHED and waiting.machine_annotations()


def test_a_yes_in_a_pause_counts_once_it_is_over(waiting: World) -> None:
    waiting.act("pause", by="ann")
    waiting.act("approve", by="ann")
    assert waiting.advance().phase == Phase.PAUSED and waiting.machine_annotations() == {}
    waiting.act("resume", by="ann")
    assert waiting.run().phase == Phase.FINISHED and waiting.machine_annotations()


def test_a_yes_to_nothing_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, approve_write_back="on")
    world.advance()
    with pytest.raises(InvalidValue, match="no machine labels that wait for a yes: it is collecting"):
        world.act("approve", by="ann")


def test_without_the_setting_nobody_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    assert world.run().phase == Phase.FINISHED and world.machine_annotations()
