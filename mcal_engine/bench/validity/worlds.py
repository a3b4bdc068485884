"""The validity benchmark's campaigns: their data, their tasks, and a schedule that looks at nothing it is judged by.

T and B0 are random, then |B| doubles by margin until its share of X is reached, whatever T says; so the survivors' estimate is unbiased.
What the engine's own schedule adds is in :mod:`mcal_engine.bench.validity.price`. Draws, scores, skims, survivors, measurement and
freeze are the product's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mcal_engine import round as rounds
from mcal_engine import streams
from mcal_engine.bench.validity.ridge import RidgeClassifier
from mcal_engine.bench.validity.rules import places_in
from mcal_engine.engine import default_batch_size
from mcal_engine.simulator.machines import Machine, Stopwatch, seed_of
from mcal_engine.simulator.people import Annotators
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import TrainingRequest
from mcal_engine.types import IntArray, Observation

SCHEMA_VERSION = 4
TARGETS = (0.02, 0.05, 0.10)
PRICE_PER_LABEL = 0.04
SECONDS_PER_ROUND = 2.0  # charged for every fit: about what the frozen classifier takes, and the same on every machine
Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A data set as the benchmark needs it: labels and a file of reduced features; cheap to hand to another process."""

    name: str
    digest: str
    labels: IntArray
    n_classes: int
    features: Path

    @cached_property
    def machine(self) -> Machine:
        return Machine(RidgeClassifier.name, RidgeClassifier(np.asarray(np.load(self.features, mmap_mode="r"))), FixedSeconds())

    def items(self, n: int | None, seed: int) -> IntArray:
        """X of one campaign: a random part of the data, ascending; another one for each seed."""
        order = streams.generator(seed, "validity_order").permutation(len(self.labels))
        return np.sort(order[:n]).astype(np.int64)


class FixedSeconds(Stopwatch):
    """A stopwatch that shows the same on every machine, so that a seed always leads to the same campaign."""

    def time(self, key: str, work: Any) -> float:
        work()
        return 0.0 if "prepare" in key else SECONDS_PER_ROUND


@dataclass(frozen=True, slots=True)
class Task:
    """One campaign of the benchmark.

    Attributes:
        kind: ``fixed`` (this module's schedule, read by every rule in :mod:`mcal_engine.bench.validity.reading`) or ``price`` (the
            engine's own, to its end).
        items: |X|; ``None`` is all of the data.
        train_share: |B| at the end of the fixed schedule, as a share of X.
        targets: each ε that the campaign is read at.
        mutation: a rule of the certificate that is broken on purpose; see :mod:`mcal_engine.bench.validity.mutations`.
    """

    kind: str
    seed: int
    items: int | None
    train_share: float
    targets: tuple[float, ...] = TARGETS
    mutation: str | None = None


def key(world: World, task: Task) -> str:
    """Names the campaign and all it depends on."""
    parts = (SCHEMA_VERSION, world.digest, world.name, asdict(task))
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def spec_for(target_error: float, seed: int, **settings: Any) -> CampaignSpec:
    """The default settings at the benchmark's price."""
    given = {"target_error": target_error, "price_per_label": PRICE_PER_LABEL, "classifiers": (RidgeClassifier.name,), "seed": seed}
    return CampaignSpec.parse(given | settings)


@dataclass(frozen=True)
class Trajectory:
    """A campaign at the end of its fixed schedule, before anything is certified.

    Attributes:
        frozen, classes: the pool, surest first, and the machine's classes.
        places: shape (n_test,). How many pool items are surer than each test item of ``observation``.
    """

    ids: IntArray
    train: IntArray
    observation: Observation
    frozen: IntArray
    classes: IntArray
    places: IntArray


def fixed_trajectory(world: World, people: Annotators, task: Task) -> Trajectory:
    """T, B0, then doublings of B by margin up to ``train_share``; then one measurement and the freeze."""
    spec, machine = spec_for(task.targets[0], task.seed), world.machine
    ids = world.items(task.items, task.seed)
    test = rounds.draw_random(spec, "test", 0, ids, max(round(0.05 * len(ids)), 20))
    pool = np.setdiff1d(ids, test, assume_unique=True)
    wanted = round(task.train_share * len(ids))
    train = rounds.draw_random(spec, "train", 0, pool, min(default_batch_size(len(ids), world.n_classes), wanted))
    test_labels, train_labels = people.ask(test), people.ask(train)
    skims: list[rounds.Skim] = []
    number = 0
    while True:
        pool = np.setdiff1d(pool, train, assume_unique=True)
        seed = seed_of(spec.seed, number)
        scored = machine.fit_and_score(TrainingRequest(number, machine.name, world.n_classes, train, train_labels, test, pool, seed))
        if len(train) >= wanted:
            break
        number += 1
        ranking = rounds.rank_for_people(spec, scored, pool, test, min(len(train), wanted - len(train)), round=number)
        skims.append(rounds.Skim(ranking.ids, ranking.scores, len(ranking.ids), ranking.test_ids, ranking.test_scores))
        train = np.concatenate([train, ranking.ids])
        train_labels = np.concatenate([train_labels, people.ask(ranking.ids)])
    standing = rounds.Standing(number, len(ids), world.n_classes, len(train), len(pool), people.n_labels_paid)
    labelled = rounds.LabelledTest(test, test_labels, rounds.surviving(test, skims, ()))
    observation = rounds.measure(spec, standing, labelled, [scored])
    frozen, classes, sureties = rounds.freeze(pool, scored.pool_logits)
    return Trajectory(ids, train, observation, frozen, classes, places_in(sureties, scored.test_logits[np.argsort(test)]))
