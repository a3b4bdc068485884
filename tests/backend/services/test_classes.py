"""What is known of each class, and how sure that is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from backend.services.classes import absent_from_test, classes, share
from backend.services.state import Phase
from mcal_engine.types import MachineLabel
from tests.backend.services.world import CHOICES, World


@pytest.mark.parametrize(("count", "n"), [(0, 12), (3, 40), (40, 40), (1, 1), (17, 230)])
def test_intervals_are_clopper_and_pearson_s(count: int, n: int) -> None:
    known = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
    found = share(count, n)
    assert found["low"] == pytest.approx(known.low) and found["high"] == pytest.approx(known.high)
    assert found["share"] == count / n


def test_nothing_counted_is_nothing_known() -> None:
    assert share(0, 0) == {"n": 0, "count": 0, "share": None, "low": None, "high": None}


def test_the_classes_add_up_to_what_was_measured(tmp_path: Path) -> None:
    world = World(tmp_path, n=300, test_size=60)
    state = world.run(until=[Phase.CERTIFYING])
    rows = classes(state, world.store.events(world.campaign.id))
    last = state.observations[-1]
    assert [row["choice"] for row in rows] == list(CHOICES)
    assert sum(row["wrong"]["n"] for row in rows) == len(last.test_ids)
    assert sum(row["wrong"]["count"] for row in rows) == int((~last.measurements[0].correct).sum())
    for row in rows:
        assert row["machine_wrong"]["count"] <= min(row["to_machine"]["count"], row["wrong"]["count"])
        assert row["to_machine"]["n"] == row["wrong"]["n"]
        assert row["sample"]["n"] == 0  # blind until it is decided
    assert state.decision is not None and state.decision.plan is not None
    planned = sum(row["to_machine"]["count"] for row in rows) / len(last.test_ids)
    assert planned == pytest.approx(state.decision.plan.theta * 300 / (300 - 60), abs=0.2)  # T itself is people's


def test_once_decided_the_sample_s_errors_are_told_by_the_machine_s_choice(tmp_path: Path) -> None:
    world = World(tmp_path, n=300)
    state = world.run()
    assert isinstance(state.decision, MachineLabel)
    rows = classes(state, world.store.events(world.campaign.id))
    frozen = {row.task_id: row for row in world.store.frozen(world.campaign.id, state.decision.look)}
    inside = [
        frozen[task]
        for task, role in state.roles.items()
        if role == "certificate" and task in frozen and frozen[task].rank < state.decision.n_ranked
    ]
    for place, row in enumerate(rows):
        mine = [each for each in inside if each.choice == place]
        assert row["sample"]["n"] == len(mine)
        assert row["sample"]["count"] == sum(state.items[each.task_id].label != place for each in mine)
    outcome = state.outcomes[-1]
    assert sum(row["sample"]["count"] for row in rows) == int(np.sum(outcome.errors[outcome.ranks < state.decision.n_ranked]))
    assert sum(row["machine"] for row in rows) == len(world.machine_annotations())


def test_a_class_that_the_test_set_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, hopeless=True)
    monkeypatch.setattr(world, "right", lambda task: CHOICES[task % 2])
    world.advance()
    assert absent_from_test(classes(world.state(), ())) == []  # nothing is measured yet
    world.label()
    rows = classes(world.advance(), world.store.events(world.campaign.id))
    assert absent_from_test(rows) == ["cat"]
