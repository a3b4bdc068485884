from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.campaign.state import Phase
from backend.campaign_settings import CampaignSettings
from backend.store import Item, NewEvent
from backend.web import formats
from backend.web.app import create_app
from tests.backend.world import World
from tests.browser.digits import DigitWorld
from tests.browser.served import PASSWORD, TOKEN, USER, deps_of

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {"test_size": 60, "batch_size": 20, "machine_price_per_hour": 3.0}
NUMBER = re.compile(r'<data value="([^"]*)" data-path="([^"]*)">([^<]*)</data>')


def browser_of(world: World) -> FlaskClient:
    client = create_app(deps_of(world)).test_client()
    client.post("/login", data={"user": USER, "password": PASSWORD})
    return client


def csrf_of(page: str) -> str:
    return str(re.findall(r'name="csrf" value="([^"]+)"', page)[-1])


def api(client: FlaskClient, path: str) -> Any:
    return client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {TOKEN}"}).get_json()


@pytest.fixture(scope="module", params=["running", "finished"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    more: dict[str, Any] = {"price_per_hour": 72.0, "assisted_labelling": "on", "overlap_share": 0.25}
    world = DigitWorld(tmp_path_factory.mktemp(request.param), n=600, title="Digits & more", **more, **SETTINGS)
    world.advance()
    for _ in range(5):
        world.label()
        world.advance()
    world.label(5)
    world.advance()
    if request.param == "finished":
        assert world.run().phase == Phase.FINISHED
    yield browser_of(world)
    world.store.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[DigitWorld]:
    world = DigitWorld(tmp_path, n=240, **SETTINGS)
    world.advance()
    yield world
    world.store.close()


@pytest.mark.parametrize(
    ("page", "source", "least"),
    [("", "", 30), ("/live", "", 30), ("/report", "/report", 20), ("/what-if", "/what-if", 12), ("/review", "/review", 11)],
)
def test_every_number_on_a_page_is_the_api_s(seen: FlaskClient, page: str, source: str, least: int) -> None:
    answer = api(seen, f"/campaigns/1{source}")
    numbers = NUMBER.findall(seen.get(f"/campaigns/1{page}").text)
    assert len(numbers) >= least
    for value, path, text in numbers:
        assert json.loads(html.unescape(value)) == formats.at(answer, path), path
        assert re.search(r"\d", text) or "minute" in text or "certificate" in text or text == "–", (path, text)


def test_a_target_that_is_finer_than_people_agree_is_warned_of_on_page_and_report(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=240, overlap_share=1.0, **SETTINGS)
    queue = world.advance().queue
    assert queue is not None
    for task in queue.twice:
        for person, choice in zip(world.people, ("two", "seven"), strict=True):
            world.label_studio.annotate(task, person, choice)
    world.advance()
    client = browser_of(world)
    for page in ("/live", "/report"):
        text = client.get(f"/campaigns/1{page}").text
        assert '<p class="note bad">A target error of 5% is finer than your people agree' in text, page
        assert '<th scope="row">two / seven</th>' in text and "How often two people differ" in text
    world.store.close()


def test_tasks_that_were_labelled_twice_are_warned_of_on_page_and_report(fresh: DigitWorld) -> None:
    queue = fresh.state().queue
    assert queue is not None
    fresh.clock += timedelta(hours=7)  # the store's clock says when the campaign began
    for task in queue.ids[:5]:
        for person in fresh.people:
            fresh.label_studio.annotate(task, person, "two")
    fresh.advance()
    client = browser_of(fresh)
    for page in ("/live", "/report"):
        text = client.get(f"/campaigns/1{page}").text
        assert '<p class="note bad">5 of 10 paid labels (50.0%, ' in text and "let it use PostgreSQL" in text, page


@pytest.mark.parametrize("path", ["/campaigns", "/campaigns/1", "/campaigns/1/events", "/campaigns/1/review", "/campaigns/1/settings"])
def test_every_page_is_whole(seen: FlaskClient, path: str) -> None:
    answer = seen.get(path)
    assert answer.status_code == 200 and answer.text.count("<h1") == 1 and "</html>" in answer.text
    assert 'lang="en"' in answer.text and "None" not in re.sub(r"<[^>]*>", "", answer.text)


def test_the_settings_form_has_every_setting_with_its_description(seen: FlaskClient) -> None:
    page = html.unescape(seen.get("/campaigns/1/settings").text)
    for name, field in CampaignSettings.model_fields.items():
        assert f'name="{name}"' in page and f'id="f-{name}"' in page and (field.description or "") in page, name


def test_good_settings_are_saved_and_said(fresh: DigitWorld) -> None:
    client = browser_of(fresh)
    page = client.get("/campaigns/1/settings").text
    form = dict(re.findall(r'<input id="f-\w+" name="(\w+)" value="([^"]*)"', page)) | {
        "guarantee": "certified",
        "acquisition": "margin",
        "certificate_rule": "uniform",
    }
    answer = client.post("/campaigns/1/settings", data={**form, "csrf": csrf_of(page), "target_error": "0.03"}, follow_redirects=True)
    assert "target_error is 0.03 from the next decision on." in answer.text
    last = fresh.store.events(1)[-1]
    assert last.kind == "settings" and last.payload["changed"] == ["target_error"]


def test_boxes_of_one_setting_are_ticked_one_by_one_and_all_can_be_empty(fresh: DigitWorld) -> None:
    client = browser_of(fresh)
    for ticked, saved in ((["none", "attention", "finished"], ["attention", "finished"]), (["none"], [])):
        page = client.get("/campaigns/1/settings").text
        form = dict(re.findall(r'<input id="f-\w+" name="(\w+)" value="([^"]*)"', page))
        data = {**form, "csrf": csrf_of(page), "target_error": "0.05", "notify_about": ticked}
        assert client.post("/campaigns/1/settings", data=data).status_code == 303
        assert fresh.store.events(1)[-1].payload["settings"]["notify_about"] == saved
        boxes = re.findall(r'<input type="checkbox" name="notify_about" value="(\w+)" (checked)?', client.get("/campaigns/1/settings").text)
        assert [name for name, on in boxes if on] == saved and len(boxes) == 5


def test_the_list_shows_the_phase_of_each_campaign(seen: FlaskClient) -> None:
    (row,) = api(seen, "/campaigns")["campaigns"]
    assert f'class="dot {row["phase"]}"' in seen.get("/campaigns").text and row["phase"] == api(seen, "/campaigns/1")["phase"]


@pytest.mark.parametrize(("name", "text", "says"), [("target_error", "5", "did you mean 0.05?"), ("price_per_label", "", "is required"),
                                                    ("quorum", "x", "quorum"), ("seed", "7", "cannot change")])  # fmt: skip
def test_a_bad_setting_is_told_beside_its_field_and_nothing_is_saved(fresh: DigitWorld, name: str, text: str, says: str) -> None:
    client, before = browser_of(fresh), fresh.store.events(1)
    page = client.get("/campaigns/1/settings").text
    form = dict(re.findall(r'<input id="f-\w+" name="(\w+)" value="([^"]*)"', page)) | {"guarantee": "certified", "acquisition": "margin"}
    answer = client.post("/campaigns/1/settings", data={**form, "csrf": csrf_of(page), "target_error": "0.03", name: text})
    assert answer.status_code == 422 and fresh.store.events(1) == before
    (error,) = re.findall(r'<p class="error" id="e-(\w+)">([^<]*)</p>', answer.text)
    assert error[0] == name and says in html.unescape(error[1])
    assert f'value="{text}"' in answer.text and 'aria-invalid="true"' in answer.text


def test_an_action_asks_once_says_what_it_does_and_then_does_it(fresh: DigitWorld) -> None:
    client = browser_of(fresh)
    page = client.get("/campaigns/1/actions/label-all").text
    assert "240 items that are left" in page and "9.60 USD more" in page
    assert fresh.store.events(1)[-1].kind != "decision"
    done = client.post("/campaigns/1/actions/label-all", data={"csrf": csrf_of(page)}, follow_redirects=True)
    assert "people label the 240 residual items" in done.text
    again = client.get("/campaigns/1/actions/label-all").text
    assert "cannot be done now" in again and csrf_of(again)


def test_a_campaign_is_called_by_its_project_and_people_by_their_names(seen: FlaskClient) -> None:
    page = html.unescape(seen.get("/campaigns/1").text)
    assert "Campaign 1: Digits & more" in page and ">ann@example.com<" in page and ">bob@example.com<" in page
    assert "Digits & more" in html.unescape(seen.get("/campaigns").text)


def test_what_a_label_takes_and_costs_is_told_by_the_hour(seen: FlaskClient) -> None:
    page = re.sub(r"<[^>]*>", "", seen.get("/campaigns/1").text)
    assert "What a label takes: 2.0 s" in page and "At 72 USD per hour a label costs 0.04 USD" in page
    assert "training items, with suggestion" in page and "first test and training items" in page
    assert "at 72 per hour" in re.sub(r"<[^>]*>", "", seen.get("/campaigns/1/report").text)


def test_a_write_back_that_waits_for_a_yes_is_reviewed_and_approved_on_the_page(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=400, approve_write_back="on", **SETTINGS)
    assert world.run(until=[Phase.AWAITING_APPROVAL]).stage == Phase.AWAITING_APPROVAL
    client = browser_of(world)
    page = client.get("/campaigns/1").text
    assert "Waiting for the admin&#39;s yes to write" in page and set(re.findall(r"/actions/([\w-]+)", page)) >= {"approve", "label-all"}
    assert client.get("/campaigns/1/review").text.count("<img") >= 20
    ask = client.get("/campaigns/1/actions/approve").text
    assert "machine labels are written to Label Studio" in ask and "of all labels are wrong" in ask
    done = client.post("/campaigns/1/actions/approve", data={"csrf": csrf_of(ask)}, follow_redirects=True)
    assert "machine labels are written now" in done.text and world.run().phase == Phase.FINISHED
    world.store.close()


def test_what_cannot_be_done_is_not_offered(seen: FlaskClient) -> None:
    page = seen.get("/campaigns/1").text
    offered = set(re.findall(r"/actions/([\w-]+)", page))
    finished = 'data-phase="finished"' in page
    assert offered == ({"audit", "check", "follow-up", "rollback"} if finished else {"pause", "stop", "label-all", "rollback"})


def test_unknown_campaigns_and_actions_are_pages_too(seen: FlaskClient) -> None:
    for path in ("/campaigns/99", "/campaigns/99/settings", "/campaigns/1/actions/explode"):
        answer = seen.get(path)
        assert answer.status_code == 404 and "Nothing here" in answer.text


def test_label_studio_away_is_said_and_hides_nothing_else(fresh: DigitWorld) -> None:
    client = browser_of(fresh)
    fresh.label_studio.down = True
    assert client.get("/campaigns").status_code == 200
    assert 'class="note bad"' in client.get("/campaigns/projects").text
    assert client.get(f"/projects/{fresh.project}/start").status_code == 503


def test_text_from_label_studio_is_escaped(fresh: DigitWorld) -> None:
    fresh.label_studio.set_project(fresh.project, title="<script>alert(1)</script>")
    client = browser_of(fresh)
    for path in ("/campaigns/projects", f"/projects/{fresh.project}/start"):
        page = client.get(path).text
        assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_a_hundred_thousand_items_do_not_hold_up_the_page(fresh: DigitWorld) -> None:
    created = next(event for event in fresh.store.events(1) if event.kind == "created").payload
    settings = fresh.store.events(1)[0].payload
    made = fresh.store.create_campaign(
        99, "http://big.test", [NewEvent("requested", settings), NewEvent("created", {**created, "n_items": 100_000})]
    )
    at = datetime.now(UTC)
    rows = [Item(task, f"/{task}.png", None, None, None, None, None, 0, False, False, None, False, None, at) for task in range(1, 100_001)]
    fresh.store.upsert_items(made.id, rows)
    client = browser_of(fresh)
    shell = client.get(f"/campaigns/{made.id}")
    assert "Counting the labels" in shell.text and "data-now" in shell.text
    assert '<data value="100000" data-path="report.n_items">100,000</data>' in client.get(f"/campaigns/{made.id}/live").text
    assert "Counting" not in client.get(f"/campaigns/{made.id}").text  # at hand by now


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("money", 0.0, "0.00"),
        ("money", 0.001, "< 0.01"),
        ("money", 47.423, "47.42"),
        ("money", 12345.6, "12,346"),
        ("percent", 0.034, "3.4%"),
        ("percent", 0.604, "60%"),
        ("percent", -0.2, "-20%"),
        ("seconds", 0.04, "0.0 s"),
        ("seconds", 119, "119 s"),
        ("seconds", 600, "10 min"),
        ("hours", 0.01, "about a minute"),
        ("hours", 0.5, "about 30 min"),
        ("hours", 30, "about 30 h"),
        ("hours", 100, "about 4 days"),
        ("plain", None, "–"),
        ("plain", 0.04, "0.04"),
        ("plain", 30000, "30,000"),
    ],
)
def test_numbers_have_sensible_digits(kind: str, value: float, text: str) -> None:
    assert formats.KINDS[kind](value) == text


