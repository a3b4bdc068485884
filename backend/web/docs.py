"""``/docs``: the documents as pages, with links that lead from page to page.

Open to everybody who reaches the server, without a login: the same pages are in the public source and in every installed copy, and what
is shown depends on no campaign, no setting and no secret of this server. People need them most when the login does not work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup
from mdit_py_plugins.anchors import anchors_plugin
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from backend.docs import FIRST, IMAGES, Page, image_at, page_at, pages, sections
from backend.docs.messages import anchor, help_for

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
# A drawing's own style rules, and nothing else in it, work when somebody opens it on its own.
OF_A_DRAWING = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
ALIGNED = {"text-align:right": "num", "text-align:center": "mid"}


def tokens(page: Page) -> list[Token]:
    """The page as Markdown tokens. HTML in it is text: what is written here can put nothing into a page but what Markdown can."""
    return _reader().parse(page.text)


def anchors(page: Page) -> set[str]:
    """Every heading's anchor on the page."""
    return {str(token.attrs["id"]) for token in tokens(page) if token.type == "heading_open" and "id" in token.attrs}


@cache
def _reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    return made.use(anchors_plugin, min_level=1, max_level=4, slug_func=anchor)


class _Writer(RendererHTML):
    """Tables and listings that scroll within themselves, also by key, on narrow screens."""

    def table_open(self, _tokens: Sequence[Token], _index: int, _options: OptionsDict, _env: Any) -> str:
        return '<div class="scroll" tabindex="0" role="region" aria-label="Table">\n<table>\n'

    def table_close(self, _tokens: Sequence[Token], _index: int, _options: OptionsDict, _env: Any) -> str:
        return "</table>\n</div>\n"

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any) -> str:
        return super().fence(tokens, index, options, env).replace("<pre>", '<pre tabindex="0">', 1)


def to_html(page: Page) -> Markup:
    """The page's body as safe HTML, with addresses of this server in its links."""
    found = tokens(page)
    for token in found:
        _without_style(token)
        for each in token.children or ():
            _here(page, each)
    html = _Writer(None).render(found, _reader().options, {})
    return Markup(html)  # noqa: S704 (Markdown with HTML switched off: the renderer escapes all text)


def _without_style(token: Token) -> None:
    """Our policy allows no style attributes: a column's alignment becomes a class."""
    style = token.attrs.pop("style", None)
    if style in ALIGNED:
        token.attrJoin("class", ALIGNED[str(style)])


def _here(page: Page, token: Token) -> None:
    if token.type == "image":
        name = image_at(page, str(token.attrs["src"]))
        if name is not None:
            token.attrs["src"] = url_for("docs.image", name=name)
        token.attrs["loading"] = "lazy"
    elif token.type == "link_open":
        link = str(token.attrs["href"])
        path, _, place = link.partition("#")
        name = page_at(page, path) if path else None
        if name is not None:
            token.attrs["href"] = address(name, place)
        elif "://" in link:
            token.attrs["rel"] = "noreferrer"


def address(name: str, place: str = "") -> str:
    """The address of a page here, and of a heading on it by its anchor."""
    path = url_for("docs.first") if name == FIRST else url_for("docs.page", name=name)
    return f"{path}#{place}" if place else path


def blueprint() -> Blueprint:
    made = Blueprint("docs", __name__, template_folder="templates")

    @made.get("/docs")
    def first() -> Response:
        return _answer(FIRST)

    @made.get("/docs/<name>")
    def page(name: str) -> Response | BaseResponse:
        if name == FIRST or (name.endswith(".md") and name[:-3] in pages()):  # as the files are called
            return redirect(address(name.removesuffix(".md")), 301)
        return _answer(name)

    @made.get("/docs/images/<name>")
    def image(name: str) -> Response:
        file = IMAGES / name
        if "/" in name or file.suffix not in TYPES or not file.is_file():
            raise NotFound(f"there is no image {name}")
        answer = Response(file.read_bytes(), mimetype=TYPES[file.suffix])
        if file.suffix == ".svg":
            answer.headers["Content-Security-Policy"] = OF_A_DRAWING
        return _kept(answer)

    @made.errorhandler(NotFound)
    def not_found(error: NotFound) -> tuple[str, int]:
        return render_template("error.html", status=404, text=error.description), 404

    made.add_app_template_global(address, "docs_url")

    @made.app_template_global("help_url")
    def help_url(text: str) -> str:
        """Where the documents explain a message; empty where they do not."""
        found = help_for(text)
        return address(*found) if found else ""

    return made


def _answer(name: str) -> Response:
    found = pages().get(name)
    if found is None:
        raise NotFound(f"there is no page {name!r} in the documents; /docs lists them")
    order = [each for section in sections() for each in section.pages]
    at = order.index(found) if found in order else -1
    around = {"before": order[at - 1] if at > 0 else None, "after": order[at + 1] if at + 1 < len(order) else None}
    headings = _headings(found)
    html = render_template(
        "docs.html", page=found, body=to_html(found), sections=sections(), address=address, headings=headings, first=FIRST, **around
    )
    return _kept(Response(html, mimetype="text/html"))


def _headings(page: Page) -> list[tuple[str, str]]:
    """The page's second-level headings: anchor, text."""
    found = tokens(page)
    heads = [(token, inside) for token, inside in pairwise(found) if token.type == "heading_open" and token.tag == "h2"]
    return [(str(token.attrs["id"]), inside.content.replace("`", "")) for token, inside in heads]


def _kept(answer: Response) -> Response:
    """Asked for again each time, sent again only when it has changed."""
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    answer.make_conditional(request)
    return answer
