"""A world that is its error law: no images, any number of items and classes, and an optimum that brute force can find.

After training on B items, a share α·B^−γ·e^(−B/k) of all items would be predicted wrongly, and errors sit where the classifier is unsure:
the item at quantile u of surety (0 = surest) is wrong with probability (p + 1)·u^p times that share, as far as guessing allows. An
acquisition by uncertainty takes the highest u out of the pool; a random one leaves the pool as it was, only smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mcal_engine import streams
from mcal_engine.cost import money
from mcal_engine.curves.error_curve import theta_grid
from mcal_engine.engine import Engine, default_batch_size
from mcal_engine.search import worst_useful_error
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import (
    Acquire,
    BoolArray,
    CertificateOutcome,
    Certify,
    Decision,
    FloatArray,
    HumanLabelAll,
    IntArray,
    LabelByMachine,
    Measurement,
    Observation,
)

POINTS = 4000  # quantiles at which the law is summed up


@dataclass(frozen=True, slots=True)
class Law:
    """A world's law; see the module's head.

    Attributes:
        n_items, n_classes: |X| and the number of choices.
        alpha, gamma, k: Eq. 3 for the error of a random item.
        power: p, how much denser errors are at the unsure end; 0 is errors everywhere alike.
        skimmed: whether acquisition takes the unsure end out of the pool.
        fixed_seconds, seconds_per_item: one training takes ``fixed + per item·|B|`` seconds.
    """

    n_items: int
    n_classes: int
    alpha: float
    gamma: float
    k: float = np.inf
    power: float = 2.0
    skimmed: bool = True
    fixed_seconds: float = 10.0
    seconds_per_item: float = 0.01

    def reach(self, n_pool: int, n_test: int) -> float:
        """The quantile that the pool's unsurest item has."""
        return n_pool / (self.n_items - n_test) if self.skimmed else 1.0

    def error_at(self, quantile: FloatArray, n_train: float) -> FloatArray:
        """Chance that the item at each quantile is wrong."""
        share = min(self.alpha * n_train**-self.gamma * float(np.exp(-n_train / self.k)), 1 - 1 / self.n_classes)
        return np.asarray(np.minimum((self.power + 1) * quantile**self.power * share, 1 - 1 / self.n_classes), dtype=np.float64)

    def seconds(self, n_train: FloatArray | float) -> FloatArray:
        return np.asarray(self.fixed_seconds + self.seconds_per_item * np.asarray(n_train, dtype=np.float64))

    def largest_machine_set(self, n_train: float, n_pool: int, n_test: int, target_error: float) -> float:
        """The most pool items, surest first, whose expected errors stay within ε·|X|, and not more of them wrong than is of any use."""
        middle = (np.arange(POINTS) + 0.5) / POINTS * self.reach(n_pool, n_test)
        errors = np.cumsum(self.error_at(middle, n_train)) / POINTS * n_pool
        sizes = np.arange(1, POINTS + 1) / POINTS * n_pool
        fine = (errors <= target_error * self.n_items) & (errors <= worst_useful_error(target_error, self.n_classes) * sizes)
        return float(sizes[np.flatnonzero(fine)[-1]]) if fine.any() else 0.0


@dataclass(frozen=True, slots=True)
class Lived:
    """A campaign of the engine in such a world, finished."""

    law: Law
    spec: CampaignSpec
    decision: Decision
    n_test: int
    n_train: int
    n_certificate: int
    n_rounds: int
    training_cost: float

    @property
    def n_machine(self) -> int:
        return self.decision.n_machine if isinstance(self.decision, LabelByMachine) else 0

    @property
    def total(self) -> float:
        """Eq. 1, as paid."""
        return self.spec.price_per_label * (self.law.n_items - self.n_machine) + self.training_cost

    @property
    def lawful_total(self) -> float:
        """What it costs with the S* that the law allows at this B: the choice of B alone, without T's luck about how large S* looks."""
        if isinstance(self.decision, HumanLabelAll):
            return self.total
        n_pool = self.law.n_items - self.n_test - self.n_train
        machine = self.law.largest_machine_set(self.n_train, n_pool, self.n_test, self.spec.target_error)
        return self.spec.price_per_label * (self.law.n_items - machine) + self.training_cost


