"""Who the annotators are, how fast they are, and when they will be through."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backend.campaign.history import entries
from backend.steps.names import title_of
from backend.views.campaign import View, campaign_view
from backend.views.people import annotators as people
from tests.backend.world import World


def named(world: World) -> list[dict[str, object]]:
    return [event.payload for event in world.store.events(world.campaign.id, kinds=("names",))]


def view_of(world: World) -> View:
    return campaign_view(world.state(), world.campaign, entries(world.store.events(world.campaign.id)), world.now())


def test_annotators_are_called_by_their_names_and_their_addresses_where_they_have_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.people = [world.label_studio.add_user("cleo@example.com", "Cleo Ng"), world.label_studio.add_user("dan@example.com")]
    world.advance()
    world.label(10)
    state = world.advance()
    rows = people.annotators(state)
    assert {row["name"]: row["labels"] for row in rows} == {"Cleo Ng": 5, "dan@example.com": 5}
    assert world.label_studio.calls.count("users") == 1
    world.label(4)
    world.advance()
    assert len(named(world)) == 1 and world.label_studio.calls.count("users") == 1


def test_a_token_that_may_not_see_the_users_is_no_trouble_and_asks_rarely(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label_studio.fail("users", times=1, status=403, retryable=False)
    world.advance()
    for _ in range(3):
        world.label(2)
        state = world.advance()
    assert world.label_studio.calls.count("users") == 1
    assert [row["name"] for row in people.annotators(state)] == ["", ""] and named(world) == []
    world.wait(hours=2)
    world.label(2)
    assert {row["name"] for row in people.annotators(world.advance())} == {"ann@example.com", "bob@example.com"}


def test_a_label_studio_that_is_away_is_asked_for_names_again_at_the_next_visit(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label_studio.fail("users", times=1, status=None, retryable=True)
    world.advance()
    world.label(2)
    world.advance()
    world.label(2)
    assert {row["name"] for row in people.annotators(world.advance())} == {"ann@example.com", "bob@example.com"}


def test_the_project_s_title_is_known_from_the_first_look_and_followed(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert title_of(world.store, world.campaign.id) == ""
    world.advance()
    assert title_of(world.store, world.campaign.id) == "Project" and named(world) == []
    world.label_studio.set_project(world.project, title="Ants and bees")
    state = world.advance()
    assert state.title == title_of(world.store, world.campaign.id) == "Ants and bees"


@pytest.mark.slow
def test_the_end_is_told_from_what_people_did_in_the_last_24_hours(tmp_path: Path) -> None:
    world = World(tmp_path, hopeless=True)
    world.advance()
    world.label(20)
    world.wait(hours=30)  # nobody comes for a day
    state = world.advance()
    quiet = view_of(world)["pace"]
    assert quiet["finish_at"] is None and quiet["labels_today"] == 0 and quiet["people_today"] == 0
    world.label(10)
    world.wait(hours=8)
    state = world.advance()
    pace = view_of(world)["pace"]
    assert (pace["labels_today"], pace["people_today"], pace["n_left"]) == (10, 2, 300 - 30)
    assert pace["finish_at"] is not None
    days = (datetime.fromisoformat(pace["finish_at"]) - state.at) / timedelta(days=1)
    assert days == pytest.approx(270 / 10, rel=0.01)  # ten labels a day
    assert pace["work_hours_left"] == pytest.approx(270 * 2.0 / 3600)


def test_in_the_first_hours_the_end_is_told_from_the_time_since_the_first_label(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    world.label(20)
    world.wait(hours=2)
    state = world.advance()
    pace = view_of(world)["pace"]
    assert pace["finish_at"] is not None
    left = datetime.fromisoformat(pace["finish_at"]) - state.at
    assert left / timedelta(hours=1) == pytest.approx(280 / 20 * 2, rel=0.01)
    assert [row["today"] for row in people.annotators(state)] == [10, 10]


@pytest.mark.slow
def test_an_ended_campaign_has_nothing_left_and_no_date(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.run()
    pace = view_of(world)["pace"]
    assert (pace["n_left"], pace["finish_at"]) == (0, None)


def test_the_view_says_what_the_last_round_was_trained_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    assert view_of(world)["trained_on"] == []
    world.label()
    world.advance()
    assert view_of(world)["trained_on"] == ["cpu (2 threads)"]
    assert world.state().devices == {"frozen": "cpu (2 threads)"}
