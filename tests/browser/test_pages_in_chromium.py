"""What a person at the screen sees and does, in a real Chromium against a real server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backend.campaign.state import Phase
from backend.steps.ports import Heartbeat
from mcal_engine.training import Scored, TrainingRequest
from tests.browser.digits import SlowLearner
from tests.browser.looking import axe, numbers, until

pytestmark = pytest.mark.browser

House = Callable[..., Any]
PAGES = ["", "/what-if", "/review", "/report", "/events", "/settings", "/actions/stop"]


def play(world: Any, rounds: int) -> None:
    world.advance()
    for _ in range(rounds):
        world.label()
        world.advance()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_runs_off_a_narrow_screen(house: House, open_page: House, scheme: str) -> None:
    world, url = house(n=600)
    play(world, 5)
    world.label(5)
    world.advance()
    page = open_page(url, width=400, scheme=scheme)
    page.wait_for_selector("#projects table")
    for path in ["/campaigns", *(f"/campaigns/1{each}" for each in PAGES), f"/projects/{world.project}/start", "/login"]:
        page.goto(url + path)
        if path == "/campaigns/1":
            page.wait_for_selector("#chart-errors .main-svg")
            assert not page.is_visible("#race-figure")  # one classifier is no race
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path


def test_a_round_is_watched_without_loading_the_page_again(house: House, open_page: House) -> None:
    world, url = house(n=600)
    play(world, 4)
    page = open_page(url)
    page.goto(f"{url}/campaigns/1")
    page.wait_for_selector("#chart-forecast .main-svg")
    page.evaluate("window.untouched = true")
    before = numbers(page)
    assert before["report.human_labels"] == world.state().n_labels_paid
    world.label(9)
    world.advance()
    until(page, "document.querySelector('[data-path=\"queue.labelled\"]')?.value === '9'")
    world.label()
    world.advance()
    until(page, f"Number(document.querySelector('[data-path=\"report.human_labels\"]').value) > {before['report.human_labels'] + 15}")
    until(page, "document.querySelector('#chart-forecast').data.find(t => t.name === 'forecast total').x.length === 5")
    assert page.evaluate("window.untouched") is True
    state = world.state()
    assert numbers(page)["money.forecast"] == state.decision.plan.total_cost
    drawn = page.evaluate("document.querySelector('#chart-forecast').data.find(t => t.name === 'forecast total').y")
    assert drawn[-1] == state.decision.plan.total_cost


def test_a_campaign_is_started_from_the_page(house: House, open_page: House) -> None:
    world, url = house(n=400, start=False, title="Meter readings")
    page = open_page(url)
    page.click("#projects a.button")
    page.fill("#f-target_error", "5")
    page.fill("#f-price_per_label", "0.04")
    until(page, "document.querySelector('#estimate [data-say]').textContent.includes('did you mean 0.05')")
    page.click("button[type=submit] >> text=Start")
    assert "did you mean 0.05?" in page.inner_text("#e-target_error") and world.store.campaigns() == []
    page.fill("#f-target_error", "0.05")
    until(page, "document.querySelector('[data-show=human_only_cost]').textContent === '16.00 USD'")
    page.click("main button[type=submit]")
    page.wait_for_url("**/campaigns/1")
    assert "Waiting for the first visit to the project" in page.inner_text("#now")
    world.campaign = world.store.campaign(1)
    world.advance()
    until(page, "document.querySelector('#now').textContent.includes('0 of ')")


def test_pause_resume_and_stop_ask_once(house: House, open_page: House) -> None:
    world, url = house(n=240)
    world.advance()
    page = open_page(url)
    page.goto(f"{url}/campaigns/1")
    for action, phase in [("Pause", "paused"), ("Resume", "collecting")]:
        page.click(f".buttons >> text={action}")
        assert world.state().phase != phase
        page.click("main form button")
        page.wait_for_selector(f"#now[data-phase={phase}]")
        assert world.state().phase == phase
    page.click("text=Stop and certify")
    page.click("text=Cancel")
    assert world.state().stop_requested_by is None
    page.click("text=Stop and certify")
    page.click("main form button")
    page.wait_for_selector("text=A stop was requested by admin (page)")
    assert world.state().stop_requested_by == "admin (page)"


def test_sliders_ask_the_engine_and_a_changed_epsilon_is_in_the_next_decision(house: House, open_page: House) -> None:
    world, url = house(n=600)
    play(world, 5)
    page = open_page(url)
    page.goto(f"{url}/campaigns/1/what-if")
    saved = len(world.store.events(1))
    page.focus("#s-target_error")
    page.keyboard.press("End")
    page.wait_for_selector("#outlook[data-asked*='target_error=0.4']")
    asked = page.get_attribute("#outlook", "data-asked")
    answer = page.evaluate(f"fetch('/api/v1/campaigns/1/what-if?{asked}').then(answer => answer.json())")
    shown = numbers(page)
    assert shown["then.total_cost"] == answer["then"]["total_cost"] < shown["now.total_cost"]
    assert len(world.store.events(1)) == saved
    page.click("text=Change the settings")
    page.fill("#f-target_error", "0.1")
    page.click("main button[type=submit]")
    page.wait_for_selector("text=target_error is 0.1 from the next decision on")
    world.label()
    assert world.advance().decision.plan.target_error == 0.1


def test_the_point_on_the_curve_is_dragged_and_what_it_says_is_applied(house: House, open_page: House) -> None:
    world, url = house(n=600)
    play(world, 5)
    page = open_page(url)
    page.goto(f"{url}/campaigns/1/what-if")
    until(page, "document.querySelector('#curve').getAttribute('aria-busy') === 'false'")
    heights = page.evaluate(
        "document.querySelector('#curve polyline').getAttribute('points').split(' ').map(each => Number(each.split(',')[1]))"
    )
    assert len(heights) == 9 and heights[0] < heights[-1]  # a looser target is cheaper: the line falls
    assert page.is_disabled("#apply")
    box = page.locator("#curve > svg").bounding_box()
    across = box["x"] + 0.75 * box["width"]
    page.mouse.move(across - 90, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(across, box["y"] + 60, steps=3)
    page.mouse.up()
    assert page.input_value("#s-target_error") == "150" and abs(float(page.get_attribute("#curve circle", "cx").rstrip("%")) - 75) < 0.01
    until(page, "document.querySelector('#outlook').dataset.asked?.includes('target_error=0.141')")  # 0.05/8 · 64^0.75
    assert page.get_attribute("#outlook >> xpath=..", "aria-busy") == "false"
    page.click("#apply")
    page.wait_for_url("**/campaigns/1")
    assert world.state().wanted.target_error == 0.141 and world.state().wanted.price_per_label == world.settings.price_per_label


def test_a_sample_is_judged_by_key_and_ends_in_an_exact_bound(house: House, open_page: House) -> None:
    world, url = house(n=300, guarantee="estimate", approve_write_back="on")
    world.run(until=[Phase.AWAITING_APPROVAL])
    page = open_page(url, width=400)
    page.goto(f"{url}/campaigns/1/review")
    page.click("text=Check a random sample by eye")
    page.fill("[name=size]", "4")
    page.click("main form button.main")
    page.wait_for_url("**/review")
    assert axe(page) == [] and page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.wait_for_selector("#check .shown img")
    ids = world.state().checks[-1].ids
    for key, done in (("ArrowRight", "1"), ("ArrowLeft", "2")):
        page.keyboard.press(key)
        until(page, f"document.querySelector('#check-done').textContent === '{done}'")
    assert f"/data?task={ids[1]}" in page.get_attribute("#check-wrong a", "href")
    page.keyboard.press("ArrowUp")  # back to the second; it was right after all
    until(page, "document.querySelector('#check .said').textContent.includes('judged wrong')")
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#check-wrong').hidden")
    page.reload()  # nothing is lost, and it goes on with the third
    until(page, f"document.querySelector('#check .buttons a').href.includes('task={ids[2]}')")
    page.click("#check [data-say=wrong]")
    until(page, "document.querySelector('#check-done').textContent === '3'")
    page.click("#check [data-say=right]")
    page.wait_for_selector("text=1 is wrong")
    check = world.state().checks[-1]
    assert check.judged == {ids[0]: True, ids[1]: True, ids[2]: False, ids[3]: True} and check.by == "admin (page)"
    assert f"at most {check.result.max_errors} of the {check.n_machine} are wrong" in page.inner_text("main")


def test_review_report_and_rollback_of_a_finished_campaign(house: House, open_page: House) -> None:
    world, url = house(n=600)
    assert world.run().phase == Phase.FINISHED
    page = open_page(url)
    page.goto(f"{url}/campaigns/1/review")
    until(page, "[...document.querySelectorAll('.tiles img')].slice(0, 8).every(image => image.naturalWidth === 160)")
    assert axe(page) == []
    page.goto(f"{url}/campaigns/1/report")
    assert axe(page) == []
    assert numbers(page)["n_machine"] == world.state().report["n_machine"] > 0
    assert "With 96% confidence, at most 5.00%" in page.inner_text(".certificate")
    page.goto(f"{url}/campaigns/1/actions/rollback")
    assert f"{world.state().report['n_machine']:,} machine labels of this campaign are removed" in page.inner_text("main")
    page.click("main form button")
    page.wait_for_selector("#now[data-phase=rolled_back]")
    assert not world.machine_annotations()


def test_an_audit_is_opened_watched_and_read_on_the_page(house: House, open_page: House) -> None:
    world, url = house(n=600)
    assert world.run().phase == Phase.FINISHED
    written = len(world.machine_annotations())
    page = open_page(url, width=400)
    page.goto(f"{url}/campaigns/1/actions/audit")
    assert axe(page) == []
    page.fill("[name=size]", str(written + 1))
    page.click("main form button")
    assert page.url.endswith("/actions/audit")  # the form itself knows how many there are
    page.fill("[name=size]", "25")
    page.click("main form button")
    page.wait_for_selector("#now[data-phase=auditing]")
    world.advance()
    world.label(5)
    world.advance()
    until(page, "document.querySelector('[data-path=\"queue.labelled\"]')?.value === '5'")
    assert axe(page) == []
    world.label()
    assert world.advance().phase == Phase.FINISHED
    until(page, "document.querySelector('#audits')?.textContent.includes('people labelled 25 of the')")
    page.goto(f"{url}/campaigns/1/report")
    assert axe(page) == [] and page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert numbers(page)["audits.0.upper_bound"] == world.state().report["audits"][0]["upper_bound"]


def test_times_are_in_the_readers_zone_and_the_keyboard_gets_everywhere(house: House, open_page: House) -> None:
    world, url = house(n=240)
    world.advance()
    page = open_page(url)
    page.goto(f"{url}/campaigns/1")
    element = page.locator("time").first
    hour = int(re.findall(r"T(\d\d):", element.get_attribute("datetime"))[0])
    assert f"{(hour + 9) % 24:02}:" in element.inner_text()  # Tokyo
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
    assert {"Pause", "Stop and certify", "Roll back", "What if", "Log out"} <= reached


def test_charts_survive_a_change_of_the_colour_scheme(house: House, open_page: House) -> None:
    world, url = house(n=600)
    play(world, 4)
    page = open_page(url)
    page.goto(f"{url}/campaigns/1")
    page.wait_for_selector("#chart-errors .main-svg")
    light = page.evaluate("document.querySelector('#chart-errors').layout.font.color")
    page.emulate_media(color_scheme="dark")
    until(page, f"document.querySelector('#chart-errors').layout.font.color !== {light!r}")


class TwoLearners(SlowLearner):
    """Of two candidates ``cnn`` gets every third item wrong."""

    def __call__(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> Scored:
        scored = super().__call__(campaign_id, request, heartbeat)
        if request.classifier == "cnn":
            for logits in (scored.test_logits, scored.pool_logits):
                logits[::3] = np.roll(logits[::3], 1, axis=1)
        return scored


def test_a_race_of_two_classifiers_is_drawn_as_the_api_has_it(house: House, open_page: House) -> None:
    world, url = house(n=600, classifiers="frozen, cnn")
    world.trainer = TwoLearners(world.truth)
    world.fresh_services()
    play(world, 5)
    page = open_page(url, width=400)
    page.goto(f"{url}/campaigns/1")
    page.wait_for_selector("#chart-race .main-svg")
    race = page.evaluate("fetch('/api/v1/campaigns/1/series').then(answer => answer.json())")["race"]
    drawn = page.evaluate("document.querySelector('#chart-race').data.map(each => ({name: each.name, y: each.y}))")
    assert [each["name"].removesuffix(" (out)") for each in drawn] == ["frozen", "cnn"] == [each["classifier"] for each in race]
    assert [each["name"].endswith(" (out)") for each in drawn] == [each["out"] for each in race]
    assert [each["y"] for each in drawn] == [each["accuracy"] for each in race]
    assert drawn[0]["y"][-1] > drawn[1]["y"][-1]
    assert page.is_visible("text=Race of the classifiers")
    assert axe(page) == []


def test_the_page_is_painted_before_the_charts_library_is_even_asked_for(house: House, open_page: House) -> None:
    world, url = house(n=600)
    play(world, 5)
    page = open_page(url)
    page.goto(f"{url}/campaigns/1")
    page.wait_for_selector("#chart-forecast .main-svg")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    loaded = page.evaluate("performance.getEntriesByType('resource').map(each => [each.name, each.startTime])")
    (asked,) = [start for name, start in loaded if "plotly.min.js" in name]
    assert asked > painted
