"""Whatever a setting is given, at whichever entrance: it can be reckoned with, or one sentence names the setting and its rule."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.campaign_settings import CampaignSettings, campaign_defaults, parse_campaign_settings
from backend.cli.setting_options import campaign_options
from backend.cli.setting_options import given as given_options
from backend.protocol import bodies
from backend.settings import ServerSettings, server_settings
from backend.views import settings_form
from mcal_engine import engine
from mcal_engine.errors import InvalidValue

REQUIRED = {"target_error": 0.05, "price_per_label": 0.04}
NAMES = sorted(CampaignSettings.model_fields)
TEXTS = [
    *("", " ", "nan", "NaN", "inf", "-Infinity", "1e999", "-1", "0", "1e308", "1e-320", "-0.0", "1_0", "0x10", "5 %", "500%", "%", "0,05"),
    *(
        "true",
        "null",
        "none",
        "[]",
        "{}",
        "a,,b",
        "\x00",
        "a\nb",
        "\u202e",
        "\u0663",
        "9" * 5000,
        "1" + "0" * 400,
        "-" + "9" * 400,
        "x" * 200_000,
    ),
]
VALUES = [
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    5e-324,
    -1,
    0,
    10**400,
    -(10**400),
    2**63,
    True,
    False,
    None,
    [],
    {},
    [[]],
    ["\ud800"],
    "\ud800",
    *TEXTS,
]
UNPRINTABLE = [10**5000, [10**5000], {"a": 10**5000}]  # more digits than Python writes, hypothesis included
anything = st.recursive(
    st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(max_size=20) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def by_mapping(name: str, value: Any) -> CampaignSettings:
    """The API's body, and everything that was parsed before."""
    return parse_campaign_settings(REQUIRED | {name: value}, defaults={})


def by_extra_params(name: str, value: Any) -> CampaignSettings:
    text = json.dumps(REQUIRED | {name: value})
    return parse_campaign_settings(bodies.extra_params({"extra_params": json.dumps(text)}), defaults={})


def by_form(name: str, value: str) -> CampaignSettings:
    found, wrong = settings_form.read({key: str(each) for key, each in REQUIRED.items()} | {name: value})
    if found is None:
        raise InvalidValue("; ".join(wrong.values()))
    return found


def by_environment(name: str, value: str) -> CampaignSettings:
    given = {f"MCAL_{key.upper()}": str(each) for key, each in REQUIRED.items()} | {f"MCAL_{name.upper()}": value}
    return parse_campaign_settings({}, defaults=campaign_defaults(given))


@click.command()
@campaign_options()
@click.pass_context
def command(ctx: click.Context, **options: Any) -> None:
    ctx.obj.append(parse_campaign_settings(REQUIRED | given_options(options, CampaignSettings), defaults={}))


def by_command_line(name: str, value: str) -> CampaignSettings:
    found: list[CampaignSettings] = []
    result = CliRunner().invoke(command, [f"--{name.replace('_', '-')}={value}"], obj=found)
    if result.exception is not None:
        raise result.exception
    return found[0]


def check(name: str, enter: Callable[[str, Any], CampaignSettings], value: Any) -> None:
    try:
        found = enter(name, value)
    except InvalidValue as error:
        sentence = str(error)
        assert name in sentence or "JSON object" in sentence, sentence
        assert len(sentence) < 1000
        assert sentence.isprintable()
        return
    for each in found.model_dump().values():
        assert not isinstance(each, float) or math.isfinite(each)
    assert parse_campaign_settings(json.loads(json.dumps(found.model_dump(mode="json"))), defaults={}) == found
    json.dumps(found.model_dump(mode="json"), ensure_ascii=False).encode()  # what a database and a page can hold
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert now + timedelta(minutes=found.patience_minutes) + timedelta(hours=found.blind_timeout_hours) > now
    try:
        engine.start(found, 1000, 3, 1000)
    except InvalidValue as error:
        assert "budget" in str(error)  # the engine's own sentence


anyway = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@pytest.mark.parametrize("enter", [by_mapping, by_extra_params])
@anyway
@given(name=st.sampled_from(NAMES), value=anything)
def test_any_value_in_json_is_taken_with_bounds_or_told_in_a_sentence(
    enter: Callable[..., CampaignSettings], name: str, value: Any
) -> None:
    check(name, enter, value)


@pytest.mark.slow
@pytest.mark.parametrize("enter", [by_form, by_environment, by_command_line])
@anyway
@given(name=st.sampled_from(NAMES), value=st.sampled_from(TEXTS) | st.text(max_size=30) | st.floats().map(str) | st.integers().map(str))
def test_any_text_is_taken_with_bounds_or_told_in_a_sentence(enter: Callable[..., CampaignSettings], name: str, value: str) -> None:
    check(name, enter, value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("enter", [by_mapping, by_form, by_environment, by_command_line])
def test_every_setting_stands_the_worst_values_from_every_entrance(enter: Callable[..., CampaignSettings], name: str) -> None:
    for value in [*VALUES, *UNPRINTABLE] if enter is by_mapping else TEXTS:
        check(name, enter, value)


@pytest.mark.parametrize("digits", [400, 5000])
def test_numbers_longer_than_python_reads_are_told_in_extra_params(digits: int) -> None:
    text = '{"target_error": 1' + "0" * digits + ', "price_per_label": 0.04}'
    for sent in (text, json.dumps(text)):
        with pytest.raises(InvalidValue, match=r"target_error must be|too large to read"):
            parse_campaign_settings(sent, defaults={})


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name, field in ServerSettings.model_fields.items() if field.repr))
def test_every_setting_of_the_server_stands_the_worst_values(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in [each for each in os.environ if each.startswith(("MCAL_", "LABEL_STUDIO_"))]:
        monkeypatch.delenv(variable)
    for value in [*VALUES, *UNPRINTABLE]:
        try:
            found = server_settings(**{name: value})
        except InvalidValue as error:
            assert name in str(error)
            assert len(str(error)) < 1000
            assert str(error).isprintable()
            continue
        for each in found.model_dump().values():
            assert not isinstance(each, float) or math.isfinite(each)


@pytest.mark.parametrize("enter", [by_mapping, by_extra_params, by_form, by_environment, by_command_line])
@pytest.mark.parametrize("text", ["5 %", "5%", " 5.0 % ", "0.05"])
def test_a_share_may_be_given_in_percent_everywhere(enter: Callable[..., CampaignSettings], text: str) -> None:
    assert enter("target_error", text).target_error == 0.05
    assert enter("confidence_level", "90 %").confidence_level == 0.9


@pytest.mark.parametrize("enter", [by_mapping, by_extra_params, by_form, by_environment, by_command_line])
def test_a_wrong_value_gets_the_same_sentence_everywhere(enter: Callable[..., CampaignSettings]) -> None:
    for name, value, sentence in (
        ("target_error", "5", "target_error must be in (0, 1), got 5 (did you mean 0.05?)"),
        ("target_error", "0,05", "target_error must be a number in (0, 1), got '0,05' (did you mean 0.05?)"),
        ("batch_size", "many", "batch_size must be a whole number, got 'many'"),
        ("guarantee", "Certfied", "guarantee must be one of certified, estimate, got 'Certfied' (did you mean certified?)"),
    ):
        with pytest.raises(InvalidValue) as caught:
            enter(name, value)
        assert str(caught.value) == sentence
