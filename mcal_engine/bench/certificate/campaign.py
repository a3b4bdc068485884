"""One campaign without a test set: batches by margin, a freeze by :mod:`mcal_engine.certificates.freeze_rule`,
then many draws of V in two bands.

Classifier, features and acquisition are those of the validity benchmark. The rule of two bands, the peel and the freeze rule are the
engine's. What only an oracle can know is worked out along the same sizes of B, before the freeze and behind it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine import round as rounds
from mcal_engine import streams
from mcal_engine.bench.certificate.oracle import Oracle
from mcal_engine.bench.validity.worlds import Row, World, spec_for
from mcal_engine.certificates import bands, freeze_rule, peel
from mcal_engine.certificates.freeze_rule import Foretold
from mcal_engine.certificates.peel import Peel, Sample
from mcal_engine.certificates.uniform import allowance
from mcal_engine.classifiers.base import Classifier
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import Scored
from mcal_engine.types import Bands, BoolArray, FloatArray, IntArray

LEVEL = 0.05
PEEL_SHARE = 0.012  # of X: items that leave between two trainings
MOST_TRAINED = 0.8  # of X: an oracle does not look further


@dataclass(frozen=True, slots=True)
class Task:
    """One campaign: its seed, |X|, and how many V are drawn at each target's freeze, from bits that the seed gives."""

    seed: int
    items: int
    draws: int
    targets: tuple[float, ...]
    oracles: bool = True


@dataclass(frozen=True)
class Frozen:
    """A campaign at its freeze: the pool in its frozen order, the machine's classes, and the training items in hand."""

    target: float
    allowed: int
    expected_errors: float
    pool: IntArray
    classes: IntArray
    wrong: BoolArray
    train: IntArray


def true_campaign(world: World, task: Task) -> Row:
    """Play one campaign; read it at every target."""
    began = time.perf_counter()
    ids = world.items(task.items, task.seed)
    oracles = [Oracle(len(ids), allowance(target, len(ids)), LEVEL) for target in task.targets]
    frozen = _true_freezes(world, ids, task, oracles)
    readings = [_true_reading(world, ids, task, one, oracle) for one, oracle in zip(frozen, oracles, strict=True)]
    return {"n_items": len(ids), "readings": readings, "seconds": round(time.perf_counter() - began, 2)}


def _true_freezes(world: World, ids: IntArray, task: Task, oracles: Sequence[Oracle]) -> list[Frozen]:
    """Buy batch after batch; freeze for each target when its rule says so; go on as long as an oracle could still gain."""
    spec = spec_for(task.targets[0], task.seed)
    buying = _Buying(world, spec, ids)
    frozen: dict[int, Frozen] = {}
    while True:
        pool, logits = buying.train_and_score()
        order, classes, surety = rounds.freeze(pool, logits)
        wrong = np.asarray(world.labels[order] != classes)
        expected = freeze_rule.pool_errors(buying.foretold(), surety)
        for number, (target, oracle) in enumerate(zip(task.targets, oracles, strict=True)):
            if task.oracles:
                oracle.look(wrong)
            last = len(buying.train) >= MOST_TRAINED * len(ids)
            if number not in frozen and (last or (buying.n_batches > 1 and freeze_rule.is_due(expected, oracle.allowed))):
                frozen[number] = Frozen(target, oracle.allowed, expected, order, classes, wrong, buying.train)
        done = len(frozen) == len(task.targets)
        if done and (not task.oracles or all(len(buying.train) >= oracle.uniform for oracle in oracles)):
            return [frozen[number] for number in range(len(task.targets))]
        if len(buying.train) >= MOST_TRAINED * len(ids):
            return [frozen[number] for number in range(len(task.targets))]
        buying.buy(pool, logits)


