"""Watching a campaign from outside until something has come true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from backend.campaign.state import Phase, State
from backend.demo.house import House

LONGEST = 600.0  # seconds that any single thing may take on a busy machine


def until(house: House, come_true: Callable[[State], bool], *, every: float = 0.1, check: bool = True) -> State:
    """Wait; fails when a process ends by itself, the campaign halts for good, or it takes too long."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        if check:
            house.check()
        state = house.state()
        if come_true(state):
            return state
        assert state.phase != Phase.HALTED or (state.halt is not None and state.halt.mends_itself), state.halt
        time.sleep(every)
    raise AssertionError(f"still {house.state().phase} after {LONGEST:g} s; {house.worker.log_tail()}")


def begin(house: House) -> None:
    """Connect the model and let people work once there is something to do."""
    house.connect()
    until(house, lambda state: state.published is not None)
    house.start_annotators()


def finish(house: House) -> dict[str, Any]:
    """Wait for the end and send people home; returns the report."""
    state = until(house, lambda state: state.report is not None, every=0.5)
    house.stop_annotators()
    assert state.report is not None
    return state.report
