"""One campaign on a real Label Studio, run by an admin who uses nothing but the page: from the form to the rollback."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.demo import audit
from backend.demo.data import load
from backend.demo.house import House, Plan
from backend.web.formats import at
from mcal_engine.types import Acquire, Certify, LabelByMachine
from tests.browser.looking import axe, numbers, until
from tests.conftest import RealLabelStudio

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]

OpenPage = Callable[..., Any]
N = 300
SMALL = {"test_size": "40", "batch_size": "20", "certificate_size": "40", "work_ahead": "0"}
LONG = 400.0  # seconds that one step of a campaign may take on a busy machine
PHASE = "document.querySelector('#now')?.dataset.phase"


@pytest.fixture
def house(real_label_studio: RealLabelStudio, tmp_path: Path) -> Iterator[House]:
    with House(real_label_studio.server, tmp_path / "house", load(None, N, 0), Plan(extra_params={}, poll_seconds=1.0)) as made:
        yield made


def test_an_admin_runs_a_campaign_with_nothing_but_the_page(house: House, open_page: OpenPage) -> None:
    page = open_page(house.url, password=house.page_password)
    a_wrong_form_starts_nothing(house, page)
    a_right_one_starts_a_campaign(house, page)
    a_round_finishes_before_ones_eyes(house, page)
    a_pause_asks_once(house, page)
    what_if_saves_nothing(house, page)
    a_new_epsilon_is_saved_when_it_is_one(house, page)
    a_stop_leads_to_a_certificate_once_it_goes_on(house, page)
    every_number_is_the_apis_and_the_engines(house, page)
    the_machine_labels_are_written_when_the_admin_says_so(house, page)
    the_end_can_be_looked_at_and_taken_away(house, page)
    a_rollback_takes_the_machine_labels_back(house, page)


def a_wrong_form_starts_nothing(house: House, page: Any) -> None:
    page.wait_for_selector("#projects table", timeout=30_000)
    page.click(f"#projects a[href='/projects/{house.project.id}/start']")
    page.fill("#f-target_error", "5")
    page.fill("#f-price_per_label", "")
    page.click("summary >> text=more settings")
    page.fill("#f-test_size", "many")
    page.click("main button[type=submit]")
    assert "did you mean 0.05?" in page.inner_text("#e-target_error")
    assert "is required" in page.inner_text("#e-price_per_label")
    assert "many" in page.inner_text("#e-test_size")  # its section is open, or this would be empty
    assert "Nothing was started" in page.inner_text("[role=alert]")
    assert axe(page) == []
    assert house.store.campaigns() == []


def a_right_one_starts_a_campaign(house: House, page: Any) -> None:
    for name, text in {"target_error": "0.06", "price_per_label": "0.04", **SMALL}.items():
        page.fill(f"#f-{name}", text)
    page.select_option("#f-approve_write_back", "on")
    until(page, "document.querySelector('[data-show=human_only_cost]').textContent === '12.00 USD'", 30)
    page.click("main button[type=submit]")
    page.wait_for_url("**/campaigns/*")
    house.campaign_id = int(page.url.rsplit("/", 1)[1])
    waits(house, page, f"{PHASE} === 'collecting' && document.querySelector('#now').textContent.includes('0 of 60 labels in')")
    assert house.state().settings.approve_write_back == "on"


def a_round_finishes_before_ones_eyes(house: House, page: Any) -> None:
    page.evaluate("window.untouched = true")
    house.start_annotators()
    waits(house, page, "Number(document.querySelector('[data-path=\"queue.labelled\"]')?.value) > 0")
    waits(house, page, "document.querySelectorAll('#decisions .decisions li').length >= 2")
    waits(house, page, "document.querySelector('#chart-errors .main-svg') !== null")
    assert page.evaluate("window.untouched") is True
    assert axe(page) == []


def a_pause_asks_once(house: House, page: Any) -> None:
    page.click(".buttons >> text=Pause")
    assert "nothing new is served" in page.inner_text("main")
    page.click("text=Cancel")
    page.wait_for_selector("#now")
    assert house.store.events(house.campaign_id, kinds=("paused",)) == []
    page.click(".buttons >> text=Pause")
    page.click("main form button")
    waits(house, page, f"{PHASE} === 'paused'")
    assert isinstance(house.state().decision, Acquire)


def what_if_saves_nothing(house: House, page: Any) -> None:
    page.click(".tabs >> text=What if")
    page.wait_for_url("**/what-if")  # and for its script: a key pressed before it is there asks nothing
    page.focus("#s-target_error")
    page.keyboard.press("End")
    page.wait_for_selector("#outlook[data-asked]")
    asked = page.get_attribute("#outlook", "data-asked")
    answer = page.evaluate(f"fetch('/api/v1/campaigns/{house.campaign_id}/what-if?{asked}').then(answer => answer.json())")
    shown = numbers(page)
    assert shown["then.total_cost"] == answer["then"]["total_cost"] <= shown["now.total_cost"]
    assert shown["then.n_machine"] == answer["then"]["n_machine"]
    assert house.store.events(house.campaign_id, kinds=("settings",)) == []


def a_new_epsilon_is_saved_when_it_is_one(house: House, page: Any) -> None:
    page.click("text=Change the settings")
    page.fill("#f-target_error", "a quarter")
    page.click("main button[type=submit]")
    assert "a quarter" in page.inner_text("#e-target_error")
    assert house.store.events(house.campaign_id, kinds=("settings",)) == []
    page.fill("#f-target_error", "0.25")
    page.click("main button[type=submit]")
    page.wait_for_selector("text=target_error is 0.25 from the next decision on")
    (event,) = house.store.events(house.campaign_id, kinds=("settings",))
    assert event.payload["changed"] == ["target_error"]


def a_stop_leads_to_a_certificate_once_it_goes_on(house: House, page: Any) -> None:
    page.click(".buttons >> text=Stop and certify")
    page.click("main form button")
    page.wait_for_selector("text=A stop was requested by admin (page)")
    page.click(".buttons >> text=Resume")
    page.click("main form button")
    waits(house, page, f"{PHASE} === 'awaiting_approval'")
    state = house.state()
    (drawn,) = [row for row in state.history if isinstance(row, Certify)]
    assert drawn.plan is not None and drawn.plan.target_error == 0.25
    assert isinstance(state.decision, LabelByMachine)
    assert [event.kind for event in house.store.events(house.campaign_id, kinds=("paused", "resumed"))] == ["paused", "resumed"]


def every_number_is_the_apis_and_the_engines(house: House, page: Any) -> None:
    page.reload()  # nothing moves now: page, API and engine look at the same facts
    answer = page.evaluate(f"fetch('/api/v1/campaigns/{house.campaign_id}').then(answer => answer.json())")
    shown = numbers(page)
    assert len(shown) > 40
    assert shown.pop("machine.worker_seen") < 20  # the one number that time alone changes
    assert {path: value for path, value in shown.items() if at(answer, path) != value} == {}
    state = house.state()
    assert isinstance(state.decision, LabelByMachine) and state.decision.plan is not None
    assert shown["report.human_labels"] == state.n_labels_paid
    assert shown["money.forecast"] == pytest.approx(answer["money"]["total"] + 0.04 * answer["money"]["left"])
    assert shown["report.n_items"] == N


def the_machine_labels_are_written_when_the_admin_says_so(house: House, page: Any) -> None:
    planned = len(house.state().machine_labels)
    assert planned > 0
    assert not any(each.machine for each in audit.count(house.tasks(), house.service_user_id()))
    page.click(".buttons >> text=Write back")
    assert f"{planned:,} machine labels are written" in page.inner_text("main")
    page.click("main form button")
    waits(house, page, f"{PHASE} === 'finished'")
    assert sum(bool(each.machine) for each in audit.count(house.tasks(), house.service_user_id())) == planned
    house.stop_annotators()


def the_end_can_be_looked_at_and_taken_away(house: House, page: Any) -> None:
    report = house.state().report
    assert report is not None and report["certified"]
    page.click(".tabs >> text=Review")
    until(page, "[...document.querySelectorAll('.tiles img')].slice(0, 6).every(image => image.naturalWidth === 160)", 60)
    assert axe(page) == []
    page.click(".tabs >> text=Report")
    assert numbers(page)["n_machine"] == report["n_machine"]
    assert report["error_upper_bound"] <= 0.25
    assert f"With 95% confidence, at most {report['error_upper_bound']:.2%}" in page.inner_text(".certificate")
    assert axe(page) == []
    assert downloaded(page, "text=Report as JSON").startswith("{")
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "text=All items as CSV"))))
    assert len(rows) == N and sum(row["by"] == "machine" for row in rows) == report["n_machine"]


def a_rollback_takes_the_machine_labels_back(house: House, page: Any) -> None:
    n_machine = house.state().report["n_machine"]  # type: ignore[index]
    page.click(".tabs >> text=Overview")
    page.click(".buttons >> text=Roll back")
    assert f"{n_machine:,} machine labels of this campaign are removed" in page.inner_text("main")
    page.set_default_timeout(120_000)
    page.click("main form button")
    waits(house, page, f"{PHASE} === 'rolled_back'")
    assert not any(each.machine for each in audit.count(house.tasks(), house.service_user_id()))


def waits(house: House, page: Any, condition: str) -> None:
    """Watch the page until it shows something, as long as everything behind it is well."""
    until(page, condition, LONG, house.check)


def downloaded(page: Any, link: str) -> str:
    with page.expect_download() as waiting:
        page.click(link)
    return Path(waiting.value.path()).read_text(encoding="utf-8")
