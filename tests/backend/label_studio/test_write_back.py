"""What a person has edited is never deleted, whenever the edit comes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.label_studio import write_back
from backend.label_studio.port import LabelControl, User
from backend.label_studio.write_back import PlannedLabel, WrittenLabel
from backend.simtest.label_studio import FakeLabelStudio

CONTROL = LabelControl("label", "image", "image", ("one", "two"))
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="label" toName="image">'
    '<Choice value="one"/><Choice value="two"/></Choices></View>'
)
N = 2 * write_back.REMOVED_AT_ONCE + 10


def written() -> tuple[FakeLabelStudio, int, User, list[WrittenLabel]]:
    """A project full of machine labels."""
    fake = FakeLabelStudio()
    ann = fake.add_user("ann@example.com")
    project = fake.add_project(CONFIG, [f"/{place}.png" for place in range(N)])
    planned = [PlannedLabel(task, "one", 0.9, {"campaign": 1}) for task in fake.task_ids(project)]
    done = write_back.write_chunk(fake, project, "final", planned, control=CONTROL, service_user_id=fake.service_user.id)
    return fake, project, ann, [WrittenLabel(row.task_id, row.annotation_id, "one") for row in done if row.annotation_id is not None]


def at_call(fake: FakeLabelStudio, number: int, act: Callable[[], object]) -> None:
    """Do it right before the port's call of this number."""
    calls = 0

    def before(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            act()

    fake.before = before


@pytest.mark.parametrize("place", [0, write_back.REMOVED_AT_ONCE, N - 1])
@pytest.mark.parametrize("choice", ["two", "one"])  # to say the same is an edit too
def test_an_edit_at_any_point_of_a_removal_stays(place: int, choice: str) -> None:
    for call in range(1, 20):
        fake, project, ann, rows = written()
        edited = rows[place]
        there = []

        def edit(fake: FakeLabelStudio = fake, edited: WrittenLabel = edited, ann: User = ann, there: list[bool] = there) -> None:
            there.append(any(each.id == edited.annotation_id for each in fake._tasks[edited.task_id].annotations))
            if there[0]:
                fake.edit(edited.annotation_id, ann, choice)

        at_call(fake, call, edit)
        done = write_back.remove(fake, project, rows, control=CONTROL, service_user_id=fake.service_user.id)
        if not there:
            return  # every point has been tried
        left = [(task.id, each.choice) for task in fake.tasks(project, CONTROL) for each in task.annotations]
        assert left == ([(edited.task_id, choice)] if there[0] else [])
        assert done.kept == ((edited.task_id,) if there[0] else ())
        assert len(done.removed) + len(done.kept) == N
    raise AssertionError("a removal takes fewer calls than that")


def test_an_edit_while_the_machine_gives_way_to_another_person_stays() -> None:
    fake, project, ann, rows = written()
    bob = fake.add_user("bob@example.com")
    fake.annotate(rows[0].task_id, bob, "one")
    (task,) = fake.tasks_by_id(project, CONTROL, [rows[0].task_id])
    at_call(fake, 1, lambda: fake.edit(rows[0].annotation_id, ann, "two"))
    assert write_back.yield_to_people(fake, task, fake.service_user.id) == []
    assert sorted(each.choice or "" for each in fake._tasks[task.id].annotations) == ["one", "two"]
