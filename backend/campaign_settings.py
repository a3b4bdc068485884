"""One campaign's settings: what the engine decides with, and how the queue deals with people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

from dotenv import dotenv_values
from pydantic import Field, ValidationInfo, field_validator

from mcal_engine.errors import InvalidValue
from mcal_engine.spec import AUTO, CampaignSpec, Fraction

ENV_PREFIX = "MCAL_"
ENV_FILE = ".env"
ALIASES = {"price": "price_per_label"}
NOTHING = "none"  # how an empty list is written

NoticeKind = Literal["queue_ready", "queue_empty", "decision", "attention", "finished"]
Switch = Literal["off", "on"]


class CampaignSettings(CampaignSpec):
    """One campaign's settings: what the engine decides with, and how the queue deals with people. Immutable."""

    classifiers: tuple[str, ...] = Field(
        (AUTO,),
        min_length=1,
        max_length=4,
        description="Candidate classifiers; more than one makes a race; auto: chosen by the number of images and the device.",
    )
    price_per_hour: float | None = Field(
        None,
        gt=0,
        description="Price of one hour of an annotator's work; with it price_per_label only holds until it is measured from lead times.",
        json_schema_extra={"unit": "currency/h"},
    )
    assisted_labelling: Switch = Field(
        "off", description="on: training and residual items show people the model's suggestion; test and certificate items never do."
    )
    approve_write_back: Switch = Field("off", description="on: machine labels are only written once the admin has said yes.")
    quorum: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of a training batch that must be labelled for the round to go on once patience has run out.",
        json_schema_extra={"unit": "fraction"},
    )
    patience_minutes: float = Field(
        15.0, ge=0, description="Time without a new label after which a quorum is enough.", json_schema_extra={"unit": "min"}
    )
    blind_timeout_hours: float = Field(
        72.0,
        gt=0,
        description="Time after which a missing test item is set aside, and a missing certificate item counts as an error.",
        json_schema_extra={"unit": "h"},
    )
    work_ahead: Fraction = Field(
        0.25,
        description="Extra items served behind each batch so that nobody waits while a round trains, as a share of the batch; 0 is off.",
        json_schema_extra={"unit": "fraction"},
    )
    label_control: str | None = Field(
        None, min_length=1, description="Name of the Choices tag to label with; needed where the labelling interface has several."
    )
    notify_about: tuple[NoticeKind, ...] = Field(
        get_args(NoticeKind),
        description="What the channels of MCAL_NOTIFY_URLS are told of: a queue that is ready, or (nearly) empty, a decision that is due "
        "or taken, something that needs a person, the end; none for nothing.",
    )

    @field_validator("notify_about", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        return tuple(dict.fromkeys(name for name in names if name not in ("", NOTHING))) if isinstance(names, list | tuple) else names

    @field_validator("*", mode="before")
    @classmethod
    def _switches(cls, value: Any, info: ValidationInfo) -> Any:
        # JSON's true would pass for the number 1.
        if isinstance(value, bool):
            if get_args(cls.model_fields[info.field_name or ""].annotation) == get_args(Switch):
                return "on" if value else "off"
            raise ValueError(f"{info.field_name} must not be {str(value).lower()}: it is no switch")
        return value


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
    given = _by_one_name(_as_mapping(values))
    return CampaignSettings.parse({**(campaign_defaults() if defaults is None else defaults), **given})


def read_environment(environment: Mapping[str, str] | None) -> dict[str, str]:
    """Variables by upper-case name: the given ones, or the environment's over those of ``.env``."""
    if environment is None:
        environment = {name: value or "" for name, value in dotenv_values(ENV_FILE).items()} | dict(os.environ)
    return {name.upper(): value for name, value in environment.items()}


def _as_mapping(values: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    example = '{"target_error": 0.05, "price_per_label": 0.04}'
    if isinstance(values, str):
        try:
            for _ in range(2):  # some forms encode the text once more
                if isinstance(values, str):
                    values = json.loads(values) if values.strip() else None
        except json.JSONDecodeError as error:
            raise InvalidValue(
                f"settings must be a JSON object such as {example}: {error.msg} at line {error.lineno}, column {error.colno}"
            ) from None
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidValue(f"settings must be a JSON object such as {example}, got {type(values).__name__}")
    return values


def _by_one_name(values: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in values.items():
        full = ALIASES.get(name, name)
        if full in named and named[full] != value:
            raise InvalidValue(f"{full} is given twice, as {named[full]!r} and {value!r}")
        named[full] = value
    return named
