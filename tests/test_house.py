"""The house stays one that others can live in: no folder of too many files, hardly a function longer than a page."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for room in ("backend", "mcal_engine") for path in (ROOT / room).rglob("*.py"))
MOST_FILES = 25
MOST_LINES = 60
LONG = {"upgrade", "make_report", "read"}  # all tables at once; all of a report; every kind of event


def test_no_folder_has_more_files_than_one_can_keep_in_mind() -> None:
    found = Counter(str(path.parent.relative_to(ROOT)) for path in SOURCES)
    assert {folder: n for folder, n in found.items() if n > MOST_FILES} == {}


def test_no_function_is_longer_than_a_page_but_for_three() -> None:
    found = {
        node.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES
    }
    assert found == LONG
