"""Damage to one campaign is that campaign's: it is unreadable, with the reason, and its admin can do something about it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.campaign_settings import parse_campaign_settings
from backend.store import NewEvent, Store
from backend.web.app import create_app
from tests.backend.web.world import LOGIN, PARAMS, World

SETTINGS = parse_campaign_settings(PARAMS, defaults={}).model_dump(mode="json")
NEW = {**PARAMS, "target_error": 0.03}
BAD_SETTINGS = [("blind_timeout_hours", 1e300), ("patience_minutes", -1), ("target_error", "NaN"), ("seed", None), ("no_such_setting", 1)]
DAMAGES: dict[str, tuple[str, str]] = {  # kind and payload of an event that is appended, or of the first one in its place
    "newer": ("from_the_future", "{}"),
    "no object": ("paused", "[1, 2]"),
    "no json": ("paused", '{"by": '),
    "a part missing": ("queue_opened", "{}"),
    "contradiction": ("audit_cancelled", '{"audit": 7, "by": "x", "n_restored": 1, "project_before": null}'),
    "settings of another type": ("settings", '{"settings": [], "changed": [], "by": "x"}'),
    **{
        f"setting {name}": ("settings", json.dumps({"settings": {**SETTINGS, name: value}, "changed": [name], "by": "x"}))
        for name, value in BAD_SETTINGS
    },
}


@pytest.fixture
def damaged(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """Campaign 1 is damaged, campaign 2 is well."""
    world = World(store)
    world.campaign(7)
    world.campaign(8)
    kind, payload = DAMAGES[request.param]
    store.append(1, [NewEvent("paused", {"by": "ann"})])
    with sqlite3.connect(tmp_path / "mcal.db") as connection:
        connection.execute("UPDATE events SET kind = ?, payload = ? WHERE campaign_id = 1 AND seq = 2", (kind, payload))
    connection.close()
    return world


def logged_in(world: World) -> FlaskClient:
    client = create_app(world.deps()).test_client()
    assert client.post("/login", data={"user": LOGIN[0], "password": LOGIN[1]}).status_code == 303
    return client


def call(client: FlaskClient, method: str, path: str, body: Any = None) -> Any:
    return client.open(f"/api/v1{path}", method=method, json=body, auth=LOGIN)


@pytest.mark.parametrize("damaged", DAMAGES, indirect=True)
def test_the_others_are_listed_measured_and_steered_as_ever(damaged: World) -> None:
    client = create_app(damaged.deps()).test_client()
    rows = {row["campaign"]: row for row in call(client, "GET", "/campaigns").get_json()["campaigns"]}
    assert rows[1]["phase"] == "unreadable" and len(rows[1]["sentence"]) > len("It is unreadable: ") + 10
    assert rows[2]["phase"] == "requested"
    metrics = client.get("/metrics", auth=LOGIN)
    assert metrics.status_code == 200 and "mcal_campaigns_unreadable 1.0" in metrics.text and 'campaign="2"' in metrics.text
    assert call(client, "POST", "/campaigns/2/pause").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("damaged", DAMAGES, indirect=True)
def test_the_pages_of_the_unreadable_one_give_the_reason_and_the_ways_out(damaged: World) -> None:
    client = logged_in(damaged)
    assert "unreadable" in client.get("/campaigns").text
    for part in ("", "/live", "/report", "/what-if", "/review"):
        answer = client.get(f"/campaigns/1{part}")
        assert answer.status_code == 503 and "This campaign is unreadable" in answer.text and "mcal restore" in answer.text, part
    assert client.get("/campaigns/1/settings").status_code == 200
    assert client.get("/campaigns/1/actions/abandon").status_code == 200


@pytest.mark.parametrize("damaged", DAMAGES, indirect=True)
def test_abandoning_it_frees_its_project(damaged: World) -> None:
    client = create_app(damaged.deps()).test_client()
    refused = call(client, "POST", "/campaigns/2/abandon")
    assert refused.status_code == 400 and "roll the campaign back instead" in refused.get_json()["error"]
    answer = call(client, "POST", "/campaigns/1/abandon")
    assert answer.status_code == 200 and answer.get_json()["phase"] == "unreadable", answer.text
    assert [campaign.id for campaign in damaged.store.live_campaigns()] == [2]
    assert damaged.campaign(7).id == 3


@pytest.mark.parametrize("damaged", [f"setting {name}" for name, _ in BAD_SETTINGS], indirect=True)
def test_a_bad_setting_is_mended_by_a_good_one(damaged: World) -> None:
    client = create_app(damaged.deps()).test_client()
    answer = call(client, "PATCH", "/campaigns/1/settings", {**NEW, "blind_timeout_hours": 24, "patience_minutes": 5, "seed": 1})
    assert answer.status_code == 200, answer.text
    found = call(client, "GET", "/campaigns/1").get_json()
    assert found["phase"] == "requested" and found["settings"]["target_error"] == 0.03
    assert damaged.kinds(1) == ["requested", "settings", "settings"]


@pytest.mark.parametrize("damaged", ["newer", "contradiction"], indirect=True)
def test_settings_do_not_mend_what_is_not_theirs(damaged: World) -> None:
    answer = call(create_app(damaged.deps()).test_client(), "PATCH", "/campaigns/1/settings", NEW)
    assert answer.status_code == 503 and "event 2" in answer.get_json()["error"]
    assert len(damaged.store.events(1)) == 2


@pytest.mark.parametrize("damaged", ["newer"], indirect=True)
def test_the_history_shows_the_damaged_line_between_the_others(damaged: World) -> None:
    damaged.store.append(1, [NewEvent("resumed", {"by": "ann"})])
    rows = call(create_app(damaged.deps()).test_client(), "GET", "/campaigns/1/events").get_json()["events"]
    assert [row["kind"] for row in rows] == ["requested", "from_the_future", "resumed"]
    assert "written by a newer one" in rows[1]["sentence"]


@pytest.mark.parametrize("after", ["²", "9" * 22, "9" * 5000, "٣", "-1", "1.5", ""])
def test_what_is_no_number_is_told_so(damaged_none: World, after: str) -> None:
    answer = create_app(damaged_none.deps()).test_client().get("/api/v1/campaigns/1/events", query_string={"after": after}, auth=LOGIN)
    assert answer.status_code == 400 and "after must be a whole number" in answer.get_json()["error"]


@pytest.mark.parametrize("path", ["/api/v1/campaigns/{}", "/campaigns/{}", "/api/v1/campaigns/1/images/{}", "/projects/{}/start"])
@pytest.mark.parametrize("number", ["9" * 5000, "٣", "9" * 19])
def test_no_id_of_a_path_is_too_long_for_an_answer(damaged_none: World, path: str, number: str) -> None:
    client = create_app(damaged_none.deps()).test_client()
    assert client.get(path.format(number)).status_code == 404


@pytest.fixture
def damaged_none(store: Store) -> World:
    world = World(store)
    world.campaign(7)
    return world
