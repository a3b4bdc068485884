"""``mcal notify …``: the channels that people are told through."""

from __future__ import annotations

from typing import Any

import click

from backend.cli.campaign.shown import print_json
from backend.cli.guessing import GuessingGroup
from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings, server_settings
from mcal_engine.errors import InvalidValue

TITLE = "mcal: a test"
TEXT = "This channel works. From now on it is told what each campaign's notify_about says."


@click.group(cls=GuessingGroup)
def notify() -> None:
    """Try the channels of MCAL_NOTIFY_URLS."""


@notify.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options("data_dir")
def test(as_json: bool, **options: Any) -> int:
    """Send one message through each channel; exits with 1 if one of them failed.

    Channels are shown by place and scheme, such as "2 slack": their addresses are secrets.
    """
    from backend.notify.channels import ChannelFailed
    from backend.wiring import channels

    found = channels(server_settings(**given(options, ServerSettings)))
    if not found:
        raise InvalidValue(
            "notify_urls is not set: put the channels into MCAL_NOTIFY_URLS, as Apprise addresses separated by spaces, "
            "such as slack://… or mailto://…; see https://appriseit.com/services/"
        )
    rows = []
    for channel in found:
        try:
            channel.send(TITLE, TEXT)
            rows.append({"channel": channel.name, "ok": True, "why": ""})
        except ChannelFailed as failed:
            rows.append({"channel": channel.name, "ok": False, "why": str(failed)})
    if as_json:
        print_json(rows)
    else:
        _table(rows)
    return 0 if all(row["ok"] for row in rows) else 1


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("channel", "", "", box=None, header_style="bold")
    for row in rows:
        table.add_row(row["channel"], "[green]told[/]" if row["ok"] else "[red]FAILED[/]", row["why"])
    Console(highlight=False).print(table)
