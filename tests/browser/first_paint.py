"""How soon the page of a campaign of 100,000 items is painted: ``make bench-page``, or ``python -m tests.browser.first_paint [ITEMS]``.

The campaign has five measured rounds; the items beyond them are in its ledger only. Nothing is kept warm before the first visit.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.store import Campaign, NewEvent
from backend.web.app import create_app
from tests.browser.conftest import FLAGS
from tests.browser.digits import DigitWorld
from tests.browser.looking import until
from tests.browser.served import PASSWORD, USER, deps_of, serving

ROUNDS = 5
VISITS = 5


def large_campaign(directory: Path, n_items: int) -> tuple[DigitWorld, Campaign]:
    """A world, and in its store a campaign of ``n_items`` with a history of some rounds."""
    world = DigitWorld(directory, n=600, test_size=60, batch_size=20, machine_price_per_hour=3.0)
    world.advance()
    for _ in range(ROUNDS):
        world.label()
        world.advance()
    events = [
        NewEvent(event.kind, event.payload | ({"n_items": n_items} if event.kind == "created" else {})) for event in world.store.events(1)
    ]
    made = world.store.create_campaign(99, "http://large.test", events)
    world.store.append(made.id, [], assignments=world.store.assignments(1))
    rows = world.store.items(1)
    blank = replace(rows[0], label=None, annotation_id=None, annotator=None, labelled_at=None, lead_time=None, n_human=0, skipped=False)
    last = rows[-1].task_id
    more = [replace(blank, task_id=last + 1 + n, image=f"/{n}.png", updated_at=datetime.now(UTC)) for n in range(n_items - len(rows))]
    world.store.upsert_items(made.id, [*rows, *more])
    return world, made


def visit(page: Any, url: str) -> tuple[float, float]:
    """Milliseconds until the first contentful paint, and until every number is there."""
    page.goto(url, wait_until="commit")
    until(page, "performance.getEntriesByName('first-contentful-paint').length > 0", 60)
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    until(page, "document.querySelector('[data-path=\"report.n_items\"], .row, .empty') !== null", 120)
    return painted, page.evaluate("performance.now()")


def server_seconds(world: DigitWorld, campaign: int) -> list[float]:
    """CPU time of this server for the shell of the page, the numbers that follow, and the whole page once they are at hand."""
    client = create_app(deps_of(world)).test_client()
    client.post("/login", data={"user": USER, "password": PASSWORD})
    client.get("/campaigns/1")  # templates are compiled once
    took = []
    for path in (f"/campaigns/{campaign}", f"/campaigns/{campaign}/live", f"/campaigns/{campaign}"):
        began = time.process_time()
        assert client.get(path).status_code == 200
        took.append(time.process_time() - began)
    return took


def main(n_items: int) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        world, made = large_campaign(Path(folder) / "world", n_items)
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=FLAGS)
        with serving(deps_of(world)) as url:
            page = browser.new_page()
            page.goto(f"{url}/login")
            page.fill("#user", USER)
            page.fill("#password", PASSWORD)
            page.click("button.main")
            for name, path in (("campaign", f"/campaigns/{made.id}"), ("list", "/campaigns")):
                times = [visit(page, url + path) for _ in range(VISITS)]
                rest = [painted for painted, _ in times[1:]]
                spread = f"median of {len(rest)} more {statistics.median(rest):.0f} ms ({min(rest):.0f} to {max(rest):.0f})"
                print(f"{name}: first paint {times[0][0]:.0f} ms at the first visit, {spread}; numbers after {times[0][1] / 1000:.1f} s")
        browser.close()
        shell, live, whole = (1000 * seconds for seconds in server_seconds(world, made.id))
        print(f"server's CPU time: shell {shell:.0f} ms, numbers {live:.0f} ms, the whole page when they are at hand {whole:.0f} ms")
        world.store.close()
    load = os.getloadavg()[0]
    print(f"{n_items:,} items, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}, Chromium headless on loopback")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
