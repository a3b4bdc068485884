"""Bring a database to this version's tables, under a lock, from inside the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from backend.store.database import Database, StoreUnavailable

LOCK_KEY = 0x6D63616C  # "mcal": one key for everybody who migrates this database


def config() -> Config:
    """Alembic's configuration, which needs no file of its own."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return made


def migrate(database: Database) -> tuple[str | None, str]:
    """Run what is missing in one transaction. Processes that start together wait for each other; the later finds nothing to do.

    Returns:
        The revision before (``None``: a new database) and after.

    Raises:
        StoreUnavailable: the database cannot be reached, or a newer version of this program made it.
    """
    database.make_directory()
    with database.writing() as connection:
        lock(connection)
        before = revision(connection)
        try:
            upgrade(connection, "head")
        except CommandError as error:
            known = ScriptDirectory.from_config(config())
            why = str(error)
            if before not in {each.revision for each in known.walk_revisions()}:
                why = (
                    f"its tables are of revision {before!r}, which only a newer version can have made, and this one knows "
                    f"{known.get_current_head()!r} at most; start that version again, or restore a backup from before it elsewhere"
                )
            raise StoreUnavailable(f"database {database.shown_url} cannot be migrated by this version of the program: {why}") from None
        after = revision(connection)
        assert after is not None
        return before, after


def lock(connection: Connection) -> None:
    """Wait until nobody else changes the tables, and keep them out until the transaction ends."""
    if connection.dialect.name == "postgresql":  # on SQLite a transaction that writes is the lock
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})


def revision(connection: Connection) -> str | None:
    """Which tables the database has; ``None`` for none."""
    found: str | None = MigrationContext.configure(connection).get_current_revision()
    return found


def upgrade(connection: Connection, target: str) -> None:
    """Within the caller's transaction. Raises Alembic's CommandError for a revision that this version does not know."""
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, target)
