from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from backend.label_studio import wire
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import LabelControl, LabelStudioError, Prediction, TextBeside

CONTROL = LabelControl("kind", "image", "image", ("cat", "dog"))
MULTIPLE = (
    '<View><Image name="image" value="$image"/><Choices name="signs" toName="image" choice="multiple"><Choice value="a"/>'
    '<Choice value="b"/></Choices>{more}</View>'
)
TIMES = {"created_at": "2026-01-02T03:04:05.678901Z", "updated_at": "2026-01-02T03:04:05.678901Z"}


def annotation(**fields: Any) -> dict[str, Any]:
    row = {"id": 5, "result": wire.result_of("dog", CONTROL), "completed_by": 2, "updated_by": 2, "lead_time": 1.5, "was_cancelled": False}
    return row | TIMES | fields


def test_an_annotation_is_read_whether_users_come_as_ids_or_as_objects() -> None:
    for user in (2, {"id": 2, "email": "ann@example.com"}):
        read = wire.annotation(annotation(completed_by=user, updated_by=user), 9, CONTROL)
        assert (read.task_id, read.choice, read.completed_by, read.updated_by) == (9, "dog", 2, 2)
        assert read.created_at == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ([], "submitted without an answer"),
        ([{"type": "choices", "from_name": "quality", "value": {"choices": ["dog"]}}], "answered under 'quality' only, not under 'kind'"),
        ([{"type": "choices", "from_name": "kind", "value": {"choices": ["dog", "cat"]}}], "2 choices at once: 'dog', 'cat'"),
        ([{"type": "choices", "from_name": "kind", "value": {"choices": []}}], "submitted without a choice under 'kind'"),
        ([{"type": "choices", "from_name": "kind", "value": {}}], "submitted without a choice under 'kind'"),
        ([{"type": "rectanglelabels", "from_name": "kind", "value": {"x": 1}}], "submitted without a choice under 'kind'"),
    ],
)
def test_anything_but_one_choice_by_the_control_is_no_choice_and_says_why(result: list[dict[str, Any]], why: str) -> None:
    found = wire.annotation(annotation(result=result), 9, CONTROL)
    assert found.choice is None and found.no_choice == why and found.empty == (not result)


@pytest.mark.parametrize("chosen", [["disc"], "disc"])
def test_a_choice_is_read_from_a_list_and_from_plain_text(chosen: Any) -> None:
    result = [{"type": "choices", "from_name": "kind", "value": {"choices": chosen}}]
    found = wire.annotation(annotation(result=result), 9, CONTROL)
    assert found.choice == "disc" and found.no_choice == "" and not found.empty


def test_provenance_survives_the_way_there_and_back() -> None:
    said = {"campaign": 3, "margin": 0.25, "model_version": "größe", "certificate": {"look": 1}}
    row = wire.prediction(Prediction(7, 0.5, "cat", said), "final", CONTROL)
    assert (row["task"], row["model_version"], row["score"]) == (7, "final", 0.5)
    assert wire.chosen_in(row["result"], CONTROL) == {"kind": ["cat"]}
    assert wire.provenance_of(row["result"]) == said
    assert row["result"][0]["meta"]["text"][0].startswith('MCAL {"campaign": 3')


@pytest.mark.parametrize("text", ["MCAL {broken", "MCAL [1]", "a remark", ["a remark", 3], None, [], "MCAL "])
def test_a_remark_that_is_not_ours_is_no_provenance(text: Any) -> None:
    assert wire.provenance_of([{"meta": {"text": text}}]) is None
    assert wire.provenance_of([{"meta": None}, {}]) is None


def test_an_empty_prediction_shows_people_nothing() -> None:
    assert wire.prediction(Prediction(7, 1.0), "b1", CONTROL)["result"] == []


@pytest.mark.parametrize("score", [-0.1, 1.01, float("nan")])
def test_a_score_that_label_studio_would_drop_is_refused_here(score: float) -> None:
    with pytest.raises(ValueError, match=r"score must be in \[0, 1\].*task 7"):
        wire.prediction(Prediction(7, score), "b1", CONTROL)


