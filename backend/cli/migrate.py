"""``mcal migrate``: the database's tables, brought to this version."""

from __future__ import annotations

from typing import Any

import click

from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings, server_settings


@click.command()
@server_options("data_dir")
def migrate(**options: Any) -> None:
    """Make or update the database's tables, under a lock: several at once wait for each other.

    mcal serve and mcal worker do the same when they start. Stop those of an older version first, and make a backup: there is no way back
    but to restore it.
    """
    from backend.store import Store

    store = Store(server_settings(**given(options, ServerSettings)).database_url)
    try:
        before, after = store.migrate()
    finally:
        store.close()
    what = "nothing to do" if before == after else "made anew" if before is None else f"updated from revision {before}"
    click.echo(f"{store.shown_url}: tables of revision {after}, {what}")
