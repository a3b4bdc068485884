"""Who is asked next: the queues that follow from a decision. Pure; the same state and decision give the same queue."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from backend.campaign.audits import Audit
from backend.campaign.events import QueueKind
from backend.campaign.queues import BLIND, Queue
from backend.campaign.state import State
from backend.store import Assignment, Item
from mcal_engine import streams
from mcal_engine.certificates import peel
from mcal_engine.round import Ranking, draw_random, draw_secret, draw_twice
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, Bands, IntArray


def ids_of(items: Iterable[Item]) -> IntArray:
    return np.array([item.task_id for item in items], dtype=np.int64)


def model_version(state: State, kind: QueueKind) -> str:
    """One per queue, so that a new queue never shows what an older one left; the time sets campaigns of a lost database apart."""
    return f"mcal-c{state.campaign_id}-{int(state.created_at.timestamp()):x}-q{len(state.queues)}-{kind}"


def start_queue(state: State, decision: Acquire) -> tuple[Queue, list[Assignment]]:
    """T, drawn from all items that can be used, and B0, drawn from the unlabelled rest, mixed at random into one queue."""
    spec = state.settings
    usable = [item for item in state.live if item.unreadable is None and not item.skipped and item.machine_annotation_id is None]
    test = draw_random(spec, "test", 0, ids_of(usable), min(decision.n_test, len(usable)))
    in_test = set(test.tolist())
    free = [item for item in usable if item.label is None and item.task_id not in in_test]
    train = draw_random(spec, "train", 0, ids_of(free), min(decision.n_train, len(free)))
    asked = [task for task in (*test.tolist(), *train.tolist()) if state.items[task].label is None]
    order = _mixed(spec, asked)
    queue = Queue(
        kind="start",
        round=0,
        model_version=model_version(state, "start"),
        ids=tuple(order),
        n_asked=len(order),
        sentinel=choose_sentinel(state, {*order, *in_test}),
        scores=(None,) * len(order),
        twice=_twice(state, [task for task in order if task in in_test]),
    )
    return queue, as_test(test.tolist(), 0)


def more_test(state: State, decision: Acquire, pool_ids: IntArray, round: int) -> list[int]:
    """Items of the pool that top T up. They came through every skim so far, so the later ones are all they are judged by."""
    drawn: list[int] = draw_random(state.settings, "test", round, pool_ids, min(decision.n_test, len(pool_ids))).tolist()
    return drawn


def as_test(ids: Sequence[int], round: int) -> list[Assignment]:
    return [Assignment(task, "test", round, rank) for rank, task in enumerate(ids)]


def train_queue(
    state: State,
    decision: Acquire,
    ranking: Ranking,
    round: int,
    more_test: Sequence[int] = (),
    predicted: Mapping[int, int] | None = None,
) -> Queue:
    """Test items that joined late, then the next batch, then some work-ahead; nobody can tell which is which.

    Args:
        predicted: task → class that the classifier says. Where people are to be assisted they are shown it for the batch, which leaves
            the pool for good; not for the work-ahead, which may return to it and be drawn into a sample that must be blind.
    """
    late = (*waiting_test(state), *more_test)
    n_train = min(decision.n_train, len(ranking.ids))
    ids = (*late, *ranking.ids.tolist())
    batch = ranking.ids[:n_train].tolist()
    return Queue(
        kind="train",
        round=round,
        model_version=model_version(state, "train"),
        ids=ids,
        n_asked=len(late) + n_train,
        sentinel=next_sentinel(state, ids),
        classifier=decision.classifier,
        scores=(*(None for _ in late), *ranking.scores.tolist()),
        test_ids=tuple(ranking.test_ids.tolist()),
        test_scores=tuple(score if math.isfinite(score) else None for score in ranking.test_scores.tolist()),
        suggestions=_suggested(state, batch, predicted or {}),
        twice=_twice(state, late),
    )


def served(decision: Acquire, state: State) -> int:
    """How many ranked items the next queue holds: the batch and the work-ahead behind it, which a budget has not reckoned with."""
    if state.settings.budget is not None:
        return decision.n_train
    return decision.n_train + math.ceil(state.settings.work_ahead * decision.n_train)


def nothing_asked(
    state: State, note: str = "The certificate sample's items are test items now; the classifiers are measured anew."
) -> Queue:
    """The next measurement needs no other labels: after a look that was gone on from, or where answers are bought."""
    return Queue("train", len(state.observations), model_version(state, "train"), (), 0, next_sentinel(state, ()), note=note)


def random_queue(state: State, n: int, round: int, note: str) -> Queue:
    """A random batch that no decision of the engine asked for, with the reason beside it."""
    drawn = draw_random(state.settings, "extra", len(state.queues), ids_of(state.pool), min(n, len(state.pool)))
    late = waiting_test(state)
    ids = (*late, *drawn.tolist())
    return Queue(
        "train",
        round,
        model_version(state, "train"),
        ids,
        len(ids),
        next_sentinel(state, ids),
        scores=(None,) * len(ids),
        twice=_twice(state, late),
        note=note,
    )


def certificate_queue(
    state: State, round: int, n: int, frozen: IntArray, entropy: int, bands: Bands | None
) -> tuple[Queue, list[Assignment]]:
    """V, drawn from the frozen pool by bits made after the freeze, in an order that tells nothing. Nobody works ahead of it.

    Args:
        n: items, where it is one uniform sample; ``bands`` say it themselves.
        frozen: the pool's tasks in the frozen order.
    """
    if bands is None:
        drawn = draw_secret(entropy, frozen, min(n, len(frozen))).tolist()
    else:
        sample = frozen[peel.draw(bands, entropy)]
        drawn = draw_secret(entropy, sample, len(sample)).tolist()
    queue = Queue(
        "certificate",
        round,
        model_version(state, "certificate"),
        tuple(drawn),
        len(drawn),
        next_sentinel(state, drawn),
        scores=(None,) * len(drawn),
        twice=_twice(state, drawn),
    )
    return queue, [Assignment(task, "certificate", round, rank) for rank, task in enumerate(drawn)]


def peel_queue(state: State, ids: Sequence[int]) -> Queue:
    """What leaves band 2 next and has no label, the least trusted first. Nobody works ahead of it."""
    asked, version = tuple(ids), model_version(state, "peel")
    return Queue("peel", len(state.observations), version, asked, len(asked), next_sentinel(state, asked), scores=(None,) * len(asked))


def residual_queue(state: State, predicted: Mapping[int, int]) -> Queue:
    """The rest: everything without a label, in the order in which Label Studio serves it by itself under sequential sampling.

    ``predicted``: task → class; shown where people are to be assisted.
    """
    rest = tuple(item.task_id for item in state.unlabelled)
    return Queue(
        "residual",
        len(state.observations),
        model_version(state, "residual"),
        rest,
        len(rest),
        suggestions=_suggested(state, rest, predicted),
    )


def audit_queue(state: State, audit: Audit) -> Queue:
    """An audit's sample, in the draw's own random order. Nobody works ahead of it."""
    ids = audit.ids
    version, scores = model_version(state, "audit"), (None,) * len(ids)
    return Queue("audit", len(state.observations), version, ids, len(ids), next_sentinel(state, ids), scores=scores)


def _suggested(state: State, ids: Sequence[int], predicted: Mapping[int, int]) -> dict[int, int]:
    if state.settings.assisted_labelling == "off":
        return {}
    return {task: predicted[task] for task in ids if task in predicted and state.roles.get(task) not in BLIND}


def waiting_test(state: State) -> tuple[int, ...]:
    """Test items without an answer that no queue so far has asked for."""
    asked = {task for queue in state.queues for task in queue.asked}
    return tuple(item.task_id for item in state.test if item.label is None and not item.skipped and item.task_id not in asked)


def joins_test(state: State, newcomers: Sequence[Item]) -> list[int]:
    """Tasks added since T was drawn that join it, each with probability |T|/|X|, decided by seed and task id alone."""
    known = sum(task <= state.last_known_task for task in state.own)
    share = sum(role == "test" for role in state.roles.values()) / max(known, 1)

    def draw(task: int) -> float:
        return float(streams.generator(state.settings.seed, "join", task).random())

    return [item.task_id for item in newcomers if draw(item.task_id) < share]


def newcomers(state: State) -> list[Item]:
    """Live tasks that did not exist when T was drawn, or when newcomers were last looked for. Ids only grow."""
    return [item for item in state.live if item.task_id > state.last_known_task]


def next_sentinel(state: State, busy: Collection[int]) -> int | None:
    """The sentinel stays as long as it can."""
    now = state.sentinel_id
    if now is not None and can_be_sentinel(state, now) and now not in busy:
        return now
    return choose_sentinel(state, busy)


def choose_sentinel(state: State, busy: Collection[int]) -> int | None:
    """The last task that nobody needs now."""
    return next(spare_sentinels(state, busy), None)


def spare_sentinels(state: State, busy: Collection[int]) -> Iterator[int]:
    """Tasks that could be locked for the service user to keep people from being served random ones; the highest id first."""
    taken = {*busy, *state.roles}
    first = 0 if state.follows is None else state.follows.last_task + 1  # tasks added after the end serve too: nothing else is open then
    tasks = (task for task in sorted(state.items, reverse=True) if task >= first)
    return (task for task in tasks if task not in taken and can_be_sentinel(state, task))


def can_be_sentinel(state: State, task: int) -> bool:
    item = state.items.get(task)
    return item is not None and not item.deleted and item.label is None and not item.skipped and item.machine_annotation_id is None


def _twice(state: State, blind: Sequence[int]) -> tuple[int, ...]:
    """Which of the test or certificate items that a new queue asks for go to two people."""
    drawn: list[int] = draw_twice(state.settings, len(state.queues), np.array(blind, dtype=np.int64)).tolist()
    return tuple(sorted(drawn))


def _mixed(spec: CampaignSpec, ids: Sequence[int]) -> list[int]:
    mixed: list[int] = draw_random(spec, "mix", 0, np.array(ids, dtype=np.int64), len(ids)).tolist()
    return mixed