def test_an_image_is_found_by_its_field_or_by_its_path() -> None:
    nested = LabelControl("kind", "image", "a.b", ("cat", "dog"))
    assert wire.image_reference({"image": "/data/1.png"}, CONTROL) == "/data/1.png"
    assert wire.image_reference({"a.b": "x", "a": {"b": "y"}}, nested) == "x"
    assert wire.image_reference({"a": {"b": "y"}}, nested) == "y"
    for missing in ({}, {"image": None}, {"image": 3}, {"image": []}, {"image": ["x", "y"]}, {"image": [["x"]]}, {"image": {"x": "y"}}):
        assert wire.image_reference(missing, CONTROL) == ""
    assert wire.image_reference({"a": "text"}, nested) == ""
    several = wire.task({"id": 9, "data": {"image": ["x", " ", "y"]}, "annotations": [], **TIMES}, CONTROL)
    assert (several.image, several.n_images) == ("", 2)  # people are shown both


def test_nothing_ticked_is_no_answer_where_it_is_all_there_is_and_a_part_of_one_elsewhere() -> None:
    lone = parse_label_config(MULTIPLE.format(more=""))
    found = wire.annotation(annotation(result=[]), 9, lone)
    assert (found.choice, found.no_choice, found.empty) == (None, "submitted without an answer", True)
    assert wire.result_of(None, lone) == []  # nor could a machine write it: what says where a label comes from stands in a result
    other = '<Choices name="kind" toName="image" required="true"><Choice value="cat"/><Choice value="dog"/></Choices>'
    among = parse_label_config(MULTIPLE.format(more=other))
    said = wire.annotation(annotation(), 9, among).choice
    assert said == '{"kind": "dog"}' and wire.answer_in(wire.result_of(said, among), among) == (said, "")


def test_the_texts_beside_an_image_are_read_one_after_the_other() -> None:
    control = replace(CONTROL, beside=(TextBeside("title", "text"), TextBeside("more.html", "hypertext")))
    assert wire.text_beside({"title": "A  <cat>", "more": {"html": "<p>on a <b>mat</b></p>"}}, control) == "A <cat>\non a mat"
    assert wire.text_beside({"title": 7, "more": {}}, control) == "7"
    assert wire.text_beside({"title": None}, control) == wire.text_beside({"title": "x"}, CONTROL) == ""


@pytest.mark.parametrize(
    ("value", "data", "image"),
    [
        ("$images[0]", {"images": ["/data/1.png", "/data/2.png"]}, "/data/1.png"),
        ("$images[1].url", {"images": [{"url": "a"}, {"url": "b"}]}, "b"),
        ("$images[7]", {"images": ["a"]}, ""),
        ("$image", {"image": ["/data/1.png"]}, "/data/1.png"),
        ("$image", {"image": " /data/1.png\n"}, "/data/1.png"),
        ("  $image ", {"image": "/data/1.png"}, "/data/1.png"),
        ("https://x.test/$folder/$name", {"folder": "a", "name": 7}, "https://x.test/a/7"),
        ("/data/local-files/?d=$meta.file", {"meta": {"file": "x.png"}}, "/data/local-files/?d=x.png"),
        ("https://x.test/$name", {"other": "a"}, ""),
        ("$my-image", {"my-image": "x"}, "x"),
        ("$a.b", {"a.b": "field", "a": {"b": "path"}}, "field"),
    ],
)
def test_an_image_is_found_as_label_studios_editor_finds_it(value: str, data: dict[str, Any], image: str) -> None:
    config = (
        f'<View><Image name="i" value="{value}"/><Choices name="kind" toName="i"><Choice value="a"/><Choice value="b"/></Choices></View>'
    )
    assert wire.image_reference(data, parse_label_config(config)) == image


def test_what_another_version_of_label_studio_leaves_out_is_named() -> None:
    row = annotation()
    del row["updated_by"]
    with pytest.raises(LabelStudioError, match="annotation without 'updated_by'"):
        wire.annotation(row, 9, CONTROL)
    with pytest.raises(LabelStudioError, match="project with id null"):
        wire.project({"id": None})


