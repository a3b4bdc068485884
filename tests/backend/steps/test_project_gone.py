"""A project that was deleted: its campaign ends, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.state import Phase
from backend.label_studio.port import LabelStudioError
from backend.steering.actions import possible
from backend.steps.rollback import rollback
from backend.views.status import sentence
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


def test_nothing_can_be_done_any_more_to_a_campaign_whose_project_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.advance()
    world.label_studio.delete_project(world.project)
    world.advance()
    assert possible(world.state()) == {}
    with pytest.raises(InvalidValue, match=f"project {world.project} is gone from Label Studio: there is nothing to roll back"):
        world.act("rollback")
