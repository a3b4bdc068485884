"""Rows that hold a text or name an image, and a label: what CSV files, JSON exports and manifests have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcal_engine.classifiers.texts.reading import plain
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.labels import from_one_hot
from mcal_engine.simulator.readers.listing import Listing, listing_of, shown
from mcal_engine.simulator.readers.names import IDENTIFYING_COLUMNS, IMAGE_COLUMNS, IMAGE_SUFFIXES, LABEL_COLUMNS, TEXT_COLUMNS
from mcal_engine.simulator.readers.references import Finder, is_address
from mcal_engine.simulator.readers.whole import Asked, asked, beside, could_be_asked
from mcal_engine.words import counted, counted_of

EXPORTED = frozenset(  # columns that Label Studio's CSV and JSON-MIN exports add
    {"annotation_id", "annotator", "created_at", "updated_at", "lead_time", "annotation_number", "agreement", "total_annotations"}
)
LABEL_COLUMN = "--label-column"


@dataclass(frozen=True)
class Rows:
    """Rows of a list.

    Attributes:
        columns: their names, as written.
        rows: column → value.
        lines: where each row stands in the file.
    """

    source: Path
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    lines: Sequence[int]
    unit: str = "line"

    def where(self, row: int) -> str:
        return f"{self.source.name} {self.unit} {self.lines[row]}"


def read_rows(found: Rows, label_columns: Sequence[str] = (), notes: Sequence[str] = ()) -> Listing:
    """A listing of the texts that the rows hold, or of the files that they name.

    ``label_columns``: those that hold the labels; none: the one whose name says so.

    Raises:
        InvalidValue: no column names images, or none or several could be the label; an image with two labels; no file is there.
    """
    path = found.source
    if not found.rows:
        raise InvalidValue(f"{path} lists no images")
    text_column = _text_column(found)
    if text_column is not None:
        return _texts(found, text_column, label_columns, notes)
    image_column = _image_column(found)
    values, kept = _references(found, image_column)
    if not kept:
        raise InvalidValue(
            f"{path} {found.unit} {found.lines[0]}: {image_column} is missing, in all of the {counted(len(found.rows), 'row')}"
        )
    said = _labels(found, kept, image_column, label_columns)
    labels, class_names = said.classes
    unused: Counter[str] = Counter({"rows without an image": len(found.rows) - len(kept)})
    once = _first_of_each(found, kept, values, labels, class_names)
    unused["rows that name an image again"] += len(kept) - len(once)
    finder = Finder(path.parent)
    files = {row: finder.find(values[row]) for row in once}
    lost = [row for row in once if files[row] is None]
    if len(lost) == len(once):
        raise InvalidValue(_none_there(found, values, lost[0], len(lost)))
    notes = [*notes, *said.notes]
    if lost:
        unused["images that are not there"] += len(lost)
        notes.append(
            f"{counted_of(len(lost), len(once), 'image', 'are')} not there, the first is {values[lost[0]]} ({found.where(lost[0])})"
        )
    at = {row: place for place, row in enumerate(kept)}
    there = [row for row in once if files[row] is not None]
    images = [file for row in there if (file := files[row]) is not None]
    classes = labels[[at[row] for row in there]], class_names
    texts = _texts_beside(found, there, label_columns)
    return listing_of(path.stem, images, classes, unused, notes, source=str(path), questions=said.questions, beside=texts)


def _texts_beside(found: Rows, rows: Sequence[int], label_columns: Sequence[str]) -> list[str] | None:
    """What people read beside the image of each row, "" where there is nothing; ``None`` where no column says that it holds texts."""
    taken = {name.strip().lower() for name in label_columns}
    named = {column.strip().lower(): column for column in found.columns}
    name = next((name for name in TEXT_COLUMNS if name in named and name not in taken), None)
    if name is None:
        return None
    cells = (found.rows[row].get(named[name]) for row in rows)
    return [plain(str(cell), markup=name == "html") if isinstance(cell, str | int | float) else "" for cell in cells]


def pick_label(columns: Sequence[str], asked: str | None, source: str) -> str | None:
    """The column that holds the labels: the one asked for, or the one whose name says so; ``None`` where none does.

    Raises:
        InvalidValue: the one asked for is not there, or several names say so.
    """
    if asked is not None:
        same = [column for column in columns if column.strip().lower() == asked.strip().lower()]
        if not same:
            raise InvalidValue(f"label_column: {source} has no column named {asked!r}; it has {shown(columns, 20)}")
        return same[0]
    plain = {column.strip().lower(): column for column in columns}
    named = [plain[name] for name in LABEL_COLUMNS if name in plain]
    if named:
        return named[0]
    ending = [column for name, column in plain.items() if name.endswith(("_label", "_class", "_category"))]
    if len(ending) > 1:
        raise InvalidValue(f"{source}: {shown(ending)} could all be the label; name one with {LABEL_COLUMN}")
    return ending[0] if ending else None


def _text_column(found: Rows) -> str | None:
    """The column of texts, unless another one names images."""
    plain_names = {column.strip().lower(): column for column in found.columns}
    named = [plain_names[name] for name in TEXT_COLUMNS if name in plain_names]
    images = (name for name in IMAGE_COLUMNS if name in plain_names and name not in IDENTIFYING_COLUMNS)
    if not named or next(images, None) is not None or any(_names_images(found, column) for column in found.columns):
        return None
    return named[0]


def _texts(found: Rows, column: str, label_columns: Sequence[str], notes: Sequence[str]) -> Listing:
    """Every row with a text is an item of its own, also where another one has the same text."""
    markup = column.strip().lower() == "html"
    texts: dict[int, str] = {}
    for row, cells in enumerate(found.rows):
        value = cells.get(column)
        if value is not None and not isinstance(value, str | int | float):
            raise InvalidValue(f"{found.where(row)}: {column} must hold one text, got {str(value)[:80]}")
        text = "" if value is None else plain(str(value), markup=markup)
        if text:
            texts[row] = text
    if not texts:
        raise InvalidValue(f"{found.source} {found.unit} {found.lines[0]}: {column} is empty, in all of the {len(found.rows):,} rows")
    kept = list(texts)
    said = _labels(found, kept, column, label_columns)
    unused: Counter[str] = Counter({"rows without a text": len(found.rows) - len(kept)})
    notes = [*notes, *said.notes]
    name, source, items = found.source.stem, str(found.source), list(texts.values())
    return listing_of(name, items, said.classes, unused, notes, source=source, reads="text", questions=said.questions)


def _image_column(found: Rows) -> str:
    plain = {column.strip().lower(): column for column in found.columns}
    named = [plain[name] for name in IMAGE_COLUMNS if name in plain]
    looking = [column for column in found.columns if _names_images(found, column)]
    for column in (*(column for column in named if column in looking), *looking, *named):
        return column
    raise InvalidValue(
        f"{found.source} has no column named path and none that names images; it has {shown(found.columns, 20)}: "
        "name the columns path and label"
    )


def _names_images(found: Rows, column: str) -> bool:
    suffixes = tuple(IMAGE_SUFFIXES)
    first = [str(row.get(column) or "").strip().lower() for row in found.rows[:50]]
    given = [value.partition("?")[0] if "://" in value else value for value in first if value]
    return bool(given) and all(value.endswith(suffixes) for value in given)


def _references(found: Rows, column: str) -> tuple[dict[int, str], list[int]]:
    """The reference of each row that has one, and those rows."""
    values: dict[int, str] = {}
    for row, cells in enumerate(found.rows):
        value = cells.get(column)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is not None and not isinstance(value, str | int):
            raise InvalidValue(f"{found.where(row)}: {column} must name one image, got {str(value)[:80]}")
        text = "" if value is None else str(value).strip()
        if text:
            values[row] = text
    return values, list(values)


def _labels(found: Rows, kept: Sequence[int], image_column: str, named: Sequence[str]) -> Asked:
    """The answers of each row of ``kept``."""
    source = found.source
    others = [column for column in found.columns if column != image_column]
    exported = {"annotation_id", "lead_time"} <= {column.strip().lower() for column in found.columns}
    if exported:
        others = [column for column in others if column.strip().lower() not in EXPORTED | {"id"}]
    column = pick_label(others, named[0] if named else None, str(source))
    if column is None and len(others) == 1:
        column = others[0]

    def where(place: int) -> str:
        return found.where(kept[place])

    def values(name: str) -> list[Any]:
        return [found.rows[row].get(name) for row in kept]

    if column is not None:
        columns = [column, *(pick for name in named[1:] if (pick := pick_label(others, name, str(source))) is not None)]
        said = asked({name: values(name) for name in columns}, where, str(source))
        known = {*columns, *(name for name in others if name.strip().lower() in {*IMAGE_COLUMNS, *TEXT_COLUMNS})}
        left = [] if named else could_be_asked({name: values(name) for name in others if name not in known})
        return replace(said, notes=(*beside(columns, left), *said.notes))
    table = _one_hot(found, kept, others)
    if table is not None:
        names = [name.strip() for name in others]
        if (table.sum(axis=1) > 1).any():
            return asked({"labels": [[names[place] for place in np.flatnonzero(row)] for row in table]}, where, str(source))
        return Asked(from_one_hot(table, names, where, str(source)))
    if not others:
        raise InvalidValue(f"{source} has no column named label; it has {shown(found.columns, 20)}")
    raise InvalidValue(f"{source} has no column named label; {shown(others, 20)} could be it: name one with {LABEL_COLUMN}")


def _one_hot(found: Rows, kept: Sequence[int], columns: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Columns of zeros and ones, one for each class."""
    if len(columns) < 2:
        return None
    try:
        table = np.array([[float(str(found.rows[row].get(name) or "0")) for name in columns] for row in kept], dtype=np.float64)
    except ValueError:
        return None
    return table if np.isin(table, (0.0, 1.0)).all() else None


def _first_of_each(found: Rows, kept: Sequence[int], values: Mapping[int, str], labels: Any, class_names: Sequence[str]) -> list[int]:
    """The first row of each image. An image with two labels has none that could be trusted."""
    first: dict[str, tuple[int, int]] = {}
    for row, label in zip(kept, labels.tolist(), strict=True):
        before = first.setdefault(values[row], (row, label))
        if before[1] != label and label >= 0 and before[1] >= 0:
            raise InvalidValue(
                f"{found.where(row)}: {values[row]} has the label {class_names[label]!r} here and {class_names[before[1]]!r} in "
                f"{found.unit} {found.lines[before[0]]}; one label per image is needed"
            )
        if before[1] < 0 <= label:
            first[values[row]] = (row, label)
    return [row for row, _ in first.values()]


def _none_there(found: Rows, values: Mapping[int, str], row: int, n: int) -> str:
    names = f"{found.source} names {counted(n, 'image')}, of which none is there"
    if is_address(values[row]):
        return f"{names}: they are addresses ({values[row]}, {found.where(row)}); fetch them into {found.source.parent} first"
    return f"{names}: the first, {values[row]} ({found.where(row)}), was looked for in {found.source.parent}"
