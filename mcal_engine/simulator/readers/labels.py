"""Labels as tools write them → class indices and names. −1, empty and NaN are no label and never a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.listing import shown
from mcal_engine.types import IntArray
from mcal_engine.words import counted

NONE = -1
_NO_LABEL = frozenset({"", "nan", "null", "<na>"})  # as pandas and databases write a missing value

Classes = tuple[IntArray, tuple[str, ...]]
Where = Callable[[int], str]  # position of an item → its place in words, such as "list.csv line 7"


def classes_of(values: Sequence[Any], names: Sequence[str] | None, where: Where, source: str) -> Classes:
    """Class index of each value, −1 where it is no label, and the names of the classes.

    Numbers may come as text and as 1.0. With ``names`` they are indices; without, the distinct values are the classes: numbers in their
    order, words in theirs. −1 is no label, unless there are other negative numbers: then somebody numbers classes that way.

    Raises:
        InvalidValue: a fraction, a list of labels, or a number without a name; the text says where.
    """
    plain = [_plain(value, where, position) for position, value in enumerate(values)]
    numbers = [_number(value) for value in plain]
    if all(number is not None for number, value in zip(numbers, plain, strict=True) if value is not None):
        return _of_numbers(numbers, names, where, source)
    return _of_words([None if value is None else str(value) for value in plain], names, where)


def from_one_hot(table: npt.NDArray[Any], names: Sequence[str] | None, where: Where, source: str) -> Classes:
    """``table`` (n, k) of zeros and ones: the class is the column of the one; a row of zeros is no label.

    Raises:
        InvalidValue: a row with several ones (several labels), or numbers that are neither 0 nor 1.
    """
    values = np.asarray(table, dtype=np.float64)
    if not np.isin(values, (0.0, 1.0)).all():
        at = int(np.flatnonzero(~np.isin(values, (0.0, 1.0)).all(axis=1))[0])
        raise InvalidValue(f"{where(at)}: one label per item is needed, got {values.shape[1]} numbers that are not 0 or 1")
    several = np.flatnonzero(values.sum(axis=1) > 1)
    if len(several):
        raise InvalidValue(
            f"{where(int(several[0]))}: one label per item is needed, this one has {int(values[several[0]].sum())} of the "
            f"{values.shape[1]} classes; {counted(len(several), 'item', 'have')} several"
        )
    labels = np.where(values.any(axis=1), values.argmax(axis=1), NONE).astype(np.int64)
    if names is not None and len(names) != values.shape[1]:
        raise InvalidValue(f"{source}: {values.shape[1]} columns of labels need as many class names, got {len(names)}")
    return labels, tuple(names) if names is not None else tuple(str(column) for column in range(values.shape[1]))


def _plain(value: Any, where: Where, position: int) -> str | int | float | None:
    """The value as text or number; ``None`` where it is no label."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple | dict | np.ndarray):
        raise InvalidValue(f"{where(position)}: one label per item is needed, got {str(value)[:80]}")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        value = value.strip()
        if value.startswith('{"choices"'):
            raise InvalidValue(f"{where(position)}: one label per item is needed, got {value[:80]}")
        return None if value.lower() in _NO_LABEL else value
    return value if isinstance(value, int | float) else str(value)


def _number(value: str | float | None) -> float | None:
    if isinstance(value, str):
        if "_" in value:  # Python reads 1_000, nobody writes it as a number in a list
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    return None if value is None or not math.isfinite(value) else float(value)


def _of_numbers(numbers: Sequence[float | None], names: Sequence[str] | None, where: Where, source: str) -> Classes:
    for position, number in enumerate(numbers):
        if number is not None and not number.is_integer():
            raise InvalidValue(f"{where(position)}: label must be a whole number or a word, got {number:g}")
    whole = [None if number is None else int(number) for number in numbers]
    if not any(number is not None and number < NONE for number in whole):
        whole = [None if number == NONE else number for number in whole]
    present = sorted({number for number in whole if number is not None})
    if names is None:
        index = {number: place for place, number in enumerate(present)}
        return np.array([NONE if n is None else index[n] for n in whole], dtype=np.int64), tuple(str(number) for number in present)
    first = 1 if present and present[0] >= 1 and present[-1] == len(names) else 0  # MATLAB, R and people count from 1
    for position, number in enumerate(whole):
        if number is not None and not first <= number < len(names) + first:
            raise InvalidValue(
                f"{source}: label {number} of {where(position)} is not in {first} … {len(names) - 1 + first}, the {len(names)} class names"
            )
    return np.array([NONE if n is None else n - first for n in whole], dtype=np.int64), tuple(names)


def _of_words(words: Sequence[str | None], names: Sequence[str] | None, where: Where) -> Classes:
    words = [None if word in {"-1", "-1.0"} else word for word in words]
    order = list(names) if names is not None else sorted({word for word in words if word is not None})
    index = {name: place for place, name in enumerate(order)}
    for position, word in enumerate(words):
        if word is not None and word not in index:
            raise InvalidValue(f"{where(position)}: label {word!r} is none of the {len(order)} class names ({shown(order)})")
    return np.array([NONE if word is None else index[word] for word in words], dtype=np.int64), tuple(order)
