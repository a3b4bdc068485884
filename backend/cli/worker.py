"""``mcal worker``: does the work of every campaign."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import Any

import click

from backend.cli.opened import opened
from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings

logger = logging.getLogger(__name__)


@click.command()
@server_options()
def worker(**options: Any) -> None:
    """Do the work: read labels, train, decide, write back; until SIGTERM or Ctrl-C.

    Needs MCAL_LABEL_STUDIO_TOKEN, the token of a Label Studio user made for this backend alone, unless mcal bootstrap has made one.
    Several workers may run: a campaign is worked on by one at a time. It may be killed at any point; the next one goes on.
    """
    with opened(given(options, ServerSettings)) as house:
        from backend import wiring
        from backend.cli.health import pulse, worker_trouble
        from backend.cli.logs import start_logging
        from backend.heartbeat import beating
        from backend.worker import stopping_on_signals

        house.settings.token()  # none is told in one line, before anything starts
        start_logging(house.settings)
        if house.settings.device == "auto" and sys.platform == "linux" and not any(Path("/dev").glob("nvidia[0-9]*")):
            logger.info("worker: there is no GPU here, trainings run on the CPU")  # told without torch, which only trainings load
        stop = threading.Event()
        with (
            stopping_on_signals(stop),
            wiring.worker(house.settings, house.store, house.queue, stop) as made,
            pulse(house.settings, house.queue.ping) as made.alive,
            beating(house.store, lambda: not worker_trouble(house.settings)),
        ):
            made.run()
