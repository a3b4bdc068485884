"""``mcal serve``: the web server that Label Studio talks to."""

from __future__ import annotations

import threading
from typing import Any

import click

from backend.cli.opened import opened
from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings


@click.command()
@click.option("--allow-open", is_flag=True, help="Serve other machines though nobody has to log in.")
@server_options()
def serve(allow_open: bool, **options: Any) -> None:
    """Serve Label Studio's ML-backend protocol, the admin's pages and the API, until SIGTERM or Ctrl-C.

    The work itself is done by mcal worker.
    """
    with opened(given(options, ServerSettings)) as house:
        from backend.cli.logs import announcing, start_logging
        from backend.web.app import create_app
        from backend.web.server import check_exposure
        from backend.web.server import serve as serve_app
        from backend.wiring import web_deps
        from backend.worker import stopping_on_signals

        start_logging(house.settings)
        say = announcing(house.settings)
        check_exposure(house.settings.host, protected=house.settings.basic_auth_user is not None, allow_open=allow_open)
        stop = threading.Event()
        with (
            web_deps(house.settings, house.store, house.queue, tell=click.echo, allow_open=allow_open) as deps,
            stopping_on_signals(stop),
        ):
            serve_app(
                create_app(deps),
                house.settings.host,
                house.settings.port,
                stop,
                protected=deps.access.protected,
                trusts=deps.access.trusts,
                trusted_proxy=house.settings.trusted_proxy,
                allow_open=allow_open,
                listening=lambda host, port: say(f"mcal serves http://{host}:{port} for {house.settings.label_studio_url}"),
            )
