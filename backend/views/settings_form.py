"""A settings form: what was typed, checked field by field with the rules that hold everywhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from backend.campaign_settings import NOTHING
from backend.settings import CampaignSettings, Setting, describe_settings
from mcal_engine.spec import CampaignSpec, explain

MAIN = (
    "target_error",
    "price_per_label",
    "price_per_hour",
    "currency",
    "budget",
    "machine_price_per_hour",
    "guarantee",
    "confidence_level",
)


@dataclass(frozen=True, slots=True)
class Field:
    """One input: its row of the settings table, the text in it, the choices it has (``several``: any of them), what is wrong with it."""

    setting: Setting
    text: str
    choices: tuple[str, ...]
    several: bool
    error: str
    main: bool

    @property
    def of_engine(self) -> bool:
        """Whether decisions rest on it; the others are about people."""
        return self.setting.name in CampaignSpec.model_fields

    @property
    def chosen(self) -> frozenset[str]:
        return frozenset(name.strip() for name in self.text.split(","))


def fields(typed: Mapping[str, str], errors: Mapping[str, str] | None = None) -> list[Field]:
    """Every campaign setting as a form field, the main ones first."""
    wrong = errors or {}
    made = [
        Field(row, typed.get(row.name, ""), *_choices(row.name), wrong.get(row.name, ""), row.name in MAIN) for row in describe_settings()
    ]
    return sorted(made, key=lambda field: MAIN.index(field.setting.name) if field.main else len(MAIN))


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings as they stand in a form."""
    return {name: _text(value) for name, value in values.items()}


def read(typed: Mapping[str, str]) -> tuple[CampaignSettings | None, dict[str, str]]:
    """What a person typed, as settings; or a sentence for each bad field. An empty field is the default."""
    given = {name: text.strip() for name, text in typed.items() if name in CampaignSettings.model_fields and text.strip()}
    try:
        return CampaignSettings.model_validate(given), {}
    except ValidationError as error:
        wrong: dict[str, str] = {}
        for found, sentence in zip(error.errors(include_url=False), explain(error, CampaignSettings), strict=True):
            name = str(found["loc"][0]) if found["loc"] else next(iter(given), "target_error")
            wrong.setdefault(name, sentence)
        return None, wrong


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choices(name: str) -> tuple[tuple[str, ...], bool]:
    annotation = CampaignSettings.model_fields[name].annotation
    several = get_origin(annotation) is tuple
    of = get_args(annotation)[0] if several else annotation
    choices = get_args(of) if get_origin(of) is Literal else ()
    return choices, several and bool(choices)
