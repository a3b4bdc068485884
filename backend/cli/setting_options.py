"""Command-line options made from the settings' models, so that each setting has its one name here too.

Values stay text: the models parse them, and a bad one gets the same sentence as in the environment or in Label Studio's extra params.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from pydantic import BaseModel

from backend.settings import CampaignSettings, ServerSettings, Setting, describe_settings

PLACES = ("label_studio_url", "data_dir")  # where things are: options of every command that looks at them
PRICE_ALIAS = {"price_per_label": "--price"}
Decorated = Callable[..., Any]
Decorator = Callable[[Decorated], Decorated]


def campaign_options(defaults: Mapping[str, str] | None = None) -> Decorator:
    """One option per campaign setting; those given arrive as keyword arguments, the others as ``None``.

    Args:
        defaults: what the help says about settings that are not given; the model's own defaults unless it is here.
    """
    described = describe_settings(CampaignSettings)
    shown = {setting.name: setting.default for setting in described} if defaults is None else dict(defaults)
    return lambda command: _options(described, shown, command)


def server_options(*names: str) -> Decorator:
    """Options for these server settings, or for all of them. Settings that hold secrets never have one."""
    open_to_all = {name for name, field in ServerSettings.model_fields.items() if field.repr}
    wanted = open_to_all.intersection(names) if names else open_to_all
    described = [setting for setting in describe_settings(ServerSettings) if setting.name in wanted]
    return lambda command: _options(described, {setting.name: setting.default for setting in described}, command)


def given(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Take the model's settings that were given out of a command's keyword arguments."""
    return {name: value for name in model.model_fields if (value := values.pop(name, None)) is not None}


def _options(described: Sequence[Setting], defaults: Mapping[str, str], command: Decorated) -> Decorated:
    for setting in reversed(described):
        command = _option(setting, defaults.get(setting.name, ""))(command)
    return command


def _option(setting: Setting, default: str) -> Decorator:
    flags = ["--" + setting.name.replace("_", "-"), *([PRICE_ALIAS[setting.name]] if setting.name in PRICE_ALIAS else []), setting.name]
    notes = [note for note in (setting.unit and f"unit: {setting.unit}", _default(default)) if note]
    text = setting.description + (f" [{'; '.join(notes)}]" if notes else "")
    choices = setting.type.replace(" | ", "|")
    return click.option(*flags, metavar=f"[{choices}]" if "|" in choices else setting.type.upper(), help=text)


def _default(default: str) -> str:
    return {"": "", "required": "required", "empty": "", "see description": ""}.get(default, f"default: {default}")
