from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.protocol import MLProtocol
from backend.store import NewEvent
from mcal_engine.errors import InvalidValue
from tests.backend.web.world import CONFIG, PARAMS, URL, World, setup_body


def version(world: World, body: dict[str, Any]) -> str:
    answer = world.protocol.setup(body)
    assert list(answer) == ["model_version"]
    return str(answer["model_version"])


@pytest.mark.parametrize("empty", [None, "", "  ", {}, "{}", "null"])
def test_without_extra_params_setup_says_how_to_start_and_starts_nothing(world: World, empty: Any) -> None:
    said = version(world, setup_body(empty))
    assert "target_error" in said and len(said) <= 100
    assert world.store.campaigns() == [] and world.queue.jobs == []


def test_without_extra_params_a_label_config_that_cannot_be_used_is_named(world: World) -> None:
    said = version(world, setup_body(schema="<View/>"))
    assert "cannot start" in said and "Choices" in said


@pytest.mark.parametrize("params", [PARAMS, json.dumps(PARAMS), json.dumps(json.dumps(PARAMS)), '{"target_error": "0.05", "price": 0.04}'])
def test_extra_params_start_one_campaign_and_wake_the_worker(world: World, params: Any) -> None:
    said = version(world, setup_body(params))
    campaign = world.store.live_campaign(URL, 7)
    assert campaign is not None and said == f"mcal: campaign {campaign.id}, round 3, 212 of 350 labels in"
    assert world.queue.jobs == [(campaign.id, "setup")]
    (event,) = world.store.events(campaign.id)
    assert event.kind == "requested" and event.payload["source"] == "setup"
    assert event.payload["settings"]["target_error"] == 0.05 and event.payload["settings"]["price_per_label"] == 0.04


def test_setup_may_be_repeated_at_every_opening_of_the_page(world: World) -> None:
    said = {version(world, setup_body(params)) for params in (PARAMS, json.dumps(PARAMS), PARAMS, '{"price": 0.04, "target_error": 0.050}')}
    assert len(said) == 1 and len(world.store.campaigns()) == 1 and len(world.queue.jobs) == 1
    assert world.kinds(1) == ["requested"]


@pytest.mark.parametrize("project", ["7.1732229000", "7", 7])
def test_the_project_comes_in_three_spellings(world: World, project: Any) -> None:
    version(world, setup_body(PARAMS, project=project))
    assert world.store.live_campaign(URL, 7) is not None


@pytest.mark.parametrize("project", [None, "", "abc", "0", 0, -1, True, 7.5, "7x.1", "+7", "٧", "1" * 30, 2**63, [7], {"id": "x"}, {}])
def test_a_project_that_is_no_id_is_refused(world: World, project: Any) -> None:
    with pytest.raises(InvalidValue, match="project must be a project id"):
        world.protocol.setup(setup_body(PARAMS, project=project))


