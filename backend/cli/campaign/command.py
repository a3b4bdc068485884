"""What the subcommands of ``mcal campaign`` have in common."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any

import click

from backend.cli.numbers import Whole
from backend.cli.setting_options import PLACES, server_options

campaign_id = click.argument("campaign_id", type=Whole(min=1), metavar="CAMPAIGN")


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with ``--json`` and the options that say where things are; its help is the function's docstring."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
        summary = (function.__doc__ or "").splitlines()[0]
        return click.command(name, short_help=summary)(as_json(server_options(*PLACES)(function)))

    return decorate


def who() -> str:
    """Who is at the command line, for the history."""
    try:
        return f"{getpass.getuser()} (cli)"
    except (KeyError, OSError):  # a container's user may have no name
        return "cli"
