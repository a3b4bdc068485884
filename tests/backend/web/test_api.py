from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from pyarrow import parquet

from backend.campaign import facts
from backend.campaign.state import Phase
from backend.views.report import make_report
from backend.views.series import error_curves
from backend.web.api.openapi import template
from backend.web.api.operation import PREFIX
from backend.web.app import create_app
from mcal_engine import engine
from mcal_engine.certificates import bands, uniform
from mcal_engine.types import Acquire, LabelByMachine, Observation
from tests.browser.digits import DIGITS, DigitWorld
from tests.browser.served import TOKEN, Wakes, deps_of

pytestmark = pytest.mark.slow

AS_PROGRAM = {"Authorization": f"Bearer {TOKEN}"}
SETTINGS: dict[str, Any] = {"test_size": 60, "batch_size": 20, "machine_price_per_hour": 3.0}


class Api:
    """A world, its API, and what was woken."""

    def __init__(self, world: DigitWorld) -> None:
        self.world = world
        self.wakes = Wakes()
        self.app = create_app(deps_of(world, self.wakes))
        self.client: FlaskClient = self.app.test_client()

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.client.get(PREFIX + path, headers=AS_PROGRAM)
        assert answer.status_code == status, answer.text
        return answer.get_json()

    def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self.client.open(PREFIX + path, method=method, json=body, headers=AS_PROGRAM)
        assert answer.status_code == status, answer.text
        return answer.get_json()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A campaign in its seventh round, with some labels in and one item skipped. Only to be looked at."""
    world = DigitWorld(tmp_path_factory.mktemp("running"), n=600, **SETTINGS)
    state = world.advance()
    for _ in range(6):
        world.label(skip=[state.queue.ids[3]] if state.queue and not state.observations else [])
        world.wait(minutes=20)
        state = world.advance()
    world.label(7)
    world.advance()
    assert world.state().phase == Phase.COLLECTING
    yield Api(world)
    world.store.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A campaign that was certified and has ended. Only to be looked at."""
    world = DigitWorld(tmp_path_factory.mktemp("finished"), n=600, **SETTINGS)
    assert world.run().phase == Phase.FINISHED
    yield Api(world)
    world.store.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Api]:
    """A campaign that has asked for its first labels."""
    world = DigitWorld(tmp_path, n=240, **SETTINGS)
    world.advance()
    yield Api(world)
    world.store.close()