@pytest.mark.parametrize(
    ("params", "rule"),
    [
        ("{not json", "must be a JSON object"),
        ("[" * 100_000, "must be a JSON object"),
        ("[1, 2]", "must be a JSON object"),
        ([1], "must be a JSON object"),
        (5, "must be a JSON object"),
        ({"target_error": 5, "price_per_label": 0.04}, r"did you mean 0\.05"),
        ('{"target_error": NaN, "price_per_label": 0.04}', "target_error"),
        ({"target_error": 0.05, "price_per_label": 0}, "at least 0.000001"),
        ({"target_error": 0.05}, "price_per_label is required"),
        ({**PARAMS, "budget_of_mine": 1}, "budget_of_mine"),
    ],
)
def test_extra_params_that_break_a_rule_are_refused_and_logged_and_change_nothing(
    world: World, params: Any, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(InvalidValue, match=rule):
        world.protocol.setup(setup_body(params))
    assert world.store.campaigns() == [] and world.queue.jobs == []
    assert "project 7: setup refused" in caplog.text


@pytest.mark.parametrize("schema", ["", None, "<View/>", "<View", 5])
def test_no_campaign_starts_on_a_label_config_that_cannot_be_used(world: World, schema: Any) -> None:
    with pytest.raises(InvalidValue):
        world.protocol.setup(setup_body(PARAMS, schema=schema))
    assert world.store.campaigns() == []


def test_changed_extra_params_change_the_live_campaign_and_keep_both_in_its_history(world: World) -> None:
    version(world, setup_body(PARAMS))
    version(world, setup_body(json.dumps({**PARAMS, "target_error": 0.03, "batch_size": 50})))
    assert world.kinds(1) == ["requested", "settings"]
    event = world.store.events(1)[-1]
    assert event.payload["changed"] == ["batch_size", "target_error"] and event.payload["by"] == "setup"
    assert world.settings(1)["target_error"] == 0.03 and world.settings(1)["batch_size"] == 50
    assert world.queue.jobs == [(1, "setup"), (1, "setup")]


LOOSER = [
    ("approve_write_back", "on", "off"),
    ("target_error", 0.05, 0.06),
    ("confidence_level", 0.95, 0.9),
    ("guarantee", "certified", "estimate"),
    ("min_class_precision", 0.9, 0.8),
    ("min_class_precision", 0.9, None),
    ("budget", None, 100),
    ("budget", 100, 200),
    ("budget", 100, None),
    ("exploration_tax", 0.1, 0.2),
    ("max_rounds", 10, 11),
]


@pytest.mark.parametrize(("name", "before", "after"), LOOSER)
def test_extra_params_loosen_nothing_that_guards_money_or_the_promise(world: World, name: str, before: Any, after: Any) -> None:
    world.campaign(settings={**PARAMS, name: before})
    with pytest.raises(InvalidValue, match=rf"^{name} guards money or the promise: only an admin .*mcal campaign set$"):
        world.protocol.setup(setup_body({**PARAMS, name: after}))
    assert world.kinds(1) == ["requested"] and world.settings(1)[name] == before


def test_extra_params_that_leave_out_what_they_had_switched_on_do_not_switch_it_off(world: World) -> None:
    version(world, setup_body({**PARAMS, "approve_write_back": "on"}))
    with pytest.raises(InvalidValue, match="approve_write_back guards"):
        world.protocol.setup(setup_body(PARAMS))
    assert world.settings(1)["approve_write_back"] == "on"


def test_extra_params_may_make_everything_stricter(world: World) -> None:
    world.campaign(settings={**PARAMS, "max_rounds": 60})
    stricter = {"approve_write_back": "on", "target_error": 0.03, "confidence_level": 0.99, "min_class_precision": 0.9, "max_rounds": 10}
    version(world, setup_body({**PARAMS, **stricter}))
    assert {name: world.settings(1)[name] for name in stricter} == stricter


def test_a_campaign_that_extra_params_start_is_no_looser_than_the_server_s_defaults(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAL_APPROVE_WRITE_BACK", "on")
    with pytest.raises(InvalidValue, match="approve_write_back guards"):
        world.protocol.setup(setup_body({**PARAMS, "approve_write_back": "off"}))
    assert world.store.campaigns() == []
    version(world, setup_body(PARAMS))
    assert world.settings(1)["approve_write_back"] == "on"


def test_a_setting_left_out_of_the_extra_params_is_back_at_its_default(world: World) -> None:
    version(world, setup_body({**PARAMS, "batch_size": 50}))
    version(world, setup_body(PARAMS))
    assert world.settings(1)["batch_size"] is None


def test_extra_params_leave_a_campaign_the_certificate_that_it_was_recorded_with(world: World) -> None:
    recorded = NewEvent("requested", {"source": "setup", "settings": dict(PARAMS), "extra_params": dict(PARAMS)})
    campaign = world.store.create_campaign(7, URL, [recorded])
    version(world, setup_body({**PARAMS, "max_rounds": 5}))
    settings = world.store.events(campaign.id)[-1].payload["settings"]
    assert (settings["max_rounds"], settings["certificate_rule"], settings["max_looks"]) == (5, "uniform", 3)


def test_what_the_command_line_changed_stays_until_the_extra_params_change(world: World) -> None:
    version(world, setup_body(PARAMS))
    by_cli = {**world.settings(1), "target_error": 0.02, "quorum": 0.8}
    world.store.append(1, [NewEvent("settings", {"settings": by_cli, "changed": ["quorum", "target_error"], "by": "cli"})])
    version(world, setup_body(PARAMS))
    assert world.settings(1)["target_error"] == 0.02
    version(world, setup_body({**PARAMS, "price_per_label": 0.06}))
    now = world.settings(1)
    assert (now["target_error"], now["quorum"], now["price_per_label"]) == (0.02, 0.8, 0.06)


def test_extra_params_that_only_repeat_what_the_command_line_set_are_remembered(world: World) -> None:
    version(world, setup_body(PARAMS))
    world.store.append(1, [NewEvent("settings", {"settings": {**world.settings(1), "quorum": 0.8}, "changed": ["quorum"], "by": "cli"})])
    version(world, setup_body({**PARAMS, "quorum": 0.8}))
    version(world, setup_body(PARAMS))
    assert world.settings(1)["quorum"] == 0.9


def test_extra_params_on_a_campaign_of_the_command_line_change_only_what_they_name(world: World) -> None:
    world.campaign(settings={**PARAMS, "target_error": 0.02, "seed": 9})
    version(world, setup_body({"target_error": 0.01, "price": 0.04}))
    assert world.settings(1)["target_error"] == 0.01 and world.settings(1)["seed"] == 9
    assert world.store.events(1)[-1].payload["changed"] == ["target_error"]


def test_the_same_extra_params_do_not_start_an_ended_campaign_again(world: World) -> None:
    version(world, setup_body(PARAMS))
    world.store.append(1, [NewEvent("finished", {"report": {}})])
    assert version(world, setup_body(PARAMS)).startswith("mcal: campaign 1")
    assert version(world, setup_body()).startswith("mcal: campaign 1")
    assert len(world.store.campaigns()) == 1
    assert version(world, setup_body({**PARAMS, "target_error": 0.03})).startswith("mcal: campaign 2")


def test_old_extra_params_do_not_override_a_newer_campaign_of_the_command_line(world: World) -> None:
    version(world, setup_body(PARAMS))
    world.store.append(1, [NewEvent("rolled_back", {"n_removed": 0, "n_kept": 0})])
    world.campaign(settings={**PARAMS, "target_error": 0.01})
    version(world, setup_body(PARAMS))
    assert world.settings(2)["target_error"] == 0.01 and world.kinds(2) == ["requested"]


def test_a_live_campaign_keeps_its_settings_when_the_new_ones_break_a_rule(world: World) -> None:
    version(world, setup_body(PARAMS))
    with pytest.raises(InvalidValue):
        world.protocol.setup(setup_body({**PARAMS, "target_error": 2}))
    assert world.kinds(1) == ["requested"] and world.settings(1)["target_error"] == 0.05


def test_a_label_config_broken_in_mid_campaign_still_gets_the_campaigns_status(world: World) -> None:
    version(world, setup_body(PARAMS))
    assert version(world, setup_body(PARAMS, schema="<View/>")).startswith("mcal: campaign 1")


def test_the_choices_to_use_are_checked_when_they_are_named(world: World) -> None:
    two = CONFIG.replace("</View>", '<Choices name="quality" toName="image"><Choice value="good"/><Choice value="bad"/></Choices></View>')
    version(world, setup_body({**PARAMS, "label_control": "quality"}, schema=two))
    with pytest.raises(InvalidValue, match="label_controls must name"):
        world.protocol.setup(setup_body({**PARAMS, "label_control": "other"}, schema=two))
    assert world.settings(1)["label_controls"] == "quality"


def test_two_setups_at_once_make_one_campaign(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    make = world.store.create_campaign

    def rival_first(*arguments: Any) -> Any:
        monkeypatch.setattr(world.store, "create_campaign", make)
        version(world, setup_body(PARAMS))
        return make(*arguments)

    monkeypatch.setattr(world.store, "create_campaign", rival_first)
    assert version(world, setup_body(PARAMS)).startswith("mcal: campaign 1")
    assert len(world.store.campaigns()) == 1 and world.kinds(1) == ["requested"]


def test_a_change_is_worked_out_again_when_somebody_else_changed_settings_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    version(world, setup_body(PARAMS))
    append = world.store.append

    def rival_first(campaign_id: int, *arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(world.store, "append", append)
        append(1, [NewEvent("settings", {"settings": {**world.settings(1), "quorum": 0.7}, "changed": ["quorum"], "by": "cli"})])
        return append(campaign_id, *arguments, **named)

    monkeypatch.setattr(world.store, "append", rival_first)
    version(world, setup_body({**PARAMS, "target_error": 0.03}))
    assert world.settings(1)["quorum"] == 0.7 and world.settings(1)["target_error"] == 0.03


def test_a_long_status_is_cut_to_what_label_studio_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def long_line(_: int) -> str:
        return "mcal:\n" + "words " * 50

    protocol = MLProtocol(
        store=world.store, queue=world.queue, label_studio_url=URL + "/", parse_settings=world.protocol._setup._parse_settings,
        parse_label_config=world.protocol._parse_label_config, status_line=long_line, predictions=world.predictions, version="0.1.0",
    )  # fmt: skip
    world.campaign()
    said = protocol.setup(setup_body())["model_version"]
    assert len(said) <= 100 and said.endswith("…") and "\n" not in said


def test_the_token_in_the_body_is_neither_logged_nor_kept(world: World, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert client.post("/setup", json=setup_body(PARAMS)).status_code == 200
        assert client.post("/setup", json=setup_body({"target_error": 7})).status_code == 400
    assert "0123456789abcdef" not in caplog.text
    assert "0123456789abcdef" not in repr(world.store.events(1))


def test_a_refusal_is_readable_in_the_status_line_because_label_studio_shows_nothing_else(client: FlaskClient) -> None:
    answer = client.post("/setup", json=setup_body({**PARAMS, "target_error": 5}))
    assert answer.status_code == 400
    assert answer.status == "400 target_error must be in (0, 1), got 5 (did you mean 0.05?)"
    assert answer.get_json() == {"error": "target_error must be in (0, 1), got 5 (did you mean 0.05?)"}


def test_a_refusal_cannot_break_out_of_the_status_line(client: FlaskClient) -> None:
    answer = client.post("/setup", json=setup_body({**PARAMS, "x\r\nSet-Cookie: a=ü" + "y" * 9000: 1}))
    assert answer.status_code == 400 and "Set-Cookie" not in answer.headers
    assert len(answer.status) < 220 and answer.status.isascii() and answer.status.isprintable()
