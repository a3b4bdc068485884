"""The form of an action that asks for something, made from the model of its inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from backend.campaign.state import State
from backend.steering.call import Action, Hint


class Field(NamedTuple):
    """A number to enter; ``hint`` says what an empty field means, ``low`` and ``high`` bound it where they are known."""

    name: str
    title: str
    description: str
    hint: str
    low: float | None
    high: float | None
    step: str


def fields(action: Action[Any], state: State) -> list[Field]:
    """The action's inputs as fields, in the model's order."""
    hints = action.hints(state)
    properties = action.asks.model_json_schema().get("properties", {})
    return [_field(name, schema, hints.get(name, Hint(""))) for name, schema in properties.items()]


def _field(name: str, schema: dict[str, Any], hint: Hint) -> Field:
    kind = next(part for part in schema.get("anyOf", [schema]) if part["type"] != "null")
    high = hint.most if hint.most is not None else kind.get("maximum", kind.get("exclusiveMaximum"))
    step = "1" if kind["type"] == "integer" else "any"
    return Field(name, schema["title"], schema.get("description", ""), hint.text, kind.get("minimum"), high, step)
