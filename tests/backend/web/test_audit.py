"""Audits on the page and through the API."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.campaign.state import Phase
from backend.web import formats
from backend.web.app import create_app
from tests.backend.kills import Snapshot
from tests.backend.steps.audited import another, machine_said, people
from tests.backend.world import World
from tests.browser.served import PASSWORD, TOKEN, USER, Wakes, deps_of

pytestmark = pytest.mark.slow

NUMBER = re.compile(r'<data value="([^"]*)" data-path="([^"]*)">([^<]*)</data>')


class Site:
    def __init__(self, world: World) -> None:
        self.world = world
        self.wakes = Wakes()
        self.client: FlaskClient
        self.open()

    def open(self) -> None:
        """A server that has just started: it remembers no reading."""
        self.client = create_app(deps_of(self.world, self.wakes)).test_client()
        self.client.post("/login", data={"user": USER, "password": PASSWORD})

    def advance(self) -> Phase:
        phase = self.world.advance().phase
        self.open()
        return phase

    def api(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = self.client.open(f"/api/v1/campaigns/1{path}", method=method, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.get_json()

    def page(self, path: str = "") -> str:
        return html.unescape(self.client.get(f"/campaigns/1{path}").text)

    def press(self, action: str, **fields: str) -> str:
        form = self.client.get(f"/campaigns/1/actions/{action}").text
        csrf = re.findall(r'name="csrf" value="([^"]+)"', form)[-1]
        done = self.client.post(f"/campaigns/1/actions/{action}", data={"csrf": csrf, **fields}, follow_redirects=True)
        return html.unescape(done.text)

    @property
    def offered(self) -> set[str]:
        return set(re.findall(r"/actions/([\w-]+)", self.page()))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Snapshot]]:
    world = World(tmp_path_factory.mktemp("site"), n=300)
    assert world.run().phase == Phase.FINISHED
    before = Snapshot.of(world)
    yield world, before
    before.close()
    world.store.close()


@pytest.fixture
def site(ended: tuple[World, Snapshot]) -> Site:
    world, before = ended
    before.restore(world)
    return Site(world)


def test_the_api_opens_an_audit_reports_it_and_calls_it_off(site: Site) -> None:
    said = site.api("POST", "/audit", {"size": 20, "confidence": 0.9})
    assert said["phase"] == "auditing" and len(said["notes"]) == 2 and site.wakes.jobs == [(1, "audit")]
    site.advance()
    people(site.world, n=5)
    site.advance()
    view = site.api("GET", "")
    assert view["queue"] == {**view["queue"], "kind": "audit", "asked": 20, "labelled": 5}
    (row,) = view["report"]["audits"]
    assert (row["status"], row["n_answered"], row["max_errors"]) == ("open", 5, None)
    assert sum(part["n"] for part in view["bar"]) == 300 and {"key": "audit", "name": "Audited", "n": 5} in view["bar"]
    assert "open audit, 5 of 20" in site.api("POST", "/audit", {}, status=400)["error"]
    assert site.api("POST", "/cancel-audit")["phase"] == "auditing"
    assert site.advance() == Phase.FINISHED
    assert site.api("GET", "/report")["audits"][0]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"size": 5.5}, "whole number"),
        ({"size": True}, "whole number"),
        ({"size": 5000}, "machine labels that are written, got 5,000"),
        ({"confidence": "high"}, "must be a number"),
        ({"confidence": 95}, "did you mean 0.95?"),
        ({"level": 0.9}, "'level'"),
    ],
)
def test_a_bad_request_opens_nothing_and_says_why(site: Site, body: dict[str, Any], says: str) -> None:
    assert says in site.api("POST", "/audit", body, status=400)["error"]
    assert site.world.state().phase == Phase.FINISHED


def test_the_page_asks_for_a_size_shows_the_result_and_offers_what_follows(site: Site) -> None:
    assert site.offered == {"audit", "check", "follow-up", "rollback"}
    form = site.page("/actions/audit")
    assert 'name="size"' in form and 'name="confidence"' in form and "empty: " in form
    assert "Nothing was done: size must be a whole number, got 'many'" in site.press("audit", size="many")
    assert "Audit 1: 60 of its" in site.press("audit", size="60").replace("Campaign 1: audit", "Audit")
    site.advance()
    assert site.offered == {"pause", "cancel-audit", "rollback"} and "0 of 60 labels of the blind sample" in site.page()
    said = machine_said(site.world)
    people(site.world, lambda task: another(said[task]))
    site.advance()
    page, report = site.page(), site.page("/report")
    assert "Audit 1: people labelled 60 of the" in page and site.offered == {"audit", "check", "take-back", "follow-up", "rollback"}
    assert "of all labels were the machine's and wrong" in report and "60 not confirmed" in report and "the machine said" in report
    assert "Audit 1 contradicts this" in report and "Audit 1: at most" in page
    answer = site.api("GET", "/report")
    numbers = NUMBER.findall(site.client.get("/campaigns/1/report").text)
    assert {path for _, path, _ in numbers} >= {"audits.0.upper_bound", "audits.0.upper_bound_left", "n_audit"}
    assert all(json.loads(html.unescape(value)) == formats.at(answer, path) for value, path, _ in numbers)
    assert "least sure machine labels are taken back" in site.press("take-back")
    assert site.advance() == Phase.RESIDUAL