def test_times_are_utc_both_ways() -> None:
    local = datetime(2026, 1, 2, 5, 0, tzinfo=timezone(timedelta(hours=2)))
    assert wire.moment_text(local) == "2026-01-02T03:00:00.000000Z"
    assert wire.moment("2026-01-02T05:00:00+02:00") == wire.moment("2026-01-02T03:00:00Z") == wire.moment("2026-01-02T03:00:00") == local


ASKED = parse_label_config(
    """<View><Image name="image" value="$image"/>
    <Choices name="kind" toName="image" required="true"><Choice value="cat"/><Choice value="dog"/></Choices>
    <Choices name="breed" toName="image" required="true" visibleWhen="choice-selected" whenTagName="kind" whenChoiceValue="dog">
    <Choice value="pug"/><Choice value="poodle"/></Choices>
    <Choices name="colours" toName="image" choice="multiple"><Choice value="black"/><Choice value="white"/></Choices>
    <Taxonomy name="tree" toName="image"><Choice value="A"><Choice value="B"/></Choice><Choice value="C"/></Taxonomy>
    <Rating name="stars" toName="image"/></View>"""
)


def region(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "image", "type": kind, "value": {kind: value}}


def test_each_kind_of_control_is_read_and_written_as_label_studio_has_it() -> None:
    result = [
        region("stars", "rating", 4),
        region("tree", "taxonomy", [["C"], ["A", "B"]]),
        region("colours", "choices", ["white", "black"]),
        region("breed", "choices", ["pug"]),
        region("kind", "choices", ["dog"]),
    ]
    text, why = wire.answer_in(result, ASKED)
    assert (text, why) == (
        '{"kind": "dog", "breed": "pug", "colours": ["black", "white"], "tree": ["A / B", "C"], "stars": "4"}',
        "",
    )
    written = wire.result_of(text, ASKED)
    assert [each["from_name"] for each in written] == ["kind", "breed", "colours", "tree", "stars"]
    assert {each["from_name"]: each["value"] for each in written} == {
        "kind": {"choices": ["dog"]},
        "breed": {"choices": ["pug"]},
        "colours": {"choices": ["black", "white"]},
        "tree": {"taxonomy": [["A", "B"], ["C"]]},
        "stars": {"rating": 4},
    }
    marked = wire.result_of(text, ASKED, {"campaign": 3})
    assert len({each["id"] for each in marked}) == 5 and wire.provenance_of(marked) == {"campaign": 3}


@pytest.mark.parametrize(
    ("result", "text", "why"),
    [
        ([region("kind", "choices", "cat")], '{"kind": "cat"}', ""),
        ([region("kind", "choices", ["cat"]), region("breed", "choices", ["pug"])], '{"kind": "cat"}', ""),  # hidden
        ([region("kind", "choices", ["cat"]), region("stars", "rating", "3")], '{"kind": "cat", "stars": "3"}', ""),
        ([region("kind", "choices", ["cat"]), region("stars", "rating", 0)], '{"kind": "cat"}', ""),  # cleared
        ([region("kind", "choices", ["cat"]), region("stars", "rating", 9)], None, "'stars' has no choice '9'"),
        ([region("kind", "choices", ["cat"]), region("stars", "rating", 2.5)], None, "'stars' has no choice '2.5'"),
        ([region("kind", "choices", ["cat"]), region("tree", "taxonomy", [["A", "X"]])], None, "'tree' has no choice 'A / X'"),
        ([region("kind", "choices", ["dog"])], None, "there is no answer to 'breed'"),
        ([region("colours", "choices", ["white"])], None, "there is no answer to 'kind'"),
        ([region("kind", "choices", ["cat", "dog"])], None, "'kind' takes one choice, got 'cat', 'dog'"),
        ([region("note", "textarea", ["x"])], None, "answered under 'note' only, not under 'kind', 'breed', 'colours', 'tree', 'stars'"),
        ([], None, "submitted without an answer"),
    ],
)
def test_what_is_no_whole_answer_says_why(result: list[dict[str, Any]], text: str | None, why: str) -> None:
    found = wire.annotation(annotation(result=result), 9, ASKED)
    assert (found.choice, found.no_choice, found.empty) == (text, why, not result)
