"""Which reader a path is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.arrays import HOW, read_npz
from mcal_engine.simulator.readers.folders import read_folder
from mcal_engine.simulator.readers.listing import Listing
from mcal_engine.simulator.readers.lists import read_csv, read_json
from mcal_engine.simulator.readers.parquet import parquet_files, read_parquet

LAYOUTS = (
    "an .npz file (images, labels), a list (.csv, .json, .jsonl or .manifest: path,label), a .parquet file (image, label) or a folder "
    "CLASS/*.jpg"
)
_LISTS = {".csv": read_csv, ".tsv": read_csv, ".json": read_json, ".jsonl": read_json, ".ndjson": read_json, ".manifest": read_json}
_METADATA = ("metadata.csv", "metadata.jsonl")  # of a Hugging Face image folder
_INSTEAD = {
    ".zip": "unpack it and pass the folder",
    ".tar": "unpack it and pass the folder",
    ".gz": "unpack it and pass the folder",
    ".tgz": "unpack it and pass the folder",
    ".npy": f"it holds no labels; {HOW}",
    ".pkl": f"pickles can run code when read; {HOW}",
    ".pickle": f"pickles can run code when read; {HOW}",
    ".h5": HOW,
    ".hdf5": HOW,
    ".mat": HOW,
    ".tfrecord": HOW,
}


def read_listing(path: Path, label_column: str | Sequence[str] | None = None) -> Listing:
    """The items of a data set with their classes, no image opened.

    Args:
        path: a file or folder; its layout is told from its name and content.
        label_column: which of several columns, or which control of an export, holds the labels. Several of them are several questions about
            each item.

    Raises:
        InvalidValue: one sentence that names the file, what is wrong with it and what to pass instead.
    """
    asked = () if label_column is None else (label_column,) if isinstance(label_column, str) else tuple(label_column)
    if twice := [name for name in asked if asked.count(name) > 1]:
        raise InvalidValue(f"label_column: {twice[0]!r} is given twice")
    if not path.exists():
        raise InvalidValue(f"data: {path} does not exist")
    suffix = path.suffix.lower()
    if path.is_dir():
        found = next((path / name for name in _METADATA if (path / name).is_file()), None)
        if found is not None:
            return _LISTS[found.suffix](found, asked)
        if parquet_files(path):
            return read_parquet(path, asked)
        reader = read_folder
    elif suffix in _LISTS:
        return _LISTS[suffix](path, asked)
    elif suffix in {".parquet", ".arrow"}:
        return read_parquet(path, asked)
    elif suffix == ".npz":
        reader = read_npz
    else:
        instead = f"; {_INSTEAD[suffix]}" if suffix in _INSTEAD else ""
        raise InvalidValue(f"data must be {LAYOUTS}, got {path.name}{instead}")
    if asked:
        raise InvalidValue(f"label_column is for lists and parquet files, {path.name} is none")
    return reader(path)
