"""The ledger follows Label Studio, whatever the webhooks did: properties over what people do and when somebody looks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.campaign.state import derive
from tests.backend.kills import Snapshot
from tests.backend.world import CHOICES, World

ACTS = st.tuples(
    st.sampled_from(["label", "skip", "empty", "edit", "delete", "drop", "add"]), st.integers(0, 11), st.integers(0, 1), st.integers(0, 2)
)


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[World, Snapshot]]:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), n=200)
        world.advance()
        yield world, Snapshot.of(world)


def perform(world: World, act: tuple[str, int, int, int]) -> None:
    """One thing that a person does to one of a dozen tasks; impossible ones do nothing."""
    kind, place, who, choice = act
    fake, person, task = world.label_studio, world.people[who], world.tasks[place]
    if kind == "add":
        fake.add_tasks(world.project, ["/data/added.png"])
        return
    if task not in fake._tasks:
        return
    annotations = fake._tasks[task].annotations
    if kind == "label":
        fake.annotate(task, person, CHOICES[choice])
    elif kind == "skip":
        fake.skip(task, person)
    elif kind == "empty":
        fake.annotate(task, person, None)
    elif kind == "drop":
        fake.delete_task(task)
    elif annotations and kind == "edit":
        fake.edit(annotations[choice % len(annotations)].id, person, CHOICES[choice])
    elif annotations:
        fake.remove_annotation(annotations[choice % len(annotations)].id)


def mirror(world: World) -> dict[str, Any]:
    return {
        "items": world.store.items(world.campaign.id),
        "duplicates": world.store.duplicates(world.campaign.id),
        "paid": world.state().n_labels_paid,
    }


def look(world: World) -> None:
    """What a wake-up does before anything is decided."""
    from backend.steps.reconcile import reconcile

    reconcile(world.services, world.state(), world.label_studio.project(world.project))


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, max_size=14), looks=st.lists(st.integers(0, 3), min_size=14, max_size=14))
def test_looks_that_are_lost_doubled_or_late_give_the_same_ledger(
    opened: tuple[World, Snapshot], acts: list[tuple[str, int, int, int]], looks: list[int]
) -> None:
    world, start = opened
    start.restore(world)
    for act, n_looks in zip(acts, looks, strict=False):
        perform(world, act)
        for _ in range(n_looks):
            look(world)
    look(world)
    look(world)
    often = mirror(world)
    # The same project, read from scratch by somebody who saw nothing of how it came about.
    from backend.steps.reconcile import reconcile

    world.store.set_watermark(world.campaign.id, world.campaign.created_at.replace(year=2000))
    reconcile(world.fresh_services(), world.state(), world.label_studio.project(world.project), full=True)
    assert mirror(world) == often
    live = {item.task_id for item in often["items"] if not item.deleted}
    assert live == set(world.label_studio.task_ids(world.project))


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, max_size=12))
def test_paid_labels_are_those_that_label_studio_has_and_the_first_one_counts(
    opened: tuple[World, Snapshot], acts: list[tuple[str, int, int, int]]
) -> None:
    world, start = opened
    start.restore(world)
    for act in acts:
        if act[0] not in ("drop", "delete"):
            perform(world, act)
    look(world)
    usable = {
        task: sorted((a for a in rows if a.choice is not None and not a.was_cancelled), key=lambda a: (a.created_at, a.id))
        for task, rows in world.annotations().items()
    }
    state = world.state()
    assert state.n_labels_paid == sum(map(len, usable.values()))
    for task, rows in usable.items():
        assert state.items[task].label == (CHOICES.index(rows[0].choice) if rows else None)


def test_reading_again_what_is_known_changes_nothing(opened: tuple[World, Snapshot]) -> None:
    from backend.steps.reconcile import reconcile

    world, start = opened
    start.restore(world)
    project = world.label_studio.project(world.project)
    reconcile(world.services, world.state(), project)
    assert reconcile(world.services, world.state(), project, full=True) is False


def test_a_fresh_import_is_not_read_again_and_again_once_it_has_settled(opened: tuple[World, Snapshot]) -> None:
    world, start = opened
    start.restore(world)
    project = world.label_studio.project(world.project)
    from backend.steps.reconcile import reconcile

    reconcile(world.services, world.state(), project)
    world.wait(minutes=6)
    reconcile(world.services, world.state(), project)
    asked: list[Any] = []
    inner = world.label_studio.tasks

    def tasks(project_id: int, control: Any, *, updated_since: Any = None) -> Any:
        found = list(inner(project_id, control, updated_since=updated_since))
        asked.append(len(found))
        return iter(found)

    world.label_studio.tasks = tasks  # type: ignore[method-assign]
    try:
        reconcile(world.services, world.state(), project)
        world.label_studio.annotate(world.tasks[0], world.people[0], CHOICES[0])
        reconcile(world.services, world.state(), project)
    finally:
        del world.label_studio.tasks
        world.offset *= 0
    assert asked == [0, 1]
    assert world.state().items[world.tasks[0]].label == 0


def test_the_state_depends_on_the_facts_and_not_on_their_order(opened: tuple[World, Snapshot]) -> None:
    from dataclasses import replace

    from backend.campaign import facts

    world, start = opened
    start.restore(world)
    world.label(20)
    look(world)
    found = facts.load(world.store, world.campaign.id)
    shuffled = replace(found, items=found.items[::-1], assignments=found.assignments[::-1], duplicates=found.duplicates[::-1])
    now = world.now()
    first, second = derive(found, now), derive(shuffled, now)
    assert (first.pool, first.train, first.test, first.progress) == (second.pool, second.train, second.test, second.progress)


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [False, True])
def test_what_a_broken_release_has_left_is_taken_away_when_it_is_seen(tmp_path: Path, labelled: bool) -> None:
    world = World(tmp_path)
    world.advance()
    label_studio, task = world.label_studio, world.tasks[0]
    if labelled:
        label_studio.annotate(task, world.people[0], CHOICES[0])
    label_studio.skip(task, label_studio.service_user)
    item = world.advance().items[task]
    assert [each.completed_by for each in label_studio._tasks[task].annotations] == [world.people[0].id] * labelled
    assert (item.label, item.skipped) == (0 if labelled else None, False)
