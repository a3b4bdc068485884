"""``mcal health``: whether the web server or the worker of this machine or container is well, for whoever restarts what is not."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings, server_settings

WEB_SECONDS = 5.0  # to answer
MISSED_BEATS = 4  # of the worker's timer until it counts as gone
PATIENCE_SECONDS = 60.0  # on top: the database may be restarting


@click.command()
@server_options("data_dir", "port")
def health(**options: Any) -> int:
    """Say whether the worker that was started here is well, or else the web server. Exit code 1 if it is not.

    A worker is well while its timer finds database and job queue in order, also during a long training.
    """
    settings = server_settings(**given(options, ServerSettings))
    trouble = worker_trouble(settings) if _pulse_file(settings).exists() else web_trouble(settings.port)
    click.echo(trouble or "well")
    return 1 if trouble else 0


def worker_trouble(settings: ServerSettings) -> str:
    """What is wrong with the worker of this machine; empty if nothing is."""
    silent = time.time() - _pulse_file(settings).stat().st_mtime
    allowed = MISSED_BEATS * settings.poll_seconds + PATIENCE_SECONDS
    return "" if silent <= allowed else f"the worker has been silent for {silent:.0f} s, {allowed:.0f} s are allowed"


def web_trouble(port: int) -> str:
    """What is wrong with the web server of this machine, or with what it depends on; empty if nothing is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=WEB_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"the web server on port {port} answers {error.code}: {error.read(500).decode(errors='replace').strip()}"
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        return f"nothing healthy answers on port {port}: {getattr(error, 'reason', error)}"


@contextmanager
def pulse(settings: ServerSettings, check: Callable[[], object]) -> Iterator[Callable[[], object]]:
    """What a worker calls to show that it is well, unless ``check`` raises; forgotten when it ends in order."""
    file = _pulse_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()  # starting counts as a beat

    def beat() -> None:
        check()
        file.touch()

    try:
        yield beat
    finally:
        file.unlink(missing_ok=True)


def _pulse_file(settings: ServerSettings) -> Path:
    return settings.data_dir / "pulses" / socket.gethostname()  # containers that share data_dir have names of their own
