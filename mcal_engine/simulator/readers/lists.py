"""CSV files, JSON exports, JSON lines and manifests: text that names images and labels."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.listing import Listing, shown
from mcal_engine.simulator.readers.names import IMAGE_COLUMNS, IMAGE_SUFFIXES, LABEL_COLUMNS
from mcal_engine.simulator.readers.rows import Rows, read_rows

_SEPARATORS = ",;\t|"
LARGEST_CELL = 50_000_000  # characters


def read_csv(path: Path, label_columns: Sequence[str] = ()) -> Listing:
    """A header with ``path`` or ``text``, and ``label``, or what tools call them; relative paths are meant from the file's own folder.

    Separated by comma, semicolon, tab or bar; UTF-8 or UTF-16. Two columns need no header. Columns of zeros and ones are one-hot classes.
    """
    text = _text(path)
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=lambda one: (head.count(one), -_SEPARATORS.index(one)))
    try:
        csv.field_size_limit(LARGEST_CELL)
        # Lines are told by the reader itself: a text in quotes may hold some of its own.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InvalidValue(f"{path} is not a readable .csv file: {error}") from None
    if not cells:
        raise InvalidValue(f"{path} is empty; its first line must name the columns path,label")
    columns = tuple(cells[0][1])
    notes = []
    if _is_data(columns):
        columns = _without_header(columns, path)
        notes.append("the first line is data, not names of columns: read as path and label")
    else:
        cells = cells[1:]
    twice = sorted({name for name in columns if columns.count(name) > 1 and name})
    if twice:
        raise InvalidValue(f"{path} has two columns named {shown(twice)}")
    rows = [dict(zip(columns, row, strict=False)) for _, row in cells]
    return read_rows(Rows(path, columns, rows, [line for line, _ in cells]), label_columns, notes)


def read_json(path: Path, label_columns: Sequence[str] = ()) -> Listing:
    """Label Studio's JSON and JSON-MIN exports, a list of objects, JSON lines and SageMaker's manifests."""
    text = _text(path)
    try:
        objects, unit = _objects(text)
    except ValueError as error:
        raise InvalidValue(f"{path} is not a readable {path.suffix} file: {error}") from None
    if not all(isinstance(each, dict) for each in objects):
        raise InvalidValue(f"{path} must hold a list of objects, one for each image")
    if any("annotations" in each and "data" in each for each in objects):
        rows = [_task_row(each, label_columns, path, place) for place, each in enumerate(objects)]
    else:
        rows = [_manifest_row(each) if _is_manifest(each) else _minimal_row(each) for each in objects]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return read_rows(Rows(path, columns, rows, range(1, len(rows) + 1), unit), label_columns)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InvalidValue(f"{path} is not a readable {path.suffix} file: {error}") from None
    except UnicodeDecodeError as error:
        raise InvalidValue(
            f"{path} is not a readable {path.suffix} file: it must be UTF-8 ({error.reason}, byte {error.start:,})"
        ) from None


def _is_data(first: Sequence[str]) -> bool:
    """Whether a first line holds a row already: the name of an image, and no name of a column."""
    known = {cell.lower() for cell in first} & {*IMAGE_COLUMNS, *LABEL_COLUMNS}
    return not known and any(cell.lower().endswith(tuple(IMAGE_SUFFIXES)) for cell in first)


def _without_header(first: Sequence[str], path: Path) -> tuple[str, ...]:
    if len(first) != 2:
        raise InvalidValue(f"{path} has no names of columns and {len(first)} columns; put a first line such as path,label above them")
    return ("path", "label") if first[0].lower().endswith(tuple(IMAGE_SUFFIXES)) else ("label", "path")


def _objects(text: str) -> tuple[list[Any], str]:
    """The objects of a JSON list or of JSON lines, and what a place in them is called."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()], "line"
    if isinstance(found, dict):
        if {"images", "annotations", "categories"} <= found.keys():
            raise ValueError("it is a COCO file of boxes or masks; one label per image is needed")
        nested = [value for value in found.values() if isinstance(value, list)]
        found = nested[0] if len(nested) == 1 else [found]
    return found, "item"


def _task_row(task: Mapping[str, Any], controls: Sequence[str], path: Path, place: int) -> dict[str, Any]:
    """A task of Label Studio's JSON export: its data, and what its first annotation that was not skipped chose, by control.

    Without ``controls`` there may be one only, whose choices are the label.
    """
    data = task.get("data")
    row: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
    names = controls or ("label",)
    for name in (*LABEL_COLUMNS, *names):
        row.pop(name, None)  # what the data says is not what people chose
    row.update(dict.fromkeys(names))
    for annotation in task.get("annotations") or ():
        if annotation.get("was_cancelled"):
            continue
        chosen = [item for item in annotation.get("result") or () if item.get("type") in _CHOSEN]
        found = sorted({str(item.get("from_name")) for item in chosen})
        if not controls and len(found) > 1:
            raise InvalidValue(f"{path} item {place + 1} has choices of {shown(found)}; name one or several with --label-column")
        for name in names:
            mine = [item for item in chosen if not controls or item.get("from_name") == name]
            row[name] = [value for item in mine for value in _CHOSEN[item["type"]](item.get("value") or {})] or None
        if any(row[name] for name in names):
            break
    return row


def _paths(value: Mapping[str, Any]) -> list[str]:
    """The paths of a Taxonomy, each as one choice."""
    return [" / ".join(map(str, path)) if isinstance(path, list) else str(path) for path in _listed(value.get("taxonomy"))]


def _listed(choices: Any) -> list[Any]:
    """Label Studio takes a text in the place of a list."""
    return choices if isinstance(choices, list) else [] if choices is None else [choices]


_CHOSEN: Mapping[str, Callable[[Mapping[str, Any]], list[Any]]] = {
    "choices": lambda value: _listed(value.get("choices")),
    "taxonomy": _paths,
    "rating": lambda value: _listed(value.get("rating")),
}
"""What controls of an export chose, by the type of their results."""


def _minimal_row(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value["choices"] if isinstance(value, Mapping) and "choices" in value else value for name, value in item.items()}


def _is_manifest(item: Mapping[str, Any]) -> bool:
    """A line names a file as ``source-ref``, or holds a text as ``source`` beside what a job says of it."""
    return "source-ref" in item or ("source" in item and any(name.endswith("-metadata") for name in item))


def _manifest_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """A line of SageMaker's manifest: the class name of its one job, or else its number."""
    row: dict[str, Any] = {"source-ref": item["source-ref"]} if "source-ref" in item else {"text": item["source"]}
    for name, value in item.items():
        if name in ("source-ref", "source") or name.endswith("-metadata"):
            continue
        said = item.get(f"{name}-metadata")
        row[name] = said["class-name"] if isinstance(said, Mapping) and "class-name" in said else value
    return row
