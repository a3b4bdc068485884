"""The finished data set as a table: each item, its label, whose it is, and what vouches for it. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from backend.campaign.state import State
from backend.views.aside import why
from mcal_engine.looks import confidence_kept
from mcal_engine.types import LabelByMachine

COLUMNS = ("task", "image", "label", "by", "annotator", "margin", "certificate", "role", "note")
ROWS_PER_CHUNK = 2000
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def items_csv(state: State) -> Iterator[str]:
    """CSV text in chunks, one row per live task in order of id. ``by`` is human, machine, or empty while there is no label."""
    choices = state.created.control.choices if state.created is not None else ()
    machine = {row.task_id: row for row in state.machine_labels if row.state == "written"}
    promise = certificate_text(state)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    texts = state.created is not None and state.control.reads == "text"
    writer.writerow(["text" if texts and name == "image" else name for name in COLUMNS])
    for place, item in enumerate(state.live, 1):
        written = machine.get(item.task_id)
        role = state.roles.get(item.task_id, "audit" if item.task_id in state.audited else "")
        if item.label is not None:
            again = state.second_labels.get(item.task_id)
            note = "labelled before the campaign" if item.preexisting else ""
            note = note if again is None else f"a second person, {again.annotator}, said {choices[again.label]}"
            row = [item.task_id, item.image, choices[item.label], "human", item.annotator, "", "", role, note]
        elif written is not None:
            row = [item.task_id, item.image, choices[written.label], "machine", "", f"{written.surety:.6g}", promise, role, ""]
        else:
            row = [item.task_id, item.image, "", "", "", "", "", role, why(item) if item.skipped or item.unreadable else ""]
        writer.writerow([_harmless(cell) for cell in row])
        if place % ROWS_PER_CHUNK == 0:
            yield _taken(out)
    yield _taken(out)


def certificate_text(state: State) -> str:
    """What stands behind a machine label, in one cell."""
    decision = state.decision
    if not isinstance(decision, LabelByMachine):
        return ""
    if decision.certified and decision.error_upper_bound is not None:
        return f"certified: error of all items <= {decision.error_upper_bound:.6g} at {confidence_kept(state.settings, state.history):g}"
    return f"estimated: error of all items {decision.error_estimate:.6g}"


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _taken(out: io.StringIO) -> str:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text
