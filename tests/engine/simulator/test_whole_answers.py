"""Several questions per item, and sets of choices: read from every layout, and played to the end."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from backend.cli.simulate import simulate
from mcal_engine.answers import Question, Questions
from mcal_engine.classifiers.base import FitReport
from mcal_engine.classifiers.candidates import race_of
from mcal_engine.errors import InvalidValue
from mcal_engine.parts import Parts, every_answer
from mcal_engine.simulator.baselines import compare
from mcal_engine.simulator.data import read, shuffled
from mcal_engine.simulator.machines import Machine
from mcal_engine.simulator.session import open_machines, play
from mcal_engine.spec import WHOLE_ANSWERS, CampaignSpec
from mcal_engine.types import PeelOrder
from tests.engine.classifiers.texts.sentences import NAMES, sentences
from tests.engine.simulator.toy import FixedTimes, RidgeClassifier, toy_data

N = 210


def items(n: int = N) -> list[dict[str, Any]]:
    """Texts with a topic, whether they are long, and tags: the topic, and "even" for every other one."""
    texts, labels = sentences(n)
    return [
        {
            "text": text,
            "topic": NAMES[label],
            "long": len(text) > 40,
            "tags": [NAMES[label], "even"] if place % 2 == 0 else [NAMES[label]],
        }
        for place, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]


def as_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: "|".join(value) if isinstance(value, list) else value for name, value in row.items()} for row in rows)
    return path


def as_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows))
    return path


def as_export(path: Path, rows: list[dict[str, Any]]) -> Path:
    def result(row: dict[str, Any]) -> list[dict[str, Any]]:
        chosen = {name: value if isinstance(value, list) else [str(value)] for name, value in row.items() if name != "text"}
        return [{"type": "choices", "from_name": name, "value": {"choices": some}} for name, some in chosen.items()]

    tasks = [{"data": {"text": row["text"]}, "annotations": [{"result": result(row)}]} for row in rows]
    return as_json(path, tasks)


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist(rows), path)
    return path


LAYOUTS = {"csv": as_csv, "json": as_json, "export": as_export, "parquet": as_parquet}
SUFFIXES = {"csv": "list.csv", "json": "list.json", "export": "export.json", "parquet": "table.parquet"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_questions_are_read_the_same_from_every_layout(layout: str, tmp_path: Path) -> None:
    rows = items()
    data = read(LAYOUTS[layout](tmp_path / SUFFIXES[layout], rows), ("topic", "tags"))
    assert [question.name for question in data.questions] == ["topic", "tags"]
    assert [question.several for question in data.questions] == [False, True]
    said = [data.questions.answer_of(data.class_names[label]) for label in data.labels]
    assert [answer["topic"] for answer in said] == [(row["topic"],) for row in rows]
    assert [set(answer["tags"]) for answer in said] == [set(row["tags"]) for row in rows]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sets_in_one_column_are_one_question_with_several_choices(layout: str, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "labels": row["tags"]} for row in items()]
    data = read(LAYOUTS[layout](tmp_path / SUFFIXES[layout], rows), "labels" if layout == "export" else None)
    (question,) = data.questions
    assert question.several
    assert set(question.choices) == {*NAMES, "even"}
    assert any("label is the whole answer" in note for note in data.notes)


def test_paths_of_a_taxonomy_and_ratings_are_read_from_an_export(tmp_path: Path) -> None:
    def result(place: int) -> list[dict[str, Any]]:
        paths = [["animal", "dog" if place % 2 else "cat"], *([["indoors"]] if place % 3 == 0 else [])]
        stars = {"type": "rating", "from_name": "stars", "value": {"rating": place % 5 + 1}}
        return [{"type": "taxonomy", "from_name": "what", "value": {"taxonomy": paths}}, stars]

    tasks = [{"data": {"text": row["text"]}, "annotations": [{"result": result(place)}]} for place, row in enumerate(items())]
    data = read(as_json(tmp_path / "export.json", tasks), ("what", "stars"))
    what, stars = data.questions
    assert (what.choices, what.several) == (("animal / cat", "animal / dog", "indoors"), True)
    assert (stars.choices, stars.several) == (("1", "2", "3", "4", "5"), False)
    said = data.questions.answer_of(data.class_names[data.labels[6]])
    assert said == {"what": ("animal / cat", "indoors"), "stars": ("2",)}


def test_lists_of_one_choice_each_are_plain_labels(tmp_path: Path) -> None:
    data = read(as_json(tmp_path / "list.json", [{"text": row["text"], "label": [row["topic"]]} for row in items()]))
    assert data.questions is None
    assert set(data.class_names) == set(NAMES)


def test_a_bar_in_a_word_is_no_list(tmp_path: Path) -> None:
    data = read(as_csv(tmp_path / "list.csv", [{"text": row["text"], "label": f"{row['topic']}|x"} for row in items()]))
    assert data.questions is None
    assert set(data.class_names) == {f"{name}|x" for name in NAMES}


def test_columns_of_zeros_and_ones_with_several_ones_are_a_set(tmp_path: Path) -> None:
    names = [*NAMES, "even"]
    rows = [{"text": row["text"], **{name: int(name in row["tags"]) for name in names}} for row in items()]
    data = read(as_csv(tmp_path / "list.csv", rows))
    (question,) = data.questions
    assert (question.name, question.several, set(question.choices)) == ("labels", True, set(names))


def test_all_answers_there_can_be_are_classes_where_they_are_few_and_only_those_given_where_they_are_many(tmp_path: Path) -> None:
    two = read(as_csv(tmp_path / "two.csv", items()), ("topic", "long"))
    assert len(two.class_names) == 2 * len(NAMES)
    assert Parts.of(two.questions, two.class_names).complete
    rows = [{"text": row["text"], "labels": [f"tag {place % 9}", f"tag {(place + 1) % 9}"]} for place, row in enumerate(items())]
    many = read(as_json(tmp_path / "many.json", rows))
    assert len(many.class_names) == 9
    assert not Parts.of(many.questions, many.class_names).complete


def test_a_question_left_without_an_answer_is_part_of_the_whole_and_items_without_any_are_not_used(tmp_path: Path) -> None:
    rows = items(220)
    for row in rows[:6]:
        row["long"] = ""
    for row in rows[:2]:
        row["topic"] = ""
    data = read(as_csv(tmp_path / "list.csv", rows), ("topic", "long"))
    assert len(data) == 218
    assert data.unused == {"without a label (−1, empty or NaN)": 2}
    assert data.questions.answer_of(data.class_names[data.labels[0]]).keys() == {"topic"}
    assert "4 of 218 items have no long, which counts as an answer" in data.notes


def test_columns_that_could_be_questions_too_are_named_with_the_way_to_ask_them(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["topic"], "long": row["long"], "number": place} for place, row in enumerate(items())]
    for path in (as_csv(tmp_path / "list.csv", rows), as_parquet(tmp_path / "table.parquet", rows)):
        said = [note for note in read(path).notes if "--label-column" in note]
        assert said == ["only the labels of label are asked for; with long as well: --label-column label --label-column long"]
        assert not [note for note in read(path, "label").notes if "--label-column" in note]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (("topic", "topic"), "label_column: 'topic' is given twice"),
        (("topic", "size"), "has no column named 'size'; it has topic, long, tags"),
    ],
)
def test_columns_that_cannot_be_asked_are_refused(columns: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        read(as_csv(tmp_path / "list.csv", items()), columns)


def test_a_bound_per_class_is_refused_by_name(tmp_path: Path) -> None:
    data = read(as_csv(tmp_path / "list.csv", items()), ("topic", "long"))
    race = race_of(("tfidf",), len(data), "cpu", data.reads)
    spec = CampaignSpec(target_error=0.1, price_per_label=0.04, classifiers=race, min_class_precision=0.9)
    with pytest.raises(InvalidValue, match="min_class_precision bounds the labels of each class, and here a class is a whole answer"):
        play(data, np.arange(len(data)), spec, open_machines(data, race, tmp_path / "cache", "cpu"))


class Told(RidgeClassifier):
    """Notes what it is told of the classes."""

    takes_parts = True

    def fit(self, *args: Any, parts: Parts | None = None, **options: Any) -> FitReport:
        self.told = [*getattr(self, "told", []), parts]
        return super().fit(*args, **options)


@pytest.mark.slow
def test_a_classifier_that_takes_parts_is_told_them_at_every_fit_also_while_peeling_and_by_the_baselines() -> None:
    questions = Questions((Question("kind", ("cat", "dog")), Question("size", ("large", "small"))))
    data = replace(toy_data(1500, noise=150), class_names=tuple(every_answer(questions)), questions=questions)
    told = Told(data.source())
    spec = CampaignSpec(target_error=0.1, price_per_label=0.04, classifiers=("ridge",), **WHOLE_ANSWERS)
    played = play(data, np.arange(len(data)), spec, [Machine("ridge", told, FixedTimes(0.01))])
    assert any(isinstance(row, PeelOrder) for row in played.campaign.history)
    compare(data, np.arange(len(data)), spec, [Machine("ridge", told, FixedTimes(0.01))], played.campaign, deltas=(0.2,))
    assert len(told.told) > len(played.report["rounds"])
    assert all(parts is not None and np.array_equal(parts.members, data.parts.members) for parts in told.told)


@pytest.mark.slow
def test_a_campaign_on_two_questions_keeps_the_joint_promise_and_tells_each_question_s_error(tmp_path: Path) -> None:
    data = read(as_csv(tmp_path / "list.csv", items(1500)), ("topic", "tags"))
    race = race_of(("tfidf",), len(data), "cpu", data.reads)
    spec = CampaignSpec(target_error=0.1, price_per_label=0.04, seed=3, classifiers=race, **WHOLE_ANSWERS)
    found = play(data, np.arange(len(data)), spec, open_machines(data, race, tmp_path / "cache", "cpu")).report
    each = found["true_question_errors"]
    assert found["data"]["questions"] == ["topic", "tags"] == list(each)
    assert max(each.values()) <= found["true_overall_error"] <= sum(each.values())
    assert found["true_overall_error"] <= 0.1 or not found["n_machine"]
    hopeless = play(shuffled(data, 0), np.arange(len(data)), spec, open_machines(data, race, tmp_path / "cache", "cpu")).report
    assert hopeless["true_overall_error"] <= 0.1


@pytest.mark.slow
def test_the_command_takes_several_columns_and_orders_whole_answers_by_their_probability(tmp_path: Path) -> None:
    source, report = as_csv(tmp_path / "list.csv", items(400)), tmp_path / "report.json"
    settings = ["--target-error", "0.1", "--price", "0.04", "--classifiers", "tfidf", "--device", "cpu", "--cache-dir", str(tmp_path)]
    columns = ["--label-column", "topic", "--label-column", "long", "--json", str(report)]
    done = CliRunner().invoke(simulate, ["--data", str(source), *settings, *columns], catch_exceptions=False)
    assert done.exit_code == 0
    assert "of each question" in done.output
    assert json.loads(report.read_text())["data"]["questions"] == ["topic", "long"]
