"""Images with a text beside them: what the candidate that sees both needs is read from the tasks, once, and for no other candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.label_studio.port import TextBeside
from backend.simtest.label_studio import FakeLabelStudio
from mcal_engine.errors import InvalidValue
from tests.backend.world import CONFIG, World

BESIDE = CONFIG.replace("<Image ", '<Text name="title" value="$title"/><Image ')


class Titled(FakeLabelStudio):
    """One whose tasks have titles, but for every tenth."""

    def task_data(self, project_id: int, task_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        found = super().task_data(project_id, task_ids)
        return {task: data | ({} if task % 10 == 0 else {"title": f"No. {task}"}) for task, data in found.items()}


def world(folder: Path, config: str = BESIDE, **settings: Any) -> World:
    made = World(folder, start=False, **settings)
    made.label_studio.set_project(made.project, label_config=config)
    made.label_studio.__class__ = Titled
    return made


def test_the_texts_beside_images_are_read_from_the_tasks_once_and_for_tasks_that_are_added(tmp_path: Path) -> None:
    made = world(tmp_path, classifiers="both,frozen")
    made.begin()
    assert made.advance().control.beside == (TextBeside("title", "text"),)
    assert made.shelf.beside == {task: "" if task % 10 == 0 else f"No. {task}" for task in made.tasks}
    asked = made.label_studio.calls.count("task_data")
    made.advance()
    assert made.label_studio.calls.count("task_data") == asked == 1
    made.label_studio.add_tasks(made.project, ["/data/new.png"])
    made.label()
    made.wait(hours=2)
    made.advance()
    new = made.label_studio.task_ids(made.project)[-1]
    assert made.shelf.beside[new] == f"No. {new}" and made.label_studio.calls.count("task_data") == 2


def test_a_candidate_that_sees_images_alone_reads_no_texts(tmp_path: Path) -> None:
    made = world(tmp_path, classifiers="frozen")
    made.begin()
    made.advance()
    assert made.shelf.beside == {} and "task_data" not in made.label_studio.calls


def test_the_candidate_that_sees_both_is_refused_where_there_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="'both' needs a text beside each image, and here is none: frozen sees the image alone"):
        world(tmp_path, CONFIG, classifiers="both").begin()
