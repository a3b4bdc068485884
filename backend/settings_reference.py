"""Every setting in rows, and in groups as Markdown: what the pages, the command line, the API and the documents say about settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from backend.campaign_settings import ALIASES, CampaignSettings
from backend.settings import ServerSettings, variables_of
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


def settings_markdown() -> str:
    """The reference of all settings in Markdown: a section for campaigns and one for the server, a table for each group."""
    return "\n".join([*_campaign(), "", *_server()]) + "\n"


def settings_table(model: type[BaseModel]) -> str:
    """All settings of a model in one table."""
    return "\n".join(_table(model, describe_settings(model)))


def _campaign() -> Iterator[str]:
    yield "## Settings of a campaign"
    yield ""
    short = ", ".join(f"`{short}` for `{name}`" for short, name in ALIASES.items())
    yield (
        "Each setting has one name everywhere: `target_error` is `--target-error` on the command line, `MCAL_TARGET_ERROR` in the "
        "environment and in `.env`, the key in Label Studio's extra params and in the API, and the field on the page. "
        f"Short names work too: {short}. A share may be given in percent: `5 %` is 0.05."
    )
    yield from _groups(CampaignSettings)


def _server() -> Iterator[str]:
    yield "## Settings of the server"
    yield ""
    yield "The environment, the file `.env` and the options of `mcal serve` and `mcal worker` give these; secrets have no option."
    yield from _groups(ServerSettings)


def _groups(model: type[BaseModel]) -> Iterator[str]:
    rows = describe_settings(model)
    for group in dict.fromkeys(row.group for row in rows):
        yield from ("", f"### {group}", "")
        yield from _table(model, [row for row in rows if row.group == group])


def _table(model: type[BaseModel], rows: list[Setting]) -> Iterator[str]:
    yield "| setting | default | unit | allowed | meaning |"
    yield "|---|---|---|---|---|"
    for row in rows:
        name = row.name if model is CampaignSettings else variables_of(row.name)[0]
        allowed = row.bounds or (row.type if "|" in row.type else "")
        cells = (f"`{name}`", row.default, row.unit, allowed, row.description)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
