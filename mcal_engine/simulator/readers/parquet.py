"""Parquet and Arrow files as Hugging Face writes them: one file, the files of a split, or a whole repository."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.listing import Encoded, Listing, listing_of, shown
from mcal_engine.simulator.readers.names import IMAGE_COLUMNS, TEXT_COLUMNS, is_leaving
from mcal_engine.simulator.readers.rows import Rows, pick_label, read_rows
from mcal_engine.simulator.readers.whole import asked, beside, could_be_asked
from mcal_engine.words import counted

SUFFIXES = (".parquet", ".arrow")


def parquet_files(folder: Path) -> list[Path]:
    """The files of a repository or of its splits, in the order of their names."""
    found = (path for suffix in SUFFIXES for path in folder.rglob(f"*{suffix}"))
    return sorted(path for path in found if not any(is_leaving(part) for part in path.relative_to(folder).parts))


def read_parquet(path: Path, label_columns: Sequence[str] = ()) -> Listing:
    """A column of images, {bytes, path} or bytes, and one or several of labels: numbers, words or lists of them.

    A folder's files and splits are read as one.
    """
    _need_pyarrow(path)
    files = parquet_files(path) if path.is_dir() else [path]
    tables = [_table(file) for file in files]
    columns = tables[0].schema.names
    image, labels = _columns(tables[0].schema, label_columns, files[0])
    if image is None:
        return _of_words(path, files[0], tables, label_columns)
    encoded: list[Encoded] = []
    values: dict[str, list[Any]] = {name: [] for name in labels}
    places: list[str] = []
    unused: Counter[str] = Counter()
    names: dict[str, list[str] | None] = {}
    for file, table in zip(files, tables, strict=True):
        if not {image, *labels} <= set(table.schema.names):
            raise InvalidValue(f"{file} has other columns ({shown(table.schema.names)}) than {files[0].name} ({shown(columns)})")
        names = {name: names.get(name) or _names_in(table.schema.metadata or {}, name) for name in labels}
        cells, said = table.column(image).to_pylist(), {name: table.column(name).to_pylist() for name in labels}
        for row, cell in enumerate(cells):
            content = _content(cell, file.parent)
            if content is None:
                unused["rows without an image"] += 1
                continue
            encoded.append(content)
            for name in labels:
                values[name].append(said[name][row])
            places.append(f"{file.name} row {row}")
    if not encoded:
        raise InvalidValue(f"{path} lists no images")
    found = asked(values, places.__getitem__, str(path), names)
    others = {} if label_columns else {name: _short(tables[0], name) for name in columns if name not in {image, *labels}}
    notes = [f"{counted(len(files), 'file', 'were')} put together"] if len(files) > 1 else []
    notes += [*beside(labels, could_be_asked(others)), *found.notes]
    return listing_of(path.stem, encoded, found.classes, unused, notes, source=str(path), questions=found.questions)


def _short(table: Any, name: str) -> list[Any]:
    """The values of a column that holds words, whole numbers, or yes and no; nothing of any other."""
    from pyarrow import types

    kind = table.schema.field(name).type
    fits = types.is_boolean(kind) or types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)
    return list(table.column(name).to_pylist()) if fits or types.is_dictionary(kind) else []


def _need_pyarrow(path: Path) -> None:
    try:
        import pyarrow  # noqa: F401 - whether it is there
        from pyarrow import parquet  # noqa: F401
    except ImportError:
        raise InvalidValue(
            f"reading {path.name} needs pyarrow, which is not installed; it comes with the extra named parquet: "
            "pip install 'mcal-backend[parquet]'"
        ) from None


def _table(file: Path) -> Any:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        if file.suffix.lower() == ".arrow":
            with file.open("rb") as stream:
                return arrow.ipc.open_stream(stream).read_all()
        return parquet.read_table(file)
    except (OSError, arrow.ArrowException) as error:
        raise InvalidValue(f"{file} is not a readable {file.suffix} file: {str(error).splitlines()[0]}") from None


def _columns(schema: Any, named_labels: Sequence[str], file: Path) -> tuple[str | None, list[str]]:
    """The columns of images (``None``: they are only named) and of labels."""
    from pyarrow import types

    names = list(schema.names)
    inside = [name for name in names if _holds_images(schema.field(name).type)]
    if len(inside) > 1:
        named = [name for name in inside if name.lower() in IMAGE_COLUMNS]
        if len(named) != 1:
            raise InvalidValue(f"{file}: {shown(inside)} all hold images; one image per item is needed")
        inside = named
    words = [name for name in names if types.is_string(schema.field(name).type) or types.is_large_string(schema.field(name).type)]
    named = [name for name in words if name.lower() in {*IMAGE_COLUMNS, *TEXT_COLUMNS}]
    if not inside and not named:
        what = ", ".join(f"{name}: {schema.field(name).type}" for name in names) or "nothing"
        raise InvalidValue(
            f"{file}: image must be a column of {{bytes, path}}, of bytes or of paths, or text one of texts; the file holds {what}"[:400]
        )
    others = [name for name in names if name not in inside]
    picked = [pick_label(others, name, str(file)) for name in (named_labels or (None,))]
    labels = [name for name in picked if name is not None]
    if not labels:
        whole = [name for name in others if types.is_integer(schema.field(name).type) or types.is_dictionary(schema.field(name).type)]
        if len(whole) != 1:
            raise InvalidValue(f"{file} has no column named label; it holds {shown(names, 20)}: name one with --label-column")
        labels = whole
    return (inside[0] if inside else None), labels


def _holds_images(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return "bytes" in [kind.field(place).name for place in range(kind.num_fields)]
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _content(cell: Any, folder: Path) -> Encoded | None:
    if isinstance(cell, dict):
        return cell.get("bytes") or (folder / cell["path"] if cell.get("path") else None)
    return cell or None


def _of_words(path: Path, first: Path, tables: Sequence[Any], label_columns: Sequence[str]) -> Listing:
    """Of texts, or of paths of images."""
    rows = [row for table in tables for row in table.to_pylist()]
    notes = [f"{len(tables)} files were put together"] if len(tables) > 1 else []
    columns = tuple(dict.fromkeys(name for table in tables for name in table.schema.names))
    source = first if len(tables) == 1 else path / first.relative_to(path).name
    return read_rows(Rows(source, columns, rows, range(len(rows)), "row"), label_columns, notes)


def _names_in(metadata: dict[bytes, bytes], label: str) -> list[str] | None:
    if b"class_names" in metadata and label == "label":
        return metadata[b"class_names"].decode().split(",")
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
