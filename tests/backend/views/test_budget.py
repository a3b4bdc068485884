"""A budget that does not pay for the target is no success, and nothing says that it were."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.history import entries
from backend.campaign.state import Phase
from backend.views.campaign import View, campaign_view
from backend.views.certificate import certificate
from backend.views.report import make_report
from backend.views.status import sentence
from tests.backend.web.test_pages import browser_of
from tests.backend.world import World

pytestmark = pytest.mark.slow


def view_of(world: World) -> View:
    return campaign_view(world.state(), world.campaign, entries(world.store.events(world.campaign.id)), world.now())


def test_a_budget_that_misses_the_target_says_so_on_every_page(tmp_path: Path) -> None:
    world = World(tmp_path, hopeless=True, budget=6.0)
    state = world.run(until=[Phase.COLLECTING])
    while state.decision is None or state.decision.plan is None:
        world.label()
        state = world.advance()
    during = view_of(world)
    if not state.ended and during["plan"] is not None:
        assert during["plan"]["predicted_error"] > 0.05
        assert 'data-path="error.measured"' in browser_of(world).get("/campaigns/1").text
    state = world.run()
    report = make_report(state, state.at)
    assert report["error_estimate"] is not None and report["error_estimate"] > 0.1 and report["target_error"] == 0.05
    assert report["total_cost"] <= 6.0
    assert f"about {report['error_estimate']:.2%} of all labels are wrong, above the target of 5.00%" in sentence(state)
    assert view_of(world)["target_missed"]
    words = certificate(state, report)
    assert "the target is missed" in words["headline"] and "A budget of 6.00" in words["steps"][0]
    assert "guarantee" not in words["steps"][0]
    page = browser_of(world).get("/campaigns/1").text
    assert 'class="dot missed"' in page and 'class="dot finished"' not in page and "above the target" in page


def test_stopping_a_budget_s_search_promises_no_certificate(tmp_path: Path) -> None:
    world = World(tmp_path, budget=6.0)
    world.advance()
    said = browser_of(world).get("/campaigns/1/actions/stop").text
    promised = said.split("No further training batch")[1].split("</ul>")[0]
    assert "what the budget cannot pay for" in promised and "certificate" not in promised
