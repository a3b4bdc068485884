"""The glossary and the code agree: what it names is there, what the code lists is named, words that it drops are shown to nobody."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from backend.campaign.queues import QueueKind
from backend.campaign.state import Phase
from backend.campaign_settings import CampaignSettings, NoticeKind
from backend.docs import pages
from backend.store import Role
from mcal_engine.types import Decision, StopReason

ROOT = Path(__file__).parents[3]
SHOWN = (
    "backend/views",
    "backend/steering",
    "backend/notify",
    "backend/web",
    "backend/cli",
    "backend/steps",
    "backend/setup",
    "backend/docs",
)


def rows(page: str) -> list[list[str]]:
    """Every table row of a page, as cells."""
    lines = [line for line in pages()[page].text.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def classes() -> frozenset[str]:
    files = [path for package in ("backend", "mcal_engine") for path in (ROOT / package).rglob("*.py")]
    return frozenset(
        node.name for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)
    )


@pytest.mark.slow
def test_every_name_in_code_is_there() -> None:
    names = [name for row in rows("glossary") if len(row) == 3 for name in named(row[2])]
    assert len(names) > 30
    known = {*classes(), *CampaignSettings.model_fields, *get_args(QueueKind), *get_args(Role), "theta"}
    assert [name for name in names if name not in known] == []


def test_what_the_code_lists_is_named() -> None:
    in_code = {name for row in rows("glossary") if len(row) == 3 for name in named(row[2])}
    assert {*get_args(Role), *get_args(QueueKind)} <= in_code
    assert {kind.__name__ for kind in get_args(Decision)} <= in_code
    assert {name for row in rows("glossary") if len(row) == 2 for name in named(row[0])} == {reason.value for reason in StopReason}
    assert {name for row in rows("concepts") for name in named(row[0])} == {phase.value for phase in Phase}
    assert {name for row in rows("notifications") for name in named(row[0])} == set(get_args(NoticeKind))


def test_no_word_stands_twice() -> None:
    words = [row[0] for row in rows("glossary") if len(row) == 3 and row[0] != "word"]
    assert len(words) == len(set(words))


def texts() -> Iterator[tuple[str, str]]:
    """Place and text of what people may be shown: documents, templates, and strings that are no docstrings."""
    for page in pages().values():
        if page.name != "glossary":
            yield page.path, page.text
    for path in (ROOT / "backend/web/templates").rglob("*.html"):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for folder in SHOWN:
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def dropped() -> list[str]:
    return [name for row in rows("glossary") if len(row) == 4 for name in named(row[0])]


def test_words_that_were_dropped_are_found_where_they_are() -> None:
    assert "slices" in dropped()
    assert re.search(_word("slices"), "the slices that fail")
    assert not re.search(_word("slices"), "islices")


@pytest.mark.slow
@pytest.mark.parametrize("word", dropped())
def test_people_are_not_shown_a_word_that_was_dropped(word: str) -> None:
    assert [f"{place}: {text[:80]}" for place, text in texts() if re.search(_word(word), text)] == []


def _word(word: str) -> str:
    return rf"(?<![\w`.]){re.escape(word)}\b"
