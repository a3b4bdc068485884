"""What the classes of a campaign are made of where an item has several questions, or a question several answers.

Such a class is a whole answer. Its parts are the choices that it holds, over all questions. A question with one choice that may be left
without an answer has "no answer" as a part too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine.answers import Question, Questions
from mcal_engine.errors import InvalidValue
from mcal_engine.types import BoolArray, IntArray

NOT_ANSWERED = -1
LISTED_AT_MOST = 500  # whole answers, up to which all there can be are classes from the start


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Which parts each class has.

    Attributes:
        members: shape (n_classes, n_parts).
        widths: parts of each question; they stand side by side and make up n_parts.
        several: whether any number of a question's parts go together, else one.
        complete: whether the classes are all answers there can be, so that one without an example may be predicted too.
    """

    members: BoolArray
    widths: tuple[int, ...]
    several: tuple[bool, ...]
    complete: bool

    @classmethod
    def of(cls, questions: Questions, texts: Sequence[str]) -> Parts | None:
        """Of the classes with these texts; ``None`` for one question with one choice, whose classes have no parts.

        Raises:
            InvalidValue: one of the texts is none of an answer to these questions.
        """
        if questions.plain:
            return None
        blocks, widths = [], []
        for question, column in zip(questions, columns_of(questions, texts), strict=True):
            places = np.arange(NOT_ANSWERED if question.may_be_absent else 0, len(question.choices))
            blocks.append(np.asarray(column if question.several else column[:, None] == places, dtype=np.bool_))
            widths.append(blocks[-1].shape[1])
        every = every_answer(questions)
        complete = every is not None and set(every) == set(texts)
        return cls(np.concatenate(blocks, axis=1), tuple(widths), tuple(question.several for question in questions), complete)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def n_parts(self) -> int:
        """What stands for the number of choices where classes are whole answers, whose number grows."""
        return self.members.shape[1]


def columns_of(questions: Questions, texts: Sequence[str]) -> tuple[IntArray | BoolArray, ...]:
    """Answers as arrays, one for each question.

    Returns:
        Of a question with one choice: (n,) places of the choices, :data:`NOT_ANSWERED` without one. Of one with several: flags of shape
        (n, choices).

    Raises:
        InvalidValue: one of the texts is none of an answer to these questions.
    """
    answers = {text: questions.answer_of(text) for text in set(texts)}
    return tuple(_column(question, [answers[text].get(question.name, ()) for text in texts]) for question in questions)


def _column(question: Question, chosen: Sequence[tuple[str, ...]]) -> IntArray | BoolArray:
    place = {choice: number for number, choice in enumerate(question.choices)}
    if not question.several:
        return np.array([place[some[0]] if some else NOT_ANSWERED for some in chosen], dtype=np.int64)
    flags = np.zeros((len(chosen), len(question.choices)), dtype=np.bool_)
    for row, some in enumerate(chosen):
        flags[row, [place[choice] for choice in some]] = True
    return flags


def every_answer(questions: Questions) -> list[str] | None:
    """The texts of all answers that there can be, ``None`` where they are more than :data:`LISTED_AT_MOST`."""
    if math.prod(_n_ways(question) for question in questions) > LISTED_AT_MOST:
        return None
    found: dict[str, None] = {}
    for chosen in itertools.product(*(_ways(question) for question in questions)):
        try:
            found[questions.text_of(dict(zip((question.name for question in questions), chosen, strict=True)))] = None
        except InvalidValue:  # the answer that nobody can give
            continue
    return list(found)


def _n_ways(question: Question) -> int:
    n = len(question.choices)
    if not question.several:
        return n + question.may_be_absent
    return 2**n if question.at_most is None else sum(math.comb(n, size) for size in range(min(question.at_most, n) + 1))


def _ways(question: Question) -> list[tuple[str, ...]]:
    if not question.several:
        return [(choice,) for choice in question.choices] + ([()] if question.may_be_absent else [])
    most = len(question.choices) if question.at_most is None else min(question.at_most, len(question.choices))
    return [chosen for size in range(most + 1) for chosen in itertools.combinations(question.choices, size)]
