"""Models of what an action or a request asks for: the API's JSON bodies, a page's form, a command's options, with one set of sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mcal_engine.errors import InvalidValue
from mcal_engine.rules import explain


class Inputs(BaseModel):
    """Immutable; knows its fields and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def read(cls, values: Mapping[str, Any], *, typed: bool) -> Self:
        """Validate what was sent.

        Args:
            typed: JSON, where a number is a number. Without it, text from a form or a command line: blank is the default.

        Raises:
            InvalidValue: one text that names every bad value and its rule.
        """
        given = dict(values) if typed else {name: value for name, value in values.items() if value is not None and str(value).strip()}
        try:
            return cls.model_validate(given, strict=typed)
        except ValidationError as error:
            raise InvalidValue("; ".join(explain(error, cls, noun="field"))) from None
