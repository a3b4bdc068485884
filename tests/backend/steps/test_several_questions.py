"""Campaigns on several controls: one answer per item, on record before any label has it, written and taken back like a single choice."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import zipfile
from pathlib import Path

import pytest

from backend.campaign import events, history
from backend.campaign.facts import load
from backend.campaign.state import Phase, state_of
from backend.steps.loop import advance
from backend.steps.reconcile import check_project
from backend.steps.rollback import rollback
from backend.views.campaign import campaign_view
from backend.views.classes import classes
from backend.views.exports import export, items_csv
from backend.views.exports.card import data_card
from backend.views.exports.hugging_face import data_set
from backend.views.exports.lists import items_jsonl
from backend.views.questions import questions
from backend.views.report import make_report
from backend.views.review import review
from mcal_engine.errors import InvalidValue
from tests.backend.several_questions import ANSWERS, SEVERAL_CONFIG, SeveralQuestions


@pytest.mark.slow
def test_a_campaign_on_several_questions_comes_to_its_end_with_the_joint_promise(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=400)
    state = world.run()
    assert state.phase == Phase.FINISHED and state.report is not None
    assert state.report["certified"] and state.report["n_machine"] > 50
    machine = world.machine_annotations()
    assert len(machine) == state.report["n_machine"] and set(state.choices) == set(ANSWERS)
    assert sum(annotation.choice != world.right(task) for task, annotation in machine.items()) <= 0.05 * 400
    assert {annotation.choice for annotation in machine.values()} <= set(ANSWERS)


@pytest.mark.slow
def test_each_question_is_counted_by_choice_by_disagreement_and_by_the_machine_s_errors(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=240, overlap_share=0.3)
    state = world.advance()
    assert state.queue is not None
    twice = state.queue.twice[0]
    for person, answer in zip(world.people, (ANSWERS[0], ANSWERS[1]), strict=True):  # another place and other colours, the same kind
        world.label_studio.annotate(twice, person, answer)
    state = world.run(until=[Phase.RESIDUAL])
    rows = {row["question"]: row for row in questions(state)}
    assert list(rows) == ["kind", "breed", "colours", "place"]
    labels = [state.choices[item.label] for item in state.live if item.label is not None]
    kind = {each["choice"]: each["human"] for each in rows["kind"]["choices"]}
    assert kind == {"cat": sum('"cat"' in text for text in labels), "dog": sum('"dog"' in text for text in labels)}
    breed = {each["choice"]: each["human"] for each in rows["breed"]["choices"]}
    assert breed[None] == kind["cat"] and sum(breed.values()) == len(labels)
    assert sum(each["machine"] for each in rows["place"]["choices"]) == state.n_machine > 0
    assert (rows["kind"]["differing"]["count"], rows["place"]["differing"]["count"]) == (0, 1)
    measured = state.observations[-1].measurements[0]
    assert {row["wrong"]["n"] for row in rows.values()} == {len(measured.correct)}
    assert max(row["wrong"]["count"] for row in rows.values()) <= (~measured.correct).sum()
    found = review(world.store, state)
    wrong = {row["question"]: row["wrong"] for row in found["questions"]}
    assert all(share["count"] <= len(found["errors"]) <= sum(each["count"] for each in wrong.values()) for share in wrong.values())
    assert {share["n"] for share in wrong.values()} == {found["n_sample"]}
    view = campaign_view(state, world.campaign, load(world.store, world.campaign.id).events, world.now())
    assert view["questions"] == questions(state) and view["classes_absent_from_test"] == []


@pytest.mark.slow
def test_a_rollback_keeps_the_answer_that_a_person_has_edited(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=400)
    state = world.run(until=[Phase.RESIDUAL])
    task, annotation = next(iter(world.machine_annotations().items()))
    other = next(answer for answer in ANSWERS if answer != annotation.choice)
    world.label_studio.edit(annotation.id, world.people[0], other)
    done = rollback(world.services, world.campaign.id, by="test")
    assert (done.n_removed, done.n_kept) == (state.n_machine - 1, 1)
    assert [each.choice for each in world.annotations()[task]] == [other] and not world.machine_annotations()


def test_an_answer_becomes_a_class_before_a_label_has_it_also_where_the_visit_is_killed(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=240)
    world.label_studio.annotate(world.tasks[0], world.people[0], ANSWERS[2])
    append, seen = world.store.append, list[str]()

    def killed(*args: object, **kwargs: object) -> object:
        append(*args, **kwargs)  # type: ignore[arg-type]
        seen.append("appended")
        raise KeyboardInterrupt

    world.store.append = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        advance(world.services, world.campaign.id)
    world.store.append = append  # type: ignore[method-assign]
    state = world.advance()
    assert seen == ["appended"] and state.choices == (ANSWERS[2],) and state.items[world.tasks[0]].label == 0
    world.label(12)
    state = world.advance()
    labelled = {task: state.choices[item.label] for task, item in state.items.items() if item.label is not None}
    assert len(labelled) == 13 and labelled == {task: world.right(task) for task in labelled} | {world.tasks[0]: ANSWERS[2]}
    recorded = [text for entry in history.read(world.store, world.campaign.id, events.AnswersSeen) for text in entry.event.answers]
    assert tuple(recorded) == state.choices == state_of(world.store, world.campaign.id, world.now(), ledger=False).choices


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('<Choice value="pug"/>', '<Choice value="boxer"/>', "the choices of 'breed' were 'pug', 'poodle' and are now 'boxer', 'poodle'"),
        ('choice="multiple"', "", "'colours' is asked in another way now"),
        ('whenChoiceValue="dog"', 'whenChoiceValue="cat"', "'breed' is asked in another way now"),
        ('name="colours"', 'name="colors"', "label_controls must name"),
    ],
)
def test_a_campaign_stands_still_where_a_question_has_changed(tmp_path: Path, before: str, after: str, said: str) -> None:
    world = SeveralQuestions(tmp_path, n=240)
    state = world.advance()
    world.label_studio.set_project(world.project, label_config=SEVERAL_CONFIG.replace(before, after))
    found = check_project(world.label_studio.project(world.project), state)
    assert found is not None and said in found.reason
    required = SEVERAL_CONFIG.replace('choice="multiple"', 'choice="multiple" required="true"')
    world.label_studio.set_project(world.project, label_config=required)
    assert check_project(world.label_studio.project(world.project), state) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"classifiers": "llm:model"}, "a model from outside .* answers one control"),
        ({"min_class_precision": 0.9}, "min_class_precision promises something of each class"),
    ],
)
def test_what_needs_classes_that_are_known_beforehand_is_refused(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    world = SeveralQuestions(tmp_path, n=240, start=False, **settings)
    with pytest.raises(InvalidValue, match=said):
        world.begin()


def test_trainers_are_told_what_whole_answers_are_made_of(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=240)
    world.advance()
    world.label()
    state = world.advance()
    (request, *_) = world.trainer.requests
    assert request.parts is not None and not request.parts.complete
    assert (request.parts.widths, len(request.parts), request.n_classes) == ((2, 3, 7, 3), 4, 4)
    assert state.settings.surety == "least_confidence" and state.observations[0].n_classes == 15 == state.control.n_choices


def test_files_show_the_answer_to_each_question(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=240)
    world.label_studio.annotate(world.tasks[0], world.people[0], ANSWERS[0])
    world.label_studio.annotate(world.tasks[1], world.people[0], ANSWERS[3])
    state = world.advance()
    found = export(world.store, state, make_report(state, world.now()))
    first, second, third, *_ = list(csv.DictReader(io.StringIO("".join(items_csv(found)))))
    asked = [name for name in first if name.startswith("label.")]
    assert asked == ["label.kind", "label.breed", "label.colours", "label.place"]
    assert first["label"] == ANSWERS[0] and [first[name] for name in asked] == ["cat", "", "black|white", "Home / Garden"]
    assert [second[name] for name in asked] == ["dog", "poodle", "white", "Street"] and {third[name] for name in asked} == {""}
    lines = [json.loads(line) for line in items_jsonl(found)]
    assert lines[1]["label"] == {"kind": "dog", "breed": "poodle", "colours": ["white"], "place": "Street"} and lines[2]["label"] is None
    assert "kind: cat; colours: black, white; place: Home / Garden" in "".join(data_card(found))


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow comes with the extra named parquet")
def test_a_data_set_for_hugging_face_has_a_column_for_each_question(tmp_path: Path) -> None:
    from pyarrow import parquet

    world = SeveralQuestions(tmp_path, n=240)
    world.label_studio.annotate(world.tasks[0], world.people[0], ANSWERS[0])
    state = world.advance()
    archive = zipfile.ZipFile(io.BytesIO(b"".join(data_set(export(world.store, state, make_report(state, world.now()))))))
    (row,) = parquet.read_table(io.BytesIO(archive.read("data/human-00000-of-00001.parquet"))).to_pylist()
    assert (row["label.kind"], row["label.breed"], row["label.colours"]) == ("cat", None, ["black", "white"])


def test_people_read_pairs_of_question_and_answer(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=240)
    world.label_studio.annotate(world.tasks[0], world.people[0], ANSWERS[0])
    state = world.advance()
    (row,) = classes(state, [])
    assert row["choice"] == "kind: cat; colours: black, white; place: Home / Garden"
    assert (row["human"], state.choices) == (1, (ANSWERS[0],))
