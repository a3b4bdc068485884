"""Lists of the items, one a line: tables, JSON lines and manifests. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from backend.views.exports.rows import Export, Row

ROWS_PER_CHUNK = 2000
_BAR = "|"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run
COLUMNS = ("task", "image", "label", "by", "annotator", "margin", "certificate", "role", "note", "probability")
VOUCHING = ("task", "by", "annotator", "margin", "probability", "certificate", "role", "note")  # what files for programs say beside a label


def items_csv(found: Export) -> Iterator[str]:
    """A table, one row per live task in order of id. ``by`` is human, machine, or empty while there is no label.

    Where there are several questions, or several choices at one, ``label`` is the whole answer and each question has a column at the end;
    bars stand between its choices.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    asked = () if found.questions is None else [f"label.{question.name}" for question in found.questions]
    writer.writerow([*(found.reads if name == "image" else name for name in COLUMNS), *asked])
    for place, row in enumerate(found.rows, 1):
        answers = found.answers(row).values()
        writer.writerow([*(_cell(row, name) for name in COLUMNS), *(_harmless(_BAR.join(_listed(said))) for said in answers)])
        if place % ROWS_PER_CHUNK == 0:
            yield _taken(out)
    yield _taken(out)


def items_jsonl(found: Export) -> Iterator[str]:
    """JSON lines, one object per live task; what is not known is null."""
    return _lines({found.reads: row.item, "label": _label(found, row)} | vouching(row) for row in found.rows)


def image_folder(found: Export) -> Iterator[str]:
    """``metadata.jsonl`` of a Hugging Face image folder: the labelled images, by path below the folder it is put into."""
    labelled = (row for row in found.rows if row.label is not None)
    return _lines(
        {"file_name": file_name(row.item), "label": _label(found, row), "reference": row.item} | vouching(row) for row in labelled
    )


def manifest(found: Export) -> Iterator[str]:
    """An augmented manifest as SageMaker Ground Truth writes it: the labelled items, with class name, number and confidence."""
    number = {choice: place for place, choice in enumerate(found.choices)}
    source, kind = ("source", "text-classification") if found.reads == "text" else ("source-ref", "image-classification")

    def line(row: Row) -> dict[str, Any]:
        said: dict[str, Any] = {"class-name": row.label, "type": f"groundtruth/{kind}", "job-name": f"mcal/campaign-{found.campaign}"}
        said["human-annotated"] = "yes" if row.by == "human" else "no"
        if row.at is not None:
            said["creation-date"] = row.at.strftime("%Y-%m-%dT%H:%M:%S.%f")
        if row.probability is not None:
            said["confidence"] = round(row.probability, 6)
        return {source: row.item, "label": number[row.label or ""], "label-metadata": said | {"mcal": vouching(row)}}

    return _lines(line(row) for row in found.rows if row.label is not None)


def vouching(row: Row) -> dict[str, Any]:
    """Where a label comes from and what stands behind it; what is not known is ``None``."""
    return {name: getattr(row, name) if getattr(row, name) != "" else None for name in VOUCHING}


def file_name(reference: str) -> str:
    """Where an image would lie below a folder: the path of its reference, without what Label Studio puts before it."""
    parts = urlsplit(reference)
    path = parse_qs(parts.query).get("d", [""])[0] if parts.path == "/data/local-files/" else unquote(parts.path)
    if path.startswith("/data/upload/"):
        name = PurePosixPath(path).name  # eight characters and a dash, then the name that the file was uploaded with
        return name.partition("-")[2] or name
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _cell(row: Row, name: str) -> object:
    value = getattr(row, "item" if name == "image" else name)
    if isinstance(value, str):
        return _harmless(value)
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _label(found: Export, row: Row) -> Any:
    """For programs: a choice, or an object of the answered questions; ``None`` without a label."""
    if found.questions is None or row.label is None:
        return row.label
    return {name: said for name, said in found.answers(row).items() if said is not None}


def _listed(said: str | list[str] | None) -> list[str]:
    return [] if said is None else [said] if isinstance(said, str) else said


def _taken(out: io.StringIO) -> str:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text


def _lines(objects: Iterable[dict[str, Any]]) -> Iterator[str]:
    for each in objects:
        yield json.dumps(each, ensure_ascii=False) + "\n"
