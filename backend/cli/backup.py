"""``mcal backup`` and ``mcal restore``: all campaigns, their histories and ledgers, in one file."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings, server_settings
from backend.store import Store
from mcal_engine.errors import InvalidValue

STREAM = Path("-")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@server_options("data_dir")
def backup(file: Path, force: bool, **options: Any) -> None:
    """Write all campaigns to FILE (- for standard output): settings, histories and ledgers as of now, while work goes on.

    The file can be restored into SQLite and PostgreSQL, by this version or a later one. It holds no password or token. Not in it: the
    environment, .env and the secrets in the data directory, and images, which are fetched again.
    """
    if file != STREAM and file.exists() and not force:
        raise InvalidValue(f"{file} exists already; give another name, or --force")
    with _store(options) as store, _whole(file) as target:
        counts = store.backup(target)
    click.echo(f"{store.shown_url}: {_told(counts)} written to {'standard output' if file == STREAM else file}", err=True)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the campaigns that the database has.")
@server_options("data_dir")
def restore(file: Path, force: bool, **options: Any) -> None:
    """Put the campaigns in FILE (- for standard input) into the database, all or nothing. Stop all workers first.

    A database that has campaigns is left alone unless --force is given: they would be lost.
    """
    with _store(options) as store, _opened(file) as source:
        counts = store.restore(source, replace=force)
    click.echo(f"{store.shown_url}: {_told(counts)} restored", err=True)


@contextmanager
def _store(options: dict[str, Any]) -> Iterator[Store]:
    store = Store(server_settings(**given(options, ServerSettings)).database_url)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _whole(file: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name, for its owner only, once it is whole and on the disk."""
    if file == STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.absolute().parent)
    except OSError as error:
        raise InvalidValue(f"{file} cannot be written: {error.strerror}") from None
    fresh = Path(name)
    try:
        with os.fdopen(number, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if file == STREAM:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise InvalidValue(f"{file} cannot be read: {error.strerror}") from None
    with source:
        yield source


def _told(counts: dict[str, int]) -> str:
    return f"{counts['campaigns']} campaigns, {counts['events']} events, {counts['items']} items"
