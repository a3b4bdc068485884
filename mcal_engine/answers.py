"""What people are asked about an item, and a whole answer as one text: two items have the same answer where their texts are equal.

Of one question with one choice the text is that choice. Otherwise it is a JSON object in the order of the questions, such as
``{"kind": "cat", "colours": ["black", "white"]}``: a question that was not shown or not answered is left out, and the choices of a question
that takes several stand in the order of the questions' own list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mcal_engine.errors import InvalidValue

Answer = Mapping[str, tuple[str, ...]]  # question → what was chosen; questions without an answer are left out


@dataclass(frozen=True, slots=True)
class ShownIf:
    """When a question is shown: while one of ``choices`` is chosen at ``question`` (any choice at all where there are none).

    ``chosen`` False turns it round: while none of them is.
    """

    question: str
    choices: tuple[str, ...] = ()
    chosen: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that people are asked about an item.

    ``several``: any number of choices may be chosen, up to ``at_most`` where there is such a number, else one. ``optional``: it may be left
    without an answer where it is shown.
    """

    name: str
    choices: tuple[str, ...]
    several: bool = False
    optional: bool = False
    shown_if: ShownIf | None = None
    at_most: int | None = None

    @property
    def may_be_absent(self) -> bool:
        """Whether "no answer to this one" can be part of a whole answer."""
        return self.optional or self.shown_if is not None


@dataclass(frozen=True)
class Questions:
    """All that people are asked about an item, in their order.

    Raises:
        InvalidValue: no question, a name or a choice twice, no choices, fewer than one that may be chosen, or a condition on a question
            that is not there or on itself.
    """

    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        names = [question.name for question in self.questions]
        if not names:
            raise InvalidValue("there must be at least one question")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidValue(f"questions must have different names, got twice: {', '.join(map(repr, twice))}")
        for question in self.questions:
            if not question.choices:
                raise InvalidValue(f"question {question.name!r} must have choices")
            if len(set(question.choices)) < len(question.choices):
                raise InvalidValue(f"question {question.name!r} must have different choices")
            if question.at_most is not None and question.at_most < 1:
                raise InvalidValue(f"question {question.name!r} must take at least one choice, got at most {question.at_most}")
            self._check_condition(question)

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    @property
    def plain(self) -> bool:
        """Whether the text of an answer is a choice: one question, one choice."""
        return len(self.questions) == 1 and not self.questions[0].several

    def text_of(self, answer: Answer) -> str:
        """The text of a whole answer. Answers to questions that the others hide do not count.

        Raises:
            InvalidValue: an unknown question or choice, more choices than are taken, no answer where one is needed, or none at all.
        """
        if unknown := [name for name in answer if name not in self._places]:
            raise InvalidValue(f"there is no question {unknown[0]!r}; there are {', '.join(map(repr, self._places))}")
        chosen = {question.name: self._in_order(question, answer.get(question.name, ())) for question in self.questions}
        said: dict[str, tuple[str, ...]] = {}
        for question in self.questions:
            if not self._is_shown(question, chosen):
                continue
            if chosen[question.name]:
                said[question.name] = chosen[question.name]
            elif not question.optional:
                raise InvalidValue(f"there is no answer to {question.name!r}")
        if not said:
            raise InvalidValue(f"there is no answer to any of {', '.join(map(repr, self._places))}")
        if self.plain:
            return said[self.questions[0].name][0]
        whole = {name: list(some) if self._places[name].several else some[0] for name, some in said.items()}
        return json.dumps(whole, ensure_ascii=False)

    def answer_of(self, text: str) -> Answer:
        """What :meth:`text_of` made ``text`` from.

        Raises:
            InvalidValue: it is not the text of an answer to these questions.
        """
        if self.plain:
            answer: Answer = {self.questions[0].name: (text,)}
        else:
            try:
                parts = json.loads(text)
            except ValueError:
                parts = None
            if not isinstance(parts, dict):
                raise InvalidValue(f"the text of an answer must be a JSON object, got {text[:200]!r}")
            answer = {name: tuple(map(str, part)) if isinstance(part, list) else (str(part),) for name, part in parts.items()}
        if self.text_of(answer) != text:
            raise InvalidValue(f"the text of an answer must be {self.text_of(answer)!r}, got {text[:200]!r}")
        return answer

    def said(self, text: str) -> str:
        """The text of an answer as people read it: ``kind: cat; colours: black, white``. Texts of other questions stay as they are."""
        try:
            answer = self.answer_of(text)
        except InvalidValue:
            return text
        return text if self.plain else "; ".join(f"{name}: {', '.join(chosen)}" for name, chosen in answer.items())

    @cached_property
    def _places(self) -> dict[str, Question]:
        return {question.name: question for question in self.questions}

    def _check_condition(self, question: Question) -> None:
        seen, condition = {question.name}, question.shown_if
        while condition is not None:
            on = self._places.get(condition.question)
            if on is None:
                raise InvalidValue(f"question {question.name!r} is shown by the answer to {condition.question!r}, which is not asked")
            if unknown := [choice for choice in condition.choices if choice not in on.choices]:
                raise InvalidValue(f"question {question.name!r} is shown by {unknown[0]!r}, which is no choice of {on.name!r}")
            if on.name in seen:
                raise InvalidValue(f"question {question.name!r} is shown by an answer to itself")
            seen.add(on.name)
            condition = on.shown_if

    def _is_shown(self, question: Question, chosen: Answer) -> bool:
        condition = question.shown_if
        if condition is None:
            return True
        on = self._places[condition.question]
        there = chosen[on.name] if self._is_shown(on, chosen) else ()
        return (bool(set(there) & set(condition.choices)) if condition.choices else bool(there)) == condition.chosen

    @staticmethod
    def _in_order(question: Question, chosen: Sequence[str]) -> tuple[str, ...]:
        if unknown := [choice for choice in chosen if choice not in question.choices]:
            raise InvalidValue(f"{question.name!r} has no choice {unknown[0]!r}")
        if len(set(chosen)) > 1 and not question.several:
            raise InvalidValue(f"{question.name!r} takes one choice, got {', '.join(map(repr, chosen))}")
        if question.at_most is not None and len(set(chosen)) > question.at_most:
            raise InvalidValue(f"{question.name!r} takes at most {question.at_most} choices, got {len(set(chosen))}")
        return tuple(choice for choice in question.choices if choice in chosen)
