"""What is known when a decision is due: the rounds measured so far, as they count today, and the money they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mcal_engine import search
from mcal_engine.bill import Labels
from mcal_engine.certificates import uniform
from mcal_engine.cost import CostLaw, CostModel, money, training_cost
from mcal_engine.curves import error_curve
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import (
    Acquire,
    CertificateOutcome,
    Certify,
    FloatArray,
    Measurement,
    Observation,
    Plan,
    Row,
)


def default_batch_size(n_items: int, n_classes: int) -> int:
    """δ0: 1 % of X as in the paper, but enough for about five of each class where that is below 5 % of X."""
    return max(1, round(0.01 * n_items), min(5 * n_classes, round(0.05 * n_items)))


@dataclass(frozen=True)
class Situation:
    """Everything that the next decision is made from; counts are items, money is in the campaign's currency.

    Attributes:
        spec: the settings in force.
        observation: the last round, with the counts of now. After a certificate sample V its items count as test items, and they are
            no longer in the pool.
        rounds: every measured round, for the learning curves; V's items are among the last one's test items.
        trained: the same rounds as they were told, for what training has cost.
        plans: of the batches asked for so far, the first one's ``None`` included.
        look: number of the next certificate sample, 1, 2, …
        levels_spent: the levels of the samples that were drawn so far.
        awaited: candidates of the race that could not be measured: there are not enough training labels for them yet.
        cost_law: the user's law of training costs; ``None``: the measured one.
    """

    spec: CampaignSpec
    observation: Observation
    rounds: tuple[Observation, ...]
    trained: tuple[Observation, ...]
    plans: tuple[Plan | None, ...]
    look: int
    levels_spent: tuple[float, ...] = ()
    cost_law: CostLaw | None = None
    awaited: tuple[str, ...] = ()

    @classmethod
    def after(cls, spec: CampaignSpec, history: Sequence[Row], cost_law: CostLaw | None = None) -> Situation:
        """The situation after the last row of ``history``.

        Args:
            spec: the settings in force.
            history: every row so far, in order; one of them is an observation.
            cost_law: the user's law of training costs; ``None``: the measured one.
        """
        trained = tuple(row for row in history if isinstance(row, Observation))
        rounds, observation = trained, trained[-1]
        if isinstance(history[-1], CertificateOutcome) and isinstance(history[-2], Certify):
            seen = history[-1]
            measured = observation  # a sample of unequal density in its bands does not stand for the pool as test items do
            if seen.bands is None:
                measured = _with_sample(observation, history[-2].classifier, seen, spec.theta_step)
            rounds = (*trained[:-1], measured)
            labels = _after(observation.labels, seen)
            n_pool = seen.n_pool - len(seen.ranks)
            observation = replace(measured, n_pool=n_pool, n_labels_paid=seen.n_labels_paid, labels=labels)
        plans = tuple(row.plan for row in history if isinstance(row, Acquire))
        look = 1 + sum(isinstance(row, CertificateOutcome) for row in history)
        levels = tuple(row.level for row in history if isinstance(row, Certify))
        racing = next((row.candidates for row in reversed(history) if isinstance(row, Acquire)), ())
        measured_names = {one.classifier for one in trained[-1].measurements}
        awaited = tuple(name for name in racing if name in spec.classifiers and name not in measured_names)
        return cls(spec, observation, rounds, trained, plans, look, levels, cost_law, awaited)

    @property
    def share_left(self) -> float:
        """What is left of the pool that was measured, in (0, 1]: V may have left it since."""
        return self.observation.n_pool / max(self.rounds[-1].n_pool, 1)

    @property
    def step(self) -> int:
        """Items of the smallest batch that is weighed: δ0, or what the pool still has; at least 1."""
        batch = self.spec.batch_size or default_batch_size(self.observation.n_items, self.observation.n_classes)
        return max(min(batch, self.observation.n_pool), 1)

    @property
    def level(self) -> float:
        """The next look's share of 1 − confidence_level; 0 where the looks before it have spent it all."""
        return uniform.next_level(self.spec.confidence_level, self.levels_spent, self.spec.max_looks)

    @property
    def allowed(self) -> int:
        """E = ⌊ε·n⌋: the machine's errors that ε allows among the n items that will carry a label (Eq. 2)."""
        return uniform.allowance(self.spec.target_error, self.n_labels)

    @property
    def n_labels(self) -> int:
        """The items that will carry a label: all but those that were set aside for good."""
        return self.observation.n_items - self.observation.n_without_label

    @cached_property
    def spent(self) -> float:
        """Money that training and bought answers have cost so far: the sunk part of C_t (Eq. 1)."""
        training = float(money(sum(row.training_seconds for row in self.trained), self.spec.machine_price_per_hour))
        return training + sum(row.bought for row in self.trained)

    @property
    def human_only(self) -> float:
        """The bill without any machine: C_h for each item without a label when the campaign began."""
        return self.spec.price_per_label * self.observation.counted.n_alone

    def finishing(self, n_machine: int) -> float:
        """The bill (Eq. 1) if the machine labels ``n_machine`` items, people all the rest, and nothing is trained any more."""
        return self.spec.price_per_label * self.observation.counted.n_at_end(n_machine) + self.spent

    def measured(self, measurement: Measurement, *, allow_unseen: bool = True) -> tuple[FloatArray, FloatArray]:
        """This round's error curve, as counted.

        Args:
            measurement: one of the observation's.
            allow_unseen: count one error more than T has shown, see :func:`mcal_engine.curves.error_curve.unseen`.

        Returns:
            θ and ε_θ, shapes (n_points,), both shares of X and ascending from 0.
        """
        grid = error_curve.theta_grid(self.spec.theta_step)
        last = self.rounds[-1]
        shares, errors = error_curve.measured(last, error_curve.count(last, measurement, len(grid)), grid, allow_unseen=allow_unseen)
        return shares * self.share_left, errors * self.share_left

    def doubt(self, measurement: Measurement, at: tuple[float, ...] = search.EQUALLY_LIKELY) -> FloatArray:
        """Factors by which the true error may differ from the counted one, equally likely ones or the ends of a band.

        See :func:`mcal_engine.search.doubt_about`.
        """
        if not self.spec.certifies:
            return np.ones(1)
        survivors = self.observation.survivors
        wrong = int((survivors & ~measurement.correct).sum())
        return search.doubt_about(min(wrong, self.spec.target_error * int(survivors.sum())), at)

    def cost_model(self, classifier: str) -> CostModel:
        """The user's law where one was given, else the measured one (Eq. 4)."""
        if self.cost_law is not None:
            return self.cost_law(self.trained, classifier)
        return training_cost(self.trained, classifier, power=2 if self.spec.training_law == "epochs_grow" else 1)

    def next_training(self, cost_model: CostModel) -> float:
        """Money that training once more, after one more batch, costs."""
        n_train = self.observation.n_train
        seconds = cost_model.path(n_train, np.array([float(n_train + self.step)]), float(self.step))[0]
        return float(money(seconds, self.spec.machine_price_per_hour))


