"""Numbers on the command line whose errors are the house's own: the option, the rule, the value."""

from __future__ import annotations

from typing import Any

import click

from mcal_engine.errors import InvalidValue
from mcal_engine.rules import Interval, broken, shown, with_bounds

LARGEST = 1_000_000_000_000  # where an option has no bound of its own


class _OwnWords:
    """Click's number types, with a sentence of ours where they refuse."""

    kind = ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = super().convert(value, param, ctx)  # type: ignore[misc]
        except click.BadParameter:
            number = None
        interval = Interval(self.min, self.max, self.min_open, self.max_open)  # type: ignore[attr-defined]
        if number is None or number not in (interval if interval.high is not None else interval._replace(high=LARGEST)):
            bounds = broken(interval._replace(high=LARGEST), number) if number is not None and number > LARGEST else str(interval)
            raise InvalidValue(f"{_called(param)} must be {with_bounds(self.kind, bounds)}, got {shown(value)}")
        return number


class Whole(_OwnWords, click.IntRange):
    """A whole number with bounds."""

    kind = "a whole number"


class Number(_OwnWords, click.FloatRange):
    """A number with bounds; never infinite."""

    kind = "a number"


def _called(param: click.Parameter | None) -> str:
    """What people call it: the longest flag of an option, the word that the usage line has for an argument."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return "the number" if param is None else (param.human_readable_name or "the number").lower()
