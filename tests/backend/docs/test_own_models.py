"""The examples of the page about one's own models are what they say: the class passes the contract, by the test that the page shows."""

from __future__ import annotations

from typing import Any

from backend.docs import pages
from tests.backend.docs.documents import blocks

PAGE = next(page for page in pages().values() if page.path.endswith("own-models.md"))
NAMES: dict[str, Any] = {"__name__": __name__}
for block in blocks(PAGE):
    if block.mark == "example":
        exec(block.text, NAMES)

TestNearestMean = NAMES["TestNearestMean"]


def test_the_page_shows_both_examples() -> None:
    assert len([block for block in blocks(PAGE) if block.mark == "example"]) == 2