class _Buying:
    """Training items in the order they were bought, and what was foretold of them."""

    def __init__(self, world: World, spec: CampaignSpec, ids: IntArray) -> None:
        self.world, self.spec, self.ids = world, spec, ids
        self.first = rounds.draw_random(spec, "train", 0, ids, freeze_rule.first_size(len(ids)))
        self.train = self.first
        self.n_batches = 0
        self.survives = np.ones(len(self.first), dtype=np.bool_)
        self._batches: list[Foretold] = []
        self._held_out: FloatArray = np.zeros((0, 0))

    def train_and_score(self) -> tuple[IntArray, FloatArray]:
        """The pool and its logits by a classifier of all of B; the first items are scored by classifiers that have not seen them."""
        labels, n_classes = self.world.labels, self.world.n_classes
        self._held_out = np.zeros((len(self.first), n_classes))
        rest = self.train[len(self.first) :]
        for fold in np.array_split(np.arange(len(self.first)), freeze_rule.FOLDS):
            seen = np.concatenate([np.delete(self.first, fold), rest])
            self._held_out[fold] = self._fitted(seen, labels[seen]).logits(self.first[fold])
        pool = np.setdiff1d(self.ids, self.train, assume_unique=True)
        return pool, self._fitted(self.train, labels[self.train]).logits(pool)

    def _fitted(self, rows: IntArray, labels: IntArray) -> Classifier:
        classifier = self.world.machine.classifier
        classifier.fit(rows, labels, self.world.n_classes, seed=0)
        return classifier

    def foretold(self) -> Foretold:
        """The first items that acquisition would have left in the pool, and the last batches."""
        first = _foretold(self._held_out, self.world.labels[self.first])
        parts = [Foretold(first.surety[self.survives], first.wrong[self.survives]), *self._batches[-freeze_rule.RECENT_BATCHES :]]
        return Foretold(np.concatenate([part.surety for part in parts]), np.concatenate([part.wrong for part in parts]))

    def buy(self, pool: IntArray, logits: FloatArray) -> None:
        """The next batch, by the acquisition of the spec; first items that it would have taken no longer stand for the pool."""
        number = self.n_batches + 1
        n = min(freeze_rule.batch_size(len(self.ids)), len(pool))
        scored = Scored("ridge", self._held_out, logits, {})
        ranking = rounds.rank_for_people(self.spec, scored, pool, self.first, n, round=number)
        skim = rounds.Skim(ranking.ids, ranking.scores, len(ranking.ids), ranking.test_ids, ranking.test_scores)
        self.survives &= rounds.surviving(self.first, [skim], ())
        places = np.searchsorted(pool, ranking.ids)
        self._batches.append(_foretold(logits[places], self.world.labels[ranking.ids]))
        self.train, self.n_batches = np.concatenate([self.train, ranking.ids]), number


def _foretold(logits: FloatArray, labels: IntArray) -> Foretold:
    return Foretold(rounds.surety(logits), np.asarray(logits.argmax(axis=1) != labels))


def _true_reading(world: World, ids: IntArray, task: Task, frozen: Frozen, oracle: Oracle) -> Row:
    """What each way of reading V gives to the machine, over all draws; counts are human labels and wrong machine labels."""
    found: dict[str, list[list[int]]] = {"bands": [], "peeling": []}
    plan = bands.plan(len(frozen.pool), allowed=frozen.allowed, level=LEVEL)
    trainings = 0
    for draw in range(task.draws):
        if plan is None:
            found["bands"].append([len(ids), 0])
            found["peeling"].append([len(ids), 0])
            continue
        ranks = peel.draw(plan, int(streams.sequence(task.seed, "bench_certificate", draw).generate_state(1, np.uint64)[0]))
        sample = Sample(ranks, frozen.wrong[ranks])
        front = np.setdiff1d(np.arange(peel.static_cut(plan, sample)), ranks, assume_unique=True)
        peeled, n_trained = _peeled(world, task, frozen, plan, sample)
        trainings += n_trained
        for name, machine in (("bands", front), ("peeling", peeled.machine)):
            found[name].append([len(ids) - len(machine), int(frozen.wrong[machine].sum())])
    return {
        "target_error": frozen.target,
        "allowed": frozen.allowed,
        "n_train": len(frozen.train),
        "n_certificate": 0 if plan is None else plan.n_sample,
        "expected_errors": round(frozen.expected_errors, 1),
        "pool_errors": int(frozen.wrong.sum()),
        "rules": found,
        "trainings": trainings / task.draws,
        "oracle": oracle.plain,
        "uniform_oracle": oracle.uniform,
        "floor": oracle.floor,
    }


def _peeled(world: World, task: Task, frozen: Frozen, plan: Bands, sample: Sample) -> tuple[Peel, int]:
    """Peel to the end: the ranker is the same classifier, trained anew between batches on B and on all that has left."""
    state, trainings = peel.begin(plan, sample), 0
    batch = max(round(PEEL_SHARE * task.items), 1)
    gone = frozen.pool[:0]
    while not state.ended:
        known = np.concatenate([frozen.train, gone])
        classifier = world.machine.classifier
        classifier.fit(known, world.labels[known], world.n_classes, seed=0)
        inside = state.peelable
        order = peel.least_trusted_first(inside, classifier.logits(frozen.pool[inside]), frozen.classes[inside])
        leaving = peel.batch(state, order, batch)
        state, gone, trainings = peel.leave(state, leaving), np.concatenate([gone, frozen.pool[leaving]]), trainings + 1
    return state, trainings
