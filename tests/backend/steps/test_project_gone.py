"""A project that was deleted: its campaign ends, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.state import Phase
from backend.label_studio.port import LabelStudioError
from backend.steering.actions import possible
from backend.steps import gone
from backend.steps.rollback import rollback
from backend.views.newcomers import newcomers
from backend.views.status import sentence
from backend.worker import Worker
from mcal_engine.errors import InvalidValue
from tests.backend.world import World


def test_a_campaign_whose_project_is_gone_ends_with_the_report_of_what_was_known(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.advance()
    world.label(20)
    world.advance()
    world.label_studio.delete_project(world.project)
    state = world.advance()
    assert state.phase == Phase.PROJECT_GONE and state.ended and world.store.live_campaigns() == []
    report = state.report
    assert report is not None and (report["n_items"], report["human_labels"], report["phase"]) == (220, 20, "project_gone")
    assert report["savings"] is None and report["forecast"] is None  # nothing came of it
    assert f"project {world.project} is gone" in sentence(state)
    with pytest.raises(InvalidValue, match="gone from Label Studio: there is nothing to roll back"):
        rollback(world.services, world.campaign.id, by="test")


def test_rolling_back_ends_a_campaign_whose_project_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.advance()
    world.label_studio.delete_project(world.project)
    with pytest.raises(InvalidValue, match="there is nothing to roll back"):
        rollback(world.services, world.campaign.id, by="test")
    assert world.state().phase == Phase.PROJECT_GONE


def test_a_project_that_is_gone_before_the_first_look_ends_its_campaign_too(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.label_studio.delete_project(world.project)
    assert world.advance().phase == Phase.PROJECT_GONE


def test_not_found_from_a_proxy_ends_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.advance()
    world.label_studio.fail("project", status=404, retryable=False)
    with pytest.raises(LabelStudioError):
        world.advance()
    assert world.advance().phase == Phase.COLLECTING


def test_a_token_of_another_user_who_may_not_see_the_project_ends_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.advance()
    world.label_studio.delete_project(world.project)
    world.label_studio.service_user = world.label_studio.add_user("somebody@example.com")
    with pytest.raises(LabelStudioError):
        world.advance()
    assert not world.state().ended


@pytest.fixture
def finished(tmp_path: Path) -> World:
    world = World(tmp_path, n=220)
    world.advance()
    world.act("label-all")
    assert world.run().phase == Phase.FINISHED
    assert {"follow-up", "rollback"} <= set(possible(world.state()))
    return world


def test_a_finished_campaign_whose_project_was_deleted_since_offers_nothing_and_stays_finished(finished: World) -> None:
    world, before = finished, finished.state()
    gone.look_after_the_end(world.services)
    assert world.state().last_seq == before.last_seq  # the project is there
    world.label_studio.delete_project(world.project)
    gone.look_after_the_end(world.services)
    gone.look_after_the_end(world.services)
    state = world.state()
    assert state.last_seq == before.last_seq + 1
    assert possible(state) == {}
    assert (state.phase, state.report) == (Phase.FINISHED, before.report)
    assert sentence(state) == f"{sentence(before)}; project {world.project} was deleted in Label Studio afterwards"
    assert newcomers(state, world.label_studio)["n"] == 0
    for action in ("rollback", "follow-up"):
        with pytest.raises(InvalidValue, match=f"project {world.project} is gone from Label Studio"):
            world.act(action)


def test_a_rollback_that_finds_the_project_deleted_is_not_offered_again(finished: World) -> None:
    finished.label_studio.delete_project(finished.project)
    with pytest.raises(InvalidValue, match="there is nothing to roll back"):
        finished.act("rollback")
    assert possible(finished.state()) == {}


def test_projects_that_another_user_cannot_see_are_not_taken_for_deleted(finished: World) -> None:
    finished.label_studio.delete_project(finished.project)
    finished.label_studio.service_user = finished.label_studio.add_user("somebody@example.com")
    gone.look_after_the_end(finished.services)
    assert "rollback" in possible(finished.state())


def test_the_worker_looks_for_deleted_projects_every_few_minutes_and_works_on_without_an_answer(finished: World) -> None:
    worker = Worker(finished.services, Nobody(), 1.0, rest_seconds=0)
    worker.wake_all()
    finished.label_studio.delete_project(finished.project)
    worker.wake_all()
    assert not finished.state().gone_since
    finished.wait(minutes=6)
    finished.label_studio.fail("projects", status=502, retryable=True)
    worker.wake_all()
    assert not finished.state().gone_since
    finished.wait(minutes=6)
    worker.wake_all()
    assert finished.state().gone_since


class Nobody:
    """A queue of hints that nobody waits behind."""

    def enqueue(self, campaign_id: int, reason: str) -> bool:
        raise AssertionError("a finished campaign is not visited")

    def run_worker(self, *_: object) -> None:
        raise AssertionError("only the timer is tested")


def test_nothing_can_be_done_any_more_to_a_campaign_whose_project_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.advance()
    world.label_studio.delete_project(world.project)
    world.advance()
    assert possible(world.state()) == {}
    with pytest.raises(InvalidValue, match=f"project {world.project} is gone from Label Studio: there is nothing to roll back"):
        world.act("rollback")
