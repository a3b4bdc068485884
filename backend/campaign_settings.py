"""One campaign's settings: what the engine decides with, and how the queue deals with people.

A setting is one :class:`pydantic.Field` here or in :class:`mcal_engine.spec.CampaignSpec`. Options, environment, extra params, form, the
API's schema and the documents are made from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

from dotenv import dotenv_values
from pydantic import Field, field_validator

from mcal_engine.errors import InvalidValue
from mcal_engine.rules import about, looser, shown, told
from mcal_engine.spec import AUTO, LARGEST_PRICE, MONEY, SEARCH, CampaignSpec, Fraction

ENV_PREFIX = "MCAL_"
ENV_FILE = ".env"
ALIASES = {"price": "price_per_label", "classifier": "classifiers", "label_control": "label_controls"}
"""Short names, good wherever the long ones are."""
NOTHING = "none"  # how an empty list is written
PEOPLE = "People and their queue"
LARGEST_MINUTES = LARGEST_HOURS = 1_000_000
EXAMPLE = '{"target_error": 0.05, "price_per_label": 0.04}'

NoticeKind = Literal["queue_ready", "queue_empty", "decision", "attention", "finished"]
Switch = Literal["off", "on"]


class CampaignSettings(CampaignSpec):
    """One campaign's settings: what the engine decides with, and how the queue deals with people. Immutable."""

    classifiers: tuple[str, ...] = Field(
        (AUTO,),
        min_length=1,
        max_length=4,
        description="Candidate classifiers; more than one makes a race; auto: chosen by the number of images and the device.",
        json_schema_extra=about(SEARCH),
    )
    price_per_hour: float | None = Field(
        None,
        gt=0,
        le=LARGEST_PRICE,
        description="Price of one hour of an annotator's work; with it price_per_label only holds until it is measured from lead times.",
        json_schema_extra=about(MONEY, "currency/h"),
    )
    assisted_labelling: Switch = Field(
        "off",
        description="on: training and residual items show people the model's suggestion; test and certificate items never do.",
        json_schema_extra=about(PEOPLE),
    )
    approve_write_back: Switch = Field(
        "off", description="on: machine labels are only written once the admin has said yes.", json_schema_extra=about(PEOPLE, guards="on")
    )
    quorum: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of a training batch that must be labelled for the round to go on once patience has run out.",
        json_schema_extra=about(PEOPLE, "fraction"),
    )
    patience_minutes: float = Field(
        15.0,
        ge=0,
        le=LARGEST_MINUTES,
        description="Time without a new label after which a quorum is enough.",
        json_schema_extra=about(PEOPLE, "min"),
    )
    blind_timeout_hours: float = Field(
        72.0,
        gt=0,
        le=LARGEST_HOURS,
        description="Time after which a missing test item is set aside, and a missing certificate item counts as an error.",
        json_schema_extra=about(PEOPLE, "h"),
    )
    work_ahead: Fraction = Field(
        0.25,
        description="Extra items served behind each batch so that nobody waits while a round trains, as a share of the batch; 0 is off.",
        json_schema_extra=about(PEOPLE, "fraction"),
    )
    when_model_fails: Literal["wait", "people"] = Field(
        "wait",
        description="A model from outside does not answer. wait: the campaign halts until somebody has mended that; people: they take over "
        "what it has not answered, round by round.",
        json_schema_extra=about(PEOPLE),
    )
    model_prompt: str | None = Field(
        None,
        min_length=1,
        max_length=20_000,
        description="What a language model is told instead of the labelling interface's own words; {choices} in it becomes the choices.",
        json_schema_extra=about(PEOPLE),
    )
    label_controls: str | None = Field(
        None,
        min_length=1,
        max_length=2_000,
        description="Names of the controls to label with, comma separated; by default all that ask about the item as a whole.",
        json_schema_extra=about(PEOPLE),
    )
    notify_about: tuple[NoticeKind, ...] = Field(
        get_args(NoticeKind),
        description="What the channels of MCAL_NOTIFY_URLS are told of: a queue that is ready, or (nearly) empty, a decision that is due "
        "or taken, something that needs a person, the end; none for nothing.",
        json_schema_extra=about(PEOPLE),
    )

    @field_validator("notify_about", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            return names
        return tuple(dict.fromkeys(name for name in names if name not in ("", NOTHING)))


OPERATIONAL = tuple(
    name for name, field in CampaignSettings.model_fields.items() if told(field, "group") == PEOPLE and name != "label_controls"
)
"""Settings that no decision rests on: they may change while a certificate sample is being labelled."""


FORMER_NAMES = {"label_control": "label_controls"}
FORMER_DEFAULTS = {"certificate_rule": "uniform", "max_looks": 3}
"""What a campaign was decided by, where its settings were recorded before these could be set."""


def as_recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings, by the names of today: a default that has changed since is not theirs."""
    return {**FORMER_DEFAULTS, **{FORMER_NAMES.get(name, name): value for name, value in settings.items()}}


def campaign_defaults(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Campaign settings found as ``MCAL_<NAME>`` in the environment, or else in ``.env``: the defaults of new campaigns, as text.

    Raises:
        InvalidValue: a setting is given twice, under its name and its short one, with two values.
    """
    given = read_environment(environment)
    names = {(ENV_PREFIX + name).upper(): name for name in (*CampaignSettings.model_fields, *ALIASES)}
    return _by_one_name({name: given[variable] for variable, name in names.items() if given.get(variable, "").strip()})


def parse_campaign_settings(values: Mapping[str, Any] | str | None, *, defaults: Mapping[str, Any] | None = None) -> CampaignSettings:
    """Validate what a person gave, over the defaults.

    Args:
        values: settings by name; or the JSON text of Label Studio's extra params; ``None`` and ``""`` are no settings.
        defaults: :func:`campaign_defaults` unless given.

    Raises:
        InvalidValue: one text that names every bad setting and its rule.
    """
    given = _by_one_name(decode(values))
    return CampaignSettings.parse({**(campaign_defaults() if defaults is None else defaults), **given})


def parse_setting(name: str, value: Any) -> Any:
    """One setting by its one rule, the others as they are.

    Raises:
        InvalidValue: one sentence that names the value and the rule.
    """
    required = {"target_error": 0.05, "price_per_label": 1.0}
    return getattr(CampaignSettings.parse(required | {name: value}), name)


def refuse_to_loosen(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """For those who may change settings and are no admin: what guards money or the promise may be made stricter, never looser.

    Args:
        before, after: values by name; a name that only one of them has is not compared.

    Raises:
        InvalidValue: a sentence that names the first such setting and both values.
    """
    for name, field in CampaignSettings.model_fields.items():
        if name in before and name in after and looser(field, before[name], after[name]):
            raise InvalidValue(
                f"{name} guards money or the promise: only an admin may change it from {shown(before[name])} to {shown(after[name])}, "
                "on the page, by the API or with mcal campaign set"
            )


def read_environment(environment: Mapping[str, str] | None) -> dict[str, str]:
    """Variables by upper-case name: the given ones, or the environment's over those of ``.env``."""
    if environment is None:
        environment = {name: value or "" for name, value in dotenv_values(ENV_FILE).items()} | dict(os.environ)
    return {name.upper(): value for name, value in environment.items()}


def decode(values: Any, what: str = "settings") -> dict[str, Any]:
    """Settings as they were sent, as an object: Label Studio's form sends a string, its API an object, some forms a string of a string.

    Args:
        values: an object, its JSON text, or that text as JSON once more; ``None`` and empty text are no settings.
        what: what the error calls them.

    Raises:
        InvalidValue: neither; the text does not repeat what was sent.
    """
    for _ in range(2):
        if isinstance(values, str):
            try:
                values = json.loads(values) if values.strip() else None
            except json.JSONDecodeError as error:
                where = f"{error.msg} at line {error.lineno}, column {error.colno}"
                raise InvalidValue(f"{what} must be a JSON object such as {EXAMPLE}: {where}") from None
            except (ValueError, RecursionError):  # thousands of digits, or of brackets
                raise InvalidValue(f"{what} must be a JSON object such as {EXAMPLE}: this one is too large to read") from None
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidValue(f"{what} must be a JSON object such as {EXAMPLE}, got {type(values).__name__}")
    return dict(values)


def _by_one_name(values: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in values.items():
        full = ALIASES.get(name, name)
        if full in named and named[full] != value:
            raise InvalidValue(f"{full} is given twice, as {shown(named[full])} and {shown(value)}")
        named[full] = value
    return named
