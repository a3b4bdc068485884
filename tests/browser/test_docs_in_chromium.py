"""The documents in a real Chromium: readable wide and narrow, light and dark, without anything that axe finds serious."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backend.docs import FIRST, pages
from tests.backend.world import World
from tests.browser.looking import axe
from tests.browser.served import deps_of, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    world = World(tmp_path_factory.mktemp("docs"), n=240, start=False)
    with serving(deps_of(world)) as url:
        yield f"{url}/docs"
    world.store.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_every_page_fits_and_axe_finds_nothing_serious(chromium: Any, address: str, width: int, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, troubles = context.new_page(), []
    page.on("console", lambda message: message.type in ("error", "warning") and troubles.append(message.text))
    for name in pages():
        page.goto(address if name == FIRST else f"{address}/{name}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        assert axe(page) == [], name
        for image in page.query_selector_all("img"):
            image.scroll_into_view_if_needed()
            assert page.evaluate("image => image.decode().then(() => image.naturalWidth > 0)", image), name
    context.close()
    assert troubles == []


def test_a_heading_can_be_linked_to_and_the_list_of_pages_comes_first_by_key(chromium: Any, address: str) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"{address}/settings#target_error")
    assert page.evaluate("document.querySelector(':target').innerText") == "target_error"
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav')?.ariaLabel") == "Documents"
    context.close()
