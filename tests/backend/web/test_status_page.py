from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from backend.web.app import create_app
from mcal_engine.errors import MCALError
from tests.backend.web.world import World


def test_the_page_lists_each_campaign_with_its_sentence_and_links(world: World, client: FlaskClient) -> None:
    world.campaign(project_id=7)
    world.campaign(project_id=8)
    page = client.get("/campaigns").get_data(as_text=True)
    assert "Round 3 of campaign 1: 212 of 350 labels are in." in page and "Round 3 of campaign 2" in page
    assert page.index("campaign 2") < page.index("campaign 1:")
    assert 'href="/api/v1/campaigns/2/report"' in page and 'href="http://label-studio.test:8080/projects/8/"' in page


def test_without_campaigns_the_page_says_how_to_start_one(client: FlaskClient) -> None:
    assert "No campaign yet" in client.get("/campaigns").get_data(as_text=True)


def test_the_page_loads_nothing_from_elsewhere_and_nothing_inline(world: World, client: FlaskClient) -> None:
    world.campaign()
    answer = client.get("/campaigns")
    page = answer.get_data(as_text=True)
    (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
    with client.get(sheet) as found:
        assert found.status_code == 200
    assert "<script" not in page and "style=" not in page and "unsafe" not in answer.headers["Content-Security-Policy"]


def test_text_from_elsewhere_is_escaped(world: World) -> None:
    world.campaign()
    deps = replace(world.deps(), sentence=lambda _: "<script>alert(1)</script>")
    page = create_app(deps).test_client().get("/campaigns").get_data(as_text=True)
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_one_campaign_without_a_sentence_does_not_hide_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.campaign(project_id=7)
    world.campaign(project_id=8)

    def sentence(campaign_id: int) -> str:
        if campaign_id == 1:
            raise MCALError("round 2 follows round 4")
        return "All is well."

    page = create_app(replace(world.deps(), sentence=sentence)).test_client().get("/campaigns").get_data(as_text=True)
    assert "All is well." in page and "round 2 follows round 4" in page and "campaign 1" in caplog.text


def test_the_report_is_json(world: World, client: FlaskClient) -> None:
    world.campaign()
    answer = client.get("/api/v1/campaigns/1/report")
    assert answer.status_code == 200 and answer.get_json() == {"campaign": 1, "n_items": 3000}


@pytest.mark.parametrize("name", ["2", "0", "99999999999999999999", "-1", "x"])
def test_the_report_of_an_unknown_campaign_is_a_404(world: World, client: FlaskClient, name: str) -> None:
    world.campaign()
    answer = client.get(f"/api/v1/campaigns/{name}/report")
    assert answer.status_code == 404 and list(answer.get_json()) == ["error"]
