"""New tasks on a finished project: a campaign of their own that begins with the labels of the one before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.campaign.state import Phase, State, state_of
from backend.steering.actions import possible
from backend.steps.rollback import rollback
from backend.views.status import sentence
from mcal_engine.errors import InvalidValue
from tests.backend.world import World


def finished(directory: Path, n: int = 220) -> World:
    world = World(directory, n=n)
    assert world.run().phase == Phase.FINISHED
    return world


def add(world: World, n: int) -> list[int]:
    return world.label_studio.add_tasks(world.project, [f"/data/new{place}.png" for place in range(n)])


def follow_up(world: World) -> None:
    """Open the follow-up; from then on it is the world's campaign."""
    said = world.act("follow-up")
    (world.campaign,) = world.store.live_campaigns()
    assert f"campaign {world.campaign.id} has been requested for the" in said


def of(world: World, campaign: int) -> State:
    return state_of(world.store, campaign, world.now())


@pytest.mark.slow
def test_a_follow_up_is_about_the_new_tasks_and_begins_with_peoples_labels_of_the_old_ones(tmp_path: Path) -> None:
    world = finished(tmp_path)
    before, old = of(world, 1), set(world.tasks)
    people = {item.task_id: item.label for item in before.live if item.label is not None}
    machine = {task: row.id for task, row in world.machine_annotations().items()}
    assert people and machine and before.report is not None
    new = set(add(world, 260))
    follow_up(world)
    world.trainer.requests.clear()
    state = world.run()
    report = state.report
    assert state.phase == Phase.FINISHED and report is not None

    # X, T, V and S* are of the new tasks alone, B has people's labels of both, and never the machine's.
    assert {item.task_id for item in state.live} == new and report["n_items"] == 260
    assert set(state.roles) <= new and {row.task_id for row in state.machine_labels} <= new
    first = dict(zip(world.trainer.requests[0].train_ids.tolist(), world.trainer.requests[0].train_labels.tolist(), strict=True))
    assert {task: label for task, label in first.items() if task in old} == people
    assert all(set(request.test_ids.tolist()) | set(request.pool_ids.tolist()) <= new for request in world.trainer.requests)
    assert (report["follows"], report["n_inherited"]) == (1, len(people))

    # Money counts from its start on, and what was there before costs nothing.
    bought = sum(item.label is not None for item in state.live)
    assert report["human_labels"] == bought == report["human_items"] and report["n_preexisting"] == 0
    assert report["human_items"] + report["n_machine"] + report["n_set_aside"] == 260
    assert report["human_only_cost"] == pytest.approx(0.04 * 260) and report["savings"] <= report["n_machine"] / 260
    assert report["n_test"] + report["n_train"] + report["n_certificate"] + report["n_residual"] == report["human_items"]

    # The old one is as it was, in the store and in Label Studio.
    after = of(world, 1)
    assert (after.phase, after.report, after.machine_labels) == (Phase.FINISHED, before.report, before.machine_labels)
    assert {task: row.id for task, row in world.machine_annotations().items() if task in old} == machine

    # Each is rolled back by itself.
    removed = rollback(world.services, 2, by="test").n_removed
    assert removed == report["n_machine"] and {task: row.id for task, row in world.machine_annotations().items()} == machine
    assert rollback(world.services, 1, by="test").n_removed == len(machine) and world.machine_annotations() == {}


@pytest.mark.slow
def test_while_a_follow_up_is_under_way_the_old_campaign_is_left_alone(tmp_path: Path) -> None:
    world = finished(tmp_path)
    n = len(world.machine_annotations())
    assert "follow-up" in possible(of(world, 1)) and "rollback" in possible(of(world, 1))
    add(world, 200)
    follow_up(world)
    assert set(possible(of(world, 1))) == {"check"}, "it changes nothing in Label Studio"
    with pytest.raises(InvalidValue, match="campaign 2 is under way on the same project: roll that one back, or let it finish, first"):
        rollback(world.services, 1, by="test")
    state = world.advance()
    assert state.phase == Phase.COLLECTING and len(state.live) == 200
    served = world.label(30)
    assert min(served) > max(world.tasks) and len(world.machine_annotations()) == n
    world.act("rollback")
    assert len(world.machine_annotations()) == n and "rollback" in possible(of(world, 1))


@pytest.mark.slow
def test_too_few_new_tasks_are_refused_in_one_sentence_before_anything_is_created(tmp_path: Path) -> None:
    world = finished(tmp_path)
    for n in (0, 45):
        add(world, n)
        with pytest.raises(InvalidValue, match=rf"at least 200 tasks, and {n} were added since campaign 1 finished. Import the rest first"):
            world.act("follow-up")
    with pytest.raises(InvalidValue, match=r"machine labels of campaign 1, which has ended: follow that one up.*mcal campaign follow-up 1"):
        world.begin()
    assert len(world.store.campaigns()) == 1


def test_only_a_finished_campaign_can_be_followed_up(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.advance()
    with pytest.raises(InvalidValue, match="campaign 1 is collecting: only a finished one can be followed up"):
        world.act("follow-up")


@pytest.mark.slow
def test_new_tasks_that_go_before_the_first_look_make_the_follow_up_wait(tmp_path: Path) -> None:
    world = finished(tmp_path)
    new = add(world, 200)
    follow_up(world)
    world.label_studio.delete_task(new[0])
    assert "and 199 were added since campaign 1 finished" in sentence(world.advance())
    add(world, 1)
    assert world.advance().phase == Phase.COLLECTING


@pytest.mark.slow
def test_a_follow_up_can_be_followed_up_and_takes_all_labels_along(tmp_path: Path) -> None:
    world = finished(tmp_path)
    add(world, 200)
    follow_up(world)
    second = world.run()
    newest = add(world, 200)
    with pytest.raises(InvalidValue, match="machine labels of campaign 2"):
        _of_campaign(world, 1)()
    follow_up(world)
    state = world.advance()
    assert {item.task_id for item in state.live} == set(newest)
    assert len(state.inherited) == len(second.inherited) + sum(item.label is not None for item in second.live)


def _of_campaign(world: World, number: int) -> Callable[[], str]:
    world.campaign, latest = world.store.campaign(number), world.campaign

    def call() -> str:
        try:
            return world.act("follow-up")
        finally:
            world.campaign = latest

    return call