def test_routes_and_description_are_the_same(running: Api) -> None:
    described = {(PREFIX + path, method.upper()) for path, methods in running.get("/openapi.json")["paths"].items() for method in methods}
    rules = [rule for rule in running.app.url_map.iter_rules() if rule.rule.startswith(PREFIX)]
    served = {(template(rule.rule), method) for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert described == served and len(served) >= 20


def test_the_description_names_every_setting(running: Api) -> None:
    document = running.get("/openapi.json")
    names = {row["name"] for row in running.get("/settings")["settings"]}
    assert set(document["components"]["schemas"]["CampaignSettings"]["properties"]) == names == set(running.get("/campaigns/1/settings"))


def test_the_campaign_s_numbers_are_the_engine_s(running: Api) -> None:
    view, state = running.get("/campaigns/1"), running.world.state()
    assert isinstance(state.decision, Acquire) and state.decision.plan is not None
    last = max(place for place, row in enumerate(state.history) if isinstance(row, Observation))
    decided = engine.decide(state.settings, state.history[: last + 1])
    assert isinstance(decided, Acquire) and decided.plan is not None
    assert view["plan"] == {name: getattr(decided.plan, name) for name in decided.plan.__slots__}
    assert view["money"]["forecast"] == pytest.approx(decided.plan.total_cost, rel=1e-12)
    assert view["money"]["savings"] == pytest.approx(1 - decided.plan.total_cost / (0.04 * (600 - view["n_set_aside"])))
    assert view["queue"]["labelled"] == 7 == state.progress.labelled  # type: ignore[union-attr]
    labelled = sum(item.label is not None for item in facts.load(running.world.store, 1).items)
    assert view["report"]["human_labels"] == labelled and view["money"]["human"] == pytest.approx(0.04 * labelled)
    assert sum(part["n"] for part in view["bar"]) == 600
    assert sum(row["labels"] for row in view["annotators"]) == labelled == sum(row["human"] for row in view["classes"])
    assert sum(row["wrong"]["n"] for row in view["classes"]) == len(state.observations[-1].test_ids)
    assert sum(row["wrong"]["count"] for row in view["classes"]) == int((~state.observations[-1].measurements[0].correct).sum())
    assert {row["name"] for row in view["annotators"]} == {"ann@example.com", "bob@example.com"} and view["title"] == "Digits"
    assert sum(row["today"] for row in view["annotators"]) == view["pace"]["labels_today"] == labelled
    assert view["pace"]["work_hours_left"] == pytest.approx(view["pace"]["n_left"] * 2.0 / 3600)  # people here take 2 s
    assert view["pace"]["finish_at"] > view["as_of"] and view["labour"]["seconds_per_label"] == 2.0
    assert sum(row["n"] for row in view["labour"]["kinds"]) == labelled
    assert view["pace"]["n_left"] == len(state.residual) - decided.plan.n_machine
    assert view["pace"]["hours_left"] == pytest.approx(view["pace"]["n_left"] / view["pace"]["labels_per_hour"])
    assert view["n_set_aside"] == len(view["set_aside"]) == 1 and view["set_aside"][0]["why"] == "skipped by people"
    aside = view["set_aside"][0]["task"]
    assert view["set_aside"][0]["readable"]
    assert running.client.get(f"{PREFIX}/campaigns/1/images/{aside}", headers=AS_PROGRAM).mimetype == "image/webp"


def test_the_report_is_the_command_line_s(finished: Api) -> None:
    state = finished.world.state()
    assert finished.get("/campaigns/1/report") == dict(make_report(state, finished.world.now())) == finished.get("/campaigns/1")["report"]


def test_the_charts_show_what_was_observed_and_decided(running: Api) -> None:
    found, state = running.get("/campaigns/1/series"), running.world.state()
    plans = [row.plan for row in state.history if isinstance(row, Acquire) and row.plan is not None]
    assert [point["total_cost"] for point in found["forecast"]] == [plan.total_cost for plan in plans]
    assert [point["n_train"] for point in found["forecast"]] == [row.n_train for row in state.observations]
    whole = found["curves"][-1]
    assert whole["theta"] is None
    for row, error in zip(state.observations, whole["error"], strict=True):
        wrong = row.survivors & ~row.measurements[0].correct
        assert error == pytest.approx(wrong.sum() / row.survivors.sum() * row.n_pool / row.n_items)
    assert found["fit"] is None and len(whole["fit_error"]) == len(whole["fit_n_train"]) > 10
    assert np.all(np.diff(whole["fit_error"]) <= 1e-12)


def test_before_there_can_be_a_fit_the_charts_say_why(running: Api) -> None:
    curves, trouble = error_curves(running.world.state().observations[:2], "frozen", 0.05, 0)
    assert trouble is not None and "4 training sizes" in trouble
    assert all(not curve["fit_error"] and len(curve["error"]) == 2 for curve in curves)


def test_what_if_is_what_the_engine_would_say_and_saves_nothing(running: Api) -> None:
    before = running.world.store.events(1)
    state = running.world.state()
    last = max(place for place, row in enumerate(state.history) if isinstance(row, Observation))
    found = running.get("/campaigns/1/what-if?target_error=0.1&price_per_label=0.2")
    tried = state.settings.model_copy(update={"target_error": 0.1, "price_per_label": 0.2})
    decided = engine.decide(tried, state.history[: last + 1])
    assert found["then"]["plan"] == {name: getattr(decided.plan, name) for name in decided.plan.__slots__}  # type: ignore[union-attr]
    assert found["changed"] == {"target_error": 0.1, "price_per_label": 0.2} and found["then"]["human_only_cost"] == pytest.approx(
        0.2 * (600 - 1)
    )  # one was skipped
    assert found["now"]["total_cost"] == running.get("/campaigns/1")["money"]["forecast"]
    assert running.world.store.events(1) == before


@pytest.mark.parametrize("query", ["target_error=5", "target_error=x", "seed=3", "nothing=1", "price_per_label=-1", "price_per_label=nan"])
def test_what_if_refuses_what_makes_no_sense(running: Api, query: str) -> None:
    assert query.split("=", maxsplit=1)[0] in running.get(f"/campaigns/1/what-if?{query}", 400)["error"]


def test_every_item_is_in_the_table_with_whose_label_it_is(finished: Api) -> None:
    answer = finished.client.get(f"{PREFIX}/campaigns/1/items.csv", headers=AS_PROGRAM)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    report = finished.get("/campaigns/1/report")
    assert len(rows) == 600 and answer.headers["Content-Disposition"].startswith("attachment")
    by = [row["by"] for row in rows]
    assert by.count("machine") == report["n_machine"] > 0 and by.count("human") == report["human_items"]
    assert all(("certified" in row["certificate"]) == (row["by"] == "machine") == bool(row["margin"]) for row in rows)
    annotations = finished.world.annotations()
    assert all(annotations[int(row["task"])][0].choice == row["label"] for row in rows)


def test_every_format_has_every_label_with_what_vouches_for_it(finished: Api, tmp_path: Path) -> None:
    def taken(file: str) -> bytes:
        answer = finished.client.get(f"{PREFIX}/campaigns/1/{file}", headers=AS_PROGRAM)
        assert answer.status_code == 200 and f'"campaign-1-{file}"' in answer.headers["Content-Disposition"], answer.text
        return answer.data

    report, choices = finished.get("/campaigns/1/report"), finished.world.state().control.choices
    truth = {task: rows[0].choice for task, rows in finished.world.annotations().items()}
    objects = [json.loads(line) for line in taken("items.jsonl").splitlines()]
    assert {row["task"]: row["label"] for row in objects} == truth
    likely = [row["probability"] for row in sorted(objects, key=lambda row: -(row["margin"] or 0)) if row["by"] == "machine"]
    assert len(likely) == report["n_machine"] and likely == sorted(likely, reverse=True) and all(0.5 < each < 1 for each in likely)
    lines = [json.loads(line) for line in taken("output.manifest").splitlines()]
    assert {line["label-metadata"]["mcal"]["task"]: choices[line["label"]] for line in lines} == truth
    assert [line["label-metadata"]["human-annotated"] for line in lines].count("no") == report["n_machine"]
    with zipfile.ZipFile(io.BytesIO(taken("dataset.zip"))) as archive:
        archive.extractall(tmp_path)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert card.startswith("---\nconfigs:") and card.endswith(taken("card.md").decode())
    splits = {name: parquet.read_table(tmp_path / f"data/{name}-00000-of-00001.parquet").to_pylist() for name in ("human", "machine")}
    assert {row["task"]: row["label"] for rows in splits.values() for row in rows} == truth
    assert len(splits["machine"]) == report["n_machine"] and all("certified" in row["certificate"] for row in splits["machine"])
    assert f"| the machine | {report['n_machine']:,} |" in card and finished.get("/campaigns/1/certificate")["headline"] in card


def test_the_certificate_s_words_carry_the_certificate_s_numbers(finished: Api) -> None:
    state, words = finished.world.state(), finished.get("/campaigns/1/certificate")
    assert isinstance(state.decision, LabelByMachine) and words["status"] == "certified"
    outcome = state.outcomes[-1]
    level = uniform.level_of_look(0.95, 1)
    checked = uniform.certify(outcome, allowed=30, level=level)
    text = " ".join(words["steps"])
    assert f"labels the {checked.n_machine:,} surest" in text and f"{int(outcome.errors.sum()):,} predictions were wrong" in text
    assert "allows 30 errors among 600" in text and f"at most {level:.1%}" in text and f"{checked.tolerated}" in text


def test_review_shows_the_least_sure_and_errors_only_once_decided(finished: Api, running: Api) -> None:
    found, state = finished.get("/campaigns/1/review"), finished.world.state()
    sureties = sorted(row.surety for row in state.machine_labels)
    assert [tile["surety"] for tile in found["least_sure"]] == sureties[: len(found["least_sure"])]
    assert len(found["errors"]) == int(state.outcomes[-1].errors.sum()) and found["n_sample"] == len(state.outcomes[-1].ranks)
    before = running.get("/campaigns/1/review")
    assert before["least_sure"] == before["errors"] == [] and not before["certificate_decided"]


def test_while_people_label_v_nothing_tells_what_the_machine_said(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=600, **SETTINGS)
    world.run(until=[Phase.CERTIFYING])
    world.label(5)
    world.advance()
    api = Api(world)
    found = api.get("/campaigns/1/review")
    assert found["errors"] == [] and found["least_sure"] == []
    drawn = [task for task, role in world.state().roles.items() if role == "certificate"]
    assert all(api.client.get(f"{PREFIX}/campaigns/1/images/{task}", headers=AS_PROGRAM).status_code == 404 for task in drawn[:5])
    assert sum(row["machine"] for row in api.get("/campaigns/1")["classes"]) == 0
    world.store.close()


def test_a_check_by_eye_is_begun_and_judged_by_programs_too(finished: Api) -> None:
    finished.send("POST", "/campaigns/1/check", {"size": 3})
    ids = [item["task"] for item in finished.get("/campaigns/1/review")["open_check"]["items"]]
    number = finished.get("/campaigns/1/review")["checks"][-1]["check"]
    for side in (160, 640):
        path = f"{PREFIX}/campaigns/1/images/{ids[0]}?side={side}"
        assert finished.client.get(path, headers=AS_PROGRAM).mimetype == "image/webp"
    assert finished.client.get(f"{PREFIX}/campaigns/1/images/{ids[0]}?side=9000", headers=AS_PROGRAM).status_code == 400
    said = finished.send("POST", "/campaigns/1/judge", {"check": number, "right": ids[:2], "wrong": ids[2:]})
    assert (said["n_judged"], said["done"]) == (3, True)
    row = finished.get("/campaigns/1/review")["checks"][-1]
    assert (row["status"], row["n_wrong"], row["wrong"][0]["task"]) == ("decided", 1, ids[2])
    choice = row["wrong"][0]["machine"]
    least = finished.get(f"/campaigns/1/review?choice={choice}")
    assert {tile["machine"] for tile in least["least_sure"]} == {choice} and all(
        0 < tile["probability"] < 1 for tile in least["least_sure"]
    )
    assert finished.client.get(f"{PREFIX}/campaigns/1/review?choice=dog", headers=AS_PROGRAM).status_code == 400


def test_pictures_are_served_for_what_is_reviewed_and_nothing_else(finished: Api) -> None:
    shown = finished.get("/campaigns/1/review")["least_sure"][0]["task"]
    answer = finished.client.get(f"{PREFIX}/campaigns/1/images/{shown}", headers=AS_PROGRAM)
    assert answer.mimetype == "image/webp" and answer.data[8:12] == b"WEBP"
    items = finished.world.state().items.values()
    labelled = next(item.task_id for item in items if item.label is not None and item.machine_annotation_id is None)
    hidden = [task for task in (labelled, 999_999) if task not in {tile["task"] for tile in finished.get("/campaigns/1/review")["errors"]}]
    for task in hidden:
        assert finished.client.get(f"{PREFIX}/campaigns/1/images/{task}", headers=AS_PROGRAM).status_code == 404


def test_actions_are_events_wake_the_worker_and_are_seen_at_once(fresh: Api) -> None:
    assert fresh.send("POST", "/campaigns/1/pause")["phase"] == "paused"
    assert fresh.get("/campaigns/1")["phase"] == "paused"
    assert fresh.send("POST", "/campaigns/1/resume")["phase"] == "collecting"
    assert "stops its search" in fresh.send("POST", "/campaigns/1/stop")["notes"][0]
    assert fresh.wakes.jobs == [(1, "pause"), (1, "resume"), (1, "stop")]
    kinds = [event.kind for event in fresh.world.store.events(1)][-3:]
    assert kinds == ["paused", "resumed", "stop_requested"]


def test_label_all_leaves_everything_to_people_and_ends_well(fresh: Api) -> None:
    assert fresh.send("POST", "/campaigns/1/label-all")["phase"] == "residual"
    assert "no search to end" in fresh.send("POST", "/campaigns/1/label-all", status=400)["error"]
    state = fresh.world.run()
    assert state.phase == Phase.FINISHED and state.report is not None
    assert state.report["n_machine"] == 0 and state.report["human_items"] == 240 and state.report["stop_reason"] == "stopped_by_admin"
    assert fresh.get("/campaigns/1/certificate")["status"] == "by_hand"


def test_a_write_back_waits_for_the_api_s_yes_where_that_is_set(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=400, approve_write_back="on", **SETTINGS)
    api = Api(world)
    world.advance()
    assert "wait for a yes" in api.send("POST", "/campaigns/1/approve", status=400)["error"]
    world.run(until=[Phase.AWAITING_APPROVAL])
    view = api.get("/campaigns/1")
    assert view["phase"] == "awaiting_approval" and not world.machine_annotations()
    assert api.get("/campaigns/1/review")["n_machine"] > 0
    said = api.send("POST", "/campaigns/1/approve")
    assert said["phase"] == "writing_back" and api.wakes.jobs[-1] == (1, "approve")
    world.advance()
    assert world.machine_annotations()
    world.store.close()


def test_rollback_takes_the_machine_labels_out(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=600, **SETTINGS)
    world.run(until=[Phase.RESIDUAL, Phase.FINISHED])
    assert world.machine_annotations()
    assert "machine labels removed" in Api(world).send("POST", "/campaigns/1/rollback")["notes"][0]
    assert not world.machine_annotations() and world.state().phase == Phase.ROLLED_BACK
    world.store.close()


def test_settings_change_from_the_next_decision_on(fresh: Api) -> None:
    notes = fresh.send("PATCH", "/campaigns/1/settings", {"target_error": 0.02})["notes"]
    assert notes == ["target_error is 0.02 from the next decision on"]
    assert fresh.get("/campaigns/1/settings")["target_error"] == 0.02
    for bad in ({"target_error": 5}, {"nothing": 1}, {"seed": 9}):
        fresh.send("PATCH", "/campaigns/1/settings", bad, status=400)
    assert fresh.get("/campaigns/1/settings")["target_error"] == 0.02


@pytest.mark.parametrize("path", ["/estimate", "/campaigns"])
def test_a_project_that_label_studio_does_not_have_is_not_found_and_nobody_is_away(running: Api, path: str) -> None:
    answer = running.send("POST", path, {"project": 999, "settings": {"target_error": 0.05, "price_per_label": 0.04}}, 404)
    text = "Label Studio has no project 999"
    assert answer == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": text, "error": text}


def test_a_campaign_can_be_started_and_its_first_queue_is_what_the_estimate_said(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=400, start=False)
    api = Api(world)
    body = {"project": world.project, "settings": {"target_error": 0.05, "price_per_label": 0.04, "certificate_rule": "two_bands"}}
    said = api.send("POST", "/estimate", body)
    assert said["human_only_cost"] == 16.0 and said["allowed_errors"] == 20
    pool = 400 - said["n_test"] - said["n_train"]
    drawn = bands.plan(pool, allowed=20, level=0.05)
    assert drawn is not None and said["smallest_certificate"] == drawn.n_sample
    one_band = api.send("POST", "/estimate", {**body, "settings": {**body["settings"], "certificate_rule": "uniform"}})
    smallest = one_band["smallest_certificate"]
    assert [uniform.tolerated_errors(n_pool=pool, n_sample=n, allowed=20, level=0.05) for n in (smallest - 1, smallest)] == [None, 0]
    assert world.store.campaigns() == []
    made = api.send("POST", "/campaigns", body, status=201)
    assert made["campaign"] == 1 and api.wakes.jobs == [(1, "created")]
    world.campaign = world.store.campaign(1)
    state = world.advance()
    assert state.queue is not None and state.queue.n_asked == said["n_test"] + said["n_train"]
    assert "already has a campaign" in api.send("POST", "/campaigns", body, status=409)["detail"]
    assert [row["live_campaign"] for row in api.get("/projects")["projects"]] == [1]
    world.store.close()


def test_events_are_told_in_sentences_and_can_be_followed(running: Api) -> None:
    first = running.get("/campaigns/1/events")
    assert [row["seq"] for row in first["events"]] == list(range(1, len(first["events"]) + 1))
    opened = next(row for row in first["events"] if row["kind"] == "queue_opened")
    assert opened["payload"]["ids"] == {"count": 80} and "80 items asked for" in opened["sentence"]
    last = first["events"][-1]["seq"]
    assert running.get(f"/campaigns/1/events?after={last - 2}")["events"] == first["events"][-2:]
    assert running.get("/campaigns/1/events?limit=2") == {"events": first["events"][:2], "more": True}
    for query in ("after=x", "limit=0", "limit=201", "limit=-1"):
        running.get(f"/campaigns/1/events?{query}", 400)


def test_campaigns_come_page_by_page(running: Api) -> None:
    first = running.get("/campaigns?limit=1")
    assert [row["campaign"] for row in first["campaigns"]] == [1] and not first["more"]
    assert running.get("/campaigns?before=1") == {"campaigns": [], "more": False}


@pytest.mark.parametrize("path", ["", "/series", "/report", "/settings", "/events", "/what-if", "/review", "/certificate", "/items.csv"])
@pytest.mark.parametrize("name", ["2", "0", "99999999999999999999", "-1", "x"])
def test_an_unknown_campaign_is_a_404(running: Api, path: str, name: str) -> None:
    assert set(running.get(f"/campaigns/{name}{path}", 404)) in ({"error"}, {"type", "title", "status", "detail", "error"})


def test_metrics_are_the_api_s_numbers(running: Api) -> None:
    answer = running.client.get("/metrics", headers=AS_PROGRAM)
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    view = running.get("/campaigns/1")
    labels = {"campaign": "1", "project": str(view["project"]), "currency": "USD"}
    for name, value in {"forecast": view["money"]["forecast"], "human_labels": view["report"]["human_labels"]}.items():
        (sample,) = families[f"mcal_campaign_{name}"].samples
        assert (sample.labels, sample.value) == (labels, value) and families[f"mcal_campaign_{name}"].type == "gauge"
    (phase,) = families["mcal_campaign_phase"].samples
    assert (phase.labels, phase.value) == ({**labels, "phase": "collecting"}, 1)
    assert families["mcal_campaign_spent"].documentation == "Money spent, in the campaign's currency."
    assert families["mcal_campaigns_unreadable"].samples[0].value == 0


def test_metrics_speak_openmetrics_to_who_asks_for_it(running: Api) -> None:
    answer = running.client.get("/metrics", headers={**AS_PROGRAM, "Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text") and answer.text.endswith("# EOF\n")


def test_the_choices_are_the_project_s(running: Api) -> None:
    assert [row["choice"] for row in running.get("/campaigns/1")["classes"]] == list(DIGITS)
