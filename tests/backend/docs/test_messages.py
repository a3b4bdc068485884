"""What halts a campaign or refuses a project is explained in the documents, and the pages link to it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from backend.docs import pages
from backend.docs.messages import MESSAGES, PAGES, anchor, explained, help_for
from backend.web.docs import anchors
from mcal_engine.words import counted

ROOT = Path(__file__).parents[3]
SAYS_WHY = ("Trouble", "Unfit", "halt")  # called with a reason that people see: the first argument, or halt's third
REFUSES = ("InvalidValue",)


def spoken(path: Path, names: tuple[str, ...]) -> list[str]:
    """The texts, with 7 in each gap, that calls of these names are given; those that only hand a variable on are not among them."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            text = _text(node.args[2 if node.func.id == "halt" else 0])
            if len(text.replace("7", "")) > 5:
                found.append(text)
    return found


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [str(each.value) if isinstance(each, ast.Constant) else _gap(each) for each in node.values]
        return "".join(parts)
    return ""


def _gap(node: ast.expr) -> str:
    """``7`` for a value, quoted for one that is; ``counted(n, "label")`` is a value and its noun."""
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "counted":
        return counted(7, str(ast.literal_eval(node.value.args[1])))
    return "'7'" if isinstance(node, ast.FormattedValue) and node.conversion == ord("r") else "7"


HALTS = sorted({text for path in (ROOT / "backend/steps").glob("*.py") for text in spoken(path, SAYS_WHY)})
CHECKS = ("backend/label_studio/config.py", "backend/campaign/earlier.py")  # whose refusals become halts
CONFIGS = sorted({text for path in CHECKS for text in spoken(ROOT / path, REFUSES)})


def test_the_reasons_are_found_in_the_code() -> None:
    assert len(HALTS) >= 8
    assert len(CONFIGS) >= 8


@pytest.mark.parametrize("text", HALTS + CONFIGS)
def test_every_halt_is_explained(text: str) -> None:
    assert explained(text, ("halt",)) is not None, f"backend/docs/messages.py does not explain {text!r}"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.says)
def test_a_message_is_found_by_what_it_says_and_leads_to_its_heading(message: object) -> None:
    assert message in MESSAGES
    page, place = help_for(message.says) or ("", "")  # type: ignore[attr-defined]
    assert place in anchors(pages()[page]), (page, place)


def test_no_two_messages_share_a_heading_and_unknown_texts_lead_nowhere() -> None:
    places = [(PAGES[message.where], anchor(message.says)) for message in MESSAGES]
    assert len(places) == len(set(places))
    assert help_for("something that nobody has ever said") is None
