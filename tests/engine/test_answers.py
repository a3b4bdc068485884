"""A whole answer is one text, and two answers are the same where their texts are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcal_engine.answers import Answer, Question, Questions, ShownIf
from mcal_engine.errors import InvalidValue
from mcal_engine.parts import NOT_ANSWERED, columns_of

KIND = Question("kind", ("cat", "dog", "none"))
COLOURS = Question("colours", ("black", "white", "red"), several=True, optional=True)
BREED = Question("breed", ("poodle", "pug"), shown_if=ShownIf("kind", ("dog",)))
PET = Questions((KIND, COLOURS, BREED))


@st.composite
def spaces(draw: st.DrawFn) -> Questions:
    """Any questions; each may depend on one before it."""
    questions: list[Question] = []
    for number in range(draw(st.integers(1, 4))):
        choices = tuple(draw(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4, unique=True)))
        shown_if = None
        on = draw(st.none() | st.sampled_from(questions)) if questions else None
        if on is not None:
            some = tuple(draw(st.lists(st.sampled_from(on.choices), unique=True)))
            shown_if = ShownIf(on.name, some, draw(st.booleans()))
        questions.append(Question(f"q{number}", choices, draw(st.booleans()), draw(st.booleans()), shown_if))
    return Questions(tuple(questions))


@st.composite
def answered(draw: st.DrawFn) -> tuple[Questions, list[Answer]]:
    space = draw(spaces())
    answers: list[Answer] = []
    for _ in range(draw(st.integers(0, 5))):
        answer = {
            question.name: tuple(draw(st.lists(st.sampled_from(question.choices), unique=True, max_size=None if question.several else 1)))
            for question in space
        }
        try:
            space.text_of(answer)
        except InvalidValue:
            continue
        answers.append(answer)
    return space, answers


def test_of_one_question_with_one_choice_the_text_is_the_choice() -> None:
    assert Questions((KIND,)).text_of({"kind": ("dog",)}) == "dog"
    assert Questions((KIND,)).answer_of("dog") == {"kind": ("dog",)}
    assert Questions((KIND,)).said("dog") == "dog"


def test_other_texts_are_json_in_the_order_of_questions_and_choices() -> None:
    text = PET.text_of({"colours": ("white", "black"), "kind": ("cat",)})
    assert text == '{"kind": "cat", "colours": ["black", "white"]}'
    assert PET.said(text) == "kind: cat; colours: black, white"
    assert Questions((COLOURS,)).text_of({"colours": ("red",)}) == '{"colours": ["red"]}'


def test_an_answer_to_a_question_that_is_hidden_does_not_count() -> None:
    assert PET.text_of({"kind": ("cat",), "breed": ("pug",)}) == PET.text_of({"kind": ("cat",)}) == '{"kind": "cat"}'
    size = Question("size", ("big",), optional=True, shown_if=ShownIf("breed"))
    longer = Questions((KIND, BREED, size))
    assert longer.text_of({"kind": ("cat",), "breed": ("pug",), "size": ("big",)}) == '{"kind": "cat"}'
    turned = Questions((KIND, replace(BREED, shown_if=ShownIf("kind", ("dog",), chosen=False))))
    assert turned.text_of({"kind": ("cat",), "breed": ("pug",)}) == '{"kind": "cat", "breed": "pug"}'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "there is no answer to 'kind'"),
        ({"kind": ("dog",)}, "there is no answer to 'breed'"),
        ({"kind": ("dog", "cat")}, "'kind' takes one choice, got 'dog', 'cat'"),
        ({"kind": ("cow",)}, "'kind' has no choice 'cow'"),
        ({"size": ("big",)}, "there is no question 'size'; there are 'kind', 'colours', 'breed'"),
    ],
)
def test_what_is_no_whole_answer_is_refused_by_name(answer: Answer, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        PET.text_of(answer)


def test_no_answer_to_optional_questions_alone_is_no_answer() -> None:
    with pytest.raises(InvalidValue, match="no answer to any of 'colours'"):
        Questions((COLOURS,)).text_of({})


@pytest.mark.parametrize("text", ["cat", "[]", '{"kind":"cat"}', '{"kind": "cat", "colours": []}', '{"kind": "cow"}'])
def test_a_text_that_no_answer_has_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        PET.answer_of(text)
    assert PET.said(text) == text


def test_columns_hold_places_and_flags() -> None:
    kind, colours, breed = columns_of(PET, ['{"kind": "cat", "colours": ["black", "red"]}', '{"kind": "dog", "breed": "pug"}'])
    assert kind.tolist() == [0, 1]
    assert colours.tolist() == [[True, False, True], [False, False, False]]
    assert breed.tolist() == [NOT_ANSWERED, 1]


@given(answered())
def test_texts_say_all_of_an_answer(found: tuple[Questions, list[Answer]]) -> None:
    space, answers = found
    texts = [space.text_of(answer) for answer in answers]
    assert [space.text_of(space.answer_of(text)) for text in texts] == texts


@given(answered())
def test_equal_texts_are_equal_columns(found: tuple[Questions, list[Answer]]) -> None:
    space, answers = found
    texts = [space.text_of(answer) for answer in answers]
    columns = columns_of(space, texts)
    for one in range(len(texts)):
        for other in range(one):
            assert (texts[one] == texts[other]) == all(np.array_equal(column[one], column[other]) for column in columns)


@pytest.mark.parametrize(
    "questions",
    [
        (),
        (KIND, KIND),
        (Question("kind", ()),),
        (Question("kind", ("cat", "cat")),),
        (BREED,),
        (KIND, Question("breed", ("pug",), shown_if=ShownIf("kind", ("cow",)))),
        (Question("a", ("x",), shown_if=ShownIf("b")), Question("b", ("x",), shown_if=ShownIf("a"))),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(questions: tuple[Question, ...]) -> None:
    with pytest.raises(InvalidValue):
        Questions(questions)


def test_more_choices_than_a_question_takes_are_no_answer() -> None:
    questions = Questions((Question("tags", ("a", "b", "c"), several=True, at_most=2),))
    assert questions.text_of({"tags": ("c", "a", "c")}) == '{"tags": ["a", "c"]}'
    with pytest.raises(InvalidValue, match="'tags' takes at most 2 choices, got 3"):
        questions.text_of({"tags": ("a", "b", "c")})
    with pytest.raises(InvalidValue, match="must take at least one choice, got at most 0"):
        Questions((Question("tags", ("a", "b"), several=True, at_most=0),))
