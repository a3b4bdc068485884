"""Alembic runs this file for each command; the connection, its transaction and its lock come from ``backend.store.migrate``."""

from alembic import context

from backend.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
