"""What is worth a look by eye: the machine's least sure labels; and V's errors, once the certificate is decided and not before."""

from __future__ import annotations

from typing import TypedDict

from backend.campaign.frozen import score
from backend.campaign.state import State
from backend.store import Store
from mcal_engine.types import LabelByMachine, PeelBatch

LEAST_SURE = 60
SHOWN_CHARACTERS = 280  # of a text on a tile


class Tile(TypedDict):
    """One task to look at. ``surety`` is the logit gap, ``score`` its softmax; ``human`` is ``None`` where nobody answered.

    ``text``: the beginning of the item's text; ``None`` where it is an image.
    """

    task: int
    machine: str
    human: str | None
    surety: float
    score: float
    text: str | None


class Review(TypedDict):
    n_machine: int
    least_sure: list[Tile]
    certificate_decided: bool
    n_sample: int
    errors: list[Tile]


def review(store: Store, state: State) -> Review:
    """Read the frozen order only where the certificate is decided: before, nothing tells which items of V the machine got wrong."""
    hidden = set(state.audit.ids) if state.audit is not None else set()  # people are labelling these blindly
    rows = [row for row in state.machine_labels if row.state in ("planned", "written", "human") and row.task_id not in hidden]
    least = sorted(rows, key=lambda row: (row.surety, row.task_id))[:LEAST_SURE]
    tiles = [
        Tile(
            task=row.task_id,
            machine=state.said(row.label),
            human=_human(state, row.task_id),
            surety=row.surety,
            score=score(row.surety),
            text=text_of(state, row.task_id),
        )
        for row in least
    ]
    decided = bool(state.outcomes) and not isinstance(state.decision, PeelBatch)  # until the peel has ended the sample stays hidden
    return Review(
        n_machine=len(rows) if isinstance(state.decision, LabelByMachine) else 0,
        least_sure=tiles,
        certificate_decided=decided,
        n_sample=len(state.outcomes[-1].ranks) if decided else 0,
        errors=_errors(store, state) if decided else [],
    )


def visible_tasks(found: Review) -> set[int]:
    """The tasks whose pictures the page may show."""
    return {tile["task"] for tile in (*found["least_sure"], *found["errors"])}


def _errors(store: Store, state: State) -> list[Tile]:
    look = state.outcomes[-1].look
    drawn = [queue.ids for queue in state.queues if queue.kind == "certificate"]
    sample = set(drawn[len(state.outcomes) - 1])  # the one that was decided, also while another is being labelled
    wrong = []
    for row in store.frozen(state.campaign_id, look):
        if row.task_id not in sample:
            continue
        item = state.items[row.task_id]
        label = None if item.deleted else item.label
        if label != row.label:
            human = None if label is None else state.said(label)
            wrong.append(
                Tile(
                    task=row.task_id,
                    machine=state.said(row.label),
                    human=human,
                    surety=row.surety,
                    score=score(row.surety),
                    text=text_of(state, row.task_id),
                )
            )
    return wrong


def text_of(state: State, task: int) -> str | None:
    """The beginning of an item's text, for a tile; ``None`` where the items are images."""
    if state.created is None or state.control.reads != "text":
        return None
    text = state.items[task].image
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1].rstrip() + "…"


def _human(state: State, task: int) -> str | None:
    label = state.items[task].label
    return None if label is None else state.said(label)
