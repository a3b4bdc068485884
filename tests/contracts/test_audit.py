"""A whole audit on a real Label Studio: what its people can see meanwhile, what it exports afterwards, and how it is undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.state import Phase, State, state_of
from backend.campaign_settings import parse_campaign_settings
from backend.steps.loop import advance
from backend.steps.open import request_campaign
from backend.steps.ports import Services
from backend.steps.rollback import rollback
from backend.store import Store
from tests.backend.world import NoisyTruth, Shelf, act
from tests.conftest import RealLabelStudio
from tests.contracts.worlds import CONTROL, RealWorld

pytestmark = [pytest.mark.contract, pytest.mark.timeout(600)]

# Quickly there: one round, no certificate sample, and half of the items to the machine.
SETTINGS: dict[str, Any] = {
    "target_error": 0.1,
    "price_per_label": 0.04,
    "test_size": 30,
    "batch_size": 12,
    "work_ahead": 0.0,
    "guarantee": "estimate",
}
CHOICES = CONTROL.choices


def truth(task: int) -> int:
    return task % len(CHOICES)


class Audited:
    """A campaign that has written its machine labels, its people, and a worker's hand to take it forward."""

    def __init__(self, world: RealWorld, directory: Path) -> None:
        self.world = world
        self.project, self.tasks = world.add_project(200)
        self.store = Store(f"sqlite:///{directory / 'mcal.db'}")
        self.store.migrate()
        self.services = Services(
            self.store, world.port, NoisyTruth(truth), Shelf(), lambda: datetime.now(UTC), world.url, lease_seconds=60.0
        )
        self.campaign = request_campaign(self.services, self.project, parse_campaign_settings(SETTINGS, defaults={}), "test").id

    def advance(self) -> State:
        state = advance(self.services, self.campaign)
        assert state is not None
        return state

    def act(self, name: str, **asked: Any) -> str:
        return act(self.services, self.campaign, name, **asked)

    def state(self) -> State:
        return state_of(self.store, self.campaign, datetime.now(UTC))

    def answer(self, tasks: Any, said: dict[int, str] | None = None) -> None:
        for task in tasks:
            self.world.annotate(task, self.world.ann, (said or {}).get(task, CHOICES[truth(task)]))

    def until_written(self) -> State:
        state = self.advance()
        self.act("stop")
        assert state.queue is not None
        self.answer(state.queue.asked)
        state = self.advance()
        assert state.phase == Phase.RESIDUAL and state.machine_labels
        self.answer(item.task_id for item in state.residual)
        return self.advance()

    def served(self) -> list[int]:
        """What "Label All Tasks" gives Bob, one after the other; each as the labelling interface and the Data Manager show it to him."""
        found: list[int] = []
        while (task := self.world.next_task(self.project, self.world.bob)) is not None:
            assert self.world.shown(task, self.world.bob) == self.world.stored(task) == self.world.labels(task) == []
            found.append(task)
            self.world.annotate(task, self.world.bob, CHOICES[truth(task)])
        return found

    def written(self) -> dict[int, str | None]:
        me = self.world.port.current_user().id
        tasks = self.world.port.tasks(self.project, CONTROL)
        return {task.id: row.choice for task in tasks for row in task.annotations if row.completed_by == me}


@pytest.fixture
def audited(real_label_studio: RealLabelStudio, tmp_path: Path) -> Iterator[Audited]:
    world = RealWorld(real_label_studio)
    made = Audited(world, tmp_path)
    yield made
    made.store.close()
    world.close()


def test_an_audit_is_blind_everywhere_and_final_and_can_be_called_off_followed_and_rolled_back(audited: Audited) -> None:
    assert audited.until_written().phase == Phase.FINISHED
    project, before = audited.world.port.project(audited.project), audited.written()
    people_s = decided(audited, before)
    people_s |= called_off(audited, before, people_s)
    assert audited.world.port.project(audited.project) == project
    taken_back(audited)
    rolled_back_in_the_middle(audited)
    left = audited.world.port.project(audited.project)
    assert replace(left, n_labelled=project.n_labelled) == project  # its settings; the machine's labels are gone


def opened(audited: Audited, size: int) -> tuple[int, ...]:
    audited.act("audit", size=size)
    state = audited.advance()
    assert state.phase == Phase.AUDITING and state.audit is not None
    return state.audit.ids


def decided(audited: Audited, before: dict[int, str | None]) -> set[int]:
    sample = opened(audited, 10)
    assert audited.served() == list(sample)
    state = audited.advance()
    assert state.phase == Phase.FINISHED and state.report is not None and state.report["audits"][0]["status"] == "decided"
    assert audited.written() == {task: choice for task, choice in before.items() if task not in sample}
    exported = audited.world.export(audited.project)
    assert len(exported) == 200 and all(len(task["annotations"]) == 1 for task in exported)
    assert not any(task["predictions"] for task in exported if task["id"] in sample)
    assert audited.world.next_task(audited.project, audited.world.bob) is None
    return set(sample)


def called_off(audited: Audited, before: dict[int, str | None], people_s: set[int]) -> set[int]:
    first = opened(audited, 10)[0]
    assert audited.world.next_task(audited.project, audited.world.bob) == first
    audited.world.annotate(first, audited.world.bob, "one")
    audited.act("cancel-audit")
    assert audited.advance().phase == Phase.FINISHED
    assert audited.written() == {task: choice for task, choice in before.items() if task not in {*people_s, first}}
    assert all(len(task["annotations"]) == 1 for task in audited.world.export(audited.project))
    assert audited.world.next_task(audited.project, audited.world.bob) is None
    return {first}


def taken_back(audited: Audited) -> None:
    """The less sure half is wrong: it goes to people, and nothing tells them what the machine said."""
    sample = opened(audited, 30)
    rows = sorted(audited.state().machine_labels, key=lambda row: row.surety)
    audited.answer(sample, {row.task_id: CHOICES[(row.label + 1) % len(CHOICES)] for row in rows[: len(rows) // 2]})
    audited.advance()
    audited.act("take-back")
    state = audited.advance()
    rest, written = {item.task_id for item in state.residual}, audited.written()
    assert state.phase == Phase.RESIDUAL and rest and written and not rest & set(written)
    task = audited.world.next_task(audited.project, audited.world.bob)
    assert task in rest and audited.world.shown(task, audited.world.bob) == audited.world.stored(task) == audited.world.labels(task) == []


def rolled_back_in_the_middle(audited: Audited) -> None:
    """While the rest is with people; what they have said stays, all that was the machine's goes."""
    sample = opened(audited, 10)
    audited.answer(sample[:3])
    rollback(audited.services, audited.campaign, by="test")
    assert audited.written() == {}
    tasks = {task.id: task for task in audited.world.port.tasks(audited.project, CONTROL)}
    assert [(len(tasks[task].annotations), tasks[task].is_labeled) for task in sample] == [(1, True)] * 3 + [(0, False)] * 7
