"""One headless Chromium for the session. In CI a browser that cannot be had is a failure: a suite that did not run is no evidence."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.digits import DigitWorld
from tests.browser.served import PASSWORD, USER, deps_of, serving

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return _not_run("playwright is not installed")
    if path is None:
        return _not_run("there is no chromium on this machine (apt-get install chromium, or set CHROMIUM)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
    return None


def _not_run(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(f"NOT RUN, because {why}")


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a logged-in page on a world's server; at the end, nothing may have been written to the console as an error."""
    troubles: list[str] = []
    contexts: list[Any] = []

    def open(url: str, *, width: int = 1200, scheme: str = "light", password: str = PASSWORD) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 860}, color_scheme=scheme, locale="en-GB", timezone_id="Asia/Tokyo"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: message.type in ("error", "warning") and troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(f"{url}/login")
        page.fill("#user", USER)
        page.fill("#password", password)
        page.click("button.main")
        page.wait_for_url("**/campaigns")
        return page

    yield open
    for context in contexts:
        context.close()
    # A form that is given back with what is wrong in it is answered with 422, an estimate of it with 400; the console notes both.
    assert [text for text in troubles if not re.search(r"status of (422|400) ", text)] == []


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start a world and its server: yields (world, address)."""
    with _Houses(tmp_path) as houses:
        yield houses.open


class _Houses:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: list[Any] = []

    def __enter__(self) -> _Houses:
        return self

    def open(self, **settings: Any) -> tuple[DigitWorld, str]:
        made = _house(self._directory / str(len(self._open)), **settings)
        self._open.append(made)
        return made.__enter__()

    def __exit__(self, *_: object) -> None:
        for made in self._open:
            made.__exit__(None, None, None)


@contextmanager
def _house(directory: Path, **settings: Any) -> Iterator[tuple[DigitWorld, str]]:
    world = DigitWorld(directory, **{"test_size": 60, "batch_size": 20, "machine_price_per_hour": 3.0, **settings})
    with serving(deps_of(world)) as url:
        yield world, url
    world.store.close()
