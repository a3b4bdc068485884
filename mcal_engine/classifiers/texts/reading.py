"""A task's text as a person reads it on the screen: markup gone, entities resolved, blanks put in order. No torch here."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from mcal_engine.errors import InvalidValue

LONGEST = 100_000  # characters that are read of one text; what comes after has no say
NO_TEXT = "the text is empty"
_HIDDEN = frozenset({"script", "style", "head", "title", "template", "noscript", "svg", "math", "object", "iframe", "select", "textarea"})
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
_INLINE = frozenset(
    {
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "label",
        "mark",
        "q",
        "s",
        "samp",
    }
    | {"small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"}
)
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]")


class UnreadableText(InvalidValue):
    """A text that nobody could classify. ``reason`` is for the person at the screen."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def plain(content: str, *, markup: bool = False) -> str:
    """The text, at most ``LONGEST`` characters: lines stay lines, other runs of blanks are one; "" where there is nothing to read.

    Args:
        content: as it stands in the task's data.
        markup: it is HTML, shown as a browser shows it; otherwise an angle bracket is an angle bracket.
    """
    if markup:
        page = _Page()
        page.feed(content[: 20 * LONGEST])
        page.close()
        content = "".join(page.parts)
    text = _LINES.sub("\n", _BLANKS.sub(" ", _CONTROL.sub("", content))).strip()
    return text[:LONGEST].rstrip()


def readable(text: str) -> str:
    """``text`` itself, if a classifier can do something with it.

    Raises:
        UnreadableText: it holds no letter, digit or symbol at all.
    """
    if not text.strip():
        raise UnreadableText(NO_TEXT)
    return text


class _Page(HTMLParser):
    """Collects what a browser would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []  # elements that are open and not shown, with those inside them

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _VOID:
            if not self._hidden:
                self.parts.append(f" {given['alt']} " if tag == "img" and given.get("alt") else "" if tag == "wbr" else "\n")
            return
        if self._hidden or tag in _HIDDEN or "hidden" in given or _UNSEEN.search(given.get("style") or ""):
            self._hidden.append(tag)
        elif tag not in _INLINE:
            self.parts.append(" " if tag in ("td", "th") else "\n")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag in self._hidden:  # ends what is open inside it, too
                while self._hidden.pop() != tag:
                    pass
        elif tag not in _INLINE:
            self.parts.append(" " if tag in ("td", "th") else "\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data if "pre" in (self.lasttag or "") else data.replace("\n", " "))
