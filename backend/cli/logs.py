"""Log lines of the long-running commands, on standard error."""

from __future__ import annotations

import logging

from backend.settings import ServerSettings, unknown_environment

QUIET = ("httpx", "httpcore", "alembic", "waitress.queue")  # they log each request, address included


def start_logging(settings: ServerSettings) -> None:
    """Set up logging for this process; name environment variables that no setting has."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for sentence in unknown_environment():
        logging.getLogger("mcal").warning("%s", sentence)
