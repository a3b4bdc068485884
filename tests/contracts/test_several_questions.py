"""Campaigns on every kind of control, lived to the end on a real Label Studio; a rollback leaves what a person has edited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.state import Phase
from backend.label_studio import wire
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import LabelControl, Prediction
from backend.steps.rollback import rollback
from mcal_engine.answers import Answer
from tests.backend.several_questions import ANSWERS, QUESTIONS, SEVERAL_CONFIG
from tests.backend.world import NoisyTruth
from tests.conftest import RealLabelStudio
from tests.contracts.test_people_s_projects import Lived
from tests.contracts.worlds import RealWorld

pytestmark = [pytest.mark.contract, pytest.mark.timeout(900)]


def config(control: str) -> str:
    return f'<View><Image name="image" value="$image"/>{control}</View>'


MULTIPLE = config(
    '<Choices name="signs" toName="image" choice="multiple"><Choice value="fever"/><Choice value="cough" alias="c"/>'
    '<Choice value="none"/></Choices>'
)
TREE = config(
    '<Taxonomy name="tree" toName="image"><Choice value="Animal" alias="animal"><Choice value="Bird"/><Choice value="Cat"/></Choice>'
    '<Choice value="Plant"/></Taxonomy>'
)
PROJECTS: Mapping[str, tuple[str, tuple[Answer, ...]]] = {
    "several questions": (SEVERAL_CONFIG, tuple(QUESTIONS.answer_of(answer) for answer in ANSWERS)),
    "multiple": (MULTIPLE, ({"signs": ("fever", "c")}, {"signs": ("c",)}, {"signs": ("none",)})),
    "rating": (config('<Rating name="stars" toName="image" maxRating="3"/>'), ({"stars": ("1",)}, {"stars": ("3",)})),
    "taxonomy": (TREE, ({"tree": ("animal / Bird",)}, {"tree": ("animal / Cat", "Plant")}, {"tree": ("animal",)})),
}


class Asked(Lived):
    """Ann gives one of a few answers to everything that she is served, and the trainer leans to it."""

    def __init__(self, world: RealWorld, directory: Path, xml: str, answers: tuple[str, ...]) -> None:
        super().__init__(world, directory, NoisyTruth(self._class))
        self.xml, self.asked, self.answers = xml, parse_label_config(xml), answers

    @property
    def control(self) -> LabelControl:
        return self.asked

    def text(self, task: int) -> str:
        return self.answers[task % len(self.answers)]

    def right(self, task: int) -> list[dict[str, Any]]:
        return wire.result_of(self.text(task), self.asked)

    def _class(self, task: int) -> int:
        seen = self.state().choices
        return seen.index(self.text(task)) if self.text(task) in seen else 0


def answers_to(name: str) -> tuple[str, tuple[str, ...]]:
    xml, answers = PROJECTS[name]
    questions = parse_label_config(xml).questions
    return xml, tuple(questions.text_of(answer) for answer in answers)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_campaign_comes_to_its_end_and_a_rollback_keeps_an_edit(name: str, real_label_studio: RealLabelStudio, tmp_path: Path) -> None:
    world = RealWorld(real_label_studio)
    lived = Asked(world, tmp_path, *answers_to(name))
    lived.import_tasks(200, config=lived.xml)
    lived.begin()
    state = lived.run()
    assert state.phase == Phase.FINISHED and state.report is not None and state.report["n_machine"] > 0
    assert lived.in_label_studio() == {"people": state.report["human_items"], "machine": state.report["n_machine"], "none": 0}
    me = world.port.current_user().id
    ours = [each for task in world.port.tasks(lived.project, lived.asked) for each in task.annotations if each.completed_by == me]
    assert sum(each.choice != lived.text(each.task_id) for each in ours) <= 0.1 * 200
    assert all(lived.asked.questions.answer_of(str(each.choice)) for each in ours) and all(each.provenance is not None for each in ours)
    edited = ours[0]
    other = next(answer for answer in lived.answers if answer != edited.choice)
    body = {"result": wire.result_of(other, lived.asked)}
    world._ok(world._people[world.ann.id].patch(f"/api/annotations/{edited.id}/", json=body))
    done = rollback(lived.services, lived.campaign, by="test")
    assert (done.n_removed, done.n_kept) == (len(ours) - 1, 1)
    left = [each for task in world.port.tasks(lived.project, lived.asked) for each in task.annotations if each.completed_by == me]
    assert [(each.id, each.choice) for each in left] == [(edited.id, other)]
    lived.store.close()
    world.close()


@pytest.mark.parametrize("name", PROJECTS)
def test_every_answer_that_we_write_is_one_that_label_studio_takes(name: str, real_label_studio: RealLabelStudio, tmp_path: Path) -> None:
    world = RealWorld(real_label_studio)
    lived = Asked(world, tmp_path, *answers_to(name))
    lived.import_tasks(len(lived.answers), config=lived.xml)
    rows = [Prediction(task, 0.5, answer, {"campaign": 7}) for task, answer in zip(lived.tasks, lived.answers, strict=True)]
    world.port.import_predictions(lived.project, "version", rows, lived.asked)  # raises unless each was created
    world.port.predictions_to_annotations(lived.project, "version", lived.tasks)
    found = {task.id: task.annotations for task in world.port.tasks(lived.project, lived.asked)}
    assert {task: [each.choice for each in rows] for task, rows in found.items()} == {row.task_id: [row.choice] for row in rows}
    assert all(each.provenance == {"campaign": 7} for rows in found.values() for each in rows)
    lived.store.close()
    world.close()


def test_what_a_person_submits_under_a_hidden_question_does_not_count(real_label_studio: RealLabelStudio, tmp_path: Path) -> None:
    """Label Studio's API takes an answer to a question that its editor would not show."""
    world = RealWorld(real_label_studio)
    lived = Asked(world, tmp_path, SEVERAL_CONFIG, ANSWERS)
    lived.import_tasks(2, config=lived.xml)
    cat, dog = lived.tasks
    stale = [region for region in wire.result_of(ANSWERS[2], lived.asked) if region["from_name"] == "breed"]
    lived.answer(cat, [*wire.result_of(ANSWERS[1], lived.asked), *stale])
    lived.answer(dog, [region for region in wire.result_of(ANSWERS[2], lived.asked) if region["from_name"] != "breed"])
    said = {task.id: task.annotations[0] for task in world.port.tasks(lived.project, lived.asked)}
    assert said[cat].choice == ANSWERS[1]
    assert (said[dog].choice, said[dog].no_choice) == (None, "there is no answer to 'breed'")
    lived.store.close()
    world.close()
