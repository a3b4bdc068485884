"""Writing S* to Label Studio while people work, and taking it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.campaign.state import Phase
from backend.label_studio.port import LabelStudioError
from backend.steps.rollback import rollback
from mcal_engine.errors import HistoryError, InvalidValue
from tests.backend.kills import advance_until
from tests.backend.world import CHOICES, World


def certified(tmp_path: Path) -> World:
    """A world in which the sample is answered and nothing has been written yet."""
    world = World(tmp_path, n=260)
    world.run(until=[Phase.CERTIFYING])
    world.label()
    return world


def interfere(world: World, method: str, act: Callable[[], None]) -> None:
    """Let people do something right before the next call of ``method``."""

    def before(name: str) -> None:
        if name == method:
            world.label_studio.before = None
            act()

    world.label_studio.before = before


def surest(world: World, n: int) -> list[int]:
    rows = world.store.frozen(world.campaign.id, 1)
    roles = world.state().roles
    return [row.task_id for row in rows if row.task_id not in roles][:n]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["import_predictions", "predictions_to_annotations"])
def test_a_label_that_comes_in_during_the_write_back_wins(tmp_path: Path, method: str) -> None:
    world = certified(tmp_path)
    tasks = surest(world, 3)

    def act() -> None:
        for task in tasks:
            world.label_studio.annotate(task, world.people[0], world.right(task))

    interfere(world, method, act)
    world.advance()
    report = world.run().report
    assert report is not None
    annotations, me = world.annotations(), world.label_studio.service_user.id
    for task in tasks:
        assert [annotation.completed_by for annotation in annotations[task]] == [world.people[0].id]
    assert sum(any(a.completed_by == me for a in rows) for rows in annotations.values()) == report["n_machine"]


@pytest.mark.slow
def test_a_skip_that_comes_in_before_the_write_back_leaves_the_task_to_people(tmp_path: Path) -> None:
    world = certified(tmp_path)
    task = surest(world, 1)[0]

    def act() -> None:
        world.label_studio.skip(task, world.people[0])

    interfere(world, "predicted_task_ids", act)
    world.advance()
    assert world.run().phase == Phase.FINISHED
    assert task not in world.machine_annotations()


@pytest.mark.slow
def test_a_human_label_on_a_machine_labelled_task_wins_later_too(tmp_path: Path) -> None:
    world = certified(tmp_path)
    open_task = world.advance().residual[-1].task_id
    machine = world.machine_annotations()
    first, second = sorted(machine)[:2]
    world.label_studio.annotate(first, world.people[0], world.right(first))
    world.label_studio.edit(machine[second].id, world.people[1], CHOICES[0])
    state = world.advance()
    assert state.stage == Phase.RESIDUAL and open_task in {item.task_id for item in state.residual}
    states = {row.task_id: row.state for row in state.machine_labels}
    assert states[first] == states[second] == "human"
    annotations = world.annotations()
    assert [a.completed_by for a in annotations[first]] == [world.people[0].id]
    assert [(a.choice, a.updated_by) for a in annotations[second]] == [(CHOICES[0], world.people[1].id)]
    report = world.run().report
    assert report is not None and report["n_machine"] == len(machine) - 2


@pytest.mark.slow
def test_a_machine_label_that_a_person_deletes_makes_the_task_theirs(tmp_path: Path) -> None:
    world = certified(tmp_path)
    world.advance()
    task, annotation = min(world.machine_annotations().items())
    world.label_studio.remove_annotation(annotation.id)
    state = world.advance()
    assert task in {item.task_id for item in state.residual}
    world.run()
    assert world.state().items[task].label == world.truth(task)


@pytest.mark.slow
def test_people_are_served_exactly_the_rest_and_the_sentinel_is_among_it(tmp_path: Path) -> None:
    world = certified(tmp_path)
    sentinel = world.state().sentinel
    state = world.advance()
    assert state.stage == Phase.RESIDUAL and state.sentinel is None
    rest = {item.task_id for item in state.unlabelled}
    assert state.queue is not None and world.label() == sorted(rest) == list(state.queue.ids)
    assert sentinel is not None and sentinel.task_id in rest
    assert world.advance().phase == Phase.FINISHED


@pytest.mark.slow
def test_frozen_predictions_that_were_tampered_with_are_not_used(tmp_path: Path) -> None:
    import sqlite3

    world = certified(tmp_path)
    with sqlite3.connect(world.path) as disk:
        disk.execute("UPDATE frozen SET label = 0 WHERE rank = 3")
        disk.execute("UPDATE frozen SET label = 1 WHERE rank = 4")
    disk.close()
    with pytest.raises(HistoryError, match="have been changed"):
        world.advance()


@pytest.mark.slow
def test_labels_of_the_sample_that_change_after_the_decision_change_nothing(tmp_path: Path) -> None:
    world = certified(tmp_path)
    before = world.advance().outcomes[0]
    for task, role in world.state().roles.items():
        if role == "certificate":
            world.label_studio.edit(world.annotations()[task][0].id, world.people[0], CHOICES[0])
    after = world.advance()
    assert (after.outcomes[0].errors == before.errors).all() and after.stage == Phase.RESIDUAL


@pytest.mark.slow
def test_rollback_removes_the_campaigns_own_labels_and_keeps_what_people_edited(tmp_path: Path) -> None:
    world = certified(tmp_path)
    world.run()
    machine = world.machine_annotations()
    edited = sorted(machine)[:3]
    for task in edited:
        world.label_studio.edit(machine[task].id, world.people[0], world.right(task))
    human = {task: [a.id for a in rows if task not in machine] for task, rows in world.annotations().items()}
    done = rollback(world.services, world.campaign.id, by="test")
    assert (done.n_removed, done.n_kept) == (len(machine) - 3, 3)
    after = world.annotations()
    assert world.machine_annotations() == {}
    assert all([a.id for a in after[task]] == ids for task, ids in human.items() if task not in machine)
    assert all(after[task][0].updated_by == world.people[0].id for task in edited)
    assert world.state().phase == Phase.ROLLED_BACK
    with pytest.raises(InvalidValue, match="rolled back already"):
        rollback(world.services, world.campaign.id, by="test")


@pytest.mark.slow
def test_rollback_in_the_middle_of_the_write_back_finds_what_was_written_and_not_recorded(tmp_path: Path) -> None:
    world = certified(tmp_path)
    before = {task: [a.id for a in rows] for task, rows in world.annotations().items()}
    advance_until(world, "label_studio.predictions_to_annotations")
    assert world.state().stage == Phase.WRITING_BACK and world.machine_annotations()
    rollback(world.services, world.campaign.id, by="test")
    assert {task: [a.id for a in rows] for task, rows in world.annotations().items()} == before
    project = world.label_studio.project(world.project)
    assert (project.sampling, project.model_version) == ("Sequential sampling", "")


@pytest.mark.slow
def test_after_a_rollback_the_project_can_be_a_campaign_again(tmp_path: Path) -> None:
    world = certified(tmp_path)
    world.run()
    rollback(world.services, world.campaign.id, by="test")
    world.begin()
    report = world.run().report
    assert report is not None and report["n_preexisting"] > 0 and report["human_labels"] < 260


def test_a_campaign_that_was_only_requested_is_cancelled_by_rollback(tmp_path: Path) -> None:
    world = World(tmp_path, n=200)
    assert rollback(world.services, world.campaign.id, by="test").n_removed == 0
    assert world.state().phase == Phase.CANCELLED and world.store.live_campaigns() == []


def test_rollback_refuses_while_a_worker_holds_the_campaign(tmp_path: Path) -> None:
    world = World(tmp_path, n=200)
    world.store.acquire_lease(world.campaign.id, "somebody", 600)
    with pytest.raises(InvalidValue, match="is being worked on"):
        rollback(world.services, world.campaign.id, by="test", wait_seconds=0)


@pytest.mark.parametrize("broken_off", ["import_predictions", "update_project"])
def test_a_task_that_was_locked_for_a_queue_nobody_came_to_serve_is_served_after_a_rollback(tmp_path: Path, broken_off: str) -> None:
    world = World(tmp_path)
    world.label_studio.fail(broken_off)
    with pytest.raises(LabelStudioError):
        world.advance()
    assert world.state().queue is not None and world.state().sentinel is None
    world.act("rollback")
    assert sorted(world.label()) == world.tasks
