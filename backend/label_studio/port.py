"""What the product needs from Label Studio, as plain values and one port.

``client.LabelStudioClient`` is the real thing; ``backend/simtest/label_studio.py`` is the fake; both pass ``tests/contracts/``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Protocol

from mcal_engine.answers import Question, Questions
from mcal_engine.errors import MCALError

CHOICES = "choices"


class LabelStudioError(MCALError):
    """Label Studio said no, or said nothing. ``retryable`` tells whether the same call may succeed later."""

    def __init__(self, message: str, *, retryable: bool, status: int | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status


class MediaError(MCALError):
    """One image cannot be had. ``reason`` is for the person at the screen; ``retryable`` tells whether it may work later."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class User:
    id: int
    email: str
    name: str = ""  # as Label Studio shows it; "" where the user gave none


@dataclass(frozen=True, slots=True)
class Project:
    id: int
    title: str
    label_config: str  # XML
    maximum_annotations: int
    model_version: str
    sampling: str
    show_collab_predictions: bool
    n_tasks: int
    n_labelled: int = 0  # tasks that Label Studio counts as done
    instruction: str = ""  # what people are told, as HTML
    created_at: datetime | None = None  # what tells it from a project of the same number in another Label Studio


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation as Label Studio has it.

    ``choice`` is the text of the answer, see :class:`mcal_engine.answers.Questions`: of one control with one choice, that choice. ``None``
    where there is no whole answer: then ``no_choice`` says what there is instead.
    ``empty``: it holds no answer at all, under no control.
    """

    id: int
    task_id: int
    choice: str | None
    completed_by: int
    updated_by: int | None
    created_at: datetime
    updated_at: datetime
    lead_time: float | None  # seconds
    was_cancelled: bool  # skipped
    provenance: dict[str, Any] | None  # what write-back put into the result's meta; may survive a person's edit
    no_choice: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    id: int
    image: str  # the task data's value for the Image tag, or the text that people read; "" where it is missing or names several
    created_at: datetime
    updated_at: datetime
    is_labeled: bool  # done: nobody is asked about it; what serving relies on, so that the contract tests look at it
    annotations: tuple[Annotation, ...]
    overlap: int = 1  # how many different people are asked
    n_images: int = 1  # that its data names: people are shown all of them


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction to import. ``choice``: the text of an answer; None makes an empty result, which shows annotators nothing."""

    task_id: int
    score: float  # in [0, 1]
    choice: str | None = None
    provenance: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a labelling interface. ``kind``: which one, see :mod:`backend.label_studio.kinds`; its question has its name."""

    kind: str
    question: Question


@dataclass(frozen=True, slots=True)
class TextBeside:
    """A ``Text`` or ``HyperText`` tag that people read beside the image that is labelled; ``data_key`` as in :class:`LabelControl`."""

    data_key: str
    shows: Literal["text", "hypertext"]


@dataclass(frozen=True)
class LabelControl:
    """What a campaign labels with: the controls that ask about one ``Image``, ``Text`` or ``HyperText`` of each task.

    Attributes:
        from_name: the control's name, or all names, comma separated.
        to_name: the tag that is labelled.
        data_key: of its text or image in a task's data; one with a ``$`` in it is a text with references, see
            :mod:`backend.label_studio.references`.
        choices: the texts of all answers there can be; empty where they are too many: a campaign's classes are then the answers that people
            have given.
        shows: the tag that is labelled: an image, a text, or a text that is written as HTML.
        controls: empty for one ``Choices`` that takes one choice, as in every campaign before there were others.
        beside: the texts that people read beside an image. They are no part of what labels mean.
    """

    from_name: str
    to_name: str
    data_key: str
    choices: tuple[str, ...]
    shows: Literal["image", "text", "hypertext"] = "image"
    controls: tuple[Control, ...] = ()
    beside: tuple[TextBeside, ...] = ()

    @property
    def reads(self) -> Literal["image", "text"]:
        """What classifiers are given."""
        return "image" if self.shows == "image" else "text"

    @property
    def asks(self) -> tuple[Control, ...]:
        """The controls, in the order of the labelling interface."""
        return self.controls or (Control(CHOICES, Question(self.from_name, self.choices)),)

    @cached_property
    def questions(self) -> Questions:
        """What people are asked about each item."""
        return Questions(tuple(control.question for control in self.asks))

    @property
    def plain(self) -> bool:
        """Whether an answer is a choice: there is one control, and it takes one."""
        return self.questions.plain

    @property
    def n_choices(self) -> int:
        """Choices of all controls together; of one of several controls "no answer" is another one, where it may go without."""
        open_ended = 0 if self.plain else sum(question.may_be_absent and not question.several for question in self.questions)
        return sum(len(question.choices) for question in self.questions) + open_ended


class LabelStudioPort(Protocol):
    """Every method raises :class:`LabelStudioError` when Label Studio cannot be reached or refuses."""

    def current_user(self) -> User: ...

    def users(self) -> list[User]:
        """Everybody in the organization."""

    def version(self) -> str: ...

    def project(self, project_id: int) -> Project: ...

    def projects(self) -> list[Project]: ...

    def update_project(self, project_id: int, **fields: Any) -> None:
        """PATCH: ``sampling``, ``model_version``, ``show_collab_predictions``."""

    def tasks(self, project_id: int, control: LabelControl, *, updated_since: datetime | None = None) -> Iterator[Task]:
        """Tasks with their annotations (skipped ones included), all of them or those changed after ``updated_since``."""

    def tasks_by_id(self, project_id: int, control: LabelControl, task_ids: Sequence[int]) -> list[Task]:
        """The given tasks as they are now, in any order; tasks that are gone are left out."""

    def task_ids(self, project_id: int) -> list[int]:
        """The ids of all tasks, cheaply (no annotations)."""

    def task_times(self, project_id: int) -> dict[int, datetime]:
        """Each task with the time of its last change, as cheaply: what the full check compares the ledger with."""

    def task_data(self, project_id: int, task_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The data of the given tasks, as they were imported; tasks that are gone are left out."""

    def n_tasks_after(self, project_id: int, task_id: int) -> int:
        """How many tasks have a higher id: those that were added after this one. One request."""

    def import_predictions(self, project_id: int, model_version: str, predictions: Sequence[Prediction], control: LabelControl) -> None:
        """Import in chunks; raises unless Label Studio created every one of them."""

    def predicted_task_ids(self, project_id: int, model_version: str, *, among: Sequence[int]) -> list[int]:
        """Which of these tasks hold a prediction of this version (so that a repeated import adds only what is missing)."""

    def delete_predictions(self, project_id: int, model_version: str) -> None:
        """Delete every prediction of this version, about 4 s per 1,000; blanks the project's ``model_version`` if it was this."""

    def delete_predictions_on(self, project_id: int, model_version: str, task_ids: Sequence[int]) -> None:
        """Delete this version's predictions on these tasks, about 3 s per 1,000; those of other versions and tasks stay. Idempotent."""

    def predictions_to_annotations(self, project_id: int, model_version: str, task_ids: Sequence[int]) -> None:
        """Turn this version's predictions on these tasks into annotations by the calling user."""

    def delete_unchanged(self, annotations: Sequence[Annotation]) -> list[int]:
        """Delete each of these that is still as it is given here, two requests for each. Idempotent: one that is gone is no error.

        Label Studio deletes without a condition: each is read again right before, and a change in the moment between the two is lost.

        Returns:
            The ids of those that somebody has changed since, which stay.
        """

    def delete_annotation(self, annotation_id: int) -> None:
        """Delete one annotation; one that is already gone is no error."""

    def lock_task(self, project_id: int, task_id: int) -> bool:
        """Lock a task for the calling user, so that nobody else is served it; returns whether the calling user holds the lock now.

        False: somebody else holds it, or the task is labelled or gone. A lock that is held is not renewed by locking again; it
        lasts 24 h from when it was taken. To renew it: :meth:`release_task`, then lock.
        """

    def release_task(self, project_id: int, task_id: int) -> None:
        """Give a lock of the calling user back, so that people are served the task again.

        Leaves no trace at the end; while it runs, the task briefly holds a skipped annotation by the calling user.
        """

    def set_overlap(self, project_id: int, task_ids: Sequence[int], overlap: int) -> None:
        """Ask ``overlap`` different people about each of these tasks, whatever the project's own number is; 0.1 to 0.2 s per task.

        A task that fewer people have labelled is open (again): it is served to others, who see nothing of the labels it has. One that as
        many have labelled is done. The service user's own labels count as a person's. Idempotent; tasks that are gone are passed over.
        """

    def webhooks(self, project_id: int) -> list[dict[str, Any]]: ...

    def register_webhook(self, project_id: int, url: str, headers: dict[str, str]) -> None:
        """Create or update the one webhook with this URL: the actions this backend handles, these headers, payload sent."""

    def fetch_media(self, reference: str, *, task_id: int, max_bytes: int) -> bytes:
        """Bytes of an image as this Label Studio serves it; its credentials never go to another host.

        Raises:
            MediaError: this one image cannot be had; the text says why.
        """
