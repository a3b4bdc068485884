"""What is asked of a model from outside, and what it answers, as plain values and one port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.label_studio.port import LabelControl
from mcal_engine.errors import MCALError


class ModelError(MCALError):
    """A model from outside does not answer, or not as it should. ``retryable`` tells whether the same question may work later."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Question:
    """One task as the model gets it. ``data`` is the task's data, as Label Studio has it."""

    task_id: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model says of one task.

    Attributes:
        label: class index; ``None`` where it has no answer, or one that is none of the choices.
        confidence: in [0, 1]; 0 where it told none.
        price: of this answer, in the campaign's currency.
        said: in its words, where that is none of the choices.
    """

    label: int | None
    confidence: float = 0.0
    price: float = 0.0
    said: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the questions are about: a project and its control.

    ``label_config`` is the project's XML, ``label_studio_url`` where a model may find the tasks' files, ``instruction`` what people
    are told.
    """

    project_id: int
    label_config: str
    control: LabelControl
    label_studio_url: str
    instruction: str = ""


class OutsideModel(Protocol):
    """A model that is asked, in batches. Every method raises :class:`ModelError`."""

    at_once: int
    """Questions in one batch."""

    together: int
    """Batches that may be under way at the same time."""

    def identity(self, subject: Subject) -> str:
        """What its answers depend on, beside the task and the choices: with another identity a task is asked about anew."""

    def ready(self, subject: Subject) -> str:
        """Tell the model what the questions will be about, once before them. Returns its version, in words; "" where it has none."""

    def ask(self, subject: Subject, questions: Sequence[Question]) -> list[Reply]:
        """One reply for each question, in their order."""

    def close(self) -> None:
        """Close all connections."""
