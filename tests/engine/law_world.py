"""A world that is its error law: no images, any number of items and classes, and an optimum that brute force can find.

After training on B items a share α·B^−γ·e^(−B/k) of the pool is wrong, and errors sit where the classifier is unsure: the item at rank
quantile u of the pool (0 = surest) is wrong with probability (p + 1)·u^p times that share, at most ``cap``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcal_engine.engine import Engine
from mcal_engine.error_curve import theta_grid
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, CertificateOutcome, Certify, Decision, FloatArray, Measurement, Observation


@dataclass(frozen=True)
class Law:
    n_items: int
    n_classes: int
    alpha: float
    gamma: float
    k: float = 1e12
    power: float = 2.0
    fixed_seconds: float = 10.0
    seconds_per_item: float = 0.01
    seed: int = 0

    def pool_error(self, n_train: FloatArray | float) -> FloatArray:
        size = np.asarray(n_train, dtype=np.float64)
        return np.minimum(self.alpha * size**-self.gamma * np.exp(-size / self.k), 1 - 1 / self.n_classes)

    def error_at(self, quantile: FloatArray, n_train: float) -> FloatArray:
        """Chance that the pool's item at this rank quantile is wrong."""
        return np.minimum((self.power + 1) * quantile**self.power * self.pool_error(n_train), 1 - 1 / self.n_classes)

    def seconds(self, n_train: FloatArray | float) -> FloatArray:
        return self.fixed_seconds + self.seconds_per_item * np.asarray(n_train, dtype=np.float64)

    def largest_share(self, n_train: float, n_pool: int, target_error: float) -> float:
        """The largest share of the pool whose expected errors stay within ε·|X|."""
        edges = np.linspace(0, 1, 4001)
        middle = (edges[1:] + edges[:-1]) / 2
        errors = np.cumsum(self.error_at(middle, n_train)) / 4000 * n_pool
        return float(np.searchsorted(errors, target_error * self.n_items, side="right") / 4000)


@dataclass
class Outcome:
    decision: Decision
    n_train: int
    n_paid: int
    training_cost: float
    n_rounds: int

    def total(self, spec: CampaignSpec) -> float:
        return spec.price_per_label * self.n_paid + self.training_cost


def play(law: Law, spec: CampaignSpec) -> tuple[Engine, Outcome]:
    """A whole campaign of the engine in this world."""
    generator = np.random.default_rng(law.seed)
    engine = Engine(spec, law.n_items, law.n_classes)
    grid = theta_grid(spec.theta_step)
    decision = engine.ask()
    assert isinstance(decision, Acquire)
    n_test, n_train, number, seconds = decision.n_test, 0, 0, 0.0
    quantiles, luck = generator.random(n_test), generator.random(n_test)
    while isinstance(decision, Acquire):
        n_train += decision.n_train
        n_pool = law.n_items - n_test - n_train
        seconds += float(law.seconds(n_train))
        rank = quantiles * n_pool
        level = np.searchsorted(np.where(grid * law.n_items < n_pool, grid * law.n_items, np.inf), rank, side="left").astype(np.int64)
        correct = luck >= law.error_at(quantiles, n_train)
        measurement = Measurement(spec.classifiers[0], np.minimum(level, len(grid)), correct, float(law.seconds(n_train)))
        everyone = np.ones(n_test, dtype=np.bool_)
        row = Observation(
            number, law.n_items, law.n_classes, n_train, n_pool, 0, 0, n_test + n_train, np.arange(n_test), everyone, (measurement,)
        )
        decision = engine.tell(row).ask()
        number += 1
    if isinstance(decision, Certify):
        ranks = np.sort(generator.choice(n_pool, decision.n_certificate, replace=False))
        wrong = generator.random(len(ranks)) < law.error_at((ranks + 0.5) / n_pool, n_train)
        decision = engine.tell(CertificateOutcome(1, n_pool, ranks, wrong, n_test + n_train + len(ranks))).ask()
    machine = getattr(decision, "n_machine", 0)
    return engine, Outcome(decision, n_train, law.n_items - machine, seconds / 3600 * spec.machine_price_per_hour, number)


def best_total(law: Law, spec: CampaignSpec, n_test: int, first: int, n_first: int = 5) -> float:
    """The least any campaign could cost that knows the law: T, ``n_first`` rounds of ``first`` items to learn it, one jump to the best B.

    People labelling everything at once, without T and without a single round, is one of the choices.
    """
    to_learn = float(np.sum(law.seconds(first * np.arange(1, n_first + 1))))
    best = spec.price_per_label * law.n_items
    for n_train in np.unique(np.linspace(n_first * first, law.n_items - n_test, 600).astype(int)):
        n_pool = law.n_items - n_test - int(n_train)
        jump = float(law.seconds(n_train)) if n_train > n_first * first else 0.0
        machine = law.largest_share(float(n_train), n_pool, spec.target_error) * n_pool
        training = (to_learn + jump) / 3600 * spec.machine_price_per_hour
        best = min(best, spec.price_per_label * (law.n_items - machine) + training)
    return best
