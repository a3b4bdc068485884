"""``overlap_share``: some test and certificate items are asked of two people, and the campaign is the same for it."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.history import entries
from backend.campaign.queues import Queue
from backend.campaign.state import Phase, State
from backend.label_studio.port import LabelStudioError
from backend.notify.events import notices
from backend.steps.rollback import rollback
from backend.views.campaign import campaign_view
from backend.views.exports import export_of, items_csv
from backend.views.log import log_row
from backend.views.money import money
from backend.views.people.annotators import annotators
from backend.views.report import make_report
from backend.views.status import sentence
from tests.backend.world import CHOICES, World

pytestmark = pytest.mark.slow


def wrong(world: World, task: int) -> str:
    return CHOICES[(world.truth(task) + 1) % len(CHOICES)]


def label_all(world: World, *, second: bool = True, people: int = 2) -> None:
    """Everybody labels until nothing is served; ``second``: whether second labels are right."""
    idle = 0
    while idle < people:
        for person in world.people[:people]:
            task = world.label_studio.next_task(world.project, person)
            idle = 0 if task is not None else idle + 1
            if task is not None:
                first = not world.annotations()[task]
                world.label_studio.annotate(task, person, world.right(task) if first or second else wrong(world, task))


def play(world: World, **labelling: Any) -> State:
    state = world.advance()
    while not state.ended:
        label_all(world, **labelling)
        state = world.advance()
    return state


def overlaps(world: World) -> dict[int, tuple[int, bool]]:
    """Task → overlap and whether it is done, as Label Studio has it."""
    return {task.id: (task.overlap, task.is_labeled) for task in world.label_studio.tasks(world.project, world.state().control)}


def current(state: State) -> Queue:
    assert state.queue is not None
    return state.queue


def test_a_share_of_test_and_certificate_items_is_labelled_by_two_people_and_nothing_else_is(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    state = play(world)
    by_kind = {queue.kind: queue for queue in state.queues}
    test = [task for task, role in state.roles.items() if role == "test"]
    assert len(by_kind["start"].twice) == 10 and set(by_kind["start"].twice) <= set(test) and len(test) == 40
    sample = by_kind["certificate"]
    assert len(sample.twice) == int(0.25 * len(sample.ids) + 0.5) and set(sample.twice) <= set(sample.ids)
    assert not any(queue.twice for queue in state.queues if queue.kind in ("train", "residual"))
    twice = {*by_kind["start"].twice, *sample.twice}
    for task, rows in world.annotations().items():
        assert len({row.completed_by for row in rows}) == len(rows) == (2 if task in twice else 1)
    report = state.report
    assert report is not None and report["second_labels"] == len(twice) and report["duplicates"] == 0
    assert report["human_labels"] == report["human_items"] + len(twice)
    assert report["total_cost"] == pytest.approx(0.04 * report["human_labels"] + report["training_cost"])
    assert set(overlaps(world).values()) == {(1, True)}


def test_what_second_labels_say_moves_nothing(tmp_path: Path) -> None:
    agree, differ = World(tmp_path / "a", overlap_share=0.5), World(tmp_path / "b", overlap_share=0.5)
    play(agree)
    play(differ, second=False)
    one, other = agree.ledger(), differ.ledger()
    found = other["report"].pop("disagreement")
    assert one["report"].pop("disagreement")["test"]["count"] == 0
    assert one == other
    assert found["test"]["count"] == found["test"]["n"] == 20 and found["certificate"]["share"] == 1.0


def test_without_the_setting_label_studio_s_overlap_is_never_touched(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = world.run()
    assert "set_overlap" not in world.label_studio.calls
    assert state.report is not None and state.report["second_labels"] == 0 and "disagreement" not in state.report


def test_one_person_alone_is_waited_for_by_nobody_and_the_tasks_are_closed(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    state = world.advance()
    twice = current(state).twice
    assert all(overlaps(world)[task] == (2, False) for task in twice)
    label_all(world, people=1)
    state = world.state()
    assert state.progress is not None and (state.progress.twice, state.progress.second) == (10, 0)
    assert world.label_studio.next_task(world.project, world.people[0]) is None
    state = world.advance()
    assert len(state.observations) == 1
    assert {overlaps(world)[task] for task in twice} == {(1, True)}
    known = world.store.campaign(world.campaign.id)
    view = campaign_view(state, known, entries(world.store.events(known.id)), world.now())
    assert "Only one person labels this project" in view["report"]["disagreement"]["sentences"][-1]
    state = play(world, people=1)
    assert state.phase == Phase.FINISHED and state.report is not None
    assert state.report["disagreement"]["test"]["n"] == 0 and state.report["disagreement"]["compared"] is None


def test_the_other_person_is_waited_for_as_long_as_patience_says(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    queue = current(world.advance())
    ann, bob = world.people
    first = next(task for task in queue.ids if task not in queue.twice)
    for task in queue.ids:
        world.label_studio.annotate(task, bob if task == first else ann, world.right(task))
    state = world.advance()
    assert state.stage == Phase.COLLECTING and "0 of 10 second labels" in sentence(state)
    world.wait(minutes=5)
    assert "waiting up to 15 min for the last 10 second labels" in sentence(world.advance())
    assert not [notice.key for notice in notices(world.state()) if notice.key.startswith(("empty", "due"))]
    world.wait(minutes=10)
    assert len(world.advance().observations) == 1


def test_a_stop_does_not_wait_for_second_labels(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    queue = current(world.advance())
    ann, bob = world.people
    for place, task in enumerate(queue.ids):
        world.label_studio.annotate(task, ann if place else bob, world.right(task))
    assert not world.advance().observations
    world.act("stop", by="test")
    assert len(world.advance().observations) == 1


def test_items_that_join_the_test_set_are_drawn_from_as_well(tmp_path: Path) -> None:
    world = World(tmp_path, n=220, test_size=60, hopeless=True, overlap_share=0.5)
    world.advance()
    world.label_studio.add_tasks(world.project, [f"/data/new{place}.png" for place in range(200)])
    label_all(world)
    state = world.advance()
    queue = current(state)
    joined = [task for task in queue.asked if state.roles.get(task) == "test"]
    assert len(queue.twice) == int(0.5 * len(joined) + 0.5) > 10 and set(queue.twice) <= set(joined)


def test_a_queue_whose_serving_broke_off_is_served_whole_the_next_time(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    world.label_studio.fail("import_predictions")
    with pytest.raises(LabelStudioError):
        world.advance()
    twice = current(world.state()).twice
    state = world.advance()
    assert {overlaps(world)[task] for task in twice} == {(2, False)}
    label_all(world)
    assert set(world.state().second_labels) == set() and state.published is not None
    world.label_studio.fail("set_overlap", after_effect=True)
    with pytest.raises(LabelStudioError):
        world.advance()  # the round is decided, its queue not yet served
    state = world.advance()
    assert set(state.second_labels) == set(twice) and state.published == current(state).model_version


def test_a_rollback_in_the_middle_leaves_no_task_asked_twice(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    world.run(until=[Phase.CERTIFYING])
    assert (2, False) in overlaps(world).values()
    rollback(world.services, world.campaign.id, by="test")
    assert {overlap for overlap, _ in overlaps(world).values()} == {1}


def test_a_repeat_that_nobody_asked_for_stays_one(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    queue = current(world.advance())
    ann, bob = world.people
    raced, asked = next(task for task in queue.ids if task not in queue.twice), queue.twice[0]
    for task in (raced, asked):
        for person in (ann, bob, ann):
            world.label_studio.annotate(task, person, world.right(task))
    state = world.advance()
    assert state.n_repeats_paid == 4 and set(state.second_labels) == {asked}
    assert state.second_labels[asked].annotator == bob.id
    known = world.store.campaign(world.campaign.id)
    report = campaign_view(state, known, entries(world.store.events(known.id)), world.now())["report"]
    assert (report["second_labels"], report["duplicates"], report["human_labels"]) == (1, 3, 6)


@pytest.mark.parametrize("hours", [-2, 2])
def test_which_repeats_are_paid_does_not_hang_on_label_studio_s_clock(tmp_path: Path, hours: int) -> None:
    world = World(tmp_path, start=False)
    ann, bob = world.people
    label_studio, (before, during) = world.label_studio, world.tasks[:2]
    label_studio.now = lambda: world.now() + timedelta(hours=hours)
    for person in (ann, bob):
        label_studio.annotate(before, person, world.right(before))
    world.begin()
    world.advance()
    for person in (ann, bob):
        label_studio.annotate(during, person, world.right(during))
    state = world.advance()
    assert [row.task_id for row in state.repeats] == [during]
    assert state.n_labels_paid == 2


def test_who_only_gives_second_labels_has_a_name_and_a_part(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    queue = current(world.advance())
    eve = world.label_studio.add_user("eve@example.com", "Eve")
    for task in queue.twice:
        world.label_studio.annotate(task, world.people[0], world.right(task))
        world.label_studio.annotate(task, eve, world.right(task))
    state = world.advance()
    rows = {row["name"]: row for row in annotators(state)}
    assert (rows["Eve"]["labels"], rows["Eve"]["second_labels"], rows["Eve"]["today"]) == (0, 10, 10)
    assert rows["ann@example.com"]["second_labels"] == 0
    view = campaign_view(state, world.store.campaign(world.campaign.id), entries(world.store.events(world.campaign.id)), world.now())
    assert view["pace"]["people_today"] == 2 and view["pace"]["labels_today"] == 20


def test_second_labels_are_part_of_what_is_left_and_of_the_forecast(tmp_path: Path) -> None:
    plain, twice = World(tmp_path / "a"), World(tmp_path / "b", overlap_share=0.5)
    assert money(twice.advance())["left"] == money(plain.advance())["left"] + 20
    state = twice.run(until=[Phase.CERTIFYING])
    assert state.decision is not None and state.decision.plan is not None
    plan = state.decision.plan
    assert money(state)["left"] == len(state.unlabelled) - plan.n_machine + len(current(state).twice)
    by_hand = len(state.live) - plan.n_machine + 20 + 0.5 * plan.n_certificate
    assert plan.human_cost == pytest.approx(0.04 * by_hand)


def test_the_exported_table_says_what_the_second_person_said(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    task = current(world.advance()).twice[0]
    for person in world.people:
        world.label_studio.annotate(task, person, world.right(task) if person == world.people[0] else wrong(world, task))
    state = world.advance()
    table = "".join(items_csv(export_of(state, make_report(state, state.at))))
    rows = {int(row["task"]): row for row in csv.DictReader(io.StringIO(table))}
    assert rows[task]["label"] == world.right(task)
    assert [row["note"] for row in rows.values() if row["note"]] == [f"a second person, {world.people[1].id}, said {wrong(world, task)}"]


def test_the_history_tells_how_many_are_asked_of_two_people(tmp_path: Path) -> None:
    world = World(tmp_path, overlap_share=0.25)
    world.advance()
    (opened,) = world.store.events(world.campaign.id, kinds=("queue_opened",))
    assert log_row(opened)["sentence"].endswith(", 10 of them of two people")
