"""The parts of the documents that are made from tables in the code; ``python -m backend.cli.reference`` (``make docs``) writes them.

A part stands in its page between ``<!-- made: NAME -->`` and ``<!-- end -->``; what is around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import click
from pydantic import BaseModel, RootModel

from backend.campaign_settings import CampaignSettings
from backend.cli.app import mcal
from backend.docs import files
from backend.docs.messages import MESSAGES, Message, Where
from backend.settings import ServerSettings
from backend.settings_reference import describe_settings
from backend.steering.actions import ACTIONS
from backend.web.api.openapi import template
from backend.web.api.operation import PREFIX, Operation
from backend.web.api.table import Api
from backend.web.metrics import GAUGES
from mcal_engine.rules import told

GUARDED = "in extra params it can only be made stricter"

PART = re.compile(r"<!-- made: ([a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)


def parts() -> dict[str, Callable[[], Iterable[str]]]:
    """Every generated part by its name: its Markdown blocks."""
    return {
        "settings-of-a-campaign": lambda: _settings(CampaignSettings, ""),
        "settings-of-the-server": lambda: _settings(ServerSettings, "MCAL_"),
        "commands": _cli,
        "operations": lambda: (block for operation in _operations() for block in _operation(operation)),
        "actions": _actions,
        "metrics": _metrics,
        "halts": lambda: _messages("halt", "##"),
        "messages-label-studio": lambda: _messages("label_studio", "###"),
        "messages-backend": lambda: _messages("backend", "###"),
        "messages-containers": lambda: _messages("containers", "###"),
    }


def filled(text: str) -> str:
    """A page with its generated parts made anew. Raises KeyError for a part that there is not."""
    made = parts()
    return PART.sub(lambda found: f"<!-- made: {found[1]} -->\n\n{_joined(made[found[1]]())}\n<!-- end -->", text)


# --- settings


def _settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """A heading for each setting, so that pages can link to it, below a heading for its group."""
    rows = describe_settings(model)
    for group in dict.fromkeys(row.group for row in rows):
        yield f"### {group}"
        for setting in (row for row in rows if row.group == group):
            yield f"#### `{prefix + setting.name.upper() if prefix else setting.name}`"
            facts = [_type(setting.type), setting.bounds, setting.unit and f"unit: {setting.unit}", _default(setting.default)]
            facts.append(GUARDED if told(model.model_fields[setting.name], "guards") else "")
            yield f"{_escaped(setting.description)}\n\n*{'; '.join(fact for fact in facts if fact)}*"


def _type(text: str) -> str:
    return f"one of {', '.join(text.split(' | '))}" if " | " in text else text


def _default(default: str) -> str:
    return {"required": "required", "empty": "no default", "see description": ""}.get(default, f"default: {default}")


# --- command line


def _cli() -> Iterator[str]:
    for command, context in _commands(mcal, click.Context(mcal, info_name="mcal")):
        yield from _command(command, context)


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    if context.parent is not None:
        yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _commands(child, click.Context(child, info_name=name, parent=context))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    title = context.command_path
    yield f"{'##' if title.count(' ') == 1 else '###'} {title}"
    arguments = command.collect_usage_pieces(context)
    yield f"`{' '.join([title, *arguments])}`"
    yield _paragraphs(command.help or "")
    rows, campaign, server = [], False, False
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        if parameter.name in CampaignSettings.model_fields and parameter.name != "label_controls":
            campaign = True
        elif parameter.name in ServerSettings.model_fields:
            server = True
        else:
            rows.append(f"| {_flags(parameter)} | {_cell(_help(parameter))} |")
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows])
    also = [
        "the [settings of a campaign](settings.md#of-a-campaign)" if campaign else "",
        "[settings of the server](settings.md#of-the-server)" if server else "",
    ]
    if any(also):
        yield f"Also: {' and '.join(each for each in also if each)}."


def _flags(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {option.metavar or option.type.name.upper()}"
    return ", ".join(f"`{flag}{value}`" for flag in (*option.opts, *option.secondary_opts))


def _help(option: click.Option) -> str:
    text = option.help or ""
    default = option.default
    shown = default is not None and option.show_default and not callable(default) and "default" not in text
    return f"{text} [default: {option.show_default if isinstance(option.show_default, str) else default}]" if shown else text


def _paragraphs(text: str) -> str:
    """Click's help as Markdown: paragraphs, with its hand-wrapped lists as they are."""
    blocks = [re.sub(r"\s*\n\s*", " " if not block.lstrip().startswith("\b") else "\n", block.strip()) for block in text.split("\n\n")]
    return "\n\n".join(_escaped(block.replace("\b", "").strip()) for block in blocks if block.strip())


# --- API


def _operations() -> list[Operation]:
    return Api(cast("Any", None)).operations  # the table needs nothing of a running server


def _operation(operation: Operation) -> Iterator[str]:
    yield f"## {operation.method} {template(operation.path)}"
    yield f"{operation.summary} {operation.details}".strip()
    if operation.query:
        rows = [f"| `{name}` | {schema.get('type', '')} | {_cell(text)} |" for name, (schema, text) in operation.query.items()]
        yield "\n".join(["| query | type | meaning |", "|---|---|---|", *rows])
    if operation.body is not None:
        yield _body(operation.body)
    media = [name for name in operation.answers if name != "application/json"]
    if media or operation.status != 200:
        yield f"Answers {operation.status}{f' with {media[0]}' if media else ''}."


def _body(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    if issubclass(model, RootModel):
        return f"Body: {' '.join(schema['description'].split())} They stand under [settings](settings.md)."
    rows = [
        f"| `{name}` | {_schema(each)} | {'required' if name in schema.get('required', ()) else _cell(str(each.get('description', '')))} |"
        for name, each in schema["properties"].items()
    ]
    return "\n".join(["| body | type | |", "|---|---|---|", *rows])


def _schema(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return "[settings](settings.md)"
    return str(schema.get("type") or " or ".join(str(each.get("type", "")) for each in schema.get("anyOf", ())))


# --- actions, metrics, messages


def _actions() -> Iterator[str]:
    for name, action in ACTIONS.items():
        yield f"## {action.title}"
        yield " ".join(text for text in (action.summary, action.details, "It cannot be taken back." if action.grave else "") if text)
        yield f"`mcal campaign {name}`, `POST {PREFIX}/campaigns/<id>/{name}`"


def _metrics() -> Iterator[str]:
    rows = [f"| `{name}` | {_cell(text)} |" for name, (text, _) in GAUGES.items()]
    yield "\n".join(["| metric | meaning |", "|---|---|", *rows])


def _messages(where: Where, level: str = "##") -> Iterator[str]:
    for message in MESSAGES:
        if message.where == where:
            yield from _message(message, level)


def _message(message: Message, level: str) -> Iterator[str]:
    yield f"{level} `{message.says}`" if "`" not in message.says else f"{level} {message.says}"
    yield f"{message.why}\n\n**What to do:** {message.fix}"


# --- Markdown


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([*<>])", r"\\\1", text)


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def main() -> None:
    """Write every page whose generated parts have changed."""
    for name, (_, file) in sorted(files().items()):
        text = file.read_text(encoding="utf-8")
        if filled(text) != text:
            file.write_text(filled(text), encoding="utf-8")
            sys.stdout.write(f"{name}: written\n")


if __name__ == "__main__":
    main()
