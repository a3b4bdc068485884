"""``mcal campaign …`` on a real database: what is steered ends up in the history, what is shown comes from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.cli import app
from backend.cli.campaign import shown
from backend.jobs import JobQueue
from backend.store import NewEvent, Store
from tests.backend.world import World

URL = "http://localhost:8080"
SETTINGS = {"target_error": 0.05, "price_per_label": 0.04}
Mcal = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "QUEUE_URL", "MCAL_DATABASE_URL", "MCAL_QUEUE_URL", "MCAL_LABEL_STUDIO_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MCAL_DATA_DIR", str(tmp_path))
    opened = Store(f"sqlite:///{tmp_path / 'mcal.db'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def campaign(store: Store) -> int:
    return store.create_campaign(7, URL, [NewEvent("requested", {"settings": SETTINGS, "source": "test"})]).id


@pytest.fixture
def mcal(store: Store, capsys: pytest.CaptureFixture[str]) -> Mcal:
    """Run a command that succeeds; its output, decoded where it is JSON."""

    def call(*arguments: str) -> Any:
        assert app.run(["campaign", *arguments]) == 0
        shown = capsys.readouterr().out
        return json.loads(shown) if "--json" in arguments else shown

    return call


def kinds(store: Store, campaign: int) -> list[str]:
    return [event.kind for event in store.events(campaign)]


def test_without_campaigns_the_list_says_how_to_start_one(mcal: Mcal) -> None:
    assert "mcal campaign create" in mcal("list")
    assert mcal("list", "--json") == []


def test_the_list_has_each_campaign_in_a_sentence(mcal: Mcal, campaign: int) -> None:
    assert "waiting for the first visit" in mcal("list")
    (row,) = mcal("list", "--json")
    assert (row["campaign"], row["project"], row["phase"]) == (campaign, 7, "requested")


def test_pause_and_resume_are_events_and_wake_the_worker(mcal: Mcal, campaign: int, store: Store, tmp_path: Path) -> None:
    assert "is paused" in mcal("pause", str(campaign))
    assert mcal("list", "--json")[0]["phase"] == "paused"
    assert "paused already" in mcal("pause", str(campaign))
    assert mcal("resume", str(campaign), "--json")["phase"] == "requested"
    assert kinds(store, campaign) == ["requested", "paused", "resumed"]
    queue = JobQueue(f"sqlite:///{tmp_path / 'queue.db'}")
    assert queue.waiting() == [campaign]
    queue.close()


def test_stop_asks_for_an_end_of_the_search_once(mcal: Mcal, campaign: int, store: Store) -> None:
    assert "stops its search at the next decision" in mcal("stop", str(campaign), "--yes")
    assert "at the next decision already" in mcal("stop", str(campaign))  # nothing is left to say yes to
    assert kinds(store, campaign) == ["requested", "stop_requested"]


def test_set_changes_what_was_given_and_nothing_else(mcal: Mcal, campaign: int, store: Store) -> None:
    assert "target_error is 0.03" in mcal("set", str(campaign), "--target-error", "0.03")
    shown = mcal("show", str(campaign), "--json")
    assert shown["settings"]["target_error"] == 0.03
    assert shown["settings"]["price_per_label"] == 0.04
    assert "nothing changes" in mcal("set", str(campaign), "--target-error", "0.03")
    assert kinds(store, campaign) == ["requested", "settings"]


def test_a_bad_setting_leaves_the_campaign_as_it_was(campaign: int, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["campaign", "set", str(campaign), "--target-error", "5"]) == 2
    assert "did you mean 0.05?" in capsys.readouterr().err
    assert kinds(store, campaign) == ["requested"]


def test_show_and_report_work_from_the_first_moment(mcal: Mcal, campaign: int) -> None:
    assert "campaign 1 on project 7" in mcal("show", str(campaign))
    assert "nothing is known yet: the project has not been visited" in mcal("report", str(campaign))
    report = mcal("report", str(campaign), "--json")
    assert report["n_items"] is None
    assert report["human_labels"] == 0
    assert report["target_error"] == 0.05


def test_approve_says_what_is_missing_and_show_tells_of_people_and_time(
    mcal: Mcal, campaign: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["campaign", "approve", str(campaign)]) == 2
    assert "wait for a yes" in capsys.readouterr().err
    found = mcal("show", str(campaign), "--json")
    assert found["title"] == "" and found["annotators"] == [] and found["labour"]["n"] == 0
    assert set(found["pace"]) >= {"n_left", "work_hours_left", "finish_at", "people_today"}


@pytest.mark.slow
def test_show_and_report_tell_of_hours_people_and_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path / "world", price_per_hour=36.0, assisted_labelling="on")
    world.advance()
    world.label()
    world.advance()
    world.label()
    world.advance()
    shown.campaign(world.store, world.campaign.id, world.now(), as_json=False)
    text = capsys.readouterr().out
    assert (
        "on project 4 (Project)" in text
        and "left for people: " in text
        and "labels by 2 people in the last 24 h: at that pace done by" in text
    )
    assert "a label takes 2.0 s (" in text and ": 0.02 USD at 36 per hour" in text
    assert "ann@example.com" in text and "train, with suggestion" in text and "test items" in text
    shown.report(shown.report_of(world.store, world.campaign.id, world.now()))
    assert "h at 36 per hour; idle lead times cut to 5 medians" in capsys.readouterr().out
    world.store.close()


def test_what_cannot_be_taken_back_is_explained_and_who_says_no_changes_nothing(
    campaign: int, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda text: asked.append(text) or "n")
    for action, says in (("rollback", "has written no machine labels; it just ends"), ("stop", "No further training batch is asked for")):
        assert app.run(["campaign", action, str(campaign)]) == app.INTERRUPTED
        said = capsys.readouterr()
        assert said.out == "" and says in said.err and f"(campaign {campaign})?" in asked[-1]
    assert kinds(store, campaign) == ["requested"]
