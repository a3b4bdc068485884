"""A setting's rule in words, and what a bad value is told: one sentence with the rule, the value and, where there is one, a guess."""

from __future__ import annotations

import difflib
import math
import reprlib
import types
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

SHOWN = 60  # characters of a value that a sentence repeats
LONGEST = 10_000  # characters of a value
MANY_DIGITS = 40  # a longer whole number is only counted
RANGE_ERRORS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})
_ARTICLES = {"number": "a number", "whole number": "a whole number", "path": "a path", "secret": "text", "list": "a list"}


class Finding(NamedTuple):
    """What is wrong with one setting. ``name`` is empty where several settings do not go together."""

    name: str
    sentence: str


class Interval(NamedTuple):
    """Where a number must lie; ``None``: no bound on that side."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int | float) or (isinstance(number, float) and not math.isfinite(number)):
            return False
        above = self.low is None or number > self.low or (number == self.low and not self.low_open)
        return above and (self.high is None or number < self.high or (number == self.high and not self.high_open))

    def __str__(self) -> str:
        """Such as ``in (0, 1)``, ``above 0`` or ``at least 20 and at most 1,000,000``."""
        if self.low is not None and self.high is not None and max(abs(self.low), abs(self.high)) < 1000:
            return f"in {'(' if self.low_open else '['}{_plain(self.low)}, {_plain(self.high)}{')' if self.high_open else ']'}"
        low = "" if self.low is None else f"{'above' if self.low_open else 'at least'} {_plain(self.low)}"
        high = "" if self.high is None else f"{'below' if self.high_open else 'at most'} {_plain(self.high)}"
        return " and ".join(part for part in (low, high) if part)


LESS, MORE, FIXED = "less", "more", "fixed"
"""Which way a setting that guards something is stricter; a word of its choices says so of a switch. Fixed: neither way."""


def about(group: str, unit: str = "", *, guards: str = "") -> dict[str, Any]:
    """What a setting's documents say besides its description: the group it stands in, and its unit.

    Args:
        guards: which way is stricter, for a setting that guards money or the promise; only an admin may loosen it.
    """
    return {"group": group} | ({"unit": unit} if unit else {}) | ({"guards": guards} if guards else {})


def looser(field: FieldInfo, before: Any, after: Any) -> bool:
    """Whether a change of one setting gives up some of what it guards; never where it guards nothing."""
    guards = told(field, "guards")
    if not guards or before == after:
        return False
    if guards in (LESS, MORE):
        if before is None or after is None:
            return after is None
        return bool(after > before if guards == LESS else after < before)
    return guards in (FIXED, before)


def told(field: FieldInfo, name: str) -> str:
    """One entry of :func:`about`, or ``""``."""
    extra = field.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, dict) else ""


def kind_of(annotation: Any) -> str:
    """A type as people call it: ``number``, ``whole number``, ``text``, ``list``, ``path``, ``secret``, or choices as ``a | b``."""
    return _kind_of(bare(annotation))


@cache
def _kind_of(annotation: Hashable) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(get_args(annotation))
    if get_origin(annotation) in (list, tuple):
        return "list"
    words: dict[Hashable, str] = {int: "whole number", float: "number", str: "text", Path: "path", SecretStr: "secret"}
    return words[annotation]


def bare(annotation: Any) -> Any:
    """An annotation without ``| None`` and without what ``Annotated`` adds."""
    if get_origin(annotation) in (Union, types.UnionType):
        return bare(next(part for part in get_args(annotation) if part is not types.NoneType))
    return bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The words that a setting, or each item of a list, can be; empty where it is free."""
    of = bare(field.annotation)
    of = bare(get_args(of)[0]) if get_origin(of) in (list, tuple) else of
    return get_args(of) if get_origin(of) is Literal else ()


def interval_of(field: FieldInfo) -> Interval:
    """The bounds of a number."""
    found: dict[str, Any] = {}
    for part in field.metadata:
        for name, (side, is_open) in {"gt": ("low", True), "ge": ("low", False), "lt": ("high", True), "le": ("high", False)}.items():
            if (bound := getattr(part, name, None)) is not None:
                found |= {side: bound, f"{side}_open": is_open}
    return Interval(**found)


def bounds_of(field: FieldInfo) -> str:
    """The rule besides the type, such as ``in (0, 1)`` or ``1 to 8 characters``; ``""`` where there is none."""
    kind = kind_of(field.annotation)
    if kind in ("number", "whole number"):
        return str(interval_of(field))
    lengths = {name: bound for part in field.metadata for name in ("min_length", "max_length") if (bound := getattr(part, name, None))}
    if not lengths:
        return ""
    of = "names" if kind == "list" else "characters"
    if len(lengths) == 2:
        return f"{lengths['min_length']:,} to {lengths['max_length']:,} {of}"
    (which, bound), *_ = lengths.items()
    return f"at {'least' if which == 'min_length' else 'most'} {bound:,} {of if bound > 1 else of[:-1]}"


def rule_of(field: FieldInfo) -> str:
    """The rule in a sentence, such as ``a number in (0, 1)`` or ``text of 1 to 8 characters``; wide bounds are left out."""
    choices, kind, bounds = choices_of(field), kind_of(field.annotation), bounds_of(field)
    if choices:
        return ("some of " if kind == "list" else "one of ") + ", ".join(choices)
    of_number = kind in ("number", "whole number")
    return with_bounds(_ARTICLES.get(kind, kind), bounds if bounds.startswith("in ") or not of_number else "")


