"""Readers of npz files, image folders, CSV lists and Hugging Face parquet files."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.decoding import Encoded, decode_all, resize_all
from mcal_engine.simulator.labelled_images import LabelledImages
from mcal_engine.types import IntArray

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


def read_npz(path: Path) -> LabelledImages:
    """``images`` uint8 (n, H, W), (n, H, W, 1) or (n, H, W, 3), integer ``labels`` (n,), optional ``class_names``."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise InvalidValue(f"{path} is not a readable .npz file: {error}") from None
    missing = [name for name in ("images", "labels") if name not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InvalidValue(f"{path} has no array named {' and none named '.join(missing)}; it holds {found}")
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.ndim not in {3, 4} or (images.ndim == 4 and images.shape[3] not in {1, 3}):
        raise InvalidValue(f"{path}: images must be uint8 of shape (n, H, W[, 1 or 3]), got {images.dtype} {images.shape}")
    if len(images) != len(labels):
        raise InvalidValue(f"{path}: {len(images):,} images need as many labels, got {len(labels):,}")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidValue(f"{path}: labels must be one integer per image, got {labels.dtype} {labels.shape}")
    names = [str(name) for name in arrays["class_names"].reshape(-1)] if "class_names" in arrays else None
    classes, class_names = _classes(labels.astype(np.int64), names, str(path))
    if images.ndim == 3:
        images = images[..., None]
    images, notes = resize_all(images)
    return LabelledImages(path.stem, images, classes, class_names, 0, notes)


def read_folder(path: Path) -> LabelledImages:
    """``CLASS/*.jpg`` (also png, webp, …): one sub-folder per class; classes are numbered in the order of their names."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    files = [(folder, sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)) for folder in folders]
    files = [(folder, inside) for folder, inside in files if inside]
    if not files:
        raise InvalidValue(f"{path} holds no sub-folder with images; expected CLASS/*.jpg, one sub-folder per class")
    encoded: list[Encoded] = [file for _, inside in files for file in inside]
    labels = np.repeat(np.arange(len(files)), [len(inside) for _, inside in files])
    return _from_files(path.name, encoded, labels, [folder.name for folder, _ in files], str(path))


def read_csv(path: Path) -> LabelledImages:
    """A header with ``path`` and ``label`` (an integer); relative paths are meant from the file's own folder."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            absent = [name for name in ("path", "label") if name not in (reader.fieldnames or ())]
            if absent:
                raise InvalidValue(f"{path} has no column named {' and none named '.join(absent)}; its first line must be path,label")
            rows = [(reader.line_num, row["path"], row["label"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidValue(f"{path} is not a readable .csv file: {error}") from None
    encoded: list[Encoded] = []
    labels = []
    for line, file, label in rows:
        if not (file or "").strip():
            raise InvalidValue(f"{path} line {line}: path is missing")
        try:
            labels.append(int((label or "").strip()))
        except ValueError:
            found = f"got {label!r}" if (label or "").strip() else "it is missing"
            raise InvalidValue(f"{path} line {line}: label must be an integer, {found}") from None
        encoded.append(path.parent / file.strip())
    if not rows:
        raise InvalidValue(f"{path} lists no images")
    return _from_files(path.stem, encoded, np.array(labels, dtype=np.int64), None, str(path))


def read_parquet(path: Path) -> LabelledImages:
    """Hugging Face's layout: column ``image`` = {bytes, path}, integer column ``label``; a folder of such files is read as one."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidValue(
            f"reading {path.name} needs pyarrow, which is not installed; it comes with the extra named parquet: "
            "pip install 'mcal-backend[parquet]'"
        ) from None
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    encoded: list[Encoded] = []
    labels: list[int] = []
    names: list[str] | None = None
    for file in files:
        try:
            schema = parquet.read_schema(file)
            _check_columns(schema, file)
            table = parquet.read_table(file, columns=["image", "label"])
        except (OSError, arrow.ArrowException) as error:
            raise InvalidValue(f"{file} is not a readable .parquet file: {str(error).splitlines()[0]}") from None
        names = names or _names_in(schema.metadata or {})
        column = table.column("label")
        if column.null_count:
            raise InvalidValue(f"{file}: {column.null_count:,} labels are missing")
        labels += column.to_pylist()
        for cell in table.column("image").to_pylist():
            content = cell.get("bytes") if isinstance(cell, dict) else cell
            encoded.append(content or file.parent / str((cell or {}).get("path") or ""))
    if not labels:
        raise InvalidValue(f"{path} lists no images")
    return _from_files(path.stem, encoded, np.array(labels, dtype=np.int64), names, str(path))


def _check_columns(schema: Any, file: Path) -> None:
    from pyarrow import types

    absent = [name for name in ("image", "label") if name not in schema.names]
    if absent:
        raise InvalidValue(f"{file} has no column named {' and none named '.join(absent)}; it holds {', '.join(schema.names) or 'nothing'}")
    if not types.is_integer(schema.field("label").type):
        raise InvalidValue(f"{file}: label must be a column of integers, got {schema.field('label').type}")
    kind = schema.field("image").type
    if not (types.is_struct(kind) and "bytes" in [kind.field(i).name for i in range(kind.num_fields)]) and not types.is_binary(kind):
        raise InvalidValue(f"{file}: image must be a column of {{bytes, path}} or of bytes, got {kind}")


def _names_in(metadata: dict[bytes, bytes]) -> list[str] | None:
    if b"class_names" in metadata:
        return metadata[b"class_names"].decode().split(",")
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return [str(name) for name in features["label"]["names"]]
    except (KeyError, TypeError, ValueError):
        return None


def _from_files(name: str, encoded: Sequence[Encoded], labels: IntArray, names: list[str] | None, source: str) -> LabelledImages:
    classes, class_names = _classes(labels, names, source)
    images, kept, notes = decode_all(encoded, source)
    return LabelledImages(name, images, classes[kept], class_names, len(encoded) - len(kept), notes)


def _classes(labels: IntArray, names: list[str] | None, source: str) -> tuple[IntArray, tuple[str, ...]]:
    """Class indices and names; without names, classes are the distinct values."""
    if len(labels) == 0:
        raise InvalidValue(f"{source} holds no images")
    if names is None:
        values, classes = np.unique(labels, return_inverse=True)
        return classes.astype(np.int64), tuple(str(value) for value in values)
    outside = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(outside):
        at = int(outside[0])
        raise InvalidValue(f"{source}: label {labels[at]} of item {at} is not in 0 … {len(names) - 1}, the {len(names)} class names")
    return labels, tuple(names)
