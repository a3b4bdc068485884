"""Parquet and Arrow files as Hugging Face writes them: one file, the files of a split, or a whole repository."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.labels import classes_of
from mcal_engine.simulator.readers.listing import Encoded, Listing, listing_of, shown
from mcal_engine.simulator.readers.names import IMAGE_COLUMNS, TEXT_COLUMNS, is_leaving
from mcal_engine.simulator.readers.rows import Rows, pick_label, read_rows
from mcal_engine.words import counted

SUFFIXES = (".parquet", ".arrow")


def parquet_files(folder: Path) -> list[Path]:
    """The files of a repository or of its splits, in the order of their names."""
    found = (path for suffix in SUFFIXES for path in folder.rglob(f"*{suffix}"))
    return sorted(path for path in found if not any(is_leaving(part) for part in path.relative_to(folder).parts))


def read_parquet(path: Path, label_column: str | None = None) -> Listing:
    """A column of images, {bytes, path} or bytes, and one of labels: numbers or words. A folder's files and splits are read as one."""
    _need_pyarrow(path)
    files = parquet_files(path) if path.is_dir() else [path]
    tables = [_table(file) for file in files]
    columns = tables[0].schema.names
    image, label = _columns(tables[0].schema, label_column, files[0])
    if image is None:
        return _of_words(path, files[0], tables, label_column)
    encoded: list[Encoded] = []
    values: list[Any] = []
    places: list[str] = []
    unused: Counter[str] = Counter()
    names: list[str] | None = None
    for file, table in zip(files, tables, strict=True):
        if image not in table.schema.names or label not in table.schema.names:
            raise InvalidValue(f"{file} has other columns ({shown(table.schema.names)}) than {files[0].name} ({shown(columns)})")
        names = names or _names_in(table.schema.metadata or {}, label)
        cells, said = table.column(image).to_pylist(), table.column(label).to_pylist()
        for row, (cell, value) in enumerate(zip(cells, said, strict=True)):
            content = _content(cell, file.parent)
            if content is None:
                unused["rows without an image"] += 1
                continue
            encoded.append(content)
            values.append(value)
            places.append(f"{file.name} row {row}")
    if not values:
        raise InvalidValue(f"{path} lists no images")
    classes = classes_of(values, names, places.__getitem__, str(path))
    notes = [f"{counted(len(files), 'file', 'were')} put together"] if len(files) > 1 else []
    return listing_of(path.stem, encoded, classes, unused, notes, source=str(path))


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


def _columns(schema: Any, asked: str | None, file: Path) -> tuple[str | None, str]:
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
    label = pick_label(others, asked, str(file))
    if label is None:
        whole = [name for name in others if types.is_integer(schema.field(name).type) or types.is_dictionary(schema.field(name).type)]
        if len(whole) != 1:
            raise InvalidValue(f"{file} has no column named label; it holds {shown(names, 20)}: name one with --label-column")
        label = whole[0]
    return (inside[0] if inside else None), label


def _holds_images(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return "bytes" in [kind.field(place).name for place in range(kind.num_fields)]
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _content(cell: Any, folder: Path) -> Encoded | None:
    if isinstance(cell, dict):
        return cell.get("bytes") or (folder / cell["path"] if cell.get("path") else None)
    return cell or None


def _of_words(path: Path, first: Path, tables: Sequence[Any], label_column: str | None) -> Listing:
    """Of texts, or of paths of images."""
    rows = [row for table in tables for row in table.to_pylist()]
    notes = [f"{len(tables)} files were put together"] if len(tables) > 1 else []
    columns = tuple(dict.fromkeys(name for table in tables for name in table.schema.names))
    source = first if len(tables) == 1 else path / first.relative_to(path).name
    return read_rows(Rows(source, columns, rows, range(len(rows)), "row"), label_column, notes)


def _names_in(metadata: dict[bytes, bytes], label: str) -> list[str] | None:
    if b"class_names" in metadata and label == "label":
        return metadata[b"class_names"].decode().split(",")
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
