"""Command-line options made from the settings' models, so that each setting has its one name, and its short one, here too.

Values stay text: the models parse them, and a bad one gets the same sentence as in the environment or in Label Studio's extra params.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click
from pydantic import BaseModel

from backend.campaign_settings import ALIASES, CampaignSettings, parse_setting
from backend.settings import ServerSettings
from backend.settings_reference import Setting, describe_settings

PLACES = ("label_studio_url", "data_dir")  # where things are: options of every command that looks at them
Decorated = Callable[..., Any]
Decorator = Callable[[Decorated], Decorated]


def campaign_options(*names: str, defaults: Mapping[str, str] | None = None) -> Decorator:
    """One option for each of these settings of a campaign, or for all of them; :func:`given` takes those that were given.

    Args:
        names: none of them means all.
        defaults: what the help says about settings that are not given; the model's own defaults unless it is here.
    """
    described = [setting for setting in describe_settings(CampaignSettings) if not names or setting.name in names]
    return lambda command: _options(described, defaults, command)


def server_options(*names: str) -> Decorator:
    """Options for these server settings, or for all of them. Settings that hold secrets never have one."""
    open_to_all = {name for name, field in ServerSettings.model_fields.items() if field.repr}
    wanted = open_to_all.intersection(names) if names else open_to_all
    described = [setting for setting in describe_settings(ServerSettings) if setting.name in wanted]
    return lambda command: _options(described, None, command)


def setting_option(name: str, into: str | None = None, *, default: Any = None, multiple: bool = False, note: str = "") -> Decorator:
    """One setting of a campaign as an option that arrives parsed, for commands that play many campaigns.

    Args:
        name: of the setting.
        into: the argument's name, where it is another one.
        default: what is taken where it is not given.
        multiple: it may be given several times and arrives as a tuple.
        note: more for the help, such as what happens without it.
    """
    (setting,) = (each for each in describe_settings(CampaignSettings) if each.name == name)
    shown = "" if default is None else f" [default: {default:g}]" if isinstance(default, float) else f" [default: {default}]"
    return click.option(
        *_flags(name),
        into or name,
        type=_Parsed(name),
        metavar=setting.type.upper(),
        default=None if multiple else default,
        multiple=multiple,
        help=setting.description + (" May be given several times." if multiple else "") + (f" {note}" if note else "") + shown,
    )


def model_options(model: type[BaseModel]) -> Decorator:
    """One option per field of the inputs of an action."""
    described = describe_settings(model)
    return lambda command: _options(described, {}, command)


def given(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Take the model's settings that were given out of a command's keyword arguments; the pieces of a list become one text."""
    found = {name: values.pop(name, None) for name in model.model_fields}
    whole = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in found.items() if value != ()}
    return {name: value for name, value in whole.items() if value is not None}


def _options(described: list[Setting], defaults: Mapping[str, str] | None, command: Decorated) -> Decorated:
    for setting in reversed(described):
        command = _option(setting, setting.default if defaults is None else defaults.get(setting.name, ""))(command)
    return command


def _option(setting: Setting, default: str) -> Decorator:
    several = setting.type == "list"
    facts = (setting.unit and f"unit: {setting.unit}", setting.bounds, _default(default), "may be given several times" if several else "")
    notes = "; ".join(fact for fact in facts if fact)
    choices = setting.type.replace(" | ", "|")
    metavar = f"[{choices}]" if "|" in choices else setting.type.upper()
    help = setting.description + (f" [{notes}]" if notes else "")
    return click.option(*_flags(setting.name), setting.name, metavar=metavar, multiple=several, help=help)


def _flags(name: str) -> list[str]:
    """The long name and its short ones, as options."""
    return ["--" + each.replace("_", "-") for each in (name, *(short for short, full in ALIASES.items() if full == name))]


def _default(default: str) -> str:
    return {"": "", "required": "required", "empty": "", "see description": ""}.get(default, f"default: {default}")


class _Parsed(click.ParamType[Any]):
    """Text to a setting's value, by its one rule."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = parse_setting(self.name, value)
        return found[0] if isinstance(found, tuple) else found
