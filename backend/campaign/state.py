"""Where a campaign stands, derived from its facts. Pure: the phase is computed here and stored nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from backend.campaign import queues
from backend.campaign.audits import Audit
from backend.campaign.checks import Check
from backend.campaign.events import Created, Follows
from backend.campaign.facts import Facts, load, load_history
from backend.campaign.history import reading
from backend.campaign.log import Halt, Log
from backend.campaign.queues import Progress, Queue
from backend.campaign_settings import CampaignSettings
from backend.label_studio.port import LabelControl
from backend.label_studio.queue import Sentinel
from backend.store import Duplicate, Item, MachineLabel, Role, Store
from mcal_engine.classifiers.images.decoding import ImageForm
from mcal_engine.parts import Parts
from mcal_engine.types import (
    Acquire,
    Bands,
    CertificateOutcome,
    Certify,
    Decision,
    HumanLabelAll,
    LabelByMachine,
    Observation,
    PeelBatch,
    PeelOrder,
    Row,
)

SMALLEST = 200  # tasks; below that T alone is most of the work


class Phase(StrEnum):
    """The life of a campaign::

        requested ─▶ preparing ─▶ collecting ⇄ training_due ─▶ certifying ─▶ certificate_due ─▶ writing_back ─▶ residual ─▶ finished
            │                                       │                               │  ▲                           ▲
            │                                       │                               ▼  │                           │
            │                                       │                       peeling ⇄ peel_due                     │
            │                                       └───────────────┬───────────────┘  people label all            │
            │                                                       └──────────────────────────────────────────────┘
            │                                                                     auditing, taking_back ⇄ residual or finished
            └─ halted, paused: any phase before finished; what stood still goes on afterwards. rolled_back, cancelled, project_gone:
               the end.

    requested: the project has not been visited. preparing: images are fetched, T and B0 are to be drawn. collecting: people
    label T or B. training_due: enough labels are in. certifying: people label V blindly. certificate_due: V is answered.
    peeling: people label the items that are trusted least. peel_due: they are labelled, and what is left is ranked anew.
    writing_back: S* goes to Label Studio, after awaiting_approval where approve_write_back is on. residual: people label what is left.
    auditing: people label some of S* again, blindly. taking_back: what an audit could not vouch for leaves S*; people label it.
    """

    REQUESTED = "requested"
    PREPARING = "preparing"
    COLLECTING = "collecting"
    TRAINING_DUE = "training_due"
    CERTIFYING = "certifying"
    CERTIFICATE_DUE = "certificate_due"
    PEELING = "peeling"
    PEEL_DUE = "peel_due"
    AWAITING_APPROVAL = "awaiting_approval"
    WRITING_BACK = "writing_back"
    AUDITING = "auditing"
    TAKING_BACK = "taking_back"
    RESIDUAL = "residual"
    FINISHED = "finished"
    PAUSED = "paused"
    HALTED = "halted"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    PROJECT_GONE = "project_gone"


ENDED = (Phase.FINISHED, Phase.ROLLED_BACK, Phase.CANCELLED, Phase.PROJECT_GONE)
BLIND_STAGES = (
    Phase.REQUESTED,
    Phase.PREPARING,
    Phase.COLLECTING,
    Phase.TRAINING_DUE,
    Phase.CERTIFYING,
    Phase.CERTIFICATE_DUE,
    Phase.PEELING,
    Phase.PEEL_DUE,
    Phase.AUDITING,
)


@dataclass(frozen=True)
class State:
    """One campaign, now.

    Attributes:
        phase: where it stands; ``stage`` is the same without pause and halt: where it will go on.
        settings: in force for decisions; ``wanted`` are the admin's, which may differ once V is drawn: it is judged under the old ones.
        at: when this was so.
        image_form: in which all images are kept; ``None`` before they were looked at.
        history: the engine's rows. ``decision`` is the last of them that is a decision.
        queue: the open queue, with its ``progress``.
        follows: the finished campaign that this one follows up. ``beside``: another campaign that is live on the same project.
        items: every task ever seen, by id, deleted ones included. ``roles``: what T, B and V were made of.
        repeats: human labels beyond the first on their task, paid; ``second_labels``: those that were asked for, by task.
        last_known_task: highest task id that took part in the draw of T; tasks beyond it are new.
        devices: by classifier, what the last round was trained on.
        title: the project's, as last seen; ``names`` are the annotators' by id, as far as Label Studio tells them.
        last_task: highest id of X, once the campaign has finished; tasks added later are not its own, also when it is taken up again.
        answers: see :class:`backend.campaign.events.AnswersSeen`.
        asked_again: task → the answer without a label that it had when the admin had people asked for it again. ``asking``: Label Studio
            has not been told yet.
        audits: of written machine labels, the first one first. ``reopened``: taken up again after its end, and not visited since.
        checks: of machine labels by eye, the first one first.
        gone_since: the project was deleted in Label Studio after the campaign had finished.
        bands: what the sample of the last look was drawn by; ``None``: one uniform sample, or none yet.
        published: model version of the queue that Label Studio was last told to serve. ``sentinel`` is locked behind it.
    """

    campaign_id: int
    project_id: int
    created_at: datetime
    at: datetime
    last_seq: int
    stage: Phase
    phase: Phase
    settings: CampaignSettings
    wanted: CampaignSettings
    follows: Follows | None
    beside: int | None
    created: Created | None
    answers: tuple[str, ...]
    image_form: ImageForm | None
    changed_images: frozenset[int]
    history: tuple[Row, ...]
    decision: Decision | None
    queues: tuple[Queue, ...]
    progress: Progress | None
    items: dict[int, Item]
    roles: dict[int, Role]
    repeats: tuple[Duplicate, ...]
    second_labels: dict[int, Duplicate]
    machine_labels: tuple[MachineLabel, ...]
    look: int
    bands: Bands | None
    halt: Halt | None
    stop_requested_by: str | None
    devices: dict[str, str]
    title: str
    names: dict[int, str]
    last_known_task: int
    last_task: int | None
    asked_again: dict[int, int]
    asking: bool
    audits: tuple[Audit, ...]
    checks: tuple[Check, ...]
    reopened: bool
    gone_since: bool
    published: str | None
    sentinel: Sentinel | None
    report: dict[str, Any] | None

    @property
    def queue(self) -> Queue | None:
        return self.queues[-1] if self.queues and not self.queues[-1].closed else None

    @property
    def sentinel_id(self) -> int | None:
        return None if self.sentinel is None else self.sentinel.task_id

    @property
    def control(self) -> LabelControl:
        assert self.created is not None  # nothing asks before the project was visited
        return self.created.control

    @property
    def choices(self) -> tuple[str, ...]:
        """The classes, by number: all answers there can be, or where they are too many, those that were given so far."""
        return () if self.created is None else self.created.control.choices or self.answers

    @property
    def parts(self) -> Parts | None:
        """What the classes are made of, where they are answers to more than one question, or with several choices."""
        return Parts.of(self.control.questions, self.choices)

    def said(self, label: int) -> str:
        """A class as people read it."""
        return self.control.questions.said(self.choices[label])

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def blind(self) -> bool:
        """Whether people must not see predictions."""
        return self.stage in BLIND_STAGES

    @property
    def observations(self) -> tuple[Observation, ...]:
        return tuple(row for row in self.history if isinstance(row, Observation))

    @property
    def outcomes(self) -> tuple[CertificateOutcome, ...]:
        return tuple(row for row in self.history if isinstance(row, CertificateOutcome))

    @property
    def training_seconds(self) -> float:
        """All that training has taken, rankers of what is peeled included."""
        return sum(row.training_seconds for row in self.history if isinstance(row, Observation | PeelOrder))

    @property
    def training_cost(self) -> float:
        """Money that the training machine and bought answers have cost so far."""
        bought = sum(row.bought for row in self.history if isinstance(row, Observation))
        return self.settings.machine_price_per_hour * self.training_seconds / 3600 + bought

    @property
    def planned(self) -> tuple[MachineLabel, ...]:
        """Machine labels that are still to be written."""
        return tuple(row for row in self.machine_labels if row.state == "planned")

    @cached_property
    def live(self) -> tuple[Item, ...]:
        """The tasks that Label Studio still has, by id: X."""
        return tuple(self.own[task] for task in sorted(self.own) if not self.own[task].deleted)

    @cached_property
    def own(self) -> dict[int, Item]:
        """Every task that was ever this campaign's, deleted ones included.

        Not what was added after it had finished, and not the tasks of the campaign that it follows up.
        """
        if self.last_task is None and self.follows is None:
            return self.items
        return {task: item for task, item in self.items.items() if _is_own(task, self.follows, self.last_task)}

    @cached_property
    def inherited(self) -> tuple[Item, ...]:
        """What people labelled on the tasks of the campaign that this one follows up, by id: training items that are not in X."""
        if self.follows is None:
            return ()
        earlier = (self.items[task] for task in sorted(self.items) if task <= self.follows.last_task)
        return tuple(item for item in earlier if item.label is not None and item.unreadable is None and not item.deleted)

    @cached_property
    def test(self) -> tuple[Item, ...]:
        """T as far as it can be used: live and readable, labelled or not. A sample that was gone on from has joined it."""
        sample = set(self.sample)
        return tuple(
            item
            for item in self.live
            if self.roles.get(item.task_id) in ("test", "certificate") and item.task_id not in sample and item.unreadable is None
        )

    @cached_property
    def train(self) -> tuple[Item, ...]:
        """B: every readable human label that is not T's or V's, whoever asked for it."""
        return tuple(
            item
            for item in self.live
            if item.label is not None and item.unreadable is None and self.roles.get(item.task_id) not in ("test", "certificate")
        )

    @property
    def trained_on(self) -> tuple[Item, ...]:
        """What a classifier is trained on: B, and before it what was inherited."""
        return (*self.inherited, *self.train)

    @cached_property
    def sample(self) -> tuple[int, ...]:
        """V of the last look. A campaign that went on from a look has none: that sample is part of T."""
        drawn = next((queue.ids for queue in reversed(self.queues) if queue.kind == "certificate"), ())
        return () if isinstance(self.decision, Acquire) else drawn

    @cached_property
    def pool(self) -> tuple[Item, ...]:
        """U: what a machine could label. Without a label or a role, readable, not skipped, not the sentinel.

        An item that people were asked for and have not answered stays out of it, although it has no label: the test items that score
        like it do not survive either, and people get it at the end. An item that a suggestion was shown for stays out as well: no
        sample that must be blind is drawn from those.
        """
        sentinel = self.sentinel_id or (self.queues[-1].sentinel if self.queues else None)
        skimmed = {task for queue in self.queues for task in queue.ranked()[0][: self.n_taken(queue)]}
        machine = {row.task_id for row in self.machine_labels if row.state != "removed"}
        return tuple(
            item
            for item in self.live
            if item.label is None
            and item.unreadable is None
            and not item.skipped
            and item.machine_annotation_id is None
            and item.task_id not in self.roles
            and item.task_id != sentinel
            and item.task_id not in skimmed
            and item.task_id not in self.suggested
            and item.task_id not in machine
        )

    @cached_property
    def suggested(self) -> frozenset[int]:
        """Every task that a suggestion of the model was ever served with."""
        return frozenset(task for queue in self.queues for task in queue.suggestions)

    @property
    def audit(self) -> Audit | None:
        """The audit that is not decided or called off yet."""
        return self.audits[-1] if self.audits and self.audits[-1].ended is None else None

    @cached_property
    def audited(self) -> frozenset[int]:
        """Every task that an audit took out of S*."""
        return frozenset(task for audit in self.audits if audit.model_version for task in audit.ids)

    @property
    def hurried(self) -> bool:
        """Whether the admin wants to stop without waiting for the labels that were asked for."""
        return self.stop_requested_by is not None

    def n_taken(self, queue: Queue) -> int:
        """How many of a queue's ranked items have left the pool."""
        return queue.taken(self.items, hurried=self.hurried) if queue.n_taken is None else queue.n_taken

    @property
    def n_repeats_paid(self) -> int:
        return len(self.repeats)

    @property
    def n_labels_paid(self) -> int:
        """Human labels bought, repeats and those of deleted tasks included; what was there before the campaign is free."""
        return sum(item.label is not None and not item.preexisting for item in self.own.values()) + self.n_repeats_paid

    @property
    def n_machine(self) -> int:
        """Live tasks whose label is one of this campaign's machine labels."""
        return sum(item.label is None for item in self.live) - len(self.unlabelled)

    @cached_property
    def residual(self) -> tuple[Item, ...]:
        """What still needs a label before the campaign can end: without one of any kind, and not set aside."""
        return tuple(item for item in self.unlabelled if not self._given_up(item))

    @cached_property
    def set_aside(self) -> tuple[Item, ...]:
        """What has no label and is not waited for: people have answered without one, or the image cannot be read."""
        return tuple(item for item in self.unlabelled if self._given_up(item))

    def _given_up(self, item: Item) -> bool:
        since = self.asked_again.get(item.task_id)
        again = since is not None and (item.last_answer is None or item.last_answer <= since)
        return item.unreadable is not None or (item.skipped and not again)

    @property
    def n_labels(self) -> int:
        """Live items that carry a label or will carry one: all but those that were skipped or cannot be read, and have none."""
        return len(self.live) - len(self.set_aside)

    @cached_property
    def unlabelled(self) -> tuple[Item, ...]:
        """Live tasks without a human label and without one of this campaign's machine labels."""
        return tuple(item for item in self.live if item.label is None and item.task_id not in self._written)

    @cached_property
    def _written(self) -> frozenset[int]:
        return frozenset(row.task_id for row in self.machine_labels if row.state == "written")


