"""Numbers and their nouns: every sentence of the product leaves them to one function."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcal_engine.simulator.readers.listing import counted as counted_reasons
from mcal_engine.words import counted, counted_of, noun, verb

ROOT = Path(__file__).parent.parent
NOUNS = (
    "label|item|prediction|round|look|task|class|image|repeat|annotation|candidate|queue|file|row|project|event|job|worker|error|sample|"
    "skip|answer|audit|lead time|campaign|batch|person|mistake|test item|machine label|decision|setting"
)
MANY = "|".join(noun(2, one) for one in NOUNS.split("|"))
NOT_BETWEEN = "of |and |or |that |by |in |on |the "
# {n:,} labels, {len(rows)} certificate items
IN_CODE = re.compile(rf"\{{(?:[^{{}}]*:,|len\([^{{}}]*\))\}} (?:(?!{NOT_BETWEEN})[a-z-]+ ){{0,3}}(?:{MANY})\b")
IN_TEMPLATE = re.compile(rf'(?:"count"\)|\|length|\|count) \}}\}} (?:(?!{NOT_BETWEEN})[a-z-]+ ){{0,2}}(?:{MANY})\b(?!\')|"e?s" if')


@pytest.mark.parametrize(
    ("one", "none", "many"),
    [
        ("label", "0 labels", "2 labels"),
        ("class", "0 classes", "2 classes"),
        ("batch", "0 batches", "2 batches"),
        ("person", "0 people", "2 people"),
        ("reply", "0 replies", "2 replies"),
        ("day", "0 days", "2 days"),
        ("least sure machine label", "0 least sure machine labels", "2 least sure machine labels"),
    ],
)
def test_a_noun_goes_with_its_number(one, none, many):
    assert (counted(0, one), counted(1, one), counted(2, one)) == (none, f"1 {one}", many)


def test_a_verb_goes_with_the_number_before_it():
    assert [counted(n, "item", "have") for n in (0, 1, 2000)] == ["0 items have", "1 item has", "2,000 items have"]
    assert counted_of(1, 20, "label", "are") == "1 of 20 labels is"
    assert counted_of(0, 1, "label", "are") == "0 of 1 label are"
    assert [verb(1, word) for word in ("are", "were", "have", "stay")] == ["is", "was", "has", "stays"]


@pytest.mark.parametrize("room", ["mcal_engine", "backend"])
def test_no_sentence_puts_a_noun_in_the_plural_behind_a_number_by_hand(room):
    files = [file for file in sorted((ROOT / room).rglob("*.py")) if not {"bench", "readers"} & set(file.parts)]
    assert [hit for file in files for hit in _by_hand(file)] == []


def _by_hand(file: Path) -> Iterator[str]:
    text = file.read_text("utf-8")
    yield from (f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, hit.start()) + 1}: {hit.group()}" for hit in IN_CODE.finditer(text))


def test_no_template_puts_a_noun_in_the_plural_behind_a_number_by_hand():
    files = sorted((ROOT / "backend/web/templates").rglob("*.html"))
    assert files
    assert [f"{file.name}: {hit.group()}" for file in files for hit in IN_TEMPLATE.finditer(file.read_text("utf-8"))] == []


REASON = re.compile(r'(?:unused\w*(?:: Counter\[str\])?(?: = Counter\(\{|\[)|Counter\()f?"([^"]+)"')


def test_what_readers_leave_aside_goes_with_its_number():
    readers = sorted((ROOT / "mcal_engine/simulator/readers").glob("*.py"))
    reasons = {hit for file in readers for hit in REASON.findall(file.read_text("utf-8"))} | {".txt files that are no images"}
    assert {
        "rows without a text",
        "images that are not there",
        "masks beside their images",
        "leavings of macOS, Windows or Jupyter",
    } <= reasons
    for reason in reasons:
        assert counted_reasons({reason: 2}) == f"2 {reason}"
        assert not re.search(r"\b(rows|images|masks|files|leavings|are)\b", counted_reasons({reason: 1})), reason
    assert (
        counted_reasons({"rows without a text": 1, "rows that name an image again": 3})
        == "3 rows that name an image again; 1 row without a text"
    )
