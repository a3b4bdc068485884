"""What a campaign can remember: one frozen class per kind of event, with its sentence, and JSON both ways.

To add a kind, write its class here. A field that older versions did not write has a default, which is what those versions meant. Where the
store's rows are read and made is in :mod:`backend.campaign.history`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import PlainSerializer, PlainValidator, SerializerFunctionWrapHandler, WrapSerializer

from backend.label_studio.port import LabelControl
from backend.label_studio.queue import ProjectBefore, Sentinel
from mcal_engine import codec
from mcal_engine.classifiers.images.decoding import ImageForm
from mcal_engine.types import Acquire, Bands, CertificateOutcome, Certify, Decision, HumanLabelAll, Observation, PeelBatch, PeelOrder
from mcal_engine.words import counted, counted_of, verb

QueueKind = Literal["start", "train", "certificate", "peel", "residual", "audit"]
JSON = dict[str, Any]
Digest = str  # SHA-256, hexadecimal
ByTask = tuple[int | None, ...]  # a class index for each task of a list beside it, None where there is none

QUEUES: Mapping[QueueKind, str] = {
    "start": "first queue",
    "train": "training batch",
    "certificate": "blind certificate sample",
    "peel": "least trusted items",
    "residual": "rest",
    "audit": "blind audit",
}
NOTICES = {  # by the first part of a notice's key
    "ready": "queue ready",
    "low": "queue nearly empty",
    "empty": "queue empty",
    "due": "decision due",
    "audit": "audit decided",
    "aside": "items set aside",
}
_as_json = PlainSerializer(codec.to_json)
_from_json = PlainValidator(codec.from_json)


def _control_as_json(control: LabelControl, write: SerializerFunctionWrapHandler) -> JSON:
    """Without the controls where they say nothing: as it was written before there were several."""
    written: JSON = write(control)
    return written if control.controls else {name: part for name, part in written.items() if name != "controls"}


class Happening:
    """One thing that happened to a campaign. ``kind`` is the word that the store keeps it under."""

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Happening]]] = {}

    def __init_subclass__(cls, kind: str) -> None:
        cls.kind = kind
        cls.kinds[kind] = cls

    def sentence(self) -> str:
        """What happened, without the reasons (those are the decision's own)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Follows:
    """The finished campaign on the same project that a campaign follows up: tasks up to ``last_task`` are none of the new one's items.

    People's labels of those are training items from the start.
    """

    campaign: int
    last_task: int


@dataclass(frozen=True, kw_only=True)
class Requested(Happening, kind="requested"):
    """``extra_params``: what the setup form said, where it was the one who asked. ``follows``: of a follow-up."""

    settings: JSON
    source: str
    extra_params: JSON | None = None
    follows: Follows | None = None

    def sentence(self) -> str:
        after = "" if self.follows is None else f" to follow campaign {self.follows.campaign}"
        return f"Campaign requested{after} ({self.source})"


@dataclass(frozen=True, kw_only=True)
class ServiceUser:
    """Whom the campaign acts as in Label Studio."""

    id: int
    email: str = ""


@dataclass(frozen=True, kw_only=True)
class Created(Happening, kind="created"):
    """What was found when the campaign began.

    ``project_before``: the project's settings that the campaign changes. ``project_created_at``: by which the project is told from one of
    the same number in another Label Studio. ``last_annotation``: the highest id of an annotation then; Label Studio counts upwards, so that
    what is above came later, whatever its clock says. 0: there was none. ``None``: recorded by a version that did not ask.
    """

    settings: JSON
    title: str = ""
    control: Annotated[LabelControl, WrapSerializer(_control_as_json)]
    config_fingerprint: str
    service_user: ServiceUser
    project_before: ProjectBefore
    n_items: int
    n_preexisting: int
    label_studio_version: str = ""
    project_created_at: datetime | None = None
    last_annotation: int | None = None

    def sentence(self) -> str:
        return f"Project read: {counted(self.n_items, 'item')}, {self.n_preexisting:,} labelled before"


@dataclass(frozen=True, kw_only=True)
class AnswersSeen(Happening, kind="answers_seen"):
    """Answers that nobody gave before, in the order in which they became classes. Where all answers are known beforehand: never."""

    answers: tuple[str, ...]

    def sentence(self) -> str:
        return f"{counted(len(self.answers), 'new answer')} found"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What people's pace made of the price per label: ``n`` lead times with their mean."""

    n: int
    seconds_per_label: float


@dataclass(frozen=True, kw_only=True)
class SettingsChanged(Happening, kind="settings"):
    """``settings`` are all of them from now on, ``changed`` the names of those that are new."""

    settings: JSON
    changed: tuple[str, ...]
    by: str
    extra_params: JSON | None = None
    measured: Measured | None = None

    def sentence(self) -> str:
        if self.measured is None:
            return f"Settings changed: {', '.join(self.changed)} (by {self.by})"
        price, seconds = self.settings["price_per_label"], self.measured.seconds_per_label
        return f"Price per label measured: {price:g}, {seconds:.1f} s of work ({counted(self.measured.n, 'lead time')})"


@dataclass(frozen=True, kw_only=True)
class Decided(Happening, kind="decision"):
    """``after``: what it was made on: ``start``, ``observation``, ``outcome``, ``peel``, or ``admin`` where a person made it."""

    decision: Annotated[Decision, _from_json, _as_json]
    after: str

    def sentence(self) -> str:
        return f"Decision: {decision_title(self.decision)}"


@dataclass(frozen=True, kw_only=True)
class Observed(Happening, kind="observation"):
    """One round's training. ``seconds``: classifier → part of the work → s; ``devices``: classifier → what it was trained on."""

    observation: Annotated[Observation, _from_json, _as_json]
    train_digest: Digest
    n_train: int
    seconds: dict[str, dict[str, float]]
    devices: dict[str, str] | None = None

    def sentence(self) -> str:
        return f"Round {self.observation.round} measured, trained on {counted(self.n_train, 'label')}"


@dataclass(frozen=True, kw_only=True)
class SampleRead(Happening, kind="outcome"):
    """The certificate sample, answered. ``choices``: the machine's class of each of its items, by rank."""

    outcome: Annotated[CertificateOutcome, _from_json, _as_json]
    n_without_label: int = 0
    choices: tuple[int, ...] = ()

    def sentence(self) -> str:
        n = self.n_without_label
        errors = "an error" if n == 1 else "errors"
        return "Certificate sample read" + (f"; {counted(n, 'item')} without a label {verb(n, 'count')} as {errors}" if n else "")


@dataclass(frozen=True, kw_only=True)
class PeelRanked(Happening, kind="peel_ranked"):
    """What was peeled last is labelled, and a ranker that has learned from it says which items should leave next."""

    order: Annotated[PeelOrder, _from_json, _as_json]
    devices: dict[str, str] | None = None

    def sentence(self) -> str:
        return f"Items ranked anew by how far they are trusted: {len(self.order.order):,} may be peeled next"


@dataclass(frozen=True, kw_only=True)
class QueueOpened(Happening, kind="queue_opened"):
    """A queue of tasks for people; :class:`backend.campaign.queues.Queue` says what its parts mean.

    ``suggestions`` and ``scores`` stand beside ``ids``. ``last_known_task``: the highest task id when the test items were drawn.
    """

    queue: QueueKind
    round: int
    model_version: str
    ids: tuple[int, ...]
    n_asked: int
    sentinel: int | None
    classifier: str | None
    scores: tuple[float | None, ...]
    test_ids: tuple[int, ...]
    test_scores: tuple[float | None, ...]
    twice: tuple[int, ...] = ()
    note: str = ""
    suggestions: ByTask = ()
    last_known_task: int = 0

    def sentence(self) -> str:
        asked = f": {counted(self.n_asked, 'item')} asked for" if self.n_asked else ""
        twice = f", {len(self.twice):,} of them of two people" if self.twice else ""
        return f"Queue opened, {QUEUES[self.queue]}{asked}{twice}"


@dataclass(frozen=True, kw_only=True)
class QueueClosed(Happening, kind="queue_closed"):
    """``n_taken``: how many of its ranked items had left the pool."""

    model_version: str
    reason: str
    n_taken: int | None = None

    def sentence(self) -> str:
        return f"Queue closed: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Published(Happening, kind="published"):
    """Label Studio was told to serve a queue; ``sentinel`` is locked behind it."""

    model_version: str
    sentinel: Sentinel | None

    def sentence(self) -> str:
        return "Label Studio serves the queue"


@dataclass(frozen=True, kw_only=True)
class TasksJoined(Happening, kind="tasks_joined"):
    """Tasks were added to the project: ``n`` of them, up to ``last_known_task``; ``test_ids`` became test items."""

    last_known_task: int
    n: int
    test_ids: tuple[int, ...]

    def sentence(self) -> str:
        return "Tasks joined"


@dataclass(frozen=True, kw_only=True)
class PoolFrozen(Happening, kind="frozen"):
    """The machine's classes for the pool, surest first, are fixed, and their hash is here, before a sample is drawn.

    ``entropy``: the random bits that the sample was drawn by, hexadecimal, made after the hash; empty where none is drawn, and in histories
    of version 0.1, which drew it by the campaign's seed. ``bands``: what it was drawn and is read by; ``None``: one uniform sample.
    """

    look: int
    classifier: str
    n: int
    digest: Digest
    entropy: str = ""
    bands: Bands | None = None

    def sentence(self) -> str:
        return f"{counted(self.n, 'prediction')} frozen, look {self.look}, SHA-256 {self.digest[:12]}…"


@dataclass(frozen=True, kw_only=True)
class ImageFormChosen(Happening, kind="image_form"):
    """How all images of the campaign are kept, from a look at a sample of the whole project."""

    form: ImageForm

    def sentence(self) -> str:
        gray = "" if self.form.gray is None else f", deep gray from {self.form.gray.low:g} to {self.form.gray.high:g}"
        return f"Images are kept at {self.form.side} × {self.form.side} pixels{gray}"


@dataclass(frozen=True, kw_only=True)
class ImagesChanged(Happening, kind="images_changed"):
    """Label Studio names another image for these tasks than when the campaign read them first."""

    ids: tuple[int, ...]

    def sentence(self) -> str:
        return f"{counted(len(self.ids), 'task')} got another image in Label Studio"


@dataclass(frozen=True, kw_only=True)
class NamesRead(Happening, kind="names"):
    """``title`` is the project's; ``annotators``: id → name, of those who are new."""

    title: str
    annotators: dict[int, str]

    def sentence(self) -> str:
        return f"Names read from Label Studio: {self.title}"


@dataclass(frozen=True, kw_only=True)
class WriteBackStarted(Happening, kind="write_back_started"):
    model_version: str
    look: int
    n: int

    def sentence(self) -> str:
        return f"Writing {counted(self.n, 'machine label')} began"


@dataclass(frozen=True, kw_only=True)
class WriteBackApproved(Happening, kind="write_back_approved"):
    by: str

    def sentence(self) -> str:
        return f"Writing back approved (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class WriteBackDone(Happening, kind="write_back_done"):
    n_written: int
    n_left_to_people: int

    def sentence(self) -> str:
        return f"{counted(self.n_written, 'machine label')} written, {counted(self.n_left_to_people, 'item')} left to people"


@dataclass(frozen=True, kw_only=True)
class AuditRequested(Happening, kind="audit_requested"):
    """``last_task``: the campaign's highest task id, where it had finished."""

    audit: int
    size: int
    confidence_level: float
    by: str
    last_task: int | None

    def sentence(self) -> str:
        return f"Audit {self.audit} of {counted(self.size, 'item')} requested (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class AuditOpened(Happening, kind="audit_opened"):
    """The sample is drawn: ``ids`` of ``n_written`` machine labels, whose order has ``digest``; at most ``allowed`` may be wrong.

    ``project_before``, here and below: the project's settings where a finished campaign was taken up again. ``entropy``: the random bits
    that the sample was drawn by, hexadecimal; empty in histories of version 0.1, which drew it by the campaign's ``seed``.
    """

    audit: int
    ids: tuple[int, ...]
    n_written: int
    n_items: int
    allowed: int
    target_error: float
    digest: Digest
    seed: int | None = None
    entropy: str = ""
    project_before: ProjectBefore | None = None

    def sentence(self) -> str:
        drawn = f"{counted_of(len(self.ids), self.n_written, 'machine label')} drawn"
        return f"Audit {self.audit}: {drawn}, SHA-256 {self.digest[:12]}…"


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """What the answered sample says. Counts of errors are of machine labels that differ from what people say.

    Attributes:
        errors: in the sample, those without an answer included; ``different`` are the answered ones alone.
        max_errors: the most among all labels as they were written that the sample is compatible with; ``min_errors`` the fewest. Each of
            the two is wrong with probability 1 − confidence at most.
        max_errors_left: the most that are still the machine's, since what people answered is theirs now.
        verdict: ``holds`` (at most the allowed errors, as written), ``broken`` (more), or ``not_shown``.
    """

    errors: int
    different: int
    unanswered: int
    max_errors: int
    min_errors: int
    max_errors_left: int
    verdict: Literal["holds", "not_shown", "broken"]


@dataclass(frozen=True, kw_only=True)
class AuditDecided(Happening, kind="audit_decided"):
    """``labels``: what people said, in the order of the sample; beside it the machine's classes, their ranks and sureties."""

    audit: int
    result: AuditResult
    labels: ByTask
    choices: tuple[int, ...]
    ranks: tuple[int, ...]
    sureties: tuple[float, ...]

    def sentence(self) -> str:
        most = f"at most {self.result.max_errors:,} were wrong"
        return f"Audit {self.audit} read: {counted(self.result.errors, 'item')} of {len(self.labels):,} count as wrong, {most}"


@dataclass(frozen=True, kw_only=True)
class AuditCancelRequested(Happening, kind="audit_cancel_requested"):
    audit: int
    by: str

    def sentence(self) -> str:
        return f"Audit {self.audit} called off (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class AuditCancelled(Happening, kind="audit_cancelled"):
    audit: int
    reason: str
    n_restored: int
    project_before: ProjectBefore | None = None

    def sentence(self) -> str:
        return f"Audit {self.audit} ended: {self.reason}; {counted(self.n_restored, 'machine label')} written again"


@dataclass(frozen=True, kw_only=True)
class TakeBackStarted(Happening, kind="take_back_started"):
    """Machine labels from place ``n_ranked`` of the audited order on go to people.

    Attributes:
        n: how many are to be taken back.
        tolerated: errors of the sample that may stand before that place; ``None`` if this sample vouches for nothing.
        max_errors: wrong machine labels before it, at most, at ``level`` (a statement of its own).
    """

    audit: int
    by: str
    last_task: int | None
    n_ranked: int
    n: int
    tolerated: int | None
    max_errors: int
    level: float

    def sentence(self) -> str:
        return f"Audit {self.audit}: taking back the {counted(self.n, 'least sure machine label')} (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class TakeBackDone(Happening, kind="take_back_done"):
    """``n_kept``: those that people had edited meanwhile."""

    audit: int
    n_removed: int
    n_kept: int
    project_before: ProjectBefore | None = None

    def sentence(self) -> str:
        return f"Audit {self.audit}: {counted(self.n_removed, 'machine label')} taken back, {self.n_kept:,} kept"


@dataclass(frozen=True, kw_only=True)
class CheckOpened(Happening, kind="check_opened"):
    """A random sample of the machine labels is drawn, to be judged by eye. ``choices`` are the machine's classes of ``ids``.

    ``digest`` is of all ``n_machine`` labels, surest first, and older than ``entropy``, which drew the sample.
    """

    check: int
    ids: tuple[int, ...]
    choices: tuple[int, ...]
    n_machine: int
    n_items: int
    allowed: int
    target_error: float
    confidence_level: float
    digest: Digest
    entropy: str
    by: str

    def sentence(self) -> str:
        return f"Check {self.check}: {counted_of(len(self.ids), self.n_machine, 'machine label')} drawn, to be judged by eye (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class CheckJudged(Happening, kind="check_judged"):
    """Machine labels of a check that somebody judged ``right`` or ``wrong``, by task; a later word on the same task replaces this one."""

    check: int
    right: tuple[int, ...]
    wrong: tuple[int, ...]
    by: str

    def sentence(self) -> str:
        return f"Check {self.check}: {len(self.right):,} judged right, {len(self.wrong):,} wrong (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class Paused(Happening, kind="paused"):
    by: str = "the admin"

    def sentence(self) -> str:
        return f"Paused (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class Resumed(Happening, kind="resumed"):
    """``lifts``: a halt alone, so that a pause stays; without it both end."""

    by: str = "the admin"
    lifts: Literal["halt"] | None = None

    def sentence(self) -> str:
        return f"Resumed (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class Halted(Happening, kind="halted"):
    """``mends_itself``: the next look at the project may lift it."""

    reason: str
    fix: str
    mends_itself: bool = False

    def sentence(self) -> str:
        return f"Halted: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class StopRequested(Happening, kind="stop_requested"):
    by: str

    def sentence(self) -> str:
        return f"Stop requested (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class Finished(Happening, kind="finished"):
    report: JSON

    def sentence(self) -> str:
        return "Finished"


@dataclass(frozen=True, kw_only=True)
class ProjectGone(Happening, kind="project_gone"):
    """The project was deleted in Label Studio; the report is of what was known last."""

    report: JSON

    def sentence(self) -> str:
        return "Ended: the project is gone from Label Studio"


@dataclass(frozen=True, kw_only=True)
class ProjectGoneSince(Happening, kind="project_gone_since"):
    """The project of a finished campaign was found deleted in Label Studio. The campaign stays finished, with its report."""

    def sentence(self) -> str:
        return "The project was deleted in Label Studio after the end"


@dataclass(frozen=True, kw_only=True)
class AskAgainRequested(Happening, kind="ask_again_requested"):
    """People are to be asked again for ``ids``; beside them the last answers, which hold no label. ``last_task`` as in an audit's."""

    ids: tuple[int, ...]
    answers: tuple[int, ...]
    by: str
    last_task: int | None

    def sentence(self) -> str:
        return f"People are to be asked again for {counted(len(self.ids), 'item')} without a label (by {self.by})"


@dataclass(frozen=True, kw_only=True)
class AskedAgain(Happening, kind="asked_again"):
    """``n_deleted`` skips and empty answers are gone; ``n_others`` tasks, whose answers hold something, are asked of one person more."""

    n_deleted: int
    n_others: int
    project_before: ProjectBefore | None = None

    def sentence(self) -> str:
        return f"People are asked again: {counted(self.n_deleted, 'skip')} and empty answers deleted"


@dataclass(frozen=True, kw_only=True)
class RolledBack(Happening, kind="rolled_back"):
    n_removed: int
    n_kept: int
    by: str

    def sentence(self) -> str:
        return f"Rolled back: {counted(self.n_removed, 'machine label')} removed, {self.n_kept:,} kept"


@dataclass(frozen=True, kw_only=True)
class Cancelled(Happening, kind="cancelled"):
    reason: str

    def sentence(self) -> str:
        return f"Cancelled: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Notified(Happening, kind="notified"):
    """``keys``: of the notices that a channel was told, or (not ``ok``) could not be told, and ``why`` not."""

    channel: str
    keys: tuple[str, ...]
    ok: bool
    why: str | None = None

    def sentence(self) -> str:
        what = ", ".join(dict.fromkeys(NOTICES.get(key.split("/")[0], key.split("/")[0]) for key in self.keys))
        return f"Told channel {self.channel}: {what}" if self.ok else f"Could not tell channel {self.channel}: {what}; {self.why}"


def recorded_settings(payload: Any) -> dict[str, Any]:
    """The settings in an event's JSON as they are, also where the event as a whole cannot be read; empty where there are none."""
    settings = payload.get("settings") if isinstance(payload, dict) else None
    return settings if isinstance(settings, dict) else {}


def decision_title(row: Decision, drawn: int | None = None) -> str:
    """What was decided, in a few words.

    Args:
        drawn: items of the certificate sample. Its size is planned anew for the pool that is frozen, so the decision does not know it.
    """
    match row:
        case Acquire(buys=(name, *_)):
            return f"buy the answers of {name} for the pool"
        case Acquire():
            parts = [f"{row.n_test:,} test" if row.n_test else "", f"{row.n_train:,} training" if row.n_train else ""]
            return f"ask for {' and '.join(part for part in parts if part)} items"
        case HumanLabelAll():
            return "people label everything that is left"
        case Certify():
            return "draw a blind certificate sample" + ("" if drawn is None else f" of {counted(drawn, 'item')}")
        case PeelBatch():
            return f"ask for the {counted(row.n_asked, 'least trusted item')}"  # of those that leave, V's are labelled already
        case _:
            return f"the machine labels {counted(row.n_machine, 'item')}"
