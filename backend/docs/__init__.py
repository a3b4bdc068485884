"""The documents: Markdown pages in this folder and in the engine's, for GitHub, for ``/docs`` and for ``mcal docs``.

A page links to another one by its relative path, as GitHub wants it; :func:`place` says where such a link leads here.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import mcal_engine

FIRST = "README"  # the page that lists the others
HERE = Path(__file__).parent
ENGINE = Path(mcal_engine.__file__).parent
# Pages that stand beside what they describe: name → (path in the source tree, file)
ELSEWHERE = {
    "engine": ("mcal_engine/README.md", ENGINE / "README.md"),
    "certificate": ("mcal_engine/CERTIFICATE.md", ENGINE / "CERTIFICATE.md"),
    "benchmarks": ("mcal_engine/bench/README.md", ENGINE / "bench" / "README.md"),
}
FOLDER = "backend/docs"
IMAGES = HERE / "images"
NOTE = re.compile(r"^<!--.*?-->\n+", re.MULTILINE)  # for who writes a page, not for who reads it
LISTED = re.compile(r"^- \[([^\]]+)\]\(([^)#]+)\)")


@dataclass(frozen=True, slots=True)
class Page:
    """One document.

    Attributes:
        name: what it is called in ``/docs/NAME`` and ``mcal docs NAME``.
        path: where it stands in the source tree, with slashes.
        text: its Markdown.
    """

    name: str
    path: str
    text: str

    @property
    def title(self) -> str:
        """The first heading."""
        return self.text.partition("\n")[0].lstrip("# ").strip()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the first page and the pages listed below it."""

    title: str
    pages: tuple[Page, ...]


def files() -> dict[str, tuple[str, Path]]:
    """Every page's place in the source tree and its file, by name."""
    return {path.stem: (f"{FOLDER}/{path.name}", path) for path in sorted(HERE.glob("*.md"))} | ELSEWHERE


@cache
def pages() -> dict[str, Page]:
    """Every page by name. They are part of what is installed and do not change while it runs."""
    return {name: Page(name, path, NOTE.sub("", file.read_text(encoding="utf-8"))) for name, (path, file) in files().items()}


@cache
def sections() -> tuple[Section, ...]:
    """The pages in reading order, as the first page lists them: a heading, then ``- [title](path)`` line by line."""
    first = pages()[FIRST]
    found: list[tuple[str, list[Page]]] = []
    for line in first.text.splitlines():
        if line.startswith("## "):
            found.append((line[3:].strip(), []))
        elif found and (listed := LISTED.match(line)):
            name = page_at(first, listed[2])
            if name is not None:
                found[-1][1].append(pages()[name])
    return tuple(Section(title, tuple(listed)) for title, listed in found if listed)


def page_at(page: Page, link: str) -> str | None:
    """The name of the page that a relative link of ``page`` leads to; ``None`` if it is none of ours."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), urlsplit(link).path))
    return next((each.name for each in pages().values() if each.path == path), None)


def image_at(page: Page, link: str) -> str | None:
    """The name of the image in :data:`IMAGES` that a relative link of ``page`` leads to, or ``None``."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), link))
    folder, _, name = path.rpartition("/")
    return name if folder == f"{FOLDER}/images" and (IMAGES / name).is_file() else None