def state_of(store: Store, campaign_id: int, now: datetime, *, ledger: bool = True) -> State:
    """The campaign as its history and its ledger say at ``now``.

    Args:
        ledger: without it the history alone is read: enough for a sentence, where a large ledger would take too long.

    Raises:
        InvalidValue: there is no such campaign.
    """
    return derive((load if ledger else load_history)(store, campaign_id), now)


def derive(facts: Facts, now: datetime) -> State:
    """The campaign's state at ``now`` (the clock matters only for how long people have been quiet).

    Raises:
        HistoryError: the facts contradict each other, or hold what no version wrote.
    """
    log = Log()
    for event in facts.events:
        with reading(f"event {event.seq} of kind {event.event.kind!r}"):
            log.read(event)
    with reading(f"campaign {facts.campaign.id}"):
        return _derive(facts, log, now)


def _derive(facts: Facts, log: Log, now: datetime) -> State:
    items = {item.task_id: item for item in facts.items}
    roles: dict[int, Role] = {row.task_id: row.role for row in facts.assignments}
    queue = log.queues[-1] if log.queues and not log.queues[-1].closed else None
    second = queues.second_labels(log.queues, items, facts.duplicates)
    # Second labels are paid whatever clock stamped them: nobody had labelled their items when they were asked for.
    asked = {row.annotation_id for row in second.values()}
    own = {task for task in items if _is_own(task, log.follows, log.last_task)}
    repeats = tuple(row for row in facts.duplicates if row.task_id in own and (row.annotation_id in asked or _is_new(row, facts, log)))
    seen = None if queue is None else queues.progress(queue, items, roles, second) if items else queues.unknown(queue)
    settings = log.settings_for_decisions()
    stage = _stage(log, seen, settings, now)
    phase = stage if stage in ENDED else Phase.HALTED if log.halt else Phase.PAUSED if log.paused else stage
    return State(
        campaign_id=facts.campaign.id,
        project_id=facts.campaign.project_id,
        created_at=facts.campaign.created_at,
        at=now,
        last_seq=facts.events[-1].seq if facts.events else 0,
        stage=stage,
        phase=phase,
        settings=settings,
        wanted=log.settings,
        follows=log.follows,
        beside=facts.beside,
        created=log.created,
        answers=tuple(log.answers),
        image_form=log.image_form,
        changed_images=frozenset(log.changed_images),
        history=tuple(log.history),
        decision=log.decision,
        queues=tuple(log.queues),
        progress=seen,
        items=items,
        roles=roles,
        repeats=repeats,
        second_labels=second,
        machine_labels=facts.machine_labels,
        look=log.look,
        bands=log.bands,
        halt=log.halt,
        stop_requested_by=log.stop_requested_by,
        devices=log.devices,
        title=log.title,
        names=log.names,
        last_known_task=log.last_known_task,
        last_task=log.last_task,
        asked_again=log.asked_again,
        asking=log.asking,
        audits=tuple(log.audits.rows),
        checks=tuple(log.checks.rows),
        reopened=log.reopened,
        gone_since=log.gone_since,
        published=log.published,
        sentinel=log.sentinel,
        report=log.report,
    )


