"""A synthetic world with a known error law: logits of any quality, for engine tests without torch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mcal_engine import round as rounds
from mcal_engine.certificates.per_class import cuts_planned
from mcal_engine.engine import Engine
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import Scored
from mcal_engine.types import Acquire, Certify, Decision, LabelByMachine


@dataclass
class World:
    """Items with a difficulty; a classifier trained on n items is wrong more often on hard ones, and its margins show it."""

    n: int = 2000
    n_classes: int = 5
    hardness: float = 1.0
    seconds: float = 2.0
    seed: int = 0
    labels: np.ndarray = field(init=False)
    difficulty: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        generator = np.random.default_rng(self.seed)
        self.labels = generator.integers(0, self.n_classes, self.n)
        self.difficulty = generator.exponential(self.hardness, self.n)

    def logits(self, n_train: int, ids: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng((self.seed, n_train)).normal(size=(self.n, self.n_classes))[ids]
        strength = 6.0 * (1 - np.exp(-n_train / 150)) / (0.5 + self.difficulty[ids])
        logits = noise.copy()
        logits[np.arange(len(ids)), self.labels[ids]] += strength
        return logits


def run(world: World, spec: CampaignSpec, max_rounds: int = 80) -> tuple[Engine, Decision, dict[str, np.ndarray]]:
    """Play a whole campaign; returns the engine, the last decision and the sets test, train, sample, machine, wrong."""
    engine = Engine(spec, world.n, world.n_classes)
    first = engine.ask()
    assert isinstance(first, Acquire)
    ids = np.arange(world.n)
    test = rounds.draw_random(spec, "test", 0, ids, first.n_test)
    train = rounds.draw_random(spec, "train", 0, np.setdiff1d(ids, test), first.n_train)
    skims: list[rounds.Skim] = []
    sample = np.zeros(0, dtype=np.int64)
    for number in range(max_rounds):
        pool = np.setdiff1d(ids, np.concatenate([test, train]))
        seconds = {"fit": world.seconds}
        scored = [Scored(name, world.logits(len(train), test), world.logits(len(train), pool), seconds) for name in spec.classifiers]
        standing = rounds.Standing(number, world.n, world.n_classes, len(train), len(pool), len(test) + len(train))
        labelled = rounds.LabelledTest(test, world.labels[test], rounds.surviving(test, skims, ()))
        observation = rounds.measure(spec, standing, labelled, scored)
        decision = engine.tell(observation).ask()
        frozen, classes, _ = rounds.freeze(pool, world.logits(len(train), pool), spec.surety)
        sample = sample[:0]
        if isinstance(decision, Certify):
            sample = rounds.draw_random(spec, "certificate", decision.look, frozen, decision.n_certificate)
            answers = {int(item): int(world.labels[item]) for item in sample}
            n_paid = len(test) + len(train) + len(sample)
            cuts = cuts_planned(spec, decision, world.n, len(frozen))
            decision = engine.tell(rounds.outcome(decision.look, frozen, classes, answers, n_paid, cuts=cuts)).ask()
        if not isinstance(decision, Acquire):
            break
        late = rounds.draw_random(spec, "test", number + 1, np.setdiff1d(pool, sample), decision.n_test)
        if decision.classifier is not None:
            left = ~np.isin(pool, late)
            ranking = rounds.rank_for_people(spec, scored[0].part(pool=left), pool[left], test, decision.n_train, round=number + 1)
            skims.append(rounds.Skim(ranking.ids, ranking.scores, len(ranking.ids), ranking.test_ids, ranking.test_scores))
            train = np.concatenate([train, ranking.ids])
        test = np.concatenate([test, late, sample])
    is_machine = rounds.in_machine_set(decision, classes) if isinstance(decision, LabelByMachine) else np.zeros(len(frozen), dtype=bool)
    is_machine &= ~np.isin(frozen, sample)
    machine = frozen[is_machine]
    wrong = machine[classes[is_machine] != world.labels[machine]]
    return engine, decision, {"test": test, "train": train, "sample": sample, "machine": machine, "wrong": wrong}
