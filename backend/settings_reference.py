"""Every setting as a row: what the pages, the command line, the API and the documents say about settings."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from backend.campaign_settings import CampaignSettings
from mcal_engine.rules import bounds_of, kind_of, told


class Setting(NamedTuple):
    """One row of the reference, of ``--help`` and of the page."""

    name: str
    type: str
    default: str  # "required", "empty", or the value
    unit: str  # "" for none
    description: str
    bounds: str  # what a value must keep to, besides its type; "" for nothing
    group: str


def describe_settings(model: type[BaseModel] = CampaignSettings) -> list[Setting]:
    """Each setting of a model, in the order of declaration."""
    return [_describe(name, field) for name, field in model.model_fields.items()]


def _describe(name: str, field: FieldInfo) -> Setting:
    if field.is_required():
        default = "required"
    elif field.default_factory is not None:
        default = "see description" if field.default_factory is not list else "empty"
    else:
        default = _value_text(field.default)
    description = field.description or ""
    return Setting(name, kind_of(field.annotation), default, told(field, "unit"), description, bounds_of(field), told(field, "group"))


def _value_text(value: Any) -> str:
    if value is None:
        return "empty"
    return ",".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
