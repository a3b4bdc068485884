"""What the annotators were served, compared with what the backend asked for: only batch tasks, in order, then nothing. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from backend.demo.annotators import Pull


@dataclass(frozen=True, slots=True)
class Batch:
    """A queue as the backend opened it. ``task_ids`` are in serving order; two people are asked about those in ``twice``."""

    model_version: str
    kind: str
    opened_at: datetime
    task_ids: tuple[int, ...]
    twice: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Placed:
    """A pull, and the batch that its task came from; ``position`` is its place in it, 0 first. ``None`` without a task or a batch."""

    pull: Pull
    batch: Batch | None
    position: int | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a trace shows; a sentence for each thing that should not have happened.

    Attributes:
        outside: tasks that no open batch held.
        disorder: pulls that came before an earlier place of the same batch.
        repeated: tasks served again although nobody raced for them.
        raced: tasks that Label Studio handed to two people at the same moment; its own doing, the later label is a double.
        empty_replies: "no more tasks" answers, by batch, while it was the last one opened.
    """

    outside: tuple[str, ...]
    disorder: tuple[str, ...]
    repeated: tuple[str, ...]
    raced: tuple[int, ...]
    empty_replies: dict[str, int]


def place(pulls: Sequence[Pull], batches: Sequence[Batch]) -> list[Placed]:
    """Find the batch of each pull: the newest one, opened before the answer, that holds the task."""
    newest_first = sorted(batches, key=lambda batch: batch.opened_at, reverse=True)
    positions = {batch.model_version: {task: position for position, task in enumerate(batch.task_ids)} for batch in batches}
    placed = []
    for pull in sorted(pulls, key=lambda pull: pull.served_at):
        opened = [batch for batch in newest_first if batch.opened_at <= pull.served_at]
        held = next((batch for batch in opened if pull.task_id in positions[batch.model_version]), None)
        position = None if held is None or pull.task_id is None else positions[held.model_version][pull.task_id]
        placed.append(Placed(pull, held, position))
    return placed


def examine(pulls: Sequence[Pull], batches: Sequence[Batch]) -> Findings:
    """Compare a trace with the batches that were opened."""
    placed = place(pulls, batches)
    served = [each for each in placed if each.pull.task_id is not None]
    outside = tuple(f"{_who(each.pull)} got task {each.pull.task_id}, which no open batch held" for each in served if each.batch is None)
    # A second person is served a task when the first label is in, wherever the queue has come to by then.
    second = _second(served)
    once = [each for each in served if each not in second]
    disorder = tuple(sentence for batch in batches for sentence in _disorder([each for each in once if each.batch is batch]))
    raced, repeated = _again([each.pull for each in once])
    empty = {batch.model_version: 0 for batch in batches}
    for each in placed:
        if each.pull.task_id is None:
            opened = [batch for batch in batches if batch.opened_at <= each.pull.served_at]
            last = max(opened, key=lambda batch: batch.opened_at, default=None)
            if last is not None:
                empty[last.model_version] += 1
    return Findings(outside, disorder, repeated, raced, empty)


def lines(pulls: Sequence[Pull], batches: Sequence[Batch]) -> Iterator[str]:
    """The trace as JSON lines, one pull each."""
    for each in place(pulls, batches):
        pull = each.pull
        row: dict[str, Any] = {
            "annotator": pull.annotator,
            "asked_at": pull.asked_at.isoformat(),
            "served_at": pull.served_at.isoformat(),
            "submitted_at": None if pull.submitted_at is None else pull.submitted_at.isoformat(),
            "task": pull.task_id,
            "rule": pull.rule,
            "annotation": pull.annotation_id,
            "choice": pull.choice,
            "batch": None if each.batch is None else each.batch.model_version,
            "position": each.position,
        }
        yield json.dumps(row)


def _second(served: Sequence[Placed]) -> set[Placed]:
    """The pulls by which a second person came to a task that two are asked about: the first by somebody else than the first."""
    first: dict[int, str] = {}
    found: dict[int, Placed] = {}
    for each in served:
        task = each.pull.task_id
        if task is None or each.batch is None or task not in each.batch.twice:
            continue
        if first.setdefault(task, each.pull.annotator) != each.pull.annotator:
            found.setdefault(task, each)
    return set(found.values())


def _disorder(served: Sequence[Placed]) -> Iterator[str]:
    """Pulls of one batch that were asked for after a later place had been served; answers that overlap in time may swap."""
    by_asked = sorted(served, key=lambda each: each.pull.asked_at)
    furthest, finished = -1, iter(sorted(served, key=lambda each: each.pull.served_at))
    waiting = next(finished, None)
    for each in by_asked:
        while waiting is not None and waiting.pull.served_at < each.pull.asked_at:
            furthest = max(furthest, waiting.position or 0)
            waiting = next(finished, None)
        if each.position is not None and each.batch is not None and each.position < furthest:
            yield f"{_who(each.pull)} got place {each.position} of {each.batch.model_version} after place {furthest} had been served"


def _again(pulls: Iterable[Pull]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    by_task: dict[int, list[Pull]] = {}
    for pull in pulls:
        if pull.task_id is not None:
            by_task.setdefault(pull.task_id, []).append(pull)
    raced, repeated = [], []
    for task, found in sorted(by_task.items()):
        for first, second in combinations(sorted(found, key=lambda pull: pull.served_at), 2):
            if first.annotator != second.annotator and first.submitted_at is not None and second.asked_at <= first.submitted_at:
                raced.append(task)
            else:
                repeated.append(f"{_who(second)} got task {task}, which {_who(first)} had labelled")
    return tuple(raced), tuple(repeated)


def _who(pull: Pull) -> str:
    return f"{pull.annotator} at {pull.served_at:%H:%M:%S.%f}"
