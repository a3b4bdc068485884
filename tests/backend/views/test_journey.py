"""Steps, whose move it is, and the error beside its target, through one whole campaign."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.state import ENDED, Phase
from backend.views.campaign import View
from backend.views.journey import AT
from backend.web.formats import bullet, gauge
from tests.backend.views.test_budget import view_of
from tests.backend.web.test_pages import browser_of
from tests.backend.world import World


def now_of(view: View) -> str | None:
    return next((step["name"] for step in view["steps"] if step["at"] == "now"), None)


@pytest.mark.slow
def test_one_way_from_the_first_labels_to_the_end(tmp_path: Path) -> None:
    world = World(tmp_path, approve_write_back="on")
    way: list[tuple[str | None, str]] = []
    for _ in range(80):
        state = world.advance()
        view = view_of(world)
        assert view["error"]["target"] == world.settings.target_error  # from the first minute on
        if (found := (now_of(view), view["move"])) not in way:
            way.append(found)
        if state.phase == Phase.FINISHED:
            break
        if state.phase == Phase.AWAITING_APPROVAL:
            world.act("approve")
        else:
            world.label()
    names = list(dict.fromkeys(name for name, _ in way))
    assert names[0] == "First labels" and names[-1] is None  # nothing is going on after the end
    assert [name for name in names if name] == [step["name"] for step in view["steps"] if step["name"] in names]
    assert ("Your yes", "you") in way and ("Search", "people") in way and way[-1] == (None, "nobody")
    assert view["error"]["at_most"] is not None and not view["error"]["forecast"]


def test_a_paused_campaign_is_the_admins_move_and_a_yes_that_is_not_asked_for_is_left_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    view = view_of(world)
    assert now_of(view) == "First labels" and view["move"] == "people"
    assert [step["name"] for step in view["steps"] if step["at"] == "left out"] == ["Your yes"]
    assert view["error"] == {"target": 0.05, "measured": None, "forecast": False, "at_most": None, "confidence": None}
    world.act("pause")
    assert view_of(world)["move"] == "you"
    world.act("rollback")
    assert view_of(world)["steps"] == [] and view_of(world)["move"] == "nobody"


def test_the_target_is_on_the_page_before_the_first_visit(tmp_path: Path) -> None:
    assert 'data-path="error.target"' in browser_of(World(tmp_path)).get("/campaigns/1").text


def test_the_lines_of_error_and_bill_are_on_one_scale_each() -> None:
    assert gauge({"target": 0.05, "measured": None, "at_most": None}) == {"target": 50.0, "measured": None, "at_most": None}
    wide = gauge({"target": 0.05, "measured": 0.2, "at_most": None})
    assert wide["measured"] == pytest.approx(100 / 1.1) and wide["target"] == pytest.approx(25 / 1.1)
    paid = {"total": 5.0, "forecast": 12.0, "low": 11.0, "high": 20.0, "human_only": 10.0}
    assert bullet(paid) == pytest.approx({"total": 25, "forecast": 60, "low": 55, "high": 100, "human_only": 50})
    assert bullet(dict.fromkeys(paid)) == dict.fromkeys(paid)


def test_every_stage_stands_somewhere_on_the_way() -> None:
    assert set(AT) == set(Phase) - {*ENDED, Phase.PAUSED, Phase.HALTED}
