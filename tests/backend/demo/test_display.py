"""What the demo prints: every decision once, counts now and then, and no control characters where there is no terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from backend.campaign.state import State, state_of
from backend.demo.display import Display
from backend.store import NewEvent, Store
from mcal_engine.types import Acquire

SETTINGS = {"target_error": 0.05, "price_per_label": 0.04}


@pytest.fixture
def state(tmp_path: Path) -> State:
    store = Store(f"sqlite:///{tmp_path / 'mcal.db'}")
    store.migrate()
    campaign = store.create_campaign(7, "http://localhost:8080", [NewEvent("requested", {"settings": SETTINGS, "source": "test"})])
    state = state_of(store, campaign.id, datetime.now(UTC))
    store.close()
    return state


def acquire(sentence: str) -> Acquire:
    return Acquire(0, 20, "margin", "frozen", ("frozen",), None, sentence)


def shown(states: list[State], *, terminal: bool, clock: list[float] | None = None) -> str:
    out = io.StringIO()
    times = iter(clock or [0.0] * 1000)
    with Display(Console(file=out, force_terminal=terminal, width=100), clock=lambda: next(times)) as display:
        for state in states:
            display.update(state)
    return out.getvalue()


def test_a_log_has_every_decision_once_and_no_control_characters(state: State) -> None:
    first = replace(state, history=(acquire("Round 0: 20 more [labels]."),))
    second = replace(state, history=(*first.history, acquire("Round 1: 20 more.")))
    log = shown([state, first, first, second, second], terminal=False)
    assert log.count("decided: Round 0: 20 more [labels].") == 1
    assert log.count("decided: Round 1") == 1
    assert log.index("Round 0") < log.index("Round 1")
    assert "\x1b" not in log


def test_a_log_repeats_nothing_that_has_not_changed(state: State) -> None:
    assert shown([state] * 5, terminal=False).count("waiting for the first visit") == 1


def test_counts_that_go_up_are_told_now_and_then(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(f"round 0: {number} of 200 labels" for number in range(100))
    monkeypatch.setattr("backend.demo.display.sentence", lambda _: next(lines))
    log = shown([state] * 40, terminal=False, clock=[float(second) for second in range(200)])
    assert 2 <= log.count("of 200 labels") <= 4


def test_a_terminal_shows_a_panel(state: State) -> None:
    panel = shown([state], terminal=True)
    assert "waiting for the first visit" in panel
    assert "labels" in panel
