"""The documents' pictures of a running backend: ``MCAL_ADMIN_PASSWORD=… python -m tests.browser.pictures URL CAMPAIGN FOLDER [NAME…]``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.browser.conftest import FLAGS

WIDE, NARROW = 1200, 400
# name: page, colour scheme, width in pixels, height in pixels (None: all of it)
PICTURES: dict[str, tuple[str, str, int, int | None]] = {
    "campaigns": ("/campaigns", "light", WIDE, None),
    "start": ("/projects/{project}/start", "light", WIDE, 900),
    "campaign": ("/campaigns/{campaign}", "light", WIDE, 1650),
    "campaign-dark": ("/campaigns/{campaign}", "dark", WIDE, 1650),
    "campaign-narrow": ("/campaigns/{campaign}", "light", NARROW, 2600),
    "what-if": ("/campaigns/{campaign}/what-if", "light", WIDE, None),
    "review": ("/campaigns/{campaign}/review", "light", WIDE, 1100),
    "report": ("/campaigns/{campaign}/report", "light", WIDE, None),
    "report-dark": ("/campaigns/{campaign}/report", "dark", WIDE, None),
    "events": ("/campaigns/{campaign}/events", "light", WIDE, 900),
    "settings": ("/campaigns/{campaign}/settings", "light", WIDE, None),
    "confirm": ("/campaigns/{campaign}/actions/rollback", "light", WIDE, None),
}


def main(url: str, campaign: str, folder: Path, names: list[str]) -> None:
    """Take the named pictures, or all of them."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=FLAGS)
        for name in names or PICTURES:
            path, scheme, width, height = PICTURES[name]
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, locale="en-GB")
            _take(context.new_page(), url, path, campaign, folder / f"{name}.png", width, height)
            context.close()
        browser.close()


def _take(page: Any, url: str, path: str, campaign: str, file: Path, width: int, height: int | None) -> None:
    page.goto(f"{url}/login")
    page.fill("#user", "admin")
    page.fill("#password", os.environ["MCAL_ADMIN_PASSWORD"])
    page.click("button.main")
    found = page.evaluate(f"fetch('/api/v1/campaigns/{campaign}').then(answer => answer.json())")
    page.goto(url + path.format(campaign=campaign, project=found["project"]))
    if path.endswith("what-if"):
        page.focus("#s-target_error")
        for _ in range(40):
            page.keyboard.press("ArrowLeft")
    if path.endswith("start"):
        page.fill("#f-target_error", "0.05")
        page.fill("#f-price_per_label", "0.04")
    page.wait_for_load_state("networkidle", timeout=60_000) if "/campaigns/" not in path else page.wait_for_timeout(3_000)
    for image in page.query_selector_all("img"):
        image.scroll_into_view_if_needed()  # they are fetched when they come into sight
    for _ in range(300):
        if page.evaluate("[...document.images].every(image => image.complete)"):
            break
        page.wait_for_timeout(200)
    page.evaluate("window.scrollTo(0, 0)")
    whole = page.evaluate("document.documentElement.scrollHeight")
    page.screenshot(path=str(file), full_page=True, clip={"x": 0, "y": 0, "width": width, "height": min(whole, height or whole)})


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