def test_what_a_bound_per_class_leaves_of_each_is_in_the_table_and_every_number_of_it_the_api_s(tmp_path: Path) -> None:
    world = World(tmp_path, n=600, test_size=80, min_class_precision=0.75)
    world.run()
    client = browser_of(world)
    answer = api(client, "/campaigns/1")
    bounds = [row["bound"] for row in answer["classes"]]
    assert {bound["status"] for bound in bounds} <= {"kept", "cut", "people", "none"}
    assert any(bound["n_machine"] for bound in bounds)
    text = html.unescape(client.get("/campaigns/1/live").text)
    assert '<th scope="col">0.75 right</th>' in text and "at least 0.75 are right" in text
    assert [bound["sentence"] for bound in bounds if bound["status"] in ("cut", "people") and bound["sentence"] not in text] == []
    for value, path, _ in NUMBER.findall(text):
        assert json.loads(html.unescape(value)) == formats.at(answer, path), path
    assert answer["report"]["class_bounds"] == bounds
    assert "of the machine's labels for each class" in html.unescape(client.get("/campaigns/1/report").text)
    tried = api(client, "/campaigns/1/what-if?min_class_precision=0.95")
    assert tried["changed"] == {"min_class_precision": 0.95}
    assert tried["then"]["n_machine"] < tried["now"]["n_machine"]
    world.store.close()


