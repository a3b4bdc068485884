"""The pool's predictions and order, fixed before V is drawn, and the machine labels that come out of them. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from backend.campaign.state import State
from backend.store import Frozen, MachineLabel
from mcal_engine.round import freeze
from mcal_engine.types import FloatArray, IntArray, LabelByMachine


def frozen_rows(pool_ids: IntArray, logits: FloatArray, kind: str) -> list[Frozen]:
    """The pool, surest first, with predicted classes and sureties of ``kind``."""
    ids, classes, sureties = freeze(pool_ids, logits, kind)
    return [
        Frozen(rank, task, label, surety)
        for rank, (task, label, surety) in enumerate(zip(ids.tolist(), classes.tolist(), sureties.tolist(), strict=True))
    ]


def digest(rows: Sequence[Frozen]) -> str:
    """SHA-256 over rank, task, class and surety (exact, as hexadecimal floats) of every row."""
    made = hashlib.sha256()
    for row in rows:
        made.update(f"{row.rank},{row.task_id},{row.label},{row.surety.hex()}\n".encode())
    return made.hexdigest()


def planned_labels(state: State, rows: Sequence[Frozen], decision: LabelByMachine, look: int) -> list[MachineLabel]:
    """S*: what was decided, without V and without what people have touched meanwhile: that is right now, whatever the machine said."""
    planned, peeled = [], frozenset(decision.peeled)
    for row in rows[: decision.n_ranked]:
        if row.rank in peeled:
            continue
        if decision.class_cuts and row.rank >= decision.class_cuts[row.label]:
            continue
        item = state.items.get(row.task_id)
        untouched = item is not None and not item.deleted and item.label is None and not item.skipped and item.unreadable is None
        if untouched and row.task_id not in state.roles:
            planned.append(MachineLabel(row.task_id, look, row.label, row.surety, "planned", None))
    return planned


def final_model_version(campaign_id: int, look: int) -> str:
    return f"mcal-final-c{campaign_id}-l{look}"


def score(surety: float) -> float:
    """A logit gap as a share in [0.5, 1]: the softmax of the two best classes. For display only; the order is the gap's."""
    return 1 / (1 + math.exp(-surety)) if surety < 700 else 1.0
