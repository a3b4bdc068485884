"""What people do that nobody asked them to: repeats, skips, corrections, labels elsewhere, tasks that come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.campaign.state import Phase
from backend.store import Conflict
from mcal_engine.types import Acquire
from tests.backend.world import CHOICES, CONFIG, World


def wrong(world: World, task: int) -> str:
    return CHOICES[(world.truth(task) + 1) % len(CHOICES)]


@pytest.mark.slow
def test_of_two_labels_the_first_counts_and_the_second_is_listed_and_paid(tmp_path: Path) -> None:
    world = World(tmp_path)
    task = world.advance().queue.ids[0]  # type: ignore[union-attr]
    ann, bob = world.people
    world.label_studio.annotate(task, ann, world.right(task))
    world.label_studio.annotate(task, bob, wrong(world, task))
    state = world.advance()
    assert state.items[task].label == world.truth(task) and state.items[task].annotator == ann.id
    assert state.n_labels_paid == 2 and state.progress is not None and state.progress.labelled == 1
    assert [(row.task_id, row.annotator) for row in world.store.duplicates(world.campaign.id)] == [(task, bob.id)]
    report = world.run().report
    assert report is not None and report["duplicates"] == 1 and report["human_labels"] == report["human_items"] + 1


def test_a_repeat_moves_up_when_the_first_label_is_deleted(tmp_path: Path) -> None:
    world = World(tmp_path)
    task = world.advance().queue.ids[0]  # type: ignore[union-attr]
    first = world.label_studio.annotate(task, world.people[0], wrong(world, task))
    world.label_studio.annotate(task, world.people[1], world.right(task))
    world.advance()
    world.label_studio.remove_annotation(first)
    state = world.advance()
    assert state.items[task].label == world.truth(task) and state.n_labels_paid == 1
    assert world.store.duplicates(world.campaign.id) == []


@pytest.mark.slow
def test_skipped_tasks_are_set_aside_and_never_machine_labelled(tmp_path: Path) -> None:
    world = World(tmp_path, start=False)
    hated = set(world.tasks[::7])
    world.begin()
    state = world.run(skip=hated)
    report = state.report
    assert report is not None and report["n_machine"] > 0
    skipped = {task for task in hated if state.items[task].skipped}
    assert skipped and not skipped & set(world.machine_annotations())
    assert report["n_set_aside"] == len(skipped)
    assert not any(request_ids & skipped for request_ids in (set(r.train_ids) for r in world.trainer.requests))


def test_an_empty_annotation_counts_as_a_skip(tmp_path: Path) -> None:
    world = World(tmp_path)
    task = world.advance().queue.ids[0]  # type: ignore[union-attr]
    world.label_studio.annotate(task, world.people[0], None)
    state = world.advance()
    assert state.items[task].skipped and state.progress is not None and state.progress.skipped == 1


def test_a_label_given_outside_the_queue_is_trained_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = world.advance()
    assert state.queue is not None
    stray = next(item.task_id for item in state.pool if item.task_id not in state.queue.ids)
    world.label_studio.annotate(stray, world.people[0], world.right(stray))
    world.label()
    world.advance()
    assert stray in world.trainer.requests[0].train_ids and stray not in world.trainer.requests[0].score_ids


def test_a_corrected_label_is_used_from_the_next_round_on(tmp_path: Path) -> None:
    world = World(tmp_path, hopeless=True)
    state = world.advance()
    world.label()
    state = world.advance()
    task = next(task for task, role in state.roles.items() if role == "train")
    annotation = state.items[task].annotation_id
    assert annotation is not None
    world.label_studio.edit(annotation, world.people[1], wrong(world, task))
    world.label()
    world.advance()
    assert len(world.trainer.requests) == 2
    last = world.trainer.requests[-1]
    assert dict(zip(last.train_ids, last.train_labels, strict=True))[task] == CHOICES.index(wrong(world, task))


@pytest.mark.slow
def test_tasks_deleted_in_mid_campaign_leave_and_nothing_waits_for_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue = world.advance().queue
    assert queue is not None
    asked, others = queue.ids[:3], [task for task in world.tasks if task not in queue.ids][:5]
    for task in (*asked, *others):
        world.label_studio.delete_task(task)
    state = world.advance()
    assert state.progress is not None and state.progress.gone == 3 and len(state.live) == 292
    report = world.run().report
    assert report is not None and report["n_items"] == 292


@pytest.mark.slow
def test_a_deleted_item_of_the_certificate_sample_counts_as_an_error(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = world.run(until=[Phase.CERTIFYING])
    assert state.queue is not None
    n_pool = len(world.store.frozen(world.campaign.id, 1))
    gone, n_sample = state.queue.ids[0], len(state.queue.ids)
    world.label_studio.delete_task(gone)
    state = world.run()
    outcome = state.outcomes[0]
    assert outcome.n_pool == n_pool and len(outcome.ranks) == n_sample
    frozen = {row.task_id: row.rank for row in world.store.frozen(world.campaign.id, 1)}
    assert bool(outcome.errors[list(outcome.ranks).index(frozen[gone])])


@pytest.mark.slow
def test_a_skipped_item_of_the_certificate_sample_counts_as_an_error(tmp_path: Path) -> None:
    world = World(tmp_path)
    queue = world.run(until=[Phase.CERTIFYING]).queue
    assert queue is not None
    state = world.run(skip=[queue.ids[1]])
    frozen = {row.task_id: row.rank for row in world.store.frozen(world.campaign.id, 1)}
    outcome = state.outcomes[0]
    assert bool(outcome.errors[list(outcome.ranks).index(frozen[queue.ids[1]])])


@pytest.mark.slow
def test_tasks_added_in_mid_campaign_join_the_test_set_in_its_proportion_and_the_rest_the_pool(tmp_path: Path) -> None:
    world = World(tmp_path, n=220, test_size=60, hopeless=True)
    world.advance()
    added = world.label_studio.add_tasks(world.project, [f"/data/new{place}.png" for place in range(200)])
    world.label()
    state = world.advance()
    joined = [task for task in added if state.roles.get(task) == "test"]
    assert 30 <= len(joined) <= 80  # 200 × 60/220 ≈ 55
    assert state.queue is not None and set(joined) <= set(state.queue.asked)
    assert set(added) - set(joined) <= set(world.trainer.requests[0].score_ids)
    assert set(added) <= set(world.shelf.fetched)
    world.label()
    state = world.advance()
    assert len(state.observations[-1].test_ids) == 60 + len(joined)
    assert [event.payload["test_ids"] for event in world.store.events(world.campaign.id, kinds=("tasks_joined",))] == [joined]


def test_the_sentinel_is_replaced_when_somebody_labels_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    old = world.advance().sentinel
    assert old is not None and old.task_id == max(world.tasks)
    world.label_studio.annotate(old.task_id, world.people[0], world.right(old.task_id))
    state = world.advance()
    assert state.sentinel is not None and state.sentinel.task_id != old.task_id
    assert state.queue is not None and set(world.label()) == set(state.queue.ids)


@pytest.mark.slow
def test_the_sentinel_is_replaced_when_it_is_deleted_and_its_lock_is_renewed_in_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    old = world.advance().sentinel
    assert old is not None
    world.label_studio.delete_task(old.task_id)
    new = world.advance().sentinel
    assert new is not None and new.task_id != old.task_id
    world.wait(hours=13)
    renewed = world.advance().sentinel
    assert renewed is not None and renewed.task_id == new.task_id and renewed.locked_at > new.locked_at
    world.wait(hours=13)
    world.advance()
    assert len(world.label()) == 52  # the first lock would have run out by now


def test_a_queue_that_somebody_switched_off_is_served_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    world.label_studio.set_project(world.project, sampling="Uniform sampling", model_version="")
    state = world.advance()
    assert state.queue is not None and world.label() == list(state.queue.ids)


def test_choices_that_are_only_put_in_another_order_change_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    first, second = '<Choice value="ant"/>', '<Choice value="bee"/>'
    world.label_studio.set_project(world.project, label_config=CONFIG.replace(first + second, second + first))
    task = world.label(6)[0]
    state = world.advance()
    assert state.phase == Phase.COLLECTING and state.halt is None
    assert state.items[task].label == world.truth(task) and state.control.choices == CHOICES


@pytest.mark.slow
def test_renamed_choices_halt_the_campaign_which_goes_on_once_they_are_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    world.label_studio.set_project(world.project, label_config=CONFIG.replace("bee", "wasp"))
    state = world.advance()
    assert state.phase == Phase.HALTED and state.stage == Phase.COLLECTING
    assert state.halt is not None and "'bee'" in state.halt.reason and "'wasp'" in state.halt.reason
    events = len(world.store.events(world.campaign.id))
    world.label(4)
    assert world.advance().phase == Phase.HALTED
    assert len(world.store.events(world.campaign.id)) == events  # it does not repeat itself
    world.label_studio.set_project(world.project, label_config=CONFIG)
    assert world.advance().phase == Phase.COLLECTING
    assert world.run().phase == Phase.FINISHED


def test_more_than_one_annotation_per_task_halts_the_campaign(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    world.label_studio.set_project(world.project, maximum_annotations=2)
    state = world.advance()
    assert state.phase == Phase.HALTED and state.halt is not None and "maximum_annotations must be 1, got 2" in state.halt.reason


def test_a_change_of_titles_or_layout_does_not_halt(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    world.label_studio.set_project(world.project, label_config=CONFIG.replace("<View>", "<View><Header value='Look!'/>"))
    assert world.advance().phase == Phase.COLLECTING


@pytest.mark.slow
def test_images_that_cannot_be_read_are_left_to_people(tmp_path: Path) -> None:
    world = World(tmp_path)
    bad = world.tasks[5:15]
    world.shelf.bad = {f"/data/{world.tasks.index(task)}.png": "the file is empty (0 bytes)" for task in bad}
    state = world.run()
    assert state.phase == Phase.FINISHED and not set(bad) & set(world.machine_annotations())
    assert not any(set(bad) & {*request.score_ids, *request.train_ids} for request in world.trainer.requests)
    report = state.report
    assert report is not None and report["human_items"] + report["n_machine"] + report["n_set_aside"] == 300
    assert all(state.items[task].unreadable for task in bad)


def test_if_no_image_can_be_read_the_campaign_halts_and_tries_again_after_resume(tmp_path: Path) -> None:

    world = World(tmp_path)
    world.shelf.bad = {f"/data/{place}.png": "answered 401" for place in range(300)}
    state = world.advance()
    assert state.phase == Phase.HALTED and state.halt is not None and "answered 401" in state.halt.reason
    world.shelf.bad = {}
    assert world.advance().phase == Phase.HALTED
    world.act("resume", by="test")
    assert world.advance().phase == Phase.COLLECTING


def test_one_class_only_asks_for_another_random_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(world, "right", lambda task: CHOICES[0])
    world.advance()
    world.label()
    state = world.advance()
    assert world.trainer.requests == [] and state.queue is not None
    assert "all are 'ant'" in state.queue.note and len(state.queue.ids) == 12 and state.observations == ()
    monkeypatch.undo()
    world.label()
    assert len(world.advance().observations) == 1


@pytest.mark.slow
def test_a_project_of_one_class_ends_with_people_and_never_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, n=200, batch_size=60)
    monkeypatch.setattr(world, "right", lambda task: CHOICES[0])
    report = world.run().report
    assert report is not None and report["human_items"] == 200 and report["n_machine"] == 0


def test_events_of_others_during_a_training_do_not_cost_it(tmp_path: Path) -> None:
    from backend.steering.control import change_settings

    world = World(tmp_path)
    world.advance()
    world.label()

    def meddle() -> None:
        world.trainer.during = None
        change_settings(world.store, world.campaign.id, {"price_per_label": 0.08}, world.now(), by="test")
        world.act("pause", by="test")

    world.trainer.during = meddle
    state = world.advance()
    assert len(world.trainer.requests) == 1 and len(state.observations) == 1
    assert state.phase == Phase.PAUSED and state.settings.price_per_label == 0.08


@pytest.mark.slow
def test_a_history_that_keeps_moving_is_a_conflict_and_not_an_endless_loop(tmp_path: Path) -> None:
    world = World(tmp_path)

    class Moving:
        def __getattr__(self, name: str) -> object:
            return getattr(world.store, name)

        def fenced(self, *args: object) -> Moving:
            return self

        def append(self, *args: object, **kwargs: object) -> None:
            raise Conflict("somebody else was faster")

    world.fresh_services(store=Moving())
    with pytest.raises(Conflict):
        world.advance()


def test_a_label_by_the_service_user_halts_the_campaign_until_it_is_deleted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    task = world.tasks[0]
    annotation = world.label_studio.annotate(task, world.label_studio.service_user, world.right(task))
    state = world.advance()
    assert state.phase == Phase.HALTED and state.halt is not None and f"such as task {task}" in state.halt.reason
    world.advance()
    assert len(world.store.events(world.campaign.id, kinds=("halted", "resumed"))) == 1
    world.label_studio.remove_annotation(annotation)
    assert world.advance().phase == Phase.COLLECTING


def test_a_token_of_another_user_halts_the_campaign_until_the_first_one_is_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.advance()
    first, world.label_studio.service_user = world.label_studio.service_user, world.people[0]
    world.fresh_services()
    state = world.advance()
    assert state.phase == Phase.HALTED and state.halt is not None and "the token is of user" in state.halt.reason
    world.label_studio.service_user = first
    world.fresh_services()
    assert world.advance().phase == Phase.COLLECTING


@pytest.mark.slow
def test_a_test_set_that_is_topped_up_takes_random_items_of_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from mcal_engine import engine

    inner = engine.decide

    def greedy(*args: Any, **kwargs: Any) -> Any:
        decision = inner(*args, **kwargs)
        return replace(decision, n_test=9) if isinstance(decision, Acquire) else decision

    monkeypatch.setattr(engine, "decide", greedy)
    world = World(tmp_path, hopeless=True)
    world.advance()
    world.label()
    state = world.advance()
    new = [row.task_id for row in world.store.assignments(world.campaign.id) if row.role == "test" and row.round == 1]
    assert len(new) == 9 and state.queue is not None and state.queue.asked[:9] == tuple(new)
    assert len(state.queue.asked) == 9 + 12
    world.label()
    assert len(world.advance().observations[-1].test_ids) == 49
