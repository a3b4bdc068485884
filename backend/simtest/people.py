"""Simulated people: they label what they are served, and now and then something else. What they did is remembered here, not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.campaign.queues import BLIND
from backend.campaign.state import State
from backend.label_studio.port import User
from backend.simtest.label_studio_of_life import LifeLabelStudio
from backend.simtest.machines import truth
from backend.simtest.scenes import CHOICES, Scene


@dataclass(frozen=True)
class Mark:
    """What a person left on a task: a choice, or a skip."""

    task: int
    choice: str | None


class People:
    """Two people, who take turns.

    Attributes:
        marks: annotation → what it must say, as a person said it last. What people deleted is not in it.
        touched: task → the number of the call at which somebody last changed something on it by hand.
        problems: what they were shown and must not be shown.
    """

    def __init__(self, label_studio: LifeLabelStudio, project: int, scene: Scene) -> None:
        self.label_studio, self.project, self.scene = label_studio, project, scene
        self.two = [label_studio.add_user(f"{name}@example.com") for name in ("ann", "bob")]
        self.marks: dict[int, Mark] = {}
        self.touched: dict[int, int] = {}
        self.asked_again: set[int] = set()
        self.problems: list[str] = []
        self._turn = 0

    def label_queue(self, state: State | None, n: int | None, call: int) -> int:
        """They take turns with "Label All Tasks", until it is empty or ``n`` answers are given. Returns how many were given."""
        given = idle = 0
        while idle < len(self.two) and (n is None or given < n):
            person = self.two[self._turn % len(self.two)]
            self._turn += 1
            task = self.label_studio.next_task(self.project, person)
            if task is None:
                idle += 1
                continue
            idle = 0
            given += 1
            self._must_be_blind(state, task)
            self.answer(task, person, call)
        return given

    def answer(self, task: int, person: User, call: int, choice: str | None = None) -> None:
        """Label a task, or skip it where that is this person's habit."""
        every = self.scene.skips
        if choice is None and every and task % every == 0 and task not in self.asked_again:
            made, choice = self.label_studio.skip(task, person), None
        else:
            choice = choice or truth(task)
            made = self.label_studio.annotate(task, person, choice)
        self.marks[made] = Mark(task, choice)
        self.touched[task] = call

    def edit(self, annotation: int, task: int, person: User, choice: str, call: int) -> None:
        """Change an annotation, somebody's or the machine's; from now on it is a person's."""
        self.label_studio.edit(annotation, person, choice)
        self.marks[annotation] = Mark(task, choice)
        self.touched[task] = call

    def delete(self, annotation: int, task: int, call: int) -> None:
        """Delete an annotation, somebody's or the machine's."""
        self.label_studio.remove_annotation(annotation)
        self.marks.pop(annotation, None)
        self.touched[task] = call

    def delete_task(self, task: int, call: int) -> None:
        """Delete a task with all that is on it."""
        self.label_studio.delete_task(task)
        self.marks = {made: mark for made, mark in self.marks.items() if mark.task != task}
        self.touched[task] = call

    def _must_be_blind(self, state: State | None, task: int) -> None:
        if state is None:
            return
        sample: Sequence[int] = () if state.audit is None or not state.audit.model_version else state.audit.ids
        blind = task in sample or (state.roles.get(task) in BLIND and state.items[task].label is None)
        if blind and self.label_studio.suggestion(task) is not None:
            self.problems.append(f"blind: task {task} is a {state.roles.get(task, 'audit')} item and was served with a suggestion")
        if blind and any("-final-" in version for version in self.label_studio.versions_on(task)):
            self.problems.append(f"blind: task {task} is a {state.roles.get(task, 'audit')} item and carries the machine's prediction")


def another(choice: str) -> str:
    """A choice that is not this one."""
    return CHOICES[(CHOICES.index(choice) + 1) % len(CHOICES)]
