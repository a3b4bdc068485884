"""What the classes of a campaign are made of, against the answers written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mcal_engine.answers import Question, Questions, ShownIf
from mcal_engine.errors import InvalidValue
from mcal_engine.parts import LISTED_AT_MOST, Parts, every_answer

KIND = Question("kind", ("cat", "dog"))
COLOURS = Question("colours", ("black", "white"), several=True)
BREED = Question("breed", ("pug", "husky"), shown_if=ShownIf("kind", ("dog",)))


def test_one_question_with_one_choice_has_no_parts():
    assert Parts.of(Questions((KIND,)), ["cat", "dog"]) is None


def test_each_choice_of_each_question_is_a_part():
    questions = Questions((KIND, COLOURS))
    texts = [
        questions.text_of({"kind": ("dog",), "colours": ("white", "black")}),
        questions.text_of({"kind": ("cat",), "colours": ("white",)}),
    ]
    parts = Parts.of(questions, texts)
    assert parts.members.tolist() == [[False, True, True, True], [True, False, False, True]]
    assert (parts.widths, parts.several, parts.n_parts, len(parts)) == ((2, 2), (False, True), 4, 2)
    assert not parts.complete


def test_no_answer_is_a_part_of_a_question_that_may_be_hidden():
    questions = Questions((KIND, BREED))
    parts = Parts.of(questions, every_answer(questions))
    rows = {tuple(row) for row in parts.members.astype(int).tolist()}
    assert rows == {(1, 0, 1, 0, 0), (0, 1, 0, 1, 0), (0, 1, 0, 0, 1)}  # cat without a breed; dog: pug; dog: husky
    assert parts.complete


def test_every_answer_is_listed_once_and_none_that_nobody_can_give():
    found = every_answer(Questions((KIND, COLOURS)))
    assert len(found) == len(set(found)) == 2 * 3  # at least one colour must be chosen
    assert len(every_answer(Questions((KIND, Question("colours", ("black", "white"), several=True, optional=True))))) == 2 * 4


def test_no_answer_holds_more_choices_than_a_question_takes():
    pair = Question("colours", tuple(map(str, range(30))), several=True, at_most=2)
    found = every_answer(Questions((pair,)))
    assert len(found) == 30 + 30 * 29 // 2  # all of 30 would be far too many to list
    assert {len(Questions((pair,)).answer_of(text)["colours"]) for text in found} == {1, 2}
    assert Parts.of(Questions((pair,)), found).complete


def test_more_answers_than_can_be_listed_are_not():
    n = LISTED_AT_MOST // 2
    assert len(every_answer(Questions((KIND, Question("number", tuple(map(str, range(n)))))))) == 2 * n
    assert every_answer(Questions((KIND, Question("number", tuple(map(str, range(n + 1))))))) is None
    assert every_answer(Questions((Question("tags", tuple(map(str, range(60))), several=True),))) is None


def test_a_text_of_other_questions_is_refused():
    with pytest.raises(InvalidValue, match="no choice 'cow'"):
        Parts.of(Questions((KIND, COLOURS)), ['{"kind": "cow", "colours": ["black"]}'])


def test_a_list_that_lacks_an_answer_is_not_complete():
    questions = Questions((KIND, COLOURS))
    every = every_answer(questions)
    assert Parts.of(questions, every).complete
    assert not Parts.of(questions, every[1:]).complete
    assert np.array_equal(Parts.of(questions, every[1:]).members, Parts.of(questions, every).members[1:])