def broken(interval: Interval, number: float | None) -> str:
    """The bound that a number breaks, or the whole interval where that is short."""
    if str(interval).startswith("in ") or number is None:
        return str(interval)
    below = interval.low is not None and number not in interval._replace(high=None)
    return str(interval._replace(high=None) if below else interval._replace(low=None))


def with_bounds(kind: str, bounds: str) -> str:
    """A type and its bounds, such as ``a number`` ``in (0, 1)`` or ``a whole number`` of ``at least 1``."""
    joint = "" if not bounds else " " if bounds.startswith(("in ", "above ", "below ")) else " of "
    return kind + joint + bounds


def complaint(name: str, field: FieldInfo, value: Any, *, in_kind: bool = False) -> str:
    """``NAME must be RULE, got VALUE (did you mean GUESS?)``; ``in_kind``: the type is right, so only the bounds are named.

    A setting that its model hides (``repr=False``) may be a secret: its value is not repeated.
    """
    rule = (in_kind and broken(interval_of(field), _order(value))) or rule_of(field)
    if not field.repr:
        return f"{name} must be {rule}"
    guess = guess_of(field, value)
    return f"{name} must be {rule}, got {shown(value)}" + (f" (did you mean {guess}?)" if guess else "")


def guess_of(field: FieldInfo, value: Any) -> str:
    """What was probably meant, or ``""``: a share for a percentage, a decimal point for a comma, the nearest word."""
    choices = choices_of(field)
    if choices:
        words = {choice.lower(): choice for choice in choices}
        close = difflib.get_close_matches(value[:SHOWN].strip().lower(), words, n=1) if isinstance(value, str) else []
        return words[close[0]] if close else ""
    if kind_of(field.annotation) not in ("number", "whole number"):
        return ""
    number, within = number_in(value), interval_of(field)
    if number is None and isinstance(value, str):
        number = number_in(value.replace(",", "."))
        if number is not None and number in within:
            return _plain(number)
    # 1 is 100 % as well as a slip for 1 %; only where people must say it themselves it is more likely the slip.
    if number is not None and told(field, "unit") == "fraction" and (number > 1 or (number == 1 and field.is_required())):
        return _plain(number / 100) if number / 100 in within else ""
    return ""


def number_in(value: Any) -> float | None:
    """A finite number, given as one or as text; else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def within_reason(text: str) -> bool:
    """Whether a text can be a setting's value: it can be printed, and is not longer than any that makes sense."""
    return len(text) <= LONGEST and text.strip().isprintable()


def shown(value: Any) -> str:
    """A value on one line, short, whatever it is."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, int):
        digits = int(value.bit_length() * math.log10(2)) + 1
        return str(value) if digits <= MANY_DIGITS else f"a number of about {digits:,} digits"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        if number_in(value) is not None and value.isascii() and len(value) <= MANY_DIGITS:
            return value.strip()
        return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}… ({len(value):,} characters)"
    try:
        return _SHORT.repr(value)
    except (ValueError, RecursionError):  # a number within it that is too long to print, or lists in lists in lists
        return f"a {type(value).__name__}"


def unknown(name: object, known: list[str], noun: str = "setting") -> str:
    """The sentence about a name that no setting has; its value is not repeated, as it may be a secret."""
    close = difflib.get_close_matches(str(name)[:SHOWN].lower().replace("-", "_"), known, n=1)
    rest = f" (did you mean {close[0]}?)" if close else f"; known {noun}s: {', '.join(known) or 'none'}"
    return f"unknown {noun} {shown(str(name))}{rest}"


def explain(error: ValidationError, model: type[BaseModel], *, noun: str = "setting") -> list[str]:
    """The sentences of :func:`findings`."""
    return [found.sentence for found in findings(error, model, noun=noun)]


def findings(error: ValidationError, model: type[BaseModel], *, noun: str = "setting") -> list[Finding]:
    """Pydantic's findings in sentences that a person can act on, in its order. ``noun``: what the model's fields are called."""
    names = {alias: name for name, field in model.model_fields.items() for alias in (name, *_aliases(field))}
    found = []
    for each in error.errors(include_url=False):
        where = str(each["loc"][0]) if each["loc"] else ""
        name = names.get(where, where)
        field = model.model_fields.get(name)
        if each["type"] == "extra_forbidden":
            sentence = unknown(where, sorted(model.model_fields), noun)
        elif each["type"] == "missing":
            sentence = f"{name} is required"
        elif each["type"] == "value_error":
            sentence = str(each["ctx"]["error"])
        elif field is None:
            sentence = f"{name}: {each['msg'][0].lower()}{each['msg'][1:]}"
        else:
            sentence = complaint(name, field, each["input"], in_kind=each["type"] in RANGE_ERRORS)
        found.append(Finding(name if field is not None else "", sentence))
    return found


def _aliases(field: FieldInfo) -> list[str]:
    return [str(each) for each in field.validation_alias.choices] if isinstance(field.validation_alias, AliasChoices) else []


def _order(value: Any) -> float | None:
    """Where a number that may be too long for a float lies among the others."""
    if isinstance(value, int):
        return max(min(value, 2**1000), -(2**1000))
    return number_in(value) if isinstance(value, str | float) else None


def _plain(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:.10f}".rstrip("0")


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = SHOWN
