"""What becomes of each question, where there are several or several choices at one: its choices, and how often answers differ. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from backend.campaign.state import State
from backend.views.classes import Share, share, test_pairs
from backend.views.people.disagreement import judged_twice
from mcal_engine.answers import Answer


class ChoiceCount(TypedDict):
    """Labels so far that hold this choice, by people and by the machine; ``choice`` is ``None`` for those without an answer."""

    choice: str | None
    human: int
    machine: int


class QuestionRow(TypedDict):
    """One question.

    Attributes:
        wrong: test items, and those where the classifier of the last decision answers it otherwise than people.
        differing: items that two people labelled, and those where their answers to it differ.
    """

    question: str
    several: bool
    choices: list[ChoiceCount]
    wrong: Share
    differing: Share


class QuestionErrors(TypedDict):
    """One question. ``wrong``: certificate items with a label, and those where the machine answers it otherwise than people."""

    question: str
    wrong: Share


def questions(state: State) -> list[QuestionRow]:
    """One row per question; none where there is one that takes one choice: its choices are the classes."""
    if state.created is None or state.control.plain:
        return []
    answers = _answers(state)
    human = Counter(item.label for item in state.live if item.label is not None)
    machine = Counter(row.label for row in state.machine_labels if row.state in ("written", "planned"))
    pairs, measured = [pair.labels for pair in judged_twice(state)], test_pairs(state)
    rows = []
    for question in state.control.questions:
        some = [answer.get(question.name, ()) for answer in answers]
        words: list[str | None] = [*question.choices, *([None] if question.may_be_absent else [])]
        counts = [ChoiceCount(choice=word, human=_holding(word, some, human), machine=_holding(word, some, machine)) for word in words]
        different = sum(some[one] != some[other] for one, other in pairs)
        wrong = sum(n for (people, said), n in measured.items() if some[people] != some[said])
        rows.append(
            QuestionRow(
                question=question.name,
                several=question.several,
                choices=counts,
                wrong=share(wrong, measured.total()),
                differing=share(different, len(pairs)),
            )
        )
    return rows


def question_errors(state: State, sample: Sequence[tuple[int, int]]) -> list[QuestionErrors]:
    """One row per question, as :func:`questions`; ``sample``: what the machine and what people said of each certificate item."""
    if state.created is None or state.control.plain:
        return []
    answers = _answers(state)
    return [
        QuestionErrors(
            question=question.name,
            wrong=share(sum(answers[said].get(question.name) != answers[label].get(question.name) for said, label in sample), len(sample)),
        )
        for question in state.control.questions
    ]


def _answers(state: State) -> list[Answer]:
    return [state.control.questions.answer_of(text) for text in state.choices]


def _holding(word: str | None, some: Sequence[tuple[str, ...]], labels: Counter[int]) -> int:
    return sum(n for label, n in labels.items() if (word in some[label] if word is not None else not some[label]))
