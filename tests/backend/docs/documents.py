"""What the tests of the documents share: every document, its tokens, its blocks of code, and the ``mcal`` commands that it names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it.token import Token

from backend.docs import Page, pages
from backend.web.docs import tokens

ROOT = Path(__file__).parents[3]
UNSERVED = ("README.md", ".github/CONTRIBUTING.md")  # on GitHub only
DOCUMENTS = {page.path: page for page in pages().values()} | {
    path: Page(path, path, (ROOT / path).read_text(encoding="utf-8")) for path in UNSERVED
}
IN_CONTAINERS = re.compile(
    r"docker compose exec (?:--no-TTY )?web mcal (.*)|docker compose run --rm (bootstrap.*)|(?:\.venv/bin/)?mcal (.*)"
)


COMMAND = re.compile(r"^ *(mcal|make|docker|curl|python|pip|uv|export)\b", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, what is to become of it, its text."""

    language: str
    mark: str
    text: str


@cache
def _parsed(page: Page) -> tuple[Token, ...]:
    return tuple(tokens(page))


def every(page: Page) -> Iterator[Token]:
    """All tokens of a page, those inside of paragraphs too."""
    for token in _parsed(page):
        yield token
        yield from token.children or ()


def blocks(page: Page) -> list[Block]:
    found = []
    for token in _parsed(page):
        if token.type == "fence":
            language, _, mark = token.info.strip().partition(" ")
            found.append(Block(language, mark, token.content))
        if token.type == "code_block":  # equations; it has no place for a mark
            assert not COMMAND.search(token.content), f"{page.path}: an indented block cannot say what becomes of it: {token.content!r}"
    return found


def commands(page: Page) -> Iterator[list[str]]:
    """The arguments of every ``mcal`` command on a page, in blocks and in lines. What is in brackets or capitals alone is no command."""
    for line in (line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()):
        if found := IN_CONTAINERS.match(line.strip()):
            yield _words(next(part for part in found.groups() if part is not None))
    for token in every(page):
        if token.type == "code_inline" and (found := IN_CONTAINERS.fullmatch(token.content.strip())) and "[" not in token.content:
            yield _words(next(part for part in found.groups() if part is not None))


def _words(text: str) -> list[str]:
    words = shlex.split(text, comments=True)
    return words[: next((place for place, word in enumerate(words) if word in (">", "<", "|")), len(words))]
