"""What page, command line, API and report say of money: one set of numbers, at every moment, of labels that had to be bought."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.campaign import facts
from backend.campaign.state import Phase, State, derive
from backend.views.campaign import View, campaign_view
from backend.views.report import make_report
from backend.views.status import sentence
from backend.views.what_if import what_if
from mcal_engine import peeling
from mcal_engine.types import Acquire, LabelByMachine, PeelBatch
from tests.backend.steps.audited import audit
from tests.backend.world import World

pytestmark = pytest.mark.slow


def seen(world: World) -> tuple[State, View]:
    known = facts.load(world.store, world.campaign.id)
    state = derive(known, world.now())
    return state, campaign_view(state, known.campaign, known.events, state.at)


def agree(world: World) -> View:
    """Every place that speaks of money or of what is left says the same, and it adds up."""
    state, view = seen(world)
    money, report = view["money"], view["report"]
    assert report == make_report(state, state.at)
    assert (report["total_cost"], report["human_only_cost"]) == (money["total"], money["human_only"])
    assert (report["forecast"], report["savings"]) == (money["forecast"], money["savings"])
    assert view["pace"]["n_left"] == money["left"]
    assert sum(part["n"] for part in view["bar"]) == report["n_items"]
    bar = {part["key"]: part["n"] for part in view["bar"]}
    assert bar.get("planned", 0) == money["machine_left"] and bar.get("open", 0) + bar.get("planned", 0) == report["n_open"]
    if money["forecast"] is None:
        assert money["savings"] is None
        return view
    assert money["forecast"] >= money["total"] - 1e-9
    if state.progress is not None and state.queue is not None:
        assert money["left"] >= len(state.progress.missing)  # what people are asked for is left for them
    assert money["total"] + money["left"] * money["price_each"] + money["training_left"] == pytest.approx(money["forecast"])
    if money["low"] is not None and money["high"] is not None:
        assert money["total"] - 1e-9 <= money["low"] <= money["high"]
    alone = report["human_labels"] - report["duplicates"] - report["second_labels"] + report["n_open"] + report["n_machine"]
    assert money["human_only"] == pytest.approx(money["price_each"] * alone)
    assert money["savings"] is not None
    assert money["savings"] <= (report["n_machine"] + money["machine_left"]) / alone + 1e-9
    if state.observations:
        assert what_if(state, {})["now"]["total_cost"] == money["forecast"]
    if state.phase == Phase.COLLECTING and isinstance(state.decision, Acquire) and "forecast" in sentence(state):
        assert f"forecast {money['forecast']:,.2f}" in sentence(state)
    return view


def live(world: World, *, approval: bool = False) -> list[dict[str, Any]]:
    """Run to the end in small steps; what each moment after the machine's labels were decided forecast, and the end."""
    moments = []
    world.advance()
    for _ in range(400):
        state, view = seen(world)
        agree(world)
        if isinstance(state.decision, LabelByMachine):
            moments.append({"phase": state.phase, "planned": len(state.planned), "forecast": view["money"]["forecast"]})
        if state.ended:
            return moments
        if state.phase == Phase.AWAITING_APPROVAL:
            assert approval and view["money"]["machine_left"] == len(state.planned)
            world.act("approve", by="test")
        world.label(17)
        world.advance()
    raise AssertionError(f"still {world.state().stage}")


def test_labels_that_were_there_before_save_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, n=220, start=False, test_size=None, batch_size=None)
    for task in world.tasks[:190]:
        world.label_studio.annotate(task, world.people[0], world.right(task))
    world.begin()
    live(world)
    report = world.state().report
    assert report is not None and report["n_preexisting"] == 190 and report["n_items"] == 220
    assert report["human_only_cost"] == pytest.approx(0.04 * 30)
    assert report["savings"] <= report["n_machine"] / 30 + 1e-9
    assert report["human_labels"] + report["n_machine"] == 30


