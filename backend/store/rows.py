"""The store's rows as plain frozen values. Datetimes are aware and in UTC; a label is a position among the campaign's classes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mcal_engine.errors import InvalidValue, MCALError

Role = Literal["test", "train", "certificate"]
MachineLabelState = Literal["planned", "written", "human", "removed", "kept"]


class Conflict(MCALError):
    """Somebody else appended first: read the new events, decide again, then append."""


class Taken(InvalidValue):
    """The project has a live campaign already."""


class LeaseLost(MCALError):
    """Another worker has taken over, because this one was silent for too long; it stops without a word more."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign on one project. ``label_studio_url`` is :func:`backend.store.same_address` of what it began on."""

    id: int
    project_id: int
    label_studio_url: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What is about to be appended: JSON objects only, NaN and infinity refused."""

    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One row of a campaign's history; ``seq`` counts 1, 2, 3 … without gaps."""

    seq: int
    kind: str
    payload: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Assignment:
    """The one role a task was ever given. ``rank`` is its place in that round's draw or queue, 0 first."""

    task_id: int
    role: Role
    round: int
    rank: int


@dataclass(frozen=True, slots=True)
class Item:
    """The mirror of one Label Studio task, as reconcile last saw it.

    Attributes:
        image: the reference of the image as the task has it; of a task with a text, that text as people read it.
        label: class index of the counting human label; ``None`` without one.
        annotation_id, annotator, labelled_at, lead_time: of that annotation; lead time in seconds.
        n_human: human labels that count and are paid, repeats included.
        skipped: people have answered it, and no answer holds a usable label; ``no_label`` says why, of the last answer.
        last_answer: id of that answer, an annotation.
        preexisting: its label was there before the campaign.
        unreadable: why its image cannot be used; ``None`` while it can, or while nobody has tried.
        deleted: gone from Label Studio.
        machine_annotation_id: the service user's own annotation on it.
        updated_at: Label Studio's time of last change.
        seen_at: when this program learned of the labels it has, by our clock. ``None``: not known, as in rows of older versions.
    """

    task_id: int
    image: str
    label: int | None
    annotation_id: int | None
    annotator: int | None
    labelled_at: datetime | None
    lead_time: float | None
    n_human: int
    skipped: bool
    preexisting: bool
    unreadable: str | None
    deleted: bool
    machine_annotation_id: int | None
    updated_at: datetime
    no_label: str | None = None
    last_answer: int | None = None
    seen_at: datetime | None = None

    @property
    def learned_at(self) -> datetime | None:
        """When the counting label was there, to be compared with our times: Label Studio's clock may differ from ours by hours.

        ``None`` without a label. For a row of an older version it is Label Studio's time: nothing better is known.
        """
        return self.labelled_at if self.seen_at is None or self.label is None else self.seen_at


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A human label beyond the first on its task: listed and paid, never counted."""

    task_id: int
    annotation_id: int
    annotator: int
    label: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Frozen:
    """One place in the order of the pool at a freeze: rank 0 is the surest."""

    rank: int
    task_id: int
    label: int
    surety: float


@dataclass(frozen=True, slots=True)
class MachineLabel:
    """What happens to one task of S*: planned → written, or human (people came first); written → removed or kept by a rollback.

    An audit removes what it has drawn; what people answer becomes human, and an audit that is called off plans the others again.
    """

    task_id: int
    look: int
    label: int
    surety: float
    state: MachineLabelState
    annotation_id: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model from outside said of one task.

    Attributes:
        asked: digest of the question: the model, the task, its content, the choices, and what else the answer depends on.
        model: the candidate's name.
        label: class index; ``None`` where the model had no usable answer.
        confidence: in [0, 1]; 0 where it told none.
        price: what was paid for it, in the campaign's currency.
    """

    asked: str
    model: str
    task_id: int
    label: int | None
    confidence: float
    price: float
    answered_at: datetime
