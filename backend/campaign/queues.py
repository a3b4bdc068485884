"""One queue of tasks that people are asked for: its row in the history, how far it has come, and when that is enough. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from backend.campaign.events import QueueKind, QueueOpened
from backend.campaign_settings import CampaignSettings
from backend.store import Duplicate, Item, Role
from mcal_engine.round import Skim

BLIND: tuple[Role, ...] = ("test", "certificate")  # what stands for the whole must be complete: no quorum for these


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it was decided. ``ids[:n_asked]`` are asked for, the rest is work-ahead; ``scores`` has None for test items.

    ``twice``: test or certificate items that two people are asked about. The first label counts, the second is there to be compared.
    ``n_taken`` counts the scored items that had left the pool when the queue was closed; ``None`` while it is open.
    """

    kind: QueueKind
    round: int
    model_version: str
    ids: tuple[int, ...]
    n_asked: int
    sentinel: int | None = None
    classifier: str | None = None
    scores: tuple[float | None, ...] = ()
    test_ids: tuple[int, ...] = ()
    test_scores: tuple[float | None, ...] = ()  # None: behind every cut
    suggestions: Mapping[int, int] = field(default_factory=dict)  # task → class that people are shown: asked-for training items, the rest
    twice: tuple[int, ...] = ()
    note: str = ""  # why there is such a queue, where no decision of the engine says it
    opened_at: datetime | None = None
    closed: bool = False
    n_taken: int | None = None

    @property
    def asked(self) -> tuple[int, ...]:
        return self.ids[: self.n_asked]

    def ranked(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The items that an acquisition function put into this order, with their scores, ascending."""
        pairs = [(task, score) for task, score in zip(self.ids, self.scores, strict=False) if score is not None]
        return tuple(task for task, _ in pairs), tuple(score for _, score in pairs)

    def taken(self, items: Mapping[int, Item], *, hurried: bool = False) -> int:
        """How many of :meth:`ranked` have left the pool: all that were asked for, and on to the last one that people took.

        ``hurried``: the admin does not wait for the rest of what was asked, so it goes back to the pool, unless people may have seen a
        suggestion for it: a sample that must be blind could be drawn from there.
        """
        ids, _ = self.ranked()
        asked = set() if hurried and not self.suggestions else set(self.asked)
        last = max((place for place, task in enumerate(ids) if task in asked or _taken(items.get(task))), default=-1)
        return last + 1

    def skim(self) -> Skim | None:
        """What the survivors are judged by; ``None`` for random draws, which skim nothing, and while the queue is open."""
        ids, scores = self.ranked()
        if self.classifier is None or not self.n_taken:
            return None
        return Skim(
            np.array(ids, dtype=np.int64),
            np.array(scores, dtype=np.float64),
            self.n_taken,
            np.array(self.test_ids, dtype=np.int64),
            np.array([math.inf if score is None else score for score in self.test_scores], dtype=np.float64),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far people have come with what a queue asks for."""

    asked: int
    labelled: int
    skipped: int  # skipped, or their image cannot be read
    gone: int  # deleted from the project
    missing: tuple[int, ...]
    blind_missing: tuple[int, ...]  # those of the missing that are test, certificate or audit items
    quiet_since: datetime | None  # when we learned of the last label on any of the queue's tasks, or the opening
    twice: int = 0  # asked of two people, and still in the project
    second: int = 0  # second labels that are in
    others_at: datetime | None = None  # the same of whoever could give a missing second label; None: nobody, or none missing


def opening(queue: Queue, *, last_known_task: int = 0) -> QueueOpened:
    """The event that opens a queue; what only happens later is not in it."""
    return QueueOpened(
        queue=queue.kind,
        round=queue.round,
        model_version=queue.model_version,
        ids=queue.ids,
        n_asked=queue.n_asked,
        sentinel=queue.sentinel,
        classifier=queue.classifier,
        scores=queue.scores,
        test_ids=queue.test_ids,
        test_scores=queue.test_scores,
        twice=queue.twice,
        note=queue.note,
        suggestions=tuple(queue.suggestions.get(task) for task in queue.ids) if queue.suggestions else (),
        last_known_task=last_known_task,
    )


def opened(event: QueueOpened, at: datetime) -> Queue:
    return Queue(
        kind=event.queue,
        round=event.round,
        model_version=event.model_version,
        ids=event.ids,
        n_asked=event.n_asked,
        sentinel=event.sentinel,
        classifier=event.classifier,
        scores=event.scores,
        test_ids=event.test_ids,
        test_scores=event.test_scores,
        suggestions={task: label for task, label in zip(event.ids, event.suggestions, strict=False) if label is not None},
        twice=event.twice,
        note=event.note,
        opened_at=at,
    )


def second_labels(opened: Iterable[Queue], items: Mapping[int, Item], repeats: Iterable[Duplicate]) -> dict[int, Duplicate]:
    """Task → the second label that was asked for: the earliest by somebody else than the first. Other repeats are nobody's intention."""
    wanted = {task for queue in opened for task in queue.twice}
    found: dict[int, Duplicate] = {}
    for row in sorted(repeats, key=lambda row: (row.created_at, row.annotation_id)):
        item = items.get(row.task_id)
        if row.task_id in wanted and item is not None and row.annotator != item.annotator:
            found.setdefault(row.task_id, row)
    return found


def progress(queue: Queue, items: Mapping[int, Item], roles: Mapping[int, Role], second: Mapping[int, Duplicate]) -> Progress:
    """Count the asked items by what became of them; ``second``: task → its second label."""
    labelled = skipped = gone = 0
    missing: list[int] = []
    for task in queue.asked:
        item = items.get(task)
        if item is None or item.deleted:
            gone += 1
        elif item.label is not None:
            labelled += 1
        elif item.skipped or item.unreadable:
            skipped += 1
        else:
            missing.append(task)
    # By our clock throughout: the opening and the present are ours, and Label Studio's may differ by hours.
    given = [(items[task].annotator, items[task].learned_at) for task in queue.ids if task in items]
    given += [(second[task].annotator, items[task].seen_at or second[task].created_at) for task in queue.twice if task in second]
    latest = [time for time in (queue.opened_at, *(time for _, time in given)) if time is not None]
    blind = tuple(task for task in missing if queue.kind == "audit" or roles.get(task) in BLIND)
    there = [task for task in queue.twice if task in items and not items[task].deleted]
    # Who gave the first label is not asked again; somebody else can give the second one.
    unanswered = {items[task].annotator for task in there if items[task].label is not None and task not in second}
    others = [time for first in unanswered for person, time in given if person not in (None, first) and time is not None]
    return Progress(
        queue.n_asked,
        labelled,
        skipped,
        gone,
        tuple(missing),
        blind,
        max(latest, default=None),
        twice=len(there),
        second=sum(task in second for task in there),
        others_at=max(others, default=None),
    )


def unknown(queue: Queue) -> Progress:
    """The progress of a queue whose tasks were not read: nothing is known to be in."""
    return Progress(queue.n_asked, 0, 0, 0, queue.asked, (), None)


def enough(seen: Progress, settings: CampaignSettings, now: datetime) -> bool:
    """Whether the next step need not wait for more labels.

    Everything is in; or a quorum is in and nobody has labelled for a while: ``patience_minutes`` if only training items are
    missing, ``blind_timeout_hours`` if test or certificate items are. The quorum holds in both cases, so that a long weekend
    does not turn a certificate sample into errors. Second labels are waited for as long as somebody who could give them has labelled
    within ``patience_minutes``: nothing that is decided rests on them.
    """
    if not seen.missing:
        return seen.others_at is None or now - seen.others_at >= timedelta(minutes=settings.patience_minutes)
    if len(seen.missing) > (1 - settings.quorum) * seen.asked + 1e-9 or seen.quiet_since is None:
        return False
    patience = timedelta(hours=settings.blind_timeout_hours) if seen.blind_missing else timedelta(minutes=settings.patience_minutes)
    return now - seen.quiet_since >= patience


def _taken(item: Item | None) -> bool:
    return item is None or item.deleted or item.label is not None or item.skipped
