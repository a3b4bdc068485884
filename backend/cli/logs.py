"""Log lines of the long-running commands, on standard error: for people on a terminal, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import click

from backend.jobs import scrub
from backend.settings import ServerSettings, unknown_environment

QUIET = ("httpx", "httpcore", "alembic", "waitress.queue", "botocore", "aiobotocore")  # they log each request, address included
ABOUT_A_CAMPAIGN = "campaign %d: "  # how every message about one begins
_OWN_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

logger = logging.getLogger("mcal")


class JSONLines(logging.Formatter):
    """One record as one line: time, level, logger, message; the campaign it is about, and whatever else was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON text without line breaks."""
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(record.args, tuple) and record.args and str(record.msg).startswith(ABOUT_A_CAMPAIGN):
            found["campaign"] = record.args[0]
        found |= {name: value for name, value in record.__dict__.items() if name not in _OWN_FIELDS}
        if record.exc_info:
            found["exception"] = scrub(self.formatException(record.exc_info))
        return json.dumps(found, ensure_ascii=False, default=str)


class PlainLines(logging.Formatter):
    """Lines for people. What others chose, such as a name in a labelling interface, can neither begin a line nor steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text: further lines are indented, control characters are written out."""
        lines = super().format(record).split("\n")
        return "\n    ".join("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line) for line in lines)


def start_logging(settings: ServerSettings) -> None:
    """Set up logging for this process; name environment variables that no setting has."""
    handler = logging.StreamHandler()
    plain = PlainLines("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JSONLines() if settings.log_format == "json" else plain)
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for sentence in unknown_environment():
        logger.warning("%s", sentence)


def announcing(settings: ServerSettings) -> Callable[[str], object]:
    """How a command says what it does: plain lines on standard output for people, log lines for machines."""
    return (lambda text: logger.info("%s", text)) if settings.log_format == "json" else click.echo
