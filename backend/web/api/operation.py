"""One API operation: its route and its description in one place, so that they cannot part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Response
from pydantic import BaseModel

from backend.web.answers import Answer

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Operation:
    """A route below :data:`PREFIX`.

    Attributes:
        path: with Flask's converters, such as ``/campaigns/<int:campaign_id>``.
        summary: what it does, in one line.
        view: gets the path's parameters; returns an object with a status, or a whole response.
        query: name → (JSON schema, description).
        body: model of the request's object; ``None``: it has none.
        gives: what the good answer is where it is JSON: a typed dictionary, or the model of settings.
        answers: media type of the good answer → its JSON schema, where it is none.
        status: of the good answer.
        details: further sentences for those who read on.
    """

    method: str
    path: str
    name: str
    summary: str
    view: Callable[..., Answer | Response]
    query: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)
    body: type[BaseModel] | None = None
    gives: type | None = None
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 200
    details: str = ""
