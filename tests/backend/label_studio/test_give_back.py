"""Giving a locked task back to people, also where an earlier attempt broke off half-way."""

from __future__ import annotations

import pytest

from backend.label_studio.port import LabelControl
from backend.label_studio.queue import ProjectBefore, Sentinel, give_back, keep_sentinel, publish, restore
from backend.simtest.label_studio_of_life import LifeLabelStudio
from tests.backend.world import CHOICES, CONFIG

CONTROL = LabelControl("label", "image", "image", CHOICES)


def test_what_half_a_release_leaves_is_gone_after_the_next_attempt() -> None:
    label_studio = LifeLabelStudio()
    project = label_studio.add_project(CONFIG, ["/data/a.png", "/data/b.png"])
    before, (first, second) = ProjectBefore.of(label_studio.project(project)), label_studio.task_ids(project)
    label_studio.lock_task(project, second)
    label_studio.leave_a_skip(second)
    restore(label_studio, project, before, second, CONTROL)
    assert label_studio.content()[second].annotations == () and label_studio.locked_for_us() == []
    give_back(label_studio, project, first, CONTROL)
    assert label_studio.content()[first].annotations == ()


@pytest.mark.parametrize("accident", ["skipped", "labelled"])
def test_a_sentinel_that_is_replaced_is_given_back_to_people(accident: str) -> None:
    label_studio = LifeLabelStudio()
    ann = label_studio.add_user("ann@example.com")
    project = label_studio.add_project(CONFIG, [f"/data/{place}.png" for place in range(4)])
    tasks = label_studio.task_ids(project)
    now = label_studio.now()
    old = publish(label_studio, project, "v", tasks[:1], sentinel_ids=[tasks[3]], control=CONTROL, now=now)
    assert old == Sentinel(tasks[3], now)
    if accident == "skipped":
        label_studio.skip(tasks[3], ann)
    else:  # its label may be deleted again within the lock's life
        label_studio.annotate(tasks[3], ann, CHOICES[0])
    fresh = keep_sentinel(label_studio, project, "v", old, spare_ids=[tasks[2]], control=CONTROL, now=now)
    assert fresh is not None and fresh.task_id == tasks[2]
    assert label_studio.locked_for_us() == [tasks[2]]
    assert [each.completed_by for each in label_studio.content()[tasks[3]].annotations] == [ann.id]


def test_a_labelled_task_that_was_perhaps_locked_is_left_alone() -> None:
    label_studio = LifeLabelStudio()
    ann = label_studio.add_user("ann@example.com")
    project = label_studio.add_project(CONFIG, ["/data/a.png"])
    (task,) = label_studio.task_ids(project)
    label_studio.lock_task(project, task)
    label_studio.annotate(task, ann, CHOICES[0])
    before = label_studio.content()[task].updated_at
    give_back(label_studio, project, task, CONTROL, perhaps=True)
    assert label_studio.content()[task].updated_at == before