@dataclass
class _World:
    law: Law
    spec: CampaignSpec
    n_test: int
    generator: np.random.Generator
    quantile: FloatArray = field(init=False)
    luck: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.quantile, self.luck = self.generator.random(self.n_test), self.generator.random(self.n_test)

    def observe(self, number: int, n_train: int) -> Observation:
        law, n_pool = self.law, self.law.n_items - self.n_test - n_train
        reach, grid = law.reach(n_pool, self.n_test), theta_grid(self.spec.theta_step)
        edges = np.where(grid * law.n_items < n_pool, grid * law.n_items, np.inf)
        level = np.minimum(np.searchsorted(edges, self.quantile / reach * n_pool, side="left"), len(grid)).astype(np.int64)
        correct: BoolArray = self.luck >= law.error_at(self.quantile, n_train)
        measurement = Measurement(self.spec.classifiers[0], level, correct, float(law.seconds(n_train)))
        survivors = np.asarray(self.quantile <= reach)
        paid = self.n_test + n_train
        return Observation(
            number, law.n_items, law.n_classes, n_train, n_pool, 0, 0, paid, np.arange(self.n_test), survivors, (measurement,)
        )

    def answer(self, asked: Certify, n_train: int) -> CertificateOutcome:
        n_pool = self.law.n_items - self.n_test - n_train
        ranks: IntArray = np.sort(self.generator.choice(n_pool, asked.n_certificate, replace=False))
        quantile = (ranks + 0.5) / n_pool * self.law.reach(n_pool, self.n_test)
        wrong = self.generator.random(len(ranks)) < self.law.error_at(quantile, n_train)
        return CertificateOutcome(asked.look, n_pool, ranks, wrong, self.n_test + n_train + len(ranks))


def live(law: Law, spec: CampaignSpec) -> Lived:
    """Let the engine play a whole campaign in this world; ``spec.seed`` is T's luck as well. One look, if it certifies."""
    engine = Engine(spec, law.n_items, law.n_classes)
    decision = engine.ask()
    assert isinstance(decision, Acquire)
    world = _World(law, spec, decision.n_test, streams.generator(spec.seed, "law_world"))
    n_train, number, seconds, n_certificate = 0, 0, 0.0, 0
    while isinstance(decision, Acquire):
        n_train += decision.n_train
        seconds += float(law.seconds(n_train))
        decision = engine.tell(world.observe(number, n_train)).ask()
        number += 1
    if isinstance(decision, Certify):
        n_certificate = decision.n_certificate
        decision = engine.tell(world.answer(decision, n_train)).ask()
    training = float(money(seconds, spec.machine_price_per_hour))
    return Lived(law, spec, decision, world.n_test, n_train, n_certificate, number, training)


def rows_after(law: Law, spec: CampaignSpec, n_test: int, n_rounds: int, batch: int, seed: int = 0) -> list[Observation]:
    """What ``n_rounds`` rounds of ``batch`` items each would have shown to a T of that seed."""
    world = _World(law, spec, n_test, np.random.default_rng(seed))
    return [world.observe(number, (number + 1) * batch) for number in range(n_rounds)]


@dataclass(frozen=True, slots=True)
class Best:
    """The least that any campaign could cost, and how."""

    total: float
    n_train: int
    n_machine: int


def brute_force(law: Law, spec: CampaignSpec, n_test: int, n_first: int = 4, n_sizes: int = 800) -> Best:
    """Try every B: the least a campaign could cost that is told the law once it has seen ``n_first`` rounds of δ0, no fit needing fewer.

    It pays for T and those rounds, then trains once more on exactly B. People labelling everything, without T and without a round, is
    one of the choices.
    """
    price, first = spec.price_per_label, spec.batch_size or default_batch_size(law.n_items, law.n_classes)
    to_learn = float(np.sum(law.seconds(np.arange(1, n_first + 1, dtype=np.float64) * first)))
    best = Best(price * law.n_items, 0, 0)
    for n_train in np.unique(np.linspace(n_first * first, law.n_items - n_test, n_sizes).astype(int)).tolist():
        seconds = to_learn + (float(law.seconds(n_train)) if n_train > n_first * first else 0.0)
        machine = law.largest_machine_set(n_train, law.n_items - n_test - n_train, n_test, spec.target_error)
        total = price * (law.n_items - machine) + float(money(seconds, spec.machine_price_per_hour))
        if total < best.total:
            best = Best(total, n_train, int(machine))
    return best


def oracle_active_learning(law: Law, spec: CampaignSpec, deltas: Sequence[float]) -> tuple[float, float]:
    """Table 2: the bill and δ of plain active learning that knows the law: it pays no T, stops in time and has picked the best δ.

    It trains after each batch until the machine may label all of the rest; where that never comes, people have labelled everything.
    """
    bills = []
    for delta in deltas:
        batch, n_train, seconds, met = max(round(delta * law.n_items), 1), 0, 0.0, False
        while n_train < law.n_items and not met:
            n_train = min(n_train + batch, law.n_items)
            seconds += float(law.seconds(n_train))
            left = law.n_items - n_train
            met = law.largest_machine_set(n_train, left, 0, spec.target_error) >= left
        bills.append((spec.price_per_label * n_train + float(money(seconds, spec.machine_price_per_hour)), delta))
    return min(bills)
