"""A settings form: what was typed, checked field by field with the rules that hold everywhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from backend.campaign_settings import NOTHING, CampaignSettings
from backend.settings_reference import Setting, describe_settings
from mcal_engine.rules import choices_of, findings
from mcal_engine.spec import CampaignSpec

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
    made = []
    for row in describe_settings():
        choices = choices_of(CampaignSettings.model_fields[row.name])
        several = bool(choices) and row.type == "list"
        made.append(Field(row, typed.get(row.name, ""), choices, several, wrong.get(row.name, ""), row.name in MAIN))
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
        for found in findings(error, CampaignSettings):
            wrong.setdefault(found.name or next(iter(given), "target_error"), found.sentence)
        return None, wrong


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    return f"{value:g}" if isinstance(value, float) else str(value)
