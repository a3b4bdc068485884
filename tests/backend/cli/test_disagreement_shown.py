"""What two people disagree on, on the command line; and the doctor's word on who could give second labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.cli.app import run
from backend.cli.campaign import shown
from tests.backend.world import CHOICES, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """All 40 test items asked of two people, who differ on 12 of the 30 that both have labelled."""
    made = World(tmp_path_factory.mktemp("differ"), overlap_share=1.0)
    queue = made.advance().queue
    assert queue is not None
    for place, task in enumerate(queue.twice[:30]):
        made.label_studio.annotate(task, made.people[0], made.right(task))
        said = CHOICES[(made.truth(task) + 1) % 3] if place < 12 else made.right(task)
        made.label_studio.annotate(task, made.people[1], said)
    made.advance()
    return made


def test_a_campaign_shows_what_two_people_differ_on(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    shown.campaign(world.store, world.campaign.id, world.now(), as_json=False)
    text = " ".join(capsys.readouterr().out.split())
    assert "two people differ on 12 of 30: 40.0% [22.7%, 59.4%]" in text
    assert "finer than your people agree" in text
    assert "ann@example.com 12 of 30 (23% to 59%)" in text
    assert " / ".join(CHOICES[:2]) in text
    assert "30 of 40 second labels in" in text


def test_the_report_has_the_share_and_the_second_labels(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCAL_DATA_DIR", str(world.path.parent))
    assert run(["campaign", "report", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "30 of them second labels, asked for" in text
    assert "two people differ 40.0% on 12 of 30 (23% to 59%) items of the test set; the target is finer than people agree" in text
    assert run(["campaign", "report", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["disagreement"]["test"]["count"] == 12 and found["disagreement"]["warning"] == "strong" and found["second_labels"] == 30


def test_before_any_second_label_the_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = World(tmp_path, overlap_share=0.5)
    fresh.advance()
    shown.report(shown.report_of(fresh.store, 1, fresh.now()))
    assert "no item has a second label yet" in capsys.readouterr().out
