"""What this project relies on in Label Studio, checked on the real thing and on the fake that stands in for it elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.label_studio import queue, write_back
from backend.label_studio.inspection import Inspector
from backend.label_studio.port import LabelStudioError, LabelStudioPort, Prediction, Task
from backend.label_studio.queue import ProjectBefore, Sentinel
from backend.label_studio.transport import Connection
from backend.label_studio.write_back import PlannedLabel, WrittenLabel
from tests.conftest import RealLabelStudio
from tests.contracts.worlds import CONFIG, CONTROL, FakeWorld, RealWorld, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Interrupted:
    """The port, with something happening just before one of its methods works for the first time."""

    def __init__(self, port: LabelStudioPort, method: str, happening: Callable[[], Any]) -> None:
        self._port = port
        self._method = method
        self._happening: Callable[[], Any] | None = happening

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self._happening is not None:
            happening, self._happening = self._happening, None
            happening()
        return getattr(self._port, name)


def at_once(world: World, project_id: int, *task_ids: int) -> dict[int, Task]:
    return {task.id: task for task in world.port.tasks_by_id(project_id, CONTROL, task_ids)}


def pull_all(world: World, project_id: int, limit: int = 50) -> list[int]:
    """Two people take turns until both hear that there is nothing; labels everything they get."""
    pulled: list[int] = []
    idle = 0
    while idle < 2 and len(pulled) < limit:
        user = (world.ann, world.bob)[(len(pulled) + idle) % 2]
        task_id = world.next_task(project_id, user)
        if task_id is None:
            idle += 1
            continue
        world.annotate(task_id, user, "one")
        pulled.append(task_id)
        idle = 0
    return pulled


class LabelStudioContract:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    # Reading

    def test_the_service_user_the_version_and_the_project_are_known(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        project = world.port.project(project_id)
        assert world.port.current_user().email == "mcal@example.com"
        assert world.port.version().startswith("1.")
        assert (project.id, project.title, project.n_tasks, project.maximum_annotations) == (project_id, "Contract", len(ids), 1)
        assert project.label_config == CONFIG
        assert [each for each in world.port.projects() if each.id == project_id] == [project]

    def test_an_unknown_project_is_a_404_that_is_not_worth_a_retry(self, world: World) -> None:
        with pytest.raises(LabelStudioError, match="project 999999") as caught:
            world.port.project(999_999)
        assert (caught.value.status, caught.value.retryable) == (404, False)

    def test_tasks_come_with_labels_and_skips_and_who_made_them(self, world: World) -> None:
        project_id, ids = world.add_project(4)
        label = world.annotate(ids[1], world.ann, "two")
        skip = world.skip(ids[2], world.bob)
        tasks = {task.id: task for task in world.port.tasks(project_id, CONTROL)}
        assert sorted(tasks) == ids == world.port.task_ids(project_id)
        assert world.port.task_times(project_id) == {task.id: task.updated_at for task in tasks.values()}
        assert tasks[ids[3]].image == "https://images.test/3.png"
        (labelled,) = tasks[ids[1]].annotations
        assert (labelled.id, labelled.task_id, labelled.choice, labelled.completed_by) == (label, ids[1], "two", world.ann.id)
        assert (labelled.was_cancelled, labelled.lead_time, labelled.provenance) == (False, 2.0, None)
        (skipped,) = tasks[ids[2]].annotations
        assert (skipped.id, skipped.was_cancelled, skipped.choice) == (skip, True, None)
        assert [tasks[each].is_labeled for each in ids] == [False, True, False, False]

    def test_a_change_of_any_kind_shows_up_after_its_watermark(self, world: World) -> None:
        project_id, ids = world.add_project(6)
        labels = [world.annotate(each, world.ann, "one") for each in ids[:3]]
        watermark = max(task.updated_at for task in world.port.tasks(project_id, CONTROL))
        assert list(world.port.tasks(project_id, CONTROL, updated_since=watermark)) == []
        world.edit(labels[0], world.bob, "two")
        world.remove_annotation(labels[1])
        world.skip(ids[4], world.bob)
        changed = {task.id: task for task in world.port.tasks(project_id, CONTROL, updated_since=watermark)}
        assert sorted(changed) == [ids[0], ids[1], ids[4]]
        assert changed[ids[0]].annotations[0].choice == "two"
        assert changed[ids[1]].annotations == ()

    def test_a_task_s_data_is_what_was_imported(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        world.delete_task(ids[1])
        found = world.port.task_data(project_id, ids)
        assert set(found) == {ids[0], ids[2]}
        assert found[ids[2]] == {"image": "https://images.test/2.png"}
        assert world.port.task_data(project_id, []) == {}

    def test_tasks_by_id_leaves_out_what_is_gone(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        world.delete_task(ids[1])
        assert sorted(at_once(world, project_id, *ids)) == [ids[0], ids[2]]
        assert world.port.task_ids(project_id) == [ids[0], ids[2]]
        assert world.port.tasks_by_id(project_id, CONTROL, []) == []
        assert [world.port.n_tasks_after(project_id, task) for task in (0, ids[0], ids[1], ids[2])] == [2, 1, 1, 0]

    # Predictions

    def test_predictions_are_found_by_their_exact_version_and_deleted_by_it(self, world: World) -> None:
        project_id, ids = world.add_project(5)
        world.port.import_predictions(project_id, "q1", [Prediction(each, 0.5) for each in ids[:2]], CONTROL)
        world.port.import_predictions(project_id, "q11", [Prediction(each, 0.5) for each in ids[1:4]], CONTROL)
        assert world.port.predicted_task_ids(project_id, "q1", among=ids) == ids[:2]
        assert world.port.predicted_task_ids(project_id, "q11", among=ids[3:]) == [ids[3]]
        world.port.update_project(project_id, model_version="q1")
        world.port.delete_predictions(project_id, "q1")
        assert world.port.predicted_task_ids(project_id, "q1", among=ids) == []
        assert world.port.predicted_task_ids(project_id, "q11", among=ids) == ids[1:4]
        assert world.port.project(project_id).model_version == ""

    def test_predictions_can_be_deleted_on_some_tasks_and_leave_labels_and_others_predictions_alone(self, world: World) -> None:
        project_id, ids = world.add_project(4)
        world.port.import_predictions(project_id, "final", [Prediction(each, 0.5, "two") for each in ids], CONTROL)
        world.port.import_predictions(project_id, "theirs", [Prediction(ids[1], 0.5, "one")], CONTROL)
        world.port.predictions_to_annotations(project_id, "final", ids[:1])
        for _ in range(2):
            world.port.delete_predictions_on(project_id, "final", [ids[0], ids[1]])
        assert world.port.predicted_task_ids(project_id, "final", among=ids) == ids[2:]
        assert [world.stored(each) for each in ids] == [[], ["one"], ["two"], ["two"]]
        assert [each.choice for each in at_once(world, project_id, ids[0])[ids[0]].annotations] == ["two"]

    def test_a_prediction_that_label_studio_drops_is_an_error(self, world: World) -> None:
        project_id, ids = world.add_project(2)
        rows = [Prediction(ids[0], 0.5, "one"), Prediction(ids[1], 0.5, "no such choice")]
        with pytest.raises(LabelStudioError, match="created 1 of 2"):
            world.port.import_predictions(project_id, "q1", rows, CONTROL)

    def test_a_prediction_for_a_deleted_task_is_an_error_worth_a_retry(self, world: World) -> None:
        project_id, ids = world.add_project(2)
        world.delete_task(ids[0])
        with pytest.raises(LabelStudioError, match="deleted") as caught:
            world.port.import_predictions(project_id, "q1", [Prediction(each, 0.5) for each in ids], CONTROL)
        assert caught.value.retryable

    def test_a_version_without_predictions_cannot_be_served(self, world: World) -> None:
        project_id, _ = world.add_project(1)
        with pytest.raises(LabelStudioError) as caught:
            world.port.update_project(project_id, model_version="never imported")
        assert caught.value.status == 400

    # The queue

    def test_people_get_exactly_the_batch_in_order_and_then_nothing(self, world: World) -> None:
        project_id, ids = world.add_project(20)
        batch = [ids[index] for index in (7, 3, 11, 0, 15)]
        sentinel = queue.publish(world.port, project_id, "b1", batch, sentinel_ids=[ids[9]], control=CONTROL, now=NOW)
        assert sentinel == Sentinel(ids[9], NOW)
        assert pull_all(world, project_id) == batch
        project = world.port.project(project_id)
        assert (project.sampling, project.model_version, project.show_collab_predictions) == ("Uncertainty sampling", "b1", False)

    def test_without_a_sentinel_random_tasks_leak_which_is_why_there_is_one(self, world: World) -> None:
        project_id, ids = world.add_project(6)
        queue.publish(world.port, project_id, "b1", ids[:2], sentinel_ids=[], control=CONTROL, now=NOW)
        pulled = pull_all(world, project_id)
        assert pulled[:2] == ids[:2]
        assert sorted(pulled) == ids

    def test_publishing_again_changes_nothing_and_a_longer_list_extends_the_queue(self, world: World) -> None:
        project_id, ids = world.add_project(12)
        for batch in (ids[:2], ids[:2], ids[:4]):
            queue.publish(world.port, project_id, "b1", batch, sentinel_ids=[ids[9]], control=CONTROL, now=NOW)
        assert pull_all(world, project_id) == ids[:4]
        queue.publish(world.port, project_id, "b1", [*ids[:4], ids[11], ids[5]], sentinel_ids=[ids[9]], control=CONTROL, now=NOW)
        assert pull_all(world, project_id) == [ids[11], ids[5]]

    def test_a_publish_that_broke_off_is_finished_by_the_next(self, world: World) -> None:
        project_id, ids = world.add_project(10)
        world.port.lock_task(project_id, ids[9])
        world.port.import_predictions(project_id, "b1", [Prediction(ids[3], queue.score(0)), Prediction(ids[9], 1.0)], CONTROL)
        world.delete_task(ids[5])
        batch = [ids[3], ids[5], ids[1]]
        queue.publish(world.port, project_id, "b1", batch, sentinel_ids=[ids[9]], control=CONTROL, now=NOW)
        assert pull_all(world, project_id) == [ids[3], ids[1]]

    def test_the_next_queue_replaces_the_first_and_the_old_one_is_closed(self, world: World) -> None:
        project_id, ids = world.add_project(15)
        queue.publish(world.port, project_id, "b1", ids[:4], sentinel_ids=[ids[9]], control=CONTROL, now=NOW)
        straggler = world.next_task(project_id, world.ann)
        assert straggler == ids[0]
        with pytest.raises(ValueError, match="is being served"):
            queue.close(world.port, project_id, "b1")
        queue.publish(world.port, project_id, "b2", [ids[8], ids[7]], sentinel_ids=[ids[9]], control=CONTROL, now=NOW)
        queue.close(world.port, project_id, "b1")
        queue.close(world.port, project_id, "b1")
        assert world.port.predicted_task_ids(project_id, "b1", among=ids) == []
        assert world.next_task(project_id, world.ann) == ids[0]  # the lock outlives its queue
        world.annotate(ids[0], world.ann, "one")
        assert pull_all(world, project_id) == [ids[8], ids[7]]

    def test_a_skipped_task_is_offered_to_somebody_else(self, world: World) -> None:
        project_id, ids = world.add_project(6)
        queue.publish(world.port, project_id, "b1", ids[:2], sentinel_ids=[ids[5]], control=CONTROL, now=NOW)
        assert world.next_task(project_id, world.ann) == ids[0]
        world.skip(ids[0], world.ann)
        assert world.next_task(project_id, world.bob) == ids[0]
        assert world.next_task(project_id, world.ann) == ids[1]

    # Locks and the sentinel

    def test_a_lock_says_whether_it_holds(self, world: World) -> None:
        project_id, ids = world.add_project(4)
        world.port.update_project(project_id, sampling="Sequential sampling")
        assert world.next_task(project_id, world.ann) == ids[0]
        world.annotate(ids[1], world.ann, "one")
        world.delete_task(ids[2])
        assert [world.port.lock_task(project_id, each) for each in ids] == [False, False, False, True]
        assert world.port.lock_task(project_id, ids[3])

    def test_a_released_task_is_served_again_and_bears_no_trace(self, world: World) -> None:
        project_id, ids = world.add_project(1)
        world.port.lock_task(project_id, ids[0])
        assert world.next_task(project_id, world.ann) is None
        world.port.release_task(project_id, ids[0])
        task = at_once(world, project_id, *ids)[ids[0]]
        assert (task.annotations, task.is_labeled) == ((), False)
        assert world.next_task(project_id, world.ann) == ids[0]
        world.delete_task(ids[0])
        world.port.release_task(project_id, ids[0])

    @pytest.mark.parametrize("by", ["a person", "the machine"])
    def test_a_labelled_task_that_is_given_back_is_served_once_its_label_is_gone(self, world: World, by: str) -> None:
        project_id, ids = world.add_project(1)
        world.port.lock_task(project_id, ids[0])
        if by == "a person":
            world.annotate(ids[0], world.ann, "one")
        else:
            world.port.import_predictions(project_id, "m", [Prediction(ids[0], 1.0, "one")], CONTROL)
            world.port.predictions_to_annotations(project_id, "m", ids)
        label = at_once(world, project_id, *ids)[ids[0]].annotations
        queue.give_back(world.port, project_id, ids[0], CONTROL)
        task = at_once(world, project_id, *ids)[ids[0]]
        assert (task.annotations, task.is_labeled) == (label, True)
        world.port.delete_annotation(label[0].id)
        assert world.next_task(project_id, world.bob) == ids[0]

    @pytest.mark.parametrize("accident", ["labelled", "deleted", "taken"])
    def test_a_lost_sentinel_is_replaced(self, world: World, accident: str) -> None:
        project_id, ids = world.add_project(10)
        sentinel = queue.publish(world.port, project_id, "b1", ids[:2], sentinel_ids=[ids[9]], control=CONTROL, now=NOW)
        match accident:
            case "labelled":
                world.annotate(ids[9], world.ann, "one")
            case "deleted":
                world.delete_task(ids[9])
            case "taken":
                pull_all(world, project_id)
                world.port.release_task(project_id, ids[9])
                assert world.next_task(project_id, world.bob) == ids[9]
        kept = queue.keep_sentinel(world.port, project_id, "b1", sentinel, spare_ids=[ids[9], ids[6]], control=CONTROL, now=NOW)
        assert kept == Sentinel(ids[6], NOW)
        if accident == "taken":
            world.annotate(ids[9], world.bob, "one")
        assert pull_all(world, project_id) == ([] if accident == "taken" else ids[:2])

    def test_a_healthy_sentinel_is_kept_and_its_lock_renewed_in_time(self, world: World) -> None:
        project_id, ids = world.add_project(5)
        sentinel = queue.publish(world.port, project_id, "b1", ids[:1], sentinel_ids=[ids[4]], control=CONTROL, now=NOW)
        soon, later = NOW + timedelta(hours=1), NOW + timedelta(hours=13)
        assert queue.keep_sentinel(world.port, project_id, "b1", sentinel, spare_ids=[], control=CONTROL, now=soon) == sentinel
        renewed = queue.keep_sentinel(world.port, project_id, "b1", sentinel, spare_ids=[], control=CONTROL, now=later)
        assert renewed == Sentinel(ids[4], later)
        assert pull_all(world, project_id) == ids[:1]

    def test_the_rest_is_served_with_the_sentinel_among_it(self, world: World) -> None:
        project_id, ids = world.add_project(6)
        queue.publish(world.port, project_id, "b1", ids[:2], sentinel_ids=[ids[5]], control=CONTROL, now=NOW)
        pull_all(world, project_id)
        queue.serve_rest(world.port, project_id, ids[5], model_version="rest", control=CONTROL)
        assert pull_all(world, project_id) == ids[2:]

    # Overlap

    def test_a_task_with_overlap_two_goes_to_two_different_people(self, world: World) -> None:
        project_id, ids = world.add_project(5)
        world.port.set_overlap(project_id, [ids[2]], 2)
        queue.publish(world.port, project_id, "b1", [ids[2], ids[0]], sentinel_ids=[ids[4]], control=CONTROL, now=NOW)
        assert at_once(world, project_id, ids[2])[ids[2]].overlap == 2
        assert world.next_task(project_id, world.ann) == ids[2]
        assert world.next_task(project_id, world.bob) == ids[2]
        world.annotate(ids[2], world.ann, "one")
        assert not at_once(world, project_id, ids[2])[ids[2]].is_labeled
        assert world.next_task(project_id, world.ann) == ids[0]
        world.annotate(ids[2], world.bob, "two")
        assert at_once(world, project_id, ids[2])[ids[2]].is_labeled
        world.annotate(ids[0], world.ann, "one")
        assert [world.next_task(project_id, user) for user in (world.ann, world.bob)] == [None, None]

    def test_a_labelled_task_is_asked_of_somebody_else_again_and_closed_again(self, world: World) -> None:
        project_id, ids = world.add_project(4)
        queue.publish(world.port, project_id, "b1", ids[:2], sentinel_ids=[ids[3]], control=CONTROL, now=NOW)
        for task_id in ids[:2]:
            world.annotate(task_id, world.ann, "one")
        assert world.next_task(project_id, world.bob) is None
        world.port.set_overlap(project_id, ids[:2], 2)
        assert world.next_task(project_id, world.ann) is None  # who labelled it is not asked twice
        assert world.next_task(project_id, world.bob) == ids[0]
        assert world.shown(ids[0], world.bob) == []
        world.annotate(ids[0], world.bob, "two")
        world.port.set_overlap(project_id, ids[:2], 1)
        assert world.next_task(project_id, world.bob) is None
        tasks = at_once(world, project_id, *ids[:2])
        assert [(task.overlap, task.is_labeled, len(task.annotations)) for task in tasks.values()] == [(1, True, 2), (1, True, 1)]

    def test_setting_an_overlap_twice_changes_nothing_and_passes_over_what_is_gone(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        world.skip(ids[0], world.ann)
        world.delete_task(ids[1])
        for _ in range(2):
            world.port.set_overlap(project_id, ids, 2)
        before = at_once(world, project_id, *ids)
        assert {(task.overlap, task.is_labeled) for task in before.values()} == {(2, False)}
        world.port.set_overlap(project_id, ids, 2)
        assert at_once(world, project_id, *ids) == before

    # Suggestions

    def test_a_task_without_a_suggestion_is_blind_among_tasks_that_have_one(self, world: World) -> None:
        project_id, ids = world.add_project(8)
        batch, hints = [ids[4], ids[1], ids[2]], {ids[4]: "two", ids[2]: "one"}
        queue.publish(world.port, project_id, "b1", batch, sentinel_ids=[ids[7]], control=CONTROL, now=NOW, suggestions=hints)
        shown = {}
        for task in batch:
            assert world.next_task(project_id, world.ann) == task
            shown[task] = world.shown(task, world.ann)
            world.annotate(task, world.ann, "one")
        assert shown == {ids[4]: ["two"], ids[1]: [], ids[2]: ["one"]}
        assert world.stored(ids[1]) == []

    def test_a_blind_queue_shows_nothing_and_holds_nothing_after_one_with_suggestions(self, world: World) -> None:
        project_id, ids = world.add_project(8)
        queue.publish(world.port, project_id, "b1", ids[:2], sentinel_ids=[ids[7]], control=CONTROL, now=NOW, suggestions={ids[0]: "two"})
        queue.publish(world.port, project_id, "v1", ids[3:6], sentinel_ids=[ids[7]], control=CONTROL, now=NOW)
        for task in ids[3:6]:
            assert world.next_task(project_id, world.ann) == task
            assert world.shown(task, world.ann) == world.stored(task) == []
            world.annotate(task, world.ann, "one")
        assert not world.port.project(project_id).show_collab_predictions

    def test_the_rest_may_be_served_with_suggestions(self, world: World) -> None:
        project_id, ids = world.add_project(5)
        queue.publish(world.port, project_id, "b1", ids[:1], sentinel_ids=[ids[4]], control=CONTROL, now=NOW)
        pull_all(world, project_id)
        world.delete_task(ids[2])
        hints = {ids[1]: "two", ids[2]: "one"}
        for _ in range(2):
            queue.serve_rest(world.port, project_id, ids[4], model_version="rest", control=CONTROL, suggestions=hints)
        assert world.next_task(project_id, world.ann) == ids[1]
        assert world.shown(ids[1], world.ann) == ["two"]
        world.annotate(ids[1], world.ann, "two")
        assert world.next_task(project_id, world.ann) == ids[3]
        assert world.shown(ids[3], world.ann) == []

    def test_suggestions_of_tasks_that_are_all_gone_do_not_stop_the_rest(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        world.delete_task(ids[1])
        queue.serve_rest(world.port, project_id, None, model_version="rest", control=CONTROL, suggestions={ids[1]: "one"})
        assert pull_all(world, project_id) == [ids[0], ids[2]]

    def test_annotators_are_known_by_name(self, world: World) -> None:
        found = {user.id: user for user in world.port.users()}
        assert found[world.ann.id].email == "ann@example.com"
        assert found[world.port.current_user().id].email == "mcal@example.com"

    def test_a_project_gets_back_what_it_had(self, world: World) -> None:
        project_id, ids = world.add_project(4)
        before = world.port.project(project_id)
        queue.publish(world.port, project_id, "b1", ids[:2], sentinel_ids=[ids[3]], control=CONTROL, now=NOW)
        was = ProjectBefore.of(before)
        queue.restore(world.port, project_id, was, ids[3], CONTROL)
        assert world.port.project(project_id) == before
        queue.restore(world.port, project_id, ProjectBefore(before.sampling, "gone", True), None, CONTROL)
        assert world.port.project(project_id).model_version == ""
        assert len(pull_all(world, project_id)) == 4

    # Writing back

    def write(self, port: Any, world: World, project_id: int, ids: list[int]) -> list[write_back.Outcome]:
        planned = [PlannedLabel(each, "two", 0.9, {"campaign": 7, "margin": 0.5}) for each in ids]
        user = world.port.current_user().id
        return write_back.write_chunk(port, project_id, "final", planned, control=CONTROL, service_user_id=user)

    def test_machine_labels_are_the_service_users_and_carry_their_provenance(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        outcomes = self.write(world.port, world, project_id, ids[:2])
        tasks = at_once(world, project_id, *ids)
        for outcome in outcomes:
            (made,) = tasks[outcome.task_id].annotations
            assert (outcome.state, outcome.annotation_id) == ("written", made.id)
            assert (made.choice, made.completed_by, made.updated_by) == ("two", world.port.current_user().id, None)
            assert made.provenance == {"campaign": 7, "margin": 0.5, "model_version": "final"}
        assert [tasks[each].is_labeled for each in ids] == [True, True, False]

    def test_what_people_touched_is_left_to_them(self, world: World) -> None:
        project_id, ids = world.add_project(4)
        world.annotate(ids[0], world.ann, "one")
        world.skip(ids[1], world.ann)
        world.delete_task(ids[2])
        outcomes = self.write(world.port, world, project_id, ids)
        assert [outcome.state for outcome in outcomes] == ["human", "human", "gone", "written"]
        tasks = at_once(world, project_id, *ids)
        assert [len(tasks[each].annotations) for each in (ids[0], ids[1], ids[3])] == [1, 1, 1]

    def test_a_person_who_is_faster_than_the_write_wins(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        port = Interrupted(world.port, "predictions_to_annotations", lambda: world.annotate(ids[1], world.ann, "one"))
        outcomes = self.write(port, world, project_id, ids)
        assert [outcome.state for outcome in outcomes] == ["written", "human", "written"]
        (human,) = at_once(world, project_id, *ids)[ids[1]].annotations
        assert (human.completed_by, human.choice) == (world.ann.id, "one")

    def test_writing_again_writes_nothing_twice(self, world: World) -> None:
        project_id, ids = world.add_project(4)
        first = self.write(world.port, world, project_id, ids[:2])
        again = self.write(world.port, world, project_id, ids)
        assert again[:2] == first
        assert [len(task.annotations) for task in at_once(world, project_id, *ids).values()] == [1, 1, 1, 1]

    def test_a_lost_reply_that_doubled_a_label_is_settled_to_one(self, world: World) -> None:
        project_id, ids = world.add_project(2)
        rows = [Prediction(each, 0.9, "two", {"model_version": "final"}) for each in ids]
        for _ in range(2):
            world.port.import_predictions(project_id, "final", rows, CONTROL)
        outcomes = self.write(world.port, world, project_id, ids)
        tasks = at_once(world, project_id, *ids)
        assert [[each.id for each in tasks[outcome.task_id].annotations] for outcome in outcomes] == [[o.annotation_id] for o in outcomes]

    def test_a_person_who_labels_after_the_write_wins_at_the_next_look(self, world: World) -> None:
        project_id, ids = world.add_project(1)
        (outcome,) = self.write(world.port, world, project_id, ids)
        world.annotate(ids[0], world.ann, "one")
        me = world.port.current_user().id
        task = at_once(world, project_id, *ids)[ids[0]]
        assert write_back.yield_to_people(world.port, task, me) == [outcome.annotation_id]
        (left,) = at_once(world, project_id, *ids)[ids[0]].annotations
        assert left.completed_by == world.ann.id
        assert write_back.yield_to_people(world.port, at_once(world, project_id, *ids)[ids[0]], me) == []

    def test_removal_takes_back_its_own_and_keeps_what_a_person_edited(self, world: World) -> None:
        project_id, ids = world.add_project(5)
        outcomes = self.write(world.port, world, project_id, ids)
        written = [WrittenLabel(each.task_id, each.annotation_id or 0, "two") for each in outcomes]
        world.edit(written[1].annotation_id, world.ann, "one")
        world.annotate(ids[2], world.bob, "one")
        world.remove_annotation(written[3].annotation_id)
        me = world.port.current_user().id
        removal = write_back.remove(world.port, project_id, written[:4], control=CONTROL, service_user_id=me)
        assert (removal.removed, removal.kept) == ((ids[0], ids[2], ids[3]), (ids[1],))
        tasks = at_once(world, project_id, *ids)
        assert [[each.choice for each in tasks[task_id].annotations] for task_id in ids] == [[], ["one"], ["one"], [], ["two"]]
        assert tasks[ids[1]].annotations[0].completed_by == me  # editing does not change whose it is
        assert tasks[ids[1]].annotations[0].updated_by == world.ann.id
        again = write_back.remove(world.port, project_id, written[:4], control=CONTROL, service_user_id=me)
        assert again == removal

    def test_removal_spares_another_label_of_the_service_user_on_the_same_task(self, world: World) -> None:
        project_id, ids = world.add_project(1)
        for version in ("older", "final"):
            world.port.import_predictions(project_id, version, [Prediction(ids[0], 0.9, "two")], CONTROL)
            world.port.predictions_to_annotations(project_id, version, ids)
        older, newer = sorted(at_once(world, project_id, *ids)[ids[0]].annotations, key=lambda each: each.id)
        me = world.port.current_user().id
        write_back.remove(world.port, project_id, [WrittenLabel(ids[0], newer.id, "two")], control=CONTROL, service_user_id=me)
        assert [each.id for each in at_once(world, project_id, *ids)[ids[0]].annotations] == [older.id]

    def test_the_bulk_action_guards_against_nothing_which_is_why_we_do(self, world: World) -> None:
        project_id, ids = world.add_project(1)
        world.annotate(ids[0], world.ann, "one")
        world.port.import_predictions(project_id, "final", [Prediction(ids[0], 0.9, "two")], CONTROL)
        for _ in range(2):
            world.port.predictions_to_annotations(project_id, "final", ids)
        assert len(at_once(world, project_id, *ids)[ids[0]].annotations) == 2

    def test_deleting_an_annotation_twice_is_no_error(self, world: World) -> None:
        project_id, ids = world.add_project(1)
        label = world.annotate(ids[0], world.ann, "one")
        for _ in range(2):
            world.port.delete_annotation(label)
        assert at_once(world, project_id, *ids)[ids[0]].annotations == ()

    def test_only_annotations_that_nobody_has_changed_since_are_deleted(self, world: World) -> None:
        project_id, ids = world.add_project(3)
        for task in ids:
            world.annotate(task, world.ann, "one")
        read = [annotation for task in at_once(world, project_id, *ids).values() for annotation in task.annotations]
        world.edit(read[1].id, world.bob, "two")
        world.remove_annotation(read[2].id)
        for _ in range(2):
            assert world.port.delete_unchanged(read) == [read[1].id]
        left = at_once(world, project_id, *ids)
        assert [[each.choice for each in left[task].annotations] for task in ids] == [[], ["two"], []]

    # Webhooks

    def test_a_webhook_is_registered_once_and_updated_after(self, world: World) -> None:
        project_id, _ = world.add_project(1)
        for secret in ("first", "second"):
            world.port.register_webhook(project_id, "http://127.0.0.1:9/webhook", {"X-Secret": secret})
        (hook,) = world.port.webhooks(project_id)
        assert (hook["url"], hook["headers"]) == ("http://127.0.0.1:9/webhook", {"X-Secret": "second"})


class TestFakeLabelStudio(LabelStudioContract):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()


@pytest.fixture(scope="module")
def real_world(real_label_studio: RealLabelStudio) -> Iterator[RealWorld]:
    world = RealWorld(real_label_studio)
    yield world
    world.close()


@pytest.mark.contract
class TestRealLabelStudio(LabelStudioContract):
    @pytest.fixture
    def world(self, real_world: RealWorld) -> World:
        return real_world

    def test_rights_are_known_without_a_change(self, real_world: RealWorld, real_label_studio: RealLabelStudio) -> None:
        project_id, _ = real_world.add_project(1)
        before = real_world.port.project(project_id)
        connection = Connection(real_world.url, real_label_studio.service_token)
        try:
            assert Inspector(connection).may_change(project_id) is True
            assert Inspector(connection).may_change(999_999) is False
        finally:
            connection.close()
        assert real_world.port.project(project_id) == before
