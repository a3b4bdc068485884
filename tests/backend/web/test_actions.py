"""One table of actions: command line, API, description and pages have its rows, its words and its inputs, and nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from markupsafe import escape

from backend.campaign.state import Phase
from backend.cli.campaign import campaign as group
from backend.steering.actions import ACTIONS, possible
from backend.steering.call import Action
from backend.web.api.openapi import describe
from backend.web.api.table import Api
from backend.web.app import create_app
from tests.backend.kills import Snapshot
from tests.backend.steps.audited import another, machine_said, people
from tests.backend.web.world import desk
from tests.backend.world import World
from tests.browser.served import PASSWORD, TOKEN, USER, deps_of

ROWS = list(ACTIONS.values())
EACH = pytest.mark.parametrize("action", ROWS, ids=ACTIONS)
STAGES = {"running", "paused", "waiting for a yes", "finished", "audited", "decided", "rolled back"}


@EACH
def test_a_command_has_the_row_s_words_and_inputs(action: Action[Any]) -> None:
    command = group.commands[action.name]
    assert (
        command.short_help == action.summary and (command.help or "").startswith(action.summary) and action.details in (command.help or "")
    )
    named = {each.name: each for each in command.params}
    assert set(action.asks.model_fields) <= set(named) and ("yes" in named) == action.grave
    for name, field in action.asks.model_fields.items():
        assert (field.description or "?") in named[name].help  # type: ignore[attr-defined]


@EACH
def test_a_route_is_described_with_the_row_s_words_and_inputs(action: Action[Any]) -> None:
    document = describe(Api(desk(None)).operations)
    operation = document["paths"][f"/campaigns/{{campaign_id}}/{action.name}"]["post"]
    assert operation["summary"] == action.summary and operation.get("description", "") == action.details
    assert ("requestBody" in operation) == bool(action.asks.model_fields)
    if action.asks.model_fields:
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
        described = {field: each.get("description") for field, each in schema["properties"].items()}
        assert described == {field: each.description for field, each in action.asks.model_fields.items()}
        assert schema["additionalProperties"] is False


def test_no_command_and_no_route_steers_beside_the_table() -> None:
    looking = {
        "list",
        "show",
        "report",
        "projects",
        "newcomers",
        "estimate",
        "watch",
        "events",
        "what-if",
        "series",
        "review",
        "certificate",
        "items",
        "export",
    }
    assert set(group.commands) == looking | {"create", "set", "judge"} | set(ACTIONS)
    posts = {operation.path.rpartition("/")[2] for operation in Api(desk(None)).operations if operation.method == "POST"}
    assert posts == {"estimate", "campaigns", "judge"} | set(ACTIONS)


@EACH
def test_words_are_sentences(action: Action[Any]) -> None:
    assert action.summary.endswith(".") and action.summary[0].isupper() and len(action.summary) < 110
    assert not action.title.endswith(".") and (not action.details or action.details.endswith("."))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dict[str, Snapshot]]]:
    """One campaign, at each of the stages that decide what can be done."""
    world = World(tmp_path_factory.mktemp("actions"), n=300, approve_write_back="on")
    found: dict[str, Snapshot] = {}
    skipped = world.tasks[::50]  # what they were asked of, people can be asked again
    world.advance()
    found["running"] = Snapshot.of(world)
    world.act("pause")
    found["paused"] = Snapshot.of(world)
    world.act("resume")
    assert world.run(until=[Phase.AWAITING_APPROVAL], skip=skipped).phase == Phase.AWAITING_APPROVAL
    found["waiting for a yes"] = Snapshot.of(world)
    world.act("approve")
    assert world.run(skip=skipped).phase == Phase.FINISHED
    found["finished"] = Snapshot.of(world)
    said = machine_said(world)
    world.act("audit", size=60)
    world.advance()
    found["audited"] = Snapshot.of(world)
    people(world, lambda task: another(said[task]))
    assert world.advance().phase == Phase.FINISHED
    found["decided"] = Snapshot.of(world)
    world.act("rollback")
    found["rolled back"] = Snapshot.of(world)
    yield world, found
    for each in found.values():
        each.close()
    world.store.close()


def logged_in(world: World) -> FlaskClient:
    client = create_app(deps_of(world)).test_client()
    client.post("/login", data={"user": USER, "password": PASSWORD})
    return client


@pytest.mark.slow
@pytest.mark.parametrize("stage", sorted(STAGES))
def test_the_page_offers_what_can_be_done_and_says_what_it_will_do(stages: tuple[World, dict[str, Snapshot]], stage: str) -> None:
    world, found = stages
    found[stage].restore(world)
    client, state = logged_in(world), world.state()
    offered = set(re.findall(r"/actions/([\w-]+)", client.get("/campaigns/1").text))
    assert offered == set(possible(state))
    for name, action in ACTIONS.items():
        page, refusal = client.get(f"/campaigns/1/actions/{name}").text, action.refuses(state)
        assert f"<h2>{escape(action.title)}?</h2>" in page
        assert (f'type="submit">{action.title}</button>' in page) == (refusal is None)
        if refusal is None:
            assert [text for text in action.says(state) if str(escape(text)) not in page] == []
            assert set(re.findall(r'<input type="number" name="(\w+)"', page)) == set(action.asks.model_fields)
        else:
            assert f"cannot be done now: {escape(refusal.text)}." in page


@pytest.mark.slow
@pytest.mark.parametrize("stage", sorted(STAGES))
def test_what_is_refused_changes_nothing_and_is_an_error_unless_it_is_so_already(
    stages: tuple[World, dict[str, Snapshot]], stage: str
) -> None:
    world, found = stages
    found[stage].restore(world)
    client, state, before = logged_in(world), world.state(), world.store.events(1)
    for name, action in ACTIONS.items():
        if (refusal := action.refuses(state)) is None:
            continue
        body = {} if action.asks.model_fields else None
        answer = client.post(f"/api/v1/campaigns/1/{name}", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
        if refusal.already:
            assert answer.status_code == 200 and answer.get_json()["notes"] == [refusal.text], name
        else:
            assert answer.status_code == 400 and answer.get_json()["error"] == refusal.text, name
    assert world.store.events(1) == before


@pytest.mark.slow
def test_every_action_can_be_done_at_some_stage_and_not_at_another(stages: tuple[World, dict[str, Snapshot]]) -> None:
    world, found = stages
    seen: dict[str, set[bool]] = {name: set() for name in ACTIONS}
    for snapshot in found.values():
        snapshot.restore(world)
        state = world.state()
        for name, action in ACTIONS.items():
            seen[name].add(action.refuses(state) is None)
    assert seen == {name: {False} if ACTIONS[name].unreadable else {True, False} for name in seen}


@pytest.mark.slow
def test_a_form_refuses_what_the_api_refuses_in_the_same_words(stages: tuple[World, dict[str, Snapshot]]) -> None:
    world, found = stages
    found["finished"].restore(world)
    client = logged_in(world)
    csrf = re.findall(r'name="csrf" value="([^"]+)"', client.get("/campaigns/1/actions/audit").text)[-1]
    for given, says in (({"size": "many"}, "size must be a whole number, got 'many'"),
                        ({"confidence": "95"}, "confidence must be in [0.5, 1), got 95 (did you mean 0.95?)")):  # fmt: skip
        done = client.post("/campaigns/1/actions/audit", data={"csrf": csrf, **given}, follow_redirects=True)
        assert f"Nothing was done: {says}" in html.unescape(done.text)
    assert world.state().phase == Phase.FINISHED
