"""Searching, filtering and sorting campaigns, in the list and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.views.journey import Move
from backend.web.api.campaign_list import chosen
from backend.web.api.shapes import CampaignRow
from mcal_engine.errors import InvalidValue
from tests.backend.web.test_pages import api, browser_of
from tests.backend.world import CONFIG, World


def row(number: int, title: str, *, live: bool = True, move: Move = "people", sentence: str = "Round 2") -> CampaignRow:
    return CampaignRow(
        campaign=number, project=10 * number, title=title, created_at="", live=live, url="", phase="", move=move, sentence=sentence
    )


ROWS = [
    row(1, "Street signs", live=False, move="nobody", sentence="Finished: 80 of 100"),
    row(2, "apples"),
    row(3, "Signs at night", move="you", sentence="Paused while collecting"),
    row(4, "Zebras", live=False, move="nobody"),
]


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [4, 3, 2, 1]),
        ({"order": "oldest"}, [1, 2, 3, 4]),
        ({"order": "title"}, [2, 3, 1, 4]),
        ({"order": "waiting"}, [3, 2, 4, 1]),
        ({"show": "live"}, [3, 2]),
        ({"show": "yours"}, [3]),
        ({"show": "ended"}, [4, 1]),
        ({"search": "SIGNS"}, [3, 1]),
        ({"search": "signs finished"}, [1]),
        ({"search": "project 20"}, [2]),
        ({"search": "giraffe"}, []),
    ],
)
def test_rows_are_those_that_were_asked_for_in_order(asked: dict[str, str], numbers: list[int]) -> None:
    assert [each["campaign"] for each in chosen(ROWS, **asked)] == numbers


@pytest.mark.parametrize(
    ("asked", "says"), [({"show": "mine"}, "show must be one of all, live, yours, ended"), ({"order": "x"}, "order must")]
)
def test_what_cannot_be_asked_is_named(asked: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        chosen(ROWS, **asked)


def test_page_and_api_list_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    for _ in range(6):
        world.project = world.label_studio.add_project(CONFIG, [f"/data/{place}.png" for place in range(200)])
        world.begin()
    world.act("pause")
    client = browser_of(world)
    page = client.get("/campaigns?show=yours").text
    assert page.count('class="title"') == 1 and "Campaign 7</a>" in page and "Your move" in page
    assert [each["campaign"] for each in api(client, "/campaigns?show=yours")["campaigns"]] == [7]
    assert client.get("/campaigns/list?show=ended").text.count('class="title"') == 0
    assert [each["campaign"] for each in api(client, "/campaigns?search=paused")["campaigns"]] == [7]
    assert client.get("/campaigns?show=mine").status_code == 400
    assert 'name="search"' in client.get("/campaigns").text
