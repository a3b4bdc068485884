from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.campaign import events, history
from backend.label_studio.config import parse_label_config
from backend.label_studio.queue import ProjectBefore
from tests.backend.web.world import CONFIG, PARAMS, World, predict_body

EMPTY = {"result": [], "score": 0.0, "model_version": "mcal-no-label"}


def test_while_nothing_is_decided_every_task_gets_one_empty_result(world: World) -> None:
    answer = world.protocol.predict(predict_body([5, 3, 5]))
    assert answer == {"results": [EMPTY, EMPTY, EMPTY]}
    assert world.asked_predictions == [(7, [5, 3, 5])]


def test_decided_tasks_get_their_choice_and_the_others_stay_empty_in_the_order_asked(world: World) -> None:
    world.campaign()
    world.decided = {3: ("one", 0.75, "mcal-final-1"), 9: ("zero", 0.5, "mcal-final-1")}
    results = world.protocol.predict(predict_body([9, 5, 3]))["results"]
    assert [r["model_version"] for r in results] == ["mcal-final-1", "mcal-no-label", "mcal-final-1"]
    assert results[1] == EMPTY
    assert results[2] == {
        "result": [{"from_name": "digit", "to_name": "image", "type": "choices", "value": {"choices": ["one"]}}],
        "score": 0.75,
        "model_version": "mcal-final-1",
    }


def test_an_empty_result_never_carries_the_version_of_a_queue(world: World) -> None:
    # "Retrieve predictions" stores them; with the queue's version the task would be served as part of the batch.
    world.campaign()
    assert {r["model_version"] for r in world.protocol.predict(predict_body([1, 2]))["results"]} == {"mcal-no-label"}


def test_a_choice_that_the_config_no_longer_has_is_not_shown(world: World) -> None:
    world.decided = {3: ("seven", 0.9, "v"), 4: ("one", 0.9, "v")}
    results = world.protocol.predict(predict_body([3, 4]))["results"]
    assert results[0] == EMPTY and results[1]["result"]


@pytest.mark.parametrize("label_config", [None, "", "<View/>", "<View"])
def test_without_a_usable_config_the_results_are_empty(world: World, label_config: Any) -> None:
    world.decided = {3: ("one", 0.9, "v")}
    assert world.protocol.predict(predict_body([3], label_config=label_config)) == {"results": [EMPTY]}


def test_the_campaigns_own_choices_are_used_where_the_config_has_several(world: World) -> None:
    two = CONFIG.replace("</View>", '<Choices name="quality" toName="image"><Choice value="one"/><Choice value="two"/></Choices></View>')
    world.campaign(settings={**PARAMS, "label_control": "quality"})
    world.decided = {3: ("one", 0.9, "v")}
    (result,) = world.protocol.predict(predict_body([3], label_config=two))["results"]
    assert result["result"][0]["from_name"] == "quality"


def test_a_control_that_was_added_since_the_beginning_is_none_of_the_campaign_s(world: World) -> None:
    made = world.campaign()
    before = ProjectBefore("Sequential sampling", "", True)
    user, control = events.ServiceUser(id=1), parse_label_config(CONFIG)
    began = events.Created(
        settings=PARAMS, control=control, config_fingerprint="", service_user=user, project_before=before, n_items=9, n_preexisting=0
    )
    world.store.append(made.id, [history.new(began)])
    added = CONFIG.replace("</View>", '<Choices name="quality" toName="image"><Choice value="one"/><Choice value="two"/></Choices></View>')
    world.decided = {3: ("one", 0.9, "v")}
    (result,) = world.protocol.predict(predict_body([3], label_config=added))["results"]
    assert [region["from_name"] for region in result["result"]] == [control.from_name]


@pytest.mark.parametrize("task_id", [None, "5", True, 0, -1, 1.5, 2**70])
def test_a_task_without_a_usable_id_still_gets_its_one_result(world: World, task_id: Any) -> None:
    world.decided = {5: ("one", 0.9, "v"), 1: ("one", 0.9, "v")}
    results = world.protocol.predict(predict_body([task_id, 5]))["results"]
    assert results[0] == EMPTY and results[1]["result"] and world.asked_predictions == [(7, [5])]


def test_no_tasks_give_no_results(world: World) -> None:
    assert world.protocol.predict(predict_body([])) == {"results": []}


@pytest.mark.parametrize(
    "change", [{"tasks": None}, {"tasks": {}}, {"tasks": [1]}, {"tasks": [None]}, {"project": None}, {"label_config": 5}]
)
def test_a_malformed_request_is_refused(world: World, client: FlaskClient, change: dict[str, Any]) -> None:
    world.decided = {3: ("one", 0.9, "v")}
    answer = client.post("/predict", json={**predict_body([3]), **change})
    assert answer.status_code == 400 and answer.get_json()["error"]


def test_a_thousand_tasks_are_looked_up_at_once(world: World, client: FlaskClient) -> None:
    answer = client.post("/predict", json=predict_body(range(1, 1001)))
    assert len(answer.get_json()["results"]) == 1000 and len(world.asked_predictions) == 1