def _after(labels: Labels | None, seen: CertificateOutcome) -> Labels | None:
    """The labels once V is answered: what was paid beyond one for each of its items is a repeat."""
    if labels is None:
        return None
    n_sample = len(seen.ranks)
    more = max(seen.n_labels_paid - labels.n_paid - n_sample, 0)
    return Labels(seen.n_labels_paid, labels.n_repeats + more, max(labels.n_left - n_sample, 0), labels.n_machine)


def _with_sample(observation: Observation, classifier: str, seen: CertificateOutcome, theta_step: float) -> Observation:
    """The measurement as if V's items had been test items: both stand for the pool that V was drawn from.

    Only ``classifier`` has been measured on V; the others have no measurement in what is returned, so nothing is forecast for them.
    """
    grid = error_curve.theta_grid(theta_step)
    sizes = np.floor(grid * observation.n_items + 1e-9).astype(np.int64)
    reachable = sizes < seen.n_pool
    level = np.append(np.flatnonzero(reachable), len(grid))[np.searchsorted(sizes[reachable], seen.ranks, side="right")]
    n_sample = len(seen.ranks)
    measurements = tuple(
        replace(
            one,
            level=np.concatenate([one.level, level]),
            correct=np.concatenate([one.correct, ~seen.errors]),
            predicted=np.concatenate([one.predicted, seen.classes]) if len(seen.classes) else seen.classes,
        )
        for one in observation.measurements
        if one.classifier == classifier
    )
    return replace(
        observation,
        n_pool=seen.n_pool,
        test_ids=np.concatenate([observation.test_ids, -1 - np.arange(n_sample)]),
        survivors=np.concatenate([observation.survivors, np.ones(n_sample, dtype=np.bool_)]),
        measurements=measurements,
    )
