"""Whole answers from the columns of a file: one question for each column, and sets of choices within one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mcal_engine.answers import Question, Questions
from mcal_engine.errors import InvalidValue
from mcal_engine.parts import every_answer
from mcal_engine.simulator.readers.labels import NONE, Classes, Where, classes_of
from mcal_engine.simulator.readers.listing import shown
from mcal_engine.words import counted_of

BAR = "|"


@dataclass(frozen=True)
class Asked:
    """What the labels of a file answer.

    Attributes:
        classes: the class of each item; where ``questions`` are given, the class names are the texts of whole answers.
        questions: ``None``: one question with one choice.
        notes: sentences for the reader of a report.
    """

    classes: Classes
    questions: Questions | None = None
    notes: tuple[str, ...] = ()


def asked(
    columns: Mapping[str, Sequence[Any]], where: Where, source: str, names: Mapping[str, Sequence[str] | None] | None = None
) -> Asked:
    """The answers that some columns hold.

    Args:
        columns: name → value of each item: a word or a number, a list of them, or, in a column with a plural's name such as ``labels``,
            words with bars between them. A column is a question; it takes several choices if one of its values holds several.
        where: place of an item in words.
        source: file, for messages.
        names: class names of columns whose numbers are places in them.

    Raises:
        InvalidValue: a value that is no label.
    """
    cells = {name: [_listed(name, value, where, place) for place, value in enumerate(values)] for name, values in columns.items()}
    several = {name: any(len(some) > 1 for some in column) for name, column in cells.items()}
    if len(cells) == 1 and not any(several.values()):
        ((name, column),) = cells.items()
        return Asked(classes_of([some[0] if some else None for some in column], (names or {}).get(name), where, source))
    chosen, choices = {}, {}
    for name, column in cells.items():
        starts = np.cumsum([0, *map(len, column)])

        def at(position: int, starts: Any = starts) -> str:
            return where(int(np.searchsorted(starts, position, side="right")) - 1)

        flat, choices[name] = classes_of([value for some in column for value in some], (names or {}).get(name), at, source)
        words = [None if label == NONE else choices[name][label] for label in flat.tolist()]
        chosen[name] = [tuple(dict.fromkeys(word for word in words[first:end] if word is not None)) for first, end in pairwise(starts)]
        if not choices[name]:
            raise InvalidValue(f"{source}: no value in the column {name!r} is a label (−1, empty and NaN are no label)")
    n = len(next(iter(cells.values())))
    answered = [any(chosen[name][row] for name in cells) for row in range(n)]
    blank = {name: sum(bool(said) and not some for said, some in zip(answered, chosen[name], strict=True)) for name in cells}
    questions = Questions(tuple(Question(name, choices[name], several[name], optional=blank[name] > 0) for name in cells))
    texts = [questions.text_of({name: chosen[name][row] for name in cells}) if answered[row] else None for row in range(n)]
    class_names = every_answer(questions) or sorted({text for text in texts if text is not None})
    index = {text: place for place, text in enumerate(class_names)}
    labels = np.array([NONE if text is None else index[text] for text in texts], dtype=np.int64)
    return Asked((labels, tuple(class_names)), questions, _notes(questions, blank, sum(answered), class_names))


def could_be_asked(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Columns that look like another question: from 2 to 30 different values, each ten times as often as not, or yes and no."""
    found = []
    for name, values in columns.items():
        if name.strip().lower() in _NO_QUESTIONS:
            continue
        given = [value for value in values if value is not None and not isinstance(value, list | dict) and str(value).strip()]
        different = len({str(value) for value in given})
        if 2 <= different <= 30 and len(given) >= 10 * different:
            found.append(name)
    return found


def beside(used: Sequence[str], left: Sequence[str]) -> list[str]:
    """The note that names columns that are left out."""
    if not left:
        return []
    options = " ".join(f"--label-column {name}" for name in (*used, *left))
    return [f"only the labels of {shown(used)} are asked for; with {shown(left)} as well: {options}"]


_NO_QUESTIONS = frozenset(
    {"split", "fold", "subset", "part", "predicted", "prediction", "confidence", "score", "annotator", "completed_by"}
)


def _listed(column: str, value: Any, where: Where, place: int) -> list[Any]:
    """The choices that a value holds, as they are written."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str):
        text = value.strip()
        if text.startswith('{"choices"'):
            try:
                value = json.loads(text)
            except ValueError:
                raise InvalidValue(f"{where(place)}: {column} must hold a label or a list of labels, got {text[:80]}") from None
        elif BAR in text and column.strip().lower().endswith("s"):
            return [part.strip() for part in text.split(BAR) if part.strip()]
    if isinstance(value, Mapping) and "choices" in value:
        value = value["choices"]
    if isinstance(value, list | tuple):
        if unfit := [part for part in value if isinstance(part, list | tuple | dict)]:
            raise InvalidValue(f"{where(place)}: {column} must hold a label or a list of labels, got {str(unfit[0])[:80]} in the list")
        return list(value)
    return [] if value is None else [value]


def _notes(questions: Questions, blank: Mapping[str, int], n: int, class_names: Sequence[str]) -> tuple[str, ...]:
    said = []
    for question in questions:
        kind = "any number of" if question.several else "one of"
        said.append(f"{question.name}: {kind} {len(question.choices):,} choices")
    whole = f"asked for each item: {'; '.join(said)}; a label is the whole answer, of which there are {len(class_names):,} here"
    unanswered = [f"{counted_of(count, n, 'item', 'have')} no {name}, which counts as an answer" for name, count in blank.items() if count]
    return (whole, *unanswered)
