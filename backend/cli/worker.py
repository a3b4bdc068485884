"""``mcal worker``: does the work of every campaign, one at a time."""

from __future__ import annotations

import threading
from typing import Any

import click

from backend.cli.opened import opened
from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings


@click.command()
@server_options()
def worker(**options: Any) -> None:
    """Do the work: read labels, train, decide, write back; until SIGTERM or Ctrl-C.

    Needs MCAL_LABEL_STUDIO_TOKEN, the token of a Label Studio user made for this backend alone. Several workers may run: a campaign is
    worked on by one at a time. It may be killed at any point; the next one goes on.
    """
    with opened(given(options, ServerSettings)) as house:
        from backend import wiring
        from backend.cli.logs import start_logging
        from backend.worker import stopping_on_signals

        house.settings.check()
        start_logging(house.settings)
        stop = threading.Event()
        with stopping_on_signals(stop), wiring.worker(house.settings, house.store, house.queue, stop) as made:
            made.run()
