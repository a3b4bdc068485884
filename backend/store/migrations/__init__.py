"""Alembic's migrations, run by ``Store.migrate()``; each file in ``versions/`` is one step."""
