"""Histories that version 0.1 recorded: they load, except where they have what only that version can finish."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.events import Happening
from backend.campaign.history import Entry, entry
from backend.campaign.log import Log
from backend.campaign.state import state_of
from backend.campaign_settings import CampaignSettings
from backend.cli.campaign import shown
from backend.steering.control import change_settings, recorded_settings
from backend.store import Event, NewEvent
from backend.views.status import status_line
from mcal_engine import codec
from mcal_engine.errors import HistoryError
from mcal_engine.types import LabelByMachine, Plan, StopReason, Verdict
from tests.backend.world import World

LAST_VERSION = r"mcal 0\.1\.0 is the last version"


def machine_labels(**more: Any) -> dict[str, Any]:
    """The engine's decision as version 0.1 recorded it."""
    plan = Plan("frozen", 0.05, 0.04, 100, 0.5, 400, 90, 10, 20.0, 1.0, 21.0, 21.0)
    row = LabelByMachine("frozen", 450, 400, True, 0.01, 0.05, plan, Verdict(StopReason.CERTIFIED, "Certified."))
    recorded: dict[str, Any] = json.loads(json.dumps(codec.to_json(row)))
    return recorded | {"type": "MachineLabel"} | more


def event(kind: str, **payload: Any) -> Entry[Happening]:
    return entry(Event(1, kind, payload, datetime(2026, 9, 1, tzinfo=UTC)))


def settings(**more: Any) -> dict[str, Any]:
    return {"target_error": 0.05, "price_per_label": 0.04, **more}


def test_a_decision_of_version_0_1_loads_without_the_field_that_only_a_second_harvest_used() -> None:
    row = codec.from_json(machine_labels(last=True))
    assert row == codec.from_json(machine_labels()) and isinstance(row, LabelByMachine)


def test_settings_of_version_0_1_load_where_those_that_are_gone_have_their_defaults() -> None:
    log = Log()
    log.read(event("requested", source="page", settings=settings(second_harvest=0.0, error_scope="all")))
    assert log.settings.target_error == 0.05


@pytest.mark.parametrize("more", [{}, {"certificate_rule": "uniform", "max_looks": 3}])
def test_a_campaign_keeps_the_certificate_that_it_began_with_whatever_the_default_has_become(tmp_path: Path, more: dict[str, Any]) -> None:
    assert CampaignSettings(**settings()).certificate_rule == "cheaper"
    world = World(tmp_path)
    old = world.store.create_campaign(77, "http://elsewhere", [NewEvent("requested", {"source": "page", "settings": settings(**more)})])

    def rule() -> tuple[str, int]:
        found = state_of(world.store, old.id, world.now()).settings
        return found.certificate_rule, found.max_looks

    assert rule() == ("uniform", 3)
    change_settings(world.store, old.id, {"price_per_label": 0.05}, world.now(), by="ann")
    assert rule() == ("uniform", 3)
    assert recorded_settings(world.store, old.id)["certificate_rule"] == "uniform"


def test_a_decision_that_a_second_harvest_followed_is_refused_with_the_version_that_can_finish_it() -> None:
    with pytest.raises(HistoryError, match=LAST_VERSION):
        codec.from_json(machine_labels(last=False))


@pytest.mark.parametrize("kind", ["requested", "settings"])
def test_a_second_harvest_among_the_settings_is_refused_with_the_version_that_can_finish_it(kind: str) -> None:
    with pytest.raises(HistoryError, match=LAST_VERSION):
        Log().read(event(kind, source="page", by="ada", changed=[], settings=settings(second_harvest=0.3)))


def test_a_target_over_the_machine_labels_alone_is_refused_with_the_version_that_can_finish_it() -> None:
    with pytest.raises(HistoryError, match=f"error_scope = machine, .*{LAST_VERSION}"):
        Log().read(event("requested", source="page", settings=settings(error_scope="machine")))


@pytest.mark.slow
def test_an_observation_after_a_first_harvest_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run()
    rows = [event.payload["observation"] for event in world.store.events(world.campaign.id, kinds=("observation",))]
    assert codec.to_json(codec.from_json(rows[0] | {"n_machine": 0})) == rows[0]
    with pytest.raises(HistoryError, match=LAST_VERSION):
        codec.from_json(rows[0] | {"n_machine": 17})


def test_a_campaign_with_a_second_harvest_is_listed_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    world.advance()
    other = world.store.create_campaign(
        77, "http://elsewhere", [NewEvent("requested", {"source": "page", "settings": settings(second_harvest=0.3)})]
    )
    shown.campaigns(world.store, world.now(), as_json=True)
    rows = {row["campaign"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[world.campaign.id]["phase"] == "collecting"
    assert rows[other.id]["phase"] == "unreadable" and "mcal 0.1.0" in rows[other.id]["sentence"]
    with pytest.raises(HistoryError, match=LAST_VERSION):
        status_line(world.store, other.id, world.now())
