from __future__ import annotations

import logging
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.store import NewEvent
from backend.web.access import Access
from backend.web.app import create_app
from tests.backend.web.world import PARAMS, World, event_body

HANDLED = [
    "START_TRAINING", "ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED",
    "TASKS_CREATED", "TASKS_DELETED", "PROJECT_UPDATED",
]  # fmt: skip
GUARDED = Access("admin", "open sesame", "webhook secret")
RIGHT = ("admin", "open sesame")


@pytest.mark.parametrize("action", HANDLED)
def test_every_event_of_the_list_wakes_the_projects_campaign(world: World, client: FlaskClient, action: str) -> None:
    campaign = world.campaign()
    answer = client.post("/webhook", json=event_body(action))
    assert answer.status_code == 200 and answer.get_json() == {"status": "ok", "campaign": campaign.id}
    assert world.queue.jobs == [(campaign.id, action)]


@pytest.mark.parametrize("project", [{"id": 7}, 7, "7", "7.1732229000"])
def test_the_project_of_an_event_comes_in_several_spellings(world: World, client: FlaskClient, project: Any) -> None:
    world.campaign()
    client.post("/webhook", json=event_body("ANNOTATION_CREATED", project=project))
    assert len(world.queue.jobs) == 1


def test_events_change_nothing_but_the_queue_however_often_they_come(world: World, client: FlaskClient) -> None:
    world.campaign()
    for action in [*HANDLED, *reversed(HANDLED), *HANDLED]:
        assert client.post("/webhook", json=event_body(action)).status_code == 200
    assert world.kinds(1) == ["requested"]


def test_events_of_projects_without_a_live_campaign_are_ignored(world: World, client: FlaskClient) -> None:
    world.campaign(project_id=8)
    world.campaign(project_id=7)
    world.store.append(2, [NewEvent("cancelled", {"reason": "test"})])
    answer = client.post("/webhook", json=event_body("ANNOTATION_CREATED"))
    assert answer.status_code == 200 and answer.get_json()["status"] == "ignored" and world.queue.jobs == []


@pytest.mark.parametrize("action", ["LABEL_LINK_CREATED", "REVIEW_CREATED", "annotation_created", "\x00", "💥"])
def test_unknown_events_are_answered_and_ignored(world: World, client: FlaskClient, action: str) -> None:
    world.campaign()
    answer = client.post("/webhook", json={"action": action})
    assert answer.status_code == 200 and answer.get_json()["status"] == "ignored" and world.queue.jobs == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": None},
        {"action": ""},
        {"action": 5},
        {"action": ["X"]},
        {"action": "ANNOTATION_CREATED"},
        event_body("START_TRAINING", project={}),
    ],
)
def test_malformed_events_are_refused(world: World, client: FlaskClient, body: dict[str, Any]) -> None:
    world.campaign()
    answer = client.post("/webhook", json=body)
    assert answer.status_code == 400 and answer.get_json()["error"] and world.queue.jobs == []


@pytest.mark.parametrize("switch", ["paused", "halted"])
def test_start_training_resumes_a_campaign_that_was_stopped_once(world: World, client: FlaskClient, switch: str) -> None:
    world.campaign()
    world.store.append(1, [NewEvent(switch, {"reason": "choices changed", "fix": "put them back"})])
    for _ in range(2):
        client.post("/webhook", json=event_body("START_TRAINING"))
    assert world.kinds(1) == ["requested", switch, "resumed"] and len(world.queue.jobs) == 2


def test_other_events_leave_a_paused_campaign_paused(world: World, client: FlaskClient) -> None:
    world.campaign()
    world.store.append(1, [NewEvent("paused", {})])
    for action in HANDLED[1:]:
        client.post("/webhook", json=event_body(action))
    assert world.kinds(1) == ["requested", "paused"]


def guarded(world: World) -> FlaskClient:
    world.campaign()
    world.store.append(1, [NewEvent("paused", {})])
    return create_app(world.deps(access=GUARDED)).test_client()


def test_the_webhook_label_studio_registers_by_itself_wakes_but_resumes_nothing(world: World) -> None:
    answer = guarded(world).post("/webhook", json=event_body("START_TRAINING"))
    assert answer.status_code == 200 and world.queue.jobs == [(1, "START_TRAINING")]
    assert world.kinds(1) == ["requested", "paused"]


@pytest.mark.slow
@pytest.mark.parametrize("credentials", [{"headers": {"X-MCAL-Secret": "webhook secret"}}, {"auth": RIGHT}])
def test_the_secret_header_or_basic_auth_makes_start_training_count(world: World, credentials: dict[str, Any]) -> None:
    answer = guarded(world).post("/webhook", json=event_body("START_TRAINING"), **credentials)
    assert answer.status_code == 200 and world.kinds(1)[-1] == "resumed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "credentials",
    [
        {"headers": {"X-MCAL-Secret": "wrong"}},
        {"headers": {"X-MCAL-Secret": ""}},
        {"headers": {"X-MCAL-Secret": "wrong"}, "auth": RIGHT},
        {"headers": {"X-MCAL-Secret": "wébhook secret"}},
        {"auth": ("admin", "wrong")},
        {"auth": ("wrong", "open sesame")},
        {"auth": ("admin", "öpen")},
        {"headers": {"Authorization": "Bearer open sesame"}},
        {"headers": {"Authorization": "Basic ???"}},
    ],
)
def test_wrong_credentials_are_refused(world: World, credentials: dict[str, Any]) -> None:
    answer = guarded(world).post("/webhook", json=event_body("ANNOTATION_CREATED"), **credentials)
    assert answer.status_code == 401 and world.queue.jobs == [] and "sesame" not in answer.get_data(as_text=True)


def test_a_wrong_secret_is_refused_where_nobody_has_to_log_in(world: World) -> None:
    world.campaign()
    client = create_app(world.deps(access=Access(webhook_secret="webhook secret"))).test_client()
    assert client.post("/webhook", json=event_body("ANNOTATION_CREATED"), headers={"X-MCAL-Secret": "wrong"}).status_code == 401
    assert client.post("/webhook", json=event_body("ANNOTATION_CREATED")).status_code == 200


def test_the_projects_sharing_token_is_never_logged(world: World, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    world.campaign()
    with caplog.at_level(logging.DEBUG):
        client.post("/webhook", json=event_body("PROJECT_UPDATED"))
        client.post("/webhook", json={**event_body("PROJECT_UPDATED"), "action": 5})
        client.post("/setup", json={**event_body("x"), "extra_params": PARAMS})
    assert "sharing-token" not in caplog.text


def test_train_wakes_and_resumes_as_start_training_does(world: World, client: FlaskClient) -> None:
    world.campaign()
    world.store.append(1, [NewEvent("paused", {})])
    answer = client.post("/train", json={"project": "7.1732229000", "annotations": [], "label_config": "", "params": {}})
    assert answer.status_code == 201 and answer.get_json() == {"status": "ok", "campaign": 1}
    assert world.queue.jobs == [(1, "train")] and world.kinds(1)[-1] == "resumed"
    assert client.post("/train", json={"project": 8}).status_code == 200
    assert client.post("/train", json={}).status_code == 400
