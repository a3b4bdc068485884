"""Rows of a history as JSON objects and back, with a schema version; arrays are lists, flags are strings of 0 and 1."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import numpy as np

from mcal_engine.bill import Labels
from mcal_engine.errors import HistoryError
from mcal_engine.types import (
    Acquire,
    Bands,
    CertificateOutcome,
    Certify,
    HumanLabelAll,
    LabelByMachine,
    Measurement,
    Observation,
    PeelBatch,
    PeelOrder,
    Plan,
    Promise,
    Row,
    StopReason,
    Verdict,
)

SCHEMA_VERSION = 1
_TYPES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        Acquire,
        Bands,
        CertificateOutcome,
        Certify,
        HumanLabelAll,
        LabelByMachine,
        Labels,
        Measurement,
        Observation,
        PeelBatch,
        PeelOrder,
        Plan,
        Promise,
        Verdict,
    )
}
SECOND_HARVEST = "this campaign has a second harvest, which mcal 0.1.0 is the last version to know: finish it with that version"
ERROR_SCOPE = "this campaign has error_scope = machine, which mcal 0.1.0 is the last version to know: finish it with that version"

# What histories written by version 0.1 have besides: an older name of a row, and fields that only a second harvest gave another value.
_FORMER_NAMES = {"MachineLabel": LabelByMachine}
_FORMER_FIELDS: dict[type, tuple[str, object]] = {Observation: ("n_machine", 0), LabelByMachine: ("last", True)}

# Fields that came later: where they say what earlier rows meant without them, they are not written.
_LATER: dict[type, frozenset[str]] = {
    Acquire: frozenset({"buys"}),
    Certify: frozenset({"rule", "why"}),
    CertificateOutcome: frozenset({"bands"}),
    LabelByMachine: frozenset({"peeled"}),
    Measurement: frozenset({"bought", "price", "n_unbought", "learns"}),
    Plan: frozenset({"to_buy"}),
}


def to_json(row: Row) -> dict[str, Any]:
    """A row as JSON values only."""
    return {"schema_version": SCHEMA_VERSION, **_encode(row)}


def from_json(value: dict[str, Any]) -> Row:
    """The row that :func:`to_json` made ``value`` from.

    Raises:
        HistoryError: another schema version, no row of a history, or a row of a second harvest.
    """
    if value.get("schema_version") != SCHEMA_VERSION:
        raise HistoryError(f"schema_version must be {SCHEMA_VERSION}, got {value.get('schema_version')!r}")
    row = _decode({key: part for key, part in value.items() if key != "schema_version"})
    if not isinstance(row, Row):
        raise HistoryError(f"{type(row).__name__} is not a row of a history")
    return row


def _encode(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        written = {f.name: _encode(getattr(value, f.name)) for f in fields(value) if not _is_left_out(value, f)}
        return {"type": type(value).__name__, **written}
    if isinstance(value, np.ndarray):
        if value.dtype == np.bool_:
            return {"type": "flags", "values": "".join("01"[int(flag)] for flag in value)}
        return {"type": "integers", "values": value.tolist()}
    if isinstance(value, tuple):
        return [_encode(part) for part in value]
    if isinstance(value, dict):
        return {"type": "mapping", "values": dict(value)}
    return str(value) if isinstance(value, StopReason) else value


def _is_left_out(value: Any, of: Field[Any]) -> bool:
    later = of.name in _LATER.get(type(value), ())
    return later and of.default is not MISSING and getattr(value, of.name) == of.default


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(part) for part in value)
    if not isinstance(value, dict):
        return value
    kind = value.get("type", "")
    if kind == "flags":
        return np.array([flag == "1" for flag in value["values"]], dtype=np.bool_)
    if kind == "integers":
        return np.array(value["values"], dtype=np.int64)
    if kind == "mapping":
        return dict(value["values"])
    cls = _TYPES.get(kind) or _FORMER_NAMES.get(kind)
    if cls is None:
        raise HistoryError(f"unknown row type {kind!r}")
    parts = {key: _decode(part) for key, part in value.items() if key != "type"}
    name, neutral = _FORMER_FIELDS.get(cls, ("", None))
    if parts.pop(name, neutral) != neutral:
        raise HistoryError(SECOND_HARVEST)
    if kind == "Verdict":
        parts["reason"] = StopReason(parts["reason"])
    return cls(**parts)
