"""Log lines for machines: one JSON object each, with the campaign it is about, and no secrets."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest

from backend.cli.logs import JSONLines, PlainLines, announcing
from backend.settings import server_settings


def line(message: str, *arguments: Any, extra: dict[str, Any] | None = None, exc_info: Any = None) -> dict[str, Any]:
    record = logging.getLogger("backend.worker").makeRecord(
        "backend.worker", logging.INFO, "worker.py", 1, message, arguments, exc_info, extra=extra
    )
    text = JSONLines().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def test_a_line_about_a_campaign_names_it() -> None:
    found = line("campaign %d: round %d:\n training", 7, 3, extra={"phase": "training_due", "queue": None})
    assert found["message"] == "campaign 7: round 3:\n training"
    assert (found["campaign"], found["phase"], found["queue"]) == (7, "training_due", None)
    assert (found["level"], found["logger"]) == ("INFO", "backend.worker")
    assert datetime.fromisoformat(found["time"]).utcoffset() is not None


def test_nobody_s_name_begins_a_line_or_steers_the_terminal() -> None:
    name = "x\n2026-01-01 INFO backend.worker: forged\r\x1b[2J\u2028\x9b"
    record = logging.getLogger("backend.worker").makeRecord("backend.worker", logging.INFO, "worker.py", 1, "control %s", (name,), None)
    first, second = PlainLines("%(levelname)s: %(message)s").format(record).split("\n")
    assert first == "INFO: control x" and second == "    2026-01-01 INFO backend.worker: forged\\r\\x1b[2J\\u2028\\x9b"


def test_other_lines_do_not() -> None:
    assert set(line("worker: stopped")) == {"time", "level", "logger", "message"}


def test_an_exception_is_one_line_without_secrets() -> None:
    try:
        raise ValueError("postgresql://mcal:hush@db/mcal is away")
    except ValueError:
        found = line("failed", exc_info=sys.exc_info())
    assert "ValueError" in found["exception"]
    assert "hush" not in found["exception"]


def test_people_read_on_the_terminal_what_machines_read_in_the_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    announcing(server_settings())("hello")
    assert capsys.readouterr().out == "hello\n"
    announcing(server_settings(log_format="json"))("hello")
    assert capsys.readouterr().out == ""
    assert caplog.messages == ["hello"]
