"""The documents are served to everybody who reaches the server, as safe pages whose links stay here."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from flask.testing import FlaskClient

from backend.docs import FIRST, IMAGES, Page, pages
from backend.web.docs import to_html


class Addresses(HTMLParser):
    """Links, pictures and ids of a page; whatever our policy would refuse is noted as well."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[str] = []
        self.ids: set[str] = set()
        self.refused: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        self.links += [given["href"] or ""] if tag == "a" else []
        self.images += [given["src"] or ""] if tag == "img" else []
        self.refused += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]


def read(text: str) -> Addresses:
    found = Addresses()
    found.feed(text)
    return found


@pytest.fixture(scope="module")
def seen() -> dict[str, Addresses]:
    """Pages that have been read, by address."""
    return {}


def address(name: str) -> str:
    return "/docs" if name == FIRST else f"/docs/{name}"


@pytest.mark.slow
@pytest.mark.parametrize("name", pages())
def test_a_page_is_there_without_a_login_and_leads_only_to_what_is_there(
    client: FlaskClient, seen: dict[str, Addresses], name: str
) -> None:
    answer = client.get(address(name))
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    found = read(answer.text)
    assert found.refused == []
    assert "<h1 id=" in answer.text
    for link in map(unquote, found.links):
        path, _, place = link.partition("#")
        if link.startswith("/docs"):
            if path not in seen:
                there = client.get(path)
                assert there.status_code == 200, link
                seen[path] = read(there.text)
            assert not place or place in seen[path].ids, link
        elif path == "":
            assert place in found.ids, link
        else:
            assert link.startswith("https://") or link in ("/campaigns", "#main"), link
    for image in found.images:
        assert client.get(image).mimetype.startswith("image/"), image


def test_no_page_depends_on_who_asks_or_on_what_is_in_the_database(client: FlaskClient, world: object) -> None:
    before = client.get("/docs/settings").text
    world.campaign()  # type: ignore[attr-defined]
    assert client.get("/docs/settings").text == before


def test_markdown_puts_no_html_and_no_scripts_into_a_page(client: FlaskClient) -> None:
    text = "# T\n\n<script>alert(1)</script> <img src=x onerror=y>\n\n[a](javascript:alert(1)) ![b](data:text/html,x)\n\n|a|\n|-:|\n|b|\n"
    with client.application.test_request_context():
        html = to_html(Page("x", "backend/docs/x.md", text))
    assert "<script" not in html
    assert "<img src=x" not in html
    assert 'href="javascript' not in html
    assert "style=" not in html
    assert 'class="num"' in html


def test_what_is_not_there_is_a_page_that_says_so(client: FlaskClient) -> None:
    for path in ("/docs/nothing", "/docs/..%2fsettings", "/docs/images/nothing.svg", "/docs/images/..%2f__init__.py"):
        answer = client.get(path)
        assert answer.status_code == 404, path
    assert "/docs lists them" in client.get("/docs/nothing").text
    assert client.get("/docs/concepts.md").headers["Location"].endswith("/docs/concepts")


def test_a_page_that_has_not_changed_is_not_sent_again(client: FlaskClient) -> None:
    tag = client.get("/docs/concepts").headers["ETag"]
    again = client.get("/docs/concepts", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")


def test_a_drawing_keeps_its_style_and_can_do_nothing_else(client: FlaskClient) -> None:
    for path in IMAGES.glob("*.svg"):
        policy = client.get(f"/docs/images/{path.name}").headers["Content-Security-Policy"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        assert not re.search(r"<script|href=|\bon\w+=", path.read_text(encoding="utf-8"))
