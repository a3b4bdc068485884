"""Bring a database to this version's tables, under a lock, from inside the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import text

from backend.store.database import Database, StoreUnavailable

LOCK_KEY = 0x6D63616C  # "mcal": one key for everybody who migrates this database


def config() -> Config:
    """Alembic's configuration, which needs no file of its own."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return made


def migrate(database: Database) -> None:
    """Run what is missing in one transaction. Processes that start together wait for each other; the later finds nothing to do.

    Raises:
        StoreUnavailable: the database cannot be reached, or a newer version of this program made it.
    """
    database.make_directory()
    with database.writing() as connection:  # on SQLite this is the lock
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        settings = config()
        settings.attributes["connection"] = connection
        try:
            command.upgrade(settings, "head")
        except CommandError as error:
            raise StoreUnavailable(f"database {database.shown_url} cannot be migrated by this version of the program: {error}") from None