def _is_new(row: Duplicate, facts: Facts, log: Log) -> bool:
    """Whether a label was given after the campaign had begun. Label Studio's clock and ours may differ: ids tell where they are known."""
    last = None if log.created is None else log.created.last_annotation
    return row.created_at >= facts.campaign.created_at if last is None else row.annotation_id > last


def _is_own(task: int, follows: Follows | None, last_task: int | None) -> bool:
    """Whether a task is one of a campaign's items."""
    return (follows is None or task > follows.last_task) and (last_task is None or task <= last_task)


def _stage(log: Log, seen: Progress | None, settings: CampaignSettings, now: datetime) -> Phase:
    if log.ending is not None:
        return Phase(log.ending.kind)
    if log.audits.active or log.audits.taking_back:
        return Phase.AUDITING if log.audits.active else Phase.TAKING_BACK
    if log.created is None:
        return Phase.REQUESTED
    if log.decision is None:
        return Phase.PREPARING
    if isinstance(log.decision, HumanLabelAll) or log.written_back:
        return Phase.RESIDUAL
    if isinstance(log.decision, LabelByMachine):
        waits = settings.approve_write_back == "on" and log.approved_by is None
        return Phase.AWAITING_APPROVAL if waits else Phase.WRITING_BACK
    done = seen is None or queues.enough(seen, settings, now)
    if isinstance(log.decision, Certify):
        return Phase.CERTIFICATE_DUE if done else Phase.CERTIFYING
    if isinstance(log.decision, PeelBatch):
        return Phase.PEEL_DUE if done else Phase.PEELING
    hurried = log.stop_requested_by is not None and seen is not None and not seen.blind_missing
    return Phase.TRAINING_DUE if done or hurried else Phase.COLLECTING
