"""JSON schemas of the typed dictionaries that the API answers with."""

from __future__ import annotations

import types
from inspect import cleandoc
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    Any: {},
}


class Schemas:
    """Schemas by name, with references between them; each dictionary is described once."""

    def __init__(self, place: str, taken: set[str]) -> None:
        """``place``: what references begin with. ``taken``: names that mean something else."""
        self.found: dict[str, dict[str, Any]] = {}
        self._place = place
        self._taken = taken
        self._names: dict[type, str] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type.

        Raises:
            TypeError: a type that no answer has so far.
        """
        if is_typeddict(kind):
            return {"$ref": f"{self._place}{self._described(kind)}"}
        if kind in PLAIN:
            return dict(PLAIN[kind])
        origin, parts = get_origin(kind), get_args(kind)
        if origin is list:
            return {"type": "array", "items": self.of(parts[0])}
        if origin is dict and parts[0] is str:
            return {"type": "object", "additionalProperties": self.of(parts[1])}
        if origin is Literal:
            return {"enum": list(parts)}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(part) for part in parts]}
        raise TypeError(f"no schema for {kind!r}")

    def _described(self, kind: type) -> str:
        if kind in self._names:
            return self._names[kind]
        name = kind.__name__
        if name in self._taken | set(self._names.values()):
            name = f"{kind.__module__.rpartition('.')[2].title().replace('_', '')}{name}"
        self._names[kind] = name
        schema: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        if kind.__dict__.get("__doc__"):
            schema["description"] = cleandoc(str(kind.__doc__))
        for field, said in get_type_hints(kind, include_extras=True).items():
            optional = get_origin(said) is NotRequired
            schema["properties"][field] = self.of(get_args(said)[0] if optional else said)
            if not optional:
                schema["required"].append(field)
        self.found[name] = schema
        return name
