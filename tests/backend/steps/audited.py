"""A finished campaign to audit, and people who answer as a test wants them to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from backend.campaign.audits import Audit
from backend.campaign.frozen import final_model_version
from backend.campaign.state import State
from backend.store import Frozen
from tests.backend.world import CHOICES, World

Answer = Callable[[int], str | None]  # None: skipped


def audit(world: World, **options: Any) -> State:
    """Open an audit and bring it to the people."""
    world.act("audit", by="test", **options)
    return world.advance()


def people(world: World, answer: Answer | None = None, n: int | None = None) -> list[int]:
    """Two people take turns until both hear that there is nothing, or ``n`` tasks are answered. Returns the tasks served, in order."""
    served: list[int] = []
    turn = idle = 0
    while idle < len(world.people) and (n is None or len(served) < n):
        person = world.people[turn % len(world.people)]
        turn += 1
        task = world.label_studio.next_task(world.project, person)
        if task is None:
            idle += 1
            continue
        idle = 0
        assert world.label_studio.suggestion(task) is None
        served.append(task)
        said = (answer or world.right)(task)
        if said is None:
            world.label_studio.skip(task, person)
        else:
            world.label_studio.annotate(task, person, said)
    return served


def order(world: World, found: Audit) -> list[Frozen]:
    return world.store.frozen(world.campaign.id, found.look)


def machine_said(world: World) -> dict[int, str]:
    return {row.task_id: CHOICES[row.label] for row in world.state().machine_labels}


def another(choice: str) -> str:
    return CHOICES[(CHOICES.index(choice) + 1) % len(CHOICES)]


def shown_of_machine(world: World, tasks: tuple[int, ...]) -> Iterator[int]:
    """Tasks on which somebody could find out, anywhere in Label Studio, what this campaign's machine said."""
    versions = {final_model_version(world.campaign.id, row.look) for row in world.state().machine_labels}
    me = world.label_studio.service_user.id
    annotations = world.annotations()
    for task in tasks:
        if versions & set(world.label_studio.predictions(task)) or any(row.completed_by == me for row in annotations[task]):
            yield task
