"""Assisted labelling: who is shown what. Test and certificate items stay blind, always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.campaign.state import Phase, State
from backend.label_studio.port import User
from backend.steering.control import change_settings
from backend.views.people.labour import labour
from tests.backend.world import CHOICES, World


class Watched(World):
    """A world that notes what each person saw on each task, and what the Data Manager held on it at that moment."""

    def __init__(self, directory: Path, **more: Any) -> None:
        super().__init__(directory, **more)
        self.saw: dict[int, str | None] = {}
        self.held: dict[int, list[str]] = {}
        inner = self.label_studio.next_task

        def next_task(project_id: int, user: User) -> int | None:
            task = inner(project_id, user)
            if task is not None:
                self.saw[task] = self.label_studio.suggestion(task)
                self.held[task] = [row.choice for row in self.label_studio.predictions(task).values() if row.choice is not None]
            return task

        self.label_studio.next_task = next_task  # type: ignore[method-assign]

    def blind_tasks(self, state: State) -> list[int]:
        return [task for task, role in state.roles.items() if role in ("test", "certificate")]


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", ["certified", "estimate"])
def test_test_and_certificate_items_are_blind_and_the_batch_and_the_rest_are_not(tmp_path: Path, guarantee: str) -> None:
    world = Watched(tmp_path, n=400, assisted_labelling="on", guarantee=guarantee)
    state = world.run()
    assert state.phase == Phase.FINISHED and state.report is not None
    blind = world.blind_tasks(state)
    assert len(blind) >= 40 and set(blind) <= set(world.saw)
    assert all(world.saw[task] is None and world.held[task] == [] for task in blind)
    for queue in state.queues:
        if queue.kind in ("start", "certificate"):
            assert all(world.saw[task] is None for task in queue.ids if task in world.saw and task not in state.suggested)
        if queue.kind == "train":
            batch = [task for task in queue.asked if task not in blind and task in world.saw]
            assert batch and all(world.saw[task] == CHOICES[queue.suggestions[task]] for task in batch)
            assert not set(queue.suggestions) & set(queue.ids[queue.n_asked :])
    rest = state.queues[-1]
    assert rest.kind == "residual"
    assert {task: world.saw[task] for task in rest.ids} == {
        task: None if task not in rest.suggestions else CHOICES[rest.suggestions[task]] for task in rest.ids
    }


@pytest.mark.slow
def test_the_rest_is_served_with_what_was_frozen_once_the_admin_gives_it_to_people(tmp_path: Path) -> None:
    world = Watched(tmp_path, n=260, assisted_labelling="on")
    sample = set(world.run(until=[Phase.CERTIFYING]).sample)
    world.act("label-all", by="ann")
    state = world.advance()
    assert state.queue is not None and state.queue.kind == "residual"
    said = {row.task_id: CHOICES[row.label] for row in world.store.frozen(world.campaign.id, 1) if row.task_id not in sample}
    assert len(said) > 50
    served = world.label()
    assert set(said) | sample <= set(served)
    assert {task: world.saw[task] for task in served} == {task: said.get(task) for task in served}


@pytest.mark.slow
def test_nobody_is_shown_anything_unless_it_was_asked_for(tmp_path: Path) -> None:
    world = Watched(tmp_path, n=300)
    assert world.run().phase == Phase.FINISHED
    assert world.saw and set(world.saw.values()) == {None}
    assert not any(event.payload["suggestions"] for event in world.store.events(world.campaign.id, kinds=("queue_opened",)))


@pytest.mark.slow
def test_what_people_may_have_seen_a_suggestion_for_never_comes_into_a_blind_sample(tmp_path: Path) -> None:
    world = Watched(tmp_path, n=300, assisted_labelling="on")
    world.advance()
    world.label()
    queue = world.advance().queue
    assert queue is not None and queue.suggestions
    opened = {task for task in (world.label_studio.next_task(world.project, person) for person in world.people) if task is not None}
    assert opened and all(world.saw[task] is not None for task in opened)  # seen, and not answered
    world.act("stop", by="ann")
    state = world.advance()
    assert not set(queue.suggestions) & {item.task_id for item in state.pool}
    state = world.run()
    assert not state.suggested & {task for task, role in state.roles.items() if role == "certificate"}


@pytest.mark.slow
def test_suggestions_are_gone_from_label_studio_at_the_end(tmp_path: Path) -> None:
    world = Watched(tmp_path, n=260, assisted_labelling="on")
    world.run()
    left = {version for task in world.tasks for version in world.label_studio.predictions(task)}
    assert left == {f"mcal-final-c{world.campaign.id}-l1"}
    project = world.label_studio.project(world.project)
    assert (project.model_version, project.sampling) == ("", "Sequential sampling")


@pytest.mark.slow
def test_lead_times_with_and_without_a_suggestion_are_told_apart(tmp_path: Path) -> None:
    world = Watched(tmp_path, n=400, assisted_labelling="on", hopeless=True, work_ahead=0.5)
    inner = world.label_studio.annotate

    def annotate(task_id: int, user: User, choice: str | None, *, lead_time: float | None = None) -> int:
        return inner(task_id, user, choice, lead_time=3.0 if world.saw.get(task_id) is None else 1.0)

    world.label_studio.annotate = annotate  # type: ignore[method-assign]
    world.advance()
    for _ in range(3):
        world.label()
        world.advance()
    state = world.state()
    rows = {(row["kind"], row["assisted"]): row for row in labour(state)["kinds"]}
    assert rows["start", False]["mean"] == 3.0
    assert rows["train", True]["mean"] == 1.0 and rows["train", False]["mean"] == 3.0
    labelled = [task for task in state.suggested if state.items[task].label is not None]
    right = sum(world.saw[task] == world.right(task) for task in labelled)
    assert rows["train", True]["kept"] == right / len(labelled) and rows["train", False]["kept"] is None


@pytest.mark.slow
def test_switching_it_on_in_mid_campaign_shows_suggestions_from_the_next_queue_on(tmp_path: Path) -> None:
    world = Watched(tmp_path, hopeless=True)
    world.advance()
    world.label()
    state = world.advance()
    assert state.queue is not None and not state.queue.suggestions
    change_settings(world.store, world.campaign.id, {"assisted_labelling": "on"}, world.now(), by="ann")
    served = world.label()
    assert all(world.saw[task] is None for task in served)
    state = world.advance()
    assert state.queue is not None and state.queue.suggestions


def test_somebody_who_switches_suggestions_off_in_label_studio_finds_them_on_again(tmp_path: Path) -> None:
    world = Watched(tmp_path, assisted_labelling="on")
    world.advance()
    world.label()
    world.advance()
    world.label_studio.update_project(world.project, show_collab_predictions=False)
    world.advance()
    assert world.label_studio.project(world.project).show_collab_predictions
