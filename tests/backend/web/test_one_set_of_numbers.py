"""Page, API, command line and report at every phase of one campaign: one set of numbers."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.campaign.state import Phase
from backend.cli.campaign.shown import report_of
from backend.notify.events import notices
from backend.web import formats
from mcal_engine.types import Certify
from tests.backend.web.test_pages import NUMBER, api, browser_of
from tests.backend.world import World

pytestmark = pytest.mark.slow

SHARED = {  # of the report → of the campaign's money
    "human_cost": "human",
    "training_cost": "training",
    "total_cost": "total",
    "human_only_cost": "human_only",
    "forecast": "forecast",
    "savings": "savings",
}
PASSING = ("as_of", "wall_seconds", "pace", "training")  # what time alone changes


def numbers(client: FlaskClient, path: str) -> dict[str, Any]:
    """Every number of a page, by its place in the API's answer."""
    found = NUMBER.findall(client.get(path).text)
    return {place: json.loads(html.unescape(value)) for value, place, _ in found if not place.startswith(PASSING) and place not in PASSING}


def one_set(world: World, client: FlaskClient) -> Phase:
    now = api(client, "/campaigns/1")
    money, report = now["money"], now["report"]
    for place, value in numbers(client, "/campaigns/1").items():
        assert formats.at(now, place) == value, place
    for place, value in numbers(client, "/campaigns/1/report").items():
        assert formats.at(report, place) == value, place
    cli = report_of(world.store, 1, world.now())
    assert {name: cli[name] for name in report if name != "wall_seconds"} == {n: v for n, v in report.items() if n != "wall_seconds"}
    assert {name: report[name] for name in SHARED} == {name: money[other] for name, other in SHARED.items()}
    if report["rounds"] and money["forecast"] is not None:
        assert api(client, "/campaigns/1/what-if")["now"]["total_cost"] == money["forecast"]
    if money["forecast"] is not None:
        assert money["total"] + money["left"] * money["price_each"] + money["training_left"] == pytest.approx(money["forecast"])
        assert now["pace"]["n_left"] == money["left"]
    return Phase(now["phase"])


def test_in_a_peel_all_places_say_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, n=260, certificate_rule="two_bands", max_looks=1, max_rounds=4, test_size=20, batch_size=10)
    world.trainer.skill = lambda request: 0.9
    world.run(until=[Phase.PEELING])
    seen = {one_set(world, browser_of(world))}
    world.label(3)
    world.advance()
    seen.add(one_set(world, browser_of(world)))
    world.label()
    world.trainer.during = lambda: seen.add(one_set(world, browser_of(world)))
    world.advance()
    assert seen >= {Phase.PEELING, Phase.PEEL_DUE}


def test_at_every_phase_all_places_say_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, n=260, approve_write_back="on")
    seen = [one_set(world, browser_of(world))]
    audited = False
    for _ in range(60):
        state = world.advance()
        seen.append(one_set(world, browser_of(world)))
        if state.phase == Phase.AWAITING_APPROVAL:
            world.act("approve", by="test")
            seen.append(one_set(world, browser_of(world)))
        elif state.phase == Phase.FINISHED:
            if audited:
                break
            audited = True
            world.act("audit", by="test", size=20)
        else:
            world.label(23)
            seen.append(one_set(world, browser_of(world)))
    assert set(seen) >= {
        Phase.REQUESTED,
        Phase.COLLECTING,
        Phase.CERTIFYING,
        Phase.AWAITING_APPROVAL,
        Phase.WRITING_BACK,
        Phase.RESIDUAL,
        Phase.AUDITING,
        Phase.FINISHED,
    }


def test_the_size_that_is_told_of_a_certificate_sample_is_the_one_that_was_drawn(tmp_path: Path) -> None:
    world = World(tmp_path, n=260, certificate_rule="two_bands", max_looks=1, max_rounds=4, test_size=20, batch_size=10)
    world.trainer.during = lambda: labelled_outside(world, 6)  # what people label while the machine trains is not frozen
    state = world.run(until=[Phase.CERTIFYING])
    assert isinstance(state.decision, Certify)
    drawn = len(state.sample)
    assert 0 < drawn < state.decision.n_certificate
    client = browser_of(world)
    one_set(world, client)
    now = api(client, "/campaigns/1")
    assert now["decisions"][0]["title"] == f"draw a blind certificate sample of {drawn} items"
    assert (now["queue"]["asked"], now["report"]["looks"][0]["n_sample"]) == (drawn, drawn)
    outlook = api(client, "/campaigns/1/what-if")
    assert (outlook["now"]["n_certificate"], outlook["then"]["n_certificate"]) == (drawn, drawn)
    assert f"{drawn} items were drawn at random" in client.get("/campaigns/1/report").text
    told = [notice.text for notice in notices(state) if notice.kind == "decision"]
    assert any(f"sample of {drawn} items" in text for text in told)
    planned = str(state.decision.n_certificate)
    for page in ("", "/report", "/events", "/what-if"):
        assert f"sample of {planned} items" not in client.get(f"/campaigns/1{page}").text


def labelled_outside(world: World, n: int) -> None:
    open_tasks = [task.task_id for task in world.state().pool]
    for task in open_tasks[:n]:
        world.label_studio.annotate(task, world.people[0], world.right(task))
