"""A queue in which some tasks are asked of two people: what each is served, when it ends, and what is left of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from backend.label_studio import queue
from backend.label_studio.port import Prediction, Task
from tests.conftest import RealLabelStudio
from tests.contracts.worlds import CONTROL, FakeWorld, RealWorld, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tasks_of(world: World, project_id: int, ids: list[int]) -> dict[int, Task]:
    return {task.id: task for task in world.port.tasks_by_id(project_id, CONTROL, ids)}


class OverlapQueueContract:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    def test_each_person_is_served_the_first_task_that_lacks_their_label_and_nobody_sees_the_other_s(self, world: World) -> None:
        project_id, ids = world.add_project(12)
        batch, twice = [ids[place] for place in (7, 2, 5, 9, 0, 3)], [ids[2], ids[9], ids[3]]
        world.port.set_overlap(project_id, twice, 2)
        queue.publish(world.port, project_id, "b1", batch, sentinel_ids=[ids[11]], control=CONTROL, now=NOW)
        given: dict[int, list[int]] = {task: [] for task in batch}
        idle, turn = 0, 0
        while idle < 2 and turn < 30:
            person = (world.ann, world.bob)[turn % 2]
            turn += 1
            open_to_me = [task for task in batch if len(given[task]) < (2 if task in twice else 1) and person.id not in given[task]]
            served = world.next_task(project_id, person)
            assert served == (open_to_me[0] if open_to_me else None)
            idle = 0 if served is not None else idle + 1
            if served is None:
                continue
            assert world.labels_shown(served, person) == []
            world.annotate(served, person, "one" if person == world.ann else "two")
            given[served].append(person.id)
        assert {task: len(people) for task, people in given.items()} == {task: 2 if task in twice else 1 for task in batch}
        found = tasks_of(world, project_id, batch)
        assert all(task.is_labeled for task in found.values())
        assert {task.id for task in found.values() if len(task.annotations) == 2} == set(twice)

    def test_one_person_alone_comes_to_an_end_and_the_other_finds_the_second_labels_waiting(self, world: World) -> None:
        project_id, ids = world.add_project(8)
        world.port.set_overlap(project_id, ids[1:3], 2)
        queue.publish(world.port, project_id, "b1", ids[:4], sentinel_ids=[ids[7]], control=CONTROL, now=NOW)
        for task in ids[:4]:
            assert world.next_task(project_id, world.ann) == task
            world.annotate(task, world.ann, "one")
        assert world.next_task(project_id, world.ann) is None
        assert [tasks_of(world, project_id, ids)[task].is_labeled for task in ids[:4]] == [True, False, False, True]
        for task in ids[1:3]:
            assert world.next_task(project_id, world.bob) == task
            world.annotate(task, world.bob, "one")
        assert world.next_task(project_id, world.bob) is None

    def test_what_was_closed_is_served_neither_with_the_next_queue_nor_with_the_rest(self, world: World) -> None:
        project_id, ids = world.add_project(8)
        world.port.set_overlap(project_id, ids[:2], 2)
        queue.publish(world.port, project_id, "b1", ids[:3], sentinel_ids=[ids[7]], control=CONTROL, now=NOW)
        for task in ids[:3]:
            assert world.next_task(project_id, world.ann) == task
            world.annotate(task, world.ann, "one")
        # Another queue leaves the unanswered second labels where they are: its import counts every task anew, by its own overlap.
        queue.publish(world.port, project_id, "b2", ids[3:5], sentinel_ids=[ids[7]], control=CONTROL, now=NOW)
        assert [(task.overlap, task.is_labeled) for task in tasks_of(world, project_id, ids[:2]).values()] == [(2, False)] * 2
        world.port.set_overlap(project_id, ids[:2], 1)
        for task in ids[3:5]:
            assert world.next_task(project_id, world.bob) == task
            world.annotate(task, world.bob, "one")
        assert world.next_task(project_id, world.bob) is None
        world.port.import_predictions(project_id, "final", [Prediction(ids[5], 0.9, "two")], CONTROL)
        world.port.predictions_to_annotations(project_id, "final", [ids[5]])
        queue.serve_rest(world.port, project_id, ids[7], model_version="rest", control=CONTROL)
        for task in ids[6:]:
            assert world.next_task(project_id, world.bob) == task
            world.annotate(task, world.bob, "one")
        assert world.next_task(project_id, world.bob) is None
        assert {(task.overlap, task.is_labeled, len(task.annotations)) for task in tasks_of(world, project_id, ids).values()} == {
            (1, True, 1)
        }


class TestFakeLabelStudio(OverlapQueueContract):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()


@pytest.fixture(scope="module")
def real_world(real_label_studio: RealLabelStudio) -> Iterator[RealWorld]:
    world = RealWorld(real_label_studio)
    yield world
    world.close()


@pytest.mark.contract
class TestRealLabelStudio(OverlapQueueContract):
    @pytest.fixture
    def world(self, real_world: RealWorld) -> World:
        return real_world