def test_a_finished_campaign_says_that_new_tasks_wait_and_opens_a_follow_up_for_them(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=220, **SETTINGS)
    assert world.run().phase == Phase.FINISHED
    client = browser_of(world)
    page = client.get("/campaigns/1").text
    assert 'data-load="/campaigns/1/newcomers"' in page and client.get("/campaigns/1/newcomers").text.strip() == ""
    world.label_studio.add_tasks(world.project, ["/data/new.png"])
    few = client.get("/campaigns/1/newcomers").text
    assert "1 task was added since this campaign finished" in few and "needs at least 200" in few and "/actions/" not in few
    world.label_studio.add_tasks(world.project, [f"/data/new{place}.png" for place in range(199)])
    enough = client.get("/campaigns/1/newcomers").text
    assert "200 tasks were added" in enough and "/campaigns/1/actions/follow-up" in enough
    assert api(client, "/campaigns/1/newcomers")["n"] == 200
    world.label_studio.down = True
    assert "is not known: Label Studio" in client.get("/campaigns/1/newcomers").text
    world.label_studio.down = False
    ask = client.get("/campaigns/1/actions/follow-up").text
    assert "its error bound is about the new tasks alone" in ask
    done = client.post("/campaigns/1/actions/follow-up", data={"csrf": csrf_of(ask)}, follow_redirects=True).text
    assert "Campaign 2 has been requested for the 200 tasks that were added since campaign 1 finished" in done
    assert set(re.findall(r"/actions/([\w-]+)", client.get("/campaigns/1").text)) == {"check"}  # it touches nothing
    assert client.get("/campaigns/1/newcomers").text.strip() == ""
    world.store.close()
