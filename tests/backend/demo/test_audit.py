"""The demo's final check: a sound project passes, and each kind of damage is found and named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.demo import audit
from backend.demo.annotators import Pull
from backend.demo.trace import Findings
from backend.label_studio.port import Annotation, Task

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SERVICE, ANNA, BERT = 1, 2, 3
NOTHING = Findings((), (), (), (), {"q1": 2})


def annotation(number: int, task: int, choice: str | None, by: int, **changes: Any) -> Annotation:
    provenance = {"campaign": 1, "model_version": "mcal-final"} if by == SERVICE else None
    values: dict[str, Any] = {
        "id": number,
        "task_id": task,
        "choice": choice,
        "completed_by": by,
        "updated_by": None if by == SERVICE else by,
        "created_at": NOW + timedelta(seconds=number),
        "updated_at": NOW,
        "lead_time": 2.0,
        "was_cancelled": False,
        "provenance": provenance,
    }
    return Annotation(**(values | changes))


def task(number: int, *annotations: Annotation) -> Task:
    return Task(number, "x.png", NOW, NOW, bool(annotations), annotations)


def sound() -> list[Task]:
    """Four tasks: two by people (one of them twice), two by the machine (one of them wrong)."""
    return [
        task(1, annotation(11, 1, "a", ANNA)),
        task(2, annotation(12, 2, "b", ANNA), annotation(13, 2, "a", BERT)),
        task(3, annotation(14, 3, "a", SERVICE)),
        task(4, annotation(15, 4, "b", SERVICE)),
    ]


TRUTH = {1: "a", 2: "b", 3: "a", 4: "a"}
PULLS = [
    Pull("anna", NOW, NOW, 1, "", 11, "a", NOW),
    Pull("anna", NOW, NOW, 2, "", 12, "b", NOW),
    Pull("bert", NOW, NOW, 2, "", 13, "a", NOW),
]
REPORT: dict[str, Any] = {
    "n_items": 4,
    "human_items": 2,
    "n_machine": 2,
    "n_set_aside": 0,
    "human_labels": 3,
    "duplicates": 1,
    "second_labels": 0,
}


def failed(tasks: list[Task], findings: Findings = NOTHING, **report: Any) -> str:
    found = audit.checks(audit.count(tasks, SERVICE), PULLS, findings, REPORT | report, 1)
    return "; ".join(check.detail for check in found if not check.ok)


def test_a_sound_project_passes_every_check() -> None:
    assert failed(sound()) == ""


def test_the_errors_are_shares_of_all_items_and_of_the_machine_s() -> None:
    found = audit.truth(audit.count(sound(), SERVICE), TRUTH)
    assert found.true_overall_error == pytest.approx(1 / 4)
    assert found.true_machine_error == pytest.approx(1 / 2)


def test_the_first_label_by_a_person_counts_whatever_came_later() -> None:
    late_machine = [*sound()[:3], task(4, annotation(15, 4, "b", SERVICE), annotation(16, 4, "a", BERT))]
    counted = audit.count(late_machine, SERVICE)
    assert [each.choice for each in counted] == ["a", "b", "a", "a"]


def test_a_machine_label_that_a_person_edited_is_a_person_s() -> None:
    edited = annotation(15, 4, "a", SERVICE, updated_by=BERT)
    assert audit.count([task(4, edited)], SERVICE)[0].people == (edited,)


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (task(4), "task 4 has none"),
        (task(4, annotation(15, 4, "b", SERVICE, was_cancelled=True)), "task 4 has none"),
        (task(4, annotation(15, 4, "b", SERVICE), annotation(16, 4, "b", SERVICE)), "task 4 has 2 by the machine"),
        (task(4, annotation(15, 4, "b", SERVICE), annotation(16, 4, "b", ANNA)), "task 4 has one by a person and one by the machine"),
        (task(4, annotation(15, 4, "b", SERVICE, provenance=None)), "annotation 15 has none"),
        (task(4, annotation(15, 4, "b", SERVICE, provenance={"campaign": 1})), "annotation 15 has no model_version"),
        (task(4, annotation(15, 4, "b", SERVICE, provenance={"campaign": 2, "model_version": "m"})), "annotation 15 names campaign 2"),
    ],
)
def test_damage_to_a_machine_labelled_task_is_named(damaged: Task, said: str) -> None:
    assert said in failed([*sound()[:3], damaged])


@pytest.mark.parametrize(
    "damaged",
    [
        task(1, annotation(11, 1, "b", ANNA)),
        task(1, annotation(11, 1, "a", ANNA, updated_by=SERVICE)),
        task(1, annotation(17, 1, "a", ANNA)),
    ],
)
def test_a_label_that_is_not_as_it_was_given_is_found(damaged: Task) -> None:
    assert "anna's label on task 1 is not as it was given" in failed([damaged, *sound()[1:]])


def test_a_report_that_counts_otherwise_than_label_studio_is_found() -> None:
    assert "n_machine is 3, Label Studio has 2" in failed(sound(), n_machine=3)
    assert "are 3 of 4" in failed(sound(), human_items=1)
    assert "human_labels is 2, Label Studio has 3" in failed(sound(), human_labels=2)
    assert "1 task has a repeated label by people, the report counts 0" in failed(sound(), duplicates=0)


def test_what_the_trace_shows_is_part_of_the_check() -> None:
    assert "task 9 was random" in failed(sound(), Findings(("task 9 was random",), (), (), (), {}))
