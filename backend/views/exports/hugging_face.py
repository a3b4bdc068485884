"""A Hugging Face data set: a parquet file for each split, and the card that names them. Pure."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from backend.views.exports.card import data_card
from backend.views.exports.lists import VOUCHING, vouching
from backend.views.exports.rows import Export, Row
from mcal_engine.errors import InvalidValue

SPLITS = ("human", "machine")  # by who labelled
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # one export has the same bytes tomorrow


def data_set(found: Export) -> Iterator[bytes]:
    """A zip of the repository: ``README.md`` and ``data/SPLIT-00000-of-00001.parquet``; a split that nobody labelled is left out.

    Raises:
        InvalidValue: pyarrow is not installed, or nothing is labelled.
    """
    by = {split: [row for row in found.rows if row.by == split] for split in SPLITS}
    paths = {split: f"data/{split}-00000-of-00001.parquet" for split in SPLITS if by[split]}
    if not paths:
        raise InvalidValue(f"campaign {found.campaign} has no label to export yet")
    files = {path: _parquet(found, by[split]) for split, path in paths.items()}
    return iter([_zip({"README.md": f"{_head(paths)}\n{''.join(data_card(found))}".encode(), **files})])


def _head(paths: dict[str, str]) -> str:
    listed = "".join(f"  - split: {split}\n    path: {path}\n" for split, path in paths.items())
    return f"---\nconfigs:\n- config_name: default\n  data_files:\n{listed}---\n"


def _parquet(found: Export, rows: list[Row]) -> bytes:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidValue(
            "a Hugging Face data set needs pyarrow, which is not installed; it comes with the extra named parquet: "
            "pip install 'mcal-backend[parquet]'"
        ) from None
    kinds: dict[str, Any] = {"task": arrow.int64(), "annotator": arrow.int64(), "margin": arrow.float64(), "probability": arrow.float64()}
    asked = {f"label.{each.name}": arrow.list_(arrow.string()) if each.several else arrow.string() for each in found.questions or ()}
    plain = {name: kinds.get(name, arrow.string()) for name in (found.reads, "label", *VOUCHING)}
    table = arrow.Table.from_pylist([_row(found, row) for row in rows], arrow.schema(list((plain | asked).items())))
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def _row(found: Export, row: Row) -> dict[str, Any]:
    answers = {f"label.{name}": said for name, said in found.answers(row).items()}
    return {found.reads: row.item, "label": row.label} | vouching(row) | answers


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