@pytest.mark.parametrize("seed", range(4))
def test_at_every_moment_what_is_spent_and_what_is_left_make_the_bill(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    overlap = 0.2 if seed == 3 else 0.0
    world = World(tmp_path, n=240, start=False, hopeless=seed == 1, overlap_share=overlap, approve_write_back="on", seed=seed)
    chosen = random.permutation(world.tasks).tolist()
    before, empty, unreadable = chosen[: 40 * seed], set(chosen[60 * seed : 60 * seed + 24]), chosen[-5:]
    for task in before:
        world.label_studio.annotate(task, world.people[0], world.right(task))
    world.shelf.bad = {world.label_studio._tasks[task].image: "damaged" for task in unreadable}
    annotate = world.label_studio.annotate

    def mishaps(task: int, user: Any, choice: str | None, **more: Any) -> int:
        if random.random() < 0.05:  # somebody labels it twice
            annotate(task, world.people[1 - world.people.index(user)], choice, **more)
        return annotate(task, user, None if task in empty else choice, **more)

    world.label_studio.annotate = mishaps  # type: ignore[method-assign]
    world.begin()
    moments = live(world, approval=True)
    report = world.state().report
    assert report is not None and report["n_open"] == 0 and report["forecast"] == report["total_cost"]
    if seed != 1:
        assert report["n_machine"] > 0 and any(row["phase"] == Phase.AWAITING_APPROVAL and row["planned"] for row in moments)


def test_once_the_machine_s_labels_are_decided_the_forecast_is_the_bill(tmp_path: Path) -> None:
    world = World(tmp_path, approve_write_back="on")
    moments = live(world, approval=True)
    report = world.state().report
    assert report is not None and report["n_machine"] > 50
    assert {row["phase"] for row in moments} >= {Phase.AWAITING_APPROVAL, Phase.RESIDUAL, Phase.FINISHED}
    assert [row["forecast"] for row in moments] == pytest.approx([report["total_cost"]] * len(moments))
    before = agree(world)["money"]
    audit(world, size=30)
    during = agree(world)["money"]
    assert during["left"] == 30 and during["machine_left"] == 0
    assert during["forecast"] == pytest.approx(before["total"] + 30 * 0.04)
    state = world.run()
    after = agree(world)["money"]
    assert state.phase == Phase.FINISHED and after["forecast"] == after["total"] == pytest.approx(before["total"] + 30 * 0.04)


def test_in_a_peel_what_is_spent_and_what_is_left_make_the_bill_to_come(tmp_path: Path) -> None:
    world = World(tmp_path, n=260, certificate_rule="two_bands", max_looks=1, max_rounds=4, test_size=20, batch_size=10)
    world.trainer.skill = lambda request: 0.9
    peeled: list[float] = []
    phases: set[Phase] = set()

    def look() -> None:
        view, state = agree(world), world.state()
        phases.add(state.phase)
        if isinstance(state.decision, PeelBatch):
            tried = what_if(state, {})
            assert tried["then"] == tried["now"]
            assert what_if(state, {"target_error": 0.01})["then"]["decision"] == "HumanLabelAll"  # V was drawn for a larger ε
            assert view["money"]["machine_left"] <= len(peeling.standing(state.history).state.machine)
            assert view["money"]["forecast"] is not None
            peeled.append(view["money"]["forecast"])

    world.run(until=[Phase.CERTIFYING])
    world.trainer.during = look
    while not world.advance().ended:
        look()
        world.label(9)
    assert phases >= {Phase.PEELING, Phase.PEEL_DUE}
    bill = agree(world)["money"]["total"]
    assert len(set(peeled)) > 1 and all(abs(said - bill) <= 0.1 * bill for said in peeled)


def test_before_the_first_look_nothing_is_known_rather_than_nothing_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    _, view = seen(world)
    assert view["report"]["n_items"] is None and view["money"]["human_only"] is None and view["bar"] == []
    assert make_report(world.state(), world.now())["human_only_cost"] is None
