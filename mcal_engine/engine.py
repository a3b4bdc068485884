"""Algorithm 1 of MCAL as a pure function of (spec, history), and its ask/tell face.

A history is the rows in the order they happened: ``Acquire, Observation, Acquire, Observation, … Certify, CertificateOutcome,
PeelBatch, PeelOrder, … LabelByMachine``. The same prefix always gives the same decision; nothing is kept between calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mcal_engine import peeling, policy
from mcal_engine.certificates import bands, uniform
from mcal_engine.cost import CostLaw
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.looks import after_certificate
from mcal_engine.situation import Situation, default_batch_size
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, CertificateOutcome, Certify, Decision, Observation, PeelBatch, PeelOrder, Row
from mcal_engine.words import counted


def default_test_size(n_items: int, *, certifies: bool = True) -> int:
    """|T| to begin with: 2·√|X|, and never more than 15 % of a small project.

    What an error in the plan costs grows with |X|, and T halves it with four times the items, so the best T grows with the root of |X|.
    Simulated on frozen features, ε = 5 %, certified, human labels with their standard error. 1,500 items, 12 seeds, T = 40, 75, 150:
    clothing photos 620, 721, 723 (± 16 to 21), Fashion-MNIST 705, 679, 760 (± 16 to 32). 10,000 items, 4 seeds, T = 100, 220, 500:
    Fashion-MNIST 2,638, 2,460 (± 150), CIFAR-10 5,113, 4,907, 5,074 (± 150 to 290). The paper's 5 % of X is a tax of 5 %.
    Without a certificate T is all that the error is known by: the paper's 5 %, between 150 and 600 items.
    """
    wanted = 2 * math.sqrt(n_items) if certifies else min(max(0.05 * n_items, 150), 600)
    return max(1, min(round(wanted), round(0.15 * n_items)))


def start(spec: CampaignSpec, n_items: int, n_classes: int, n_unlabelled: int, *, untrained: bool = False) -> Acquire:
    """The first decision: a random T out of all items and a random B0 out of those without a label (Algorithm 1, lines 1 and 2).

    A candidate that needs no training can be judged by T alone: it may be all that is needed, so B0 waits until it was.

    Args:
        spec: the settings in force.
        n_items: |X|.
        n_classes: choices that people have.
        n_unlabelled: items without a label.
        untrained: whether there is a candidate that needs no training.

    Raises:
        InvalidValue: fewer than two items or choices, or a budget that does not pay for T and B0.
    """
    if n_classes < 2:
        raise InvalidValue(f"a campaign needs at least 2 choices, the label config has {n_classes}")
    if n_items < 2:
        raise InvalidValue(f"a campaign needs at least 2 items, the project has {n_items}")
    n_test = min(spec.test_size or default_test_size(n_items, certifies=spec.certifies), n_items // 2)
    n_train = 0 if untrained else min(spec.batch_size or default_batch_size(n_items, n_classes), n_unlabelled)
    share = n_unlabelled / n_items  # of T too: it is drawn from all items, and what has a label costs nothing
    first = spec.price_per_label * (math.ceil(share * n_test) + n_train)
    if spec.budget is not None and spec.budget < first:
        raise InvalidValue(
            f"budget must pay for the {n_test:,} test and {counted(n_train, 'training item')} to begin with, {first:,.2f} {spec.currency}, "
            f"got {spec.budget:g}"
        )
    of_train = "" if untrained else f" and {counted(n_train, 'random training item')}"
    sentence = f"To begin with: {counted(n_test, 'random test item')}{of_train}."
    learns = not untrained or len(spec.classifiers) > 1
    sentence += _what_certainty_costs(spec, n_items, n_unlabelled - math.ceil(share * n_test) - n_train, learns=learns)
    return Acquire(n_test, n_train, "random", None, spec.classifiers, None, sentence)


def least_sample(spec: CampaignSpec, n_items: int, n_pool: int, *, learns: bool = True) -> int | None:
    """Certificate items that are drawn from a pool of ``n_pool`` of all ``n_items``, at the least; ``None``: no sample can show anything.

    Args:
        learns: whether the candidate that is frozen learns from labels, see :meth:`mcal_engine.spec.CampaignSpec.rule_for`.
    """
    allowed = uniform.allowance(spec.target_error, n_items)
    level = uniform.level_of_look(spec.confidence_level, 1, spec.max_looks)
    if spec.rule_for(learns=learns) == "two_bands":
        drawn = bands.plan_by_size(n_pool, allowed, level, spec.certificate_size)
        return None if drawn is None else drawn.n_sample
    least = uniform.sample_size(0, n_pool=n_pool, allowed=allowed, level=level)
    return least if least is None or spec.certificate_size is None else max(least, min(spec.certificate_size, n_pool))


def _what_certainty_costs(spec: CampaignSpec, n_items: int, n_pool: int, *, learns: bool) -> str:
    """The least that a certificate takes, however good the classifier; in a small project that is much of what could be saved."""
    if not spec.certifies or n_pool <= 0:
        return ""
    allowed = uniform.allowance(spec.target_error, n_items)
    n_sample = least_sample(spec, n_items, n_pool, learns=learns)
    errors = f"{counted(allowed, 'error')} among {counted(n_items, 'item')}"
    if n_sample is None:
        return f" At most {errors} can only be certified by labelling everything: a certificate saves nothing here."
    price = f"{n_sample * spec.price_per_label:,.2f} {spec.currency}"
    best = f"with a perfect classifier {max(n_pool - n_sample, 0) / n_items:.0%} of all items could be machine-labelled"
    # In two bands its size follows the pool's, which shrinks with each batch.
    size = f"about {n_sample:,}" if spec.rule_for(learns=learns) == "two_bands" else f"{n_sample:,} or more"
    return f" To certify at most {errors}, a blind sample of {size} ({price}) is needed: {best}."


def decide(spec: CampaignSpec, history: Sequence[Row], *, stop_requested: bool = False, cost_law: CostLaw | None = None) -> Decision:
    """The decision after the last row of ``history``: an observation, a certificate outcome or a ranker's order of what may be peeled.

    Args:
        spec: the settings in force.
        history: every row so far, in order.
        stop_requested: the admin wants no further batch: certify with what is in hand.
        cost_law: what training costs, instead of the measured law of :func:`mcal_engine.cost.training_cost`.

    Raises:
        HistoryError: rows that cannot have happened in this order.
    """
    if not history or not isinstance(history[-1], Observation | CertificateOutcome | PeelOrder):
        raise HistoryError("a decision follows an observation, a certificate outcome or an order of what may be peeled")
    last = history[-1]
    if isinstance(last, PeelOrder) or (isinstance(last, CertificateOutcome) and last.bands is not None):
        return peeling.after_sample(spec, history)
    if isinstance(last, CertificateOutcome):
        return after_certificate(spec, history, stop_requested=stop_requested, cost_law=cost_law)
    return policy.decide(Situation.after(spec, history, cost_law), stop_requested=stop_requested)


class Engine:
    """Ask/tell face of :func:`decide`, for notebooks and the simulator."""

    def __init__(
        self,
        spec: CampaignSpec,
        n_items: int,
        n_classes: int,
        n_unlabelled: int | None = None,
        cost_law: CostLaw | None = None,
        *,
        untrained: bool = False,
    ) -> None:
        self.spec = spec
        self.cost_law = cost_law
        left = n_items if n_unlabelled is None else n_unlabelled
        self.history: list[Row] = [start(spec, n_items, n_classes, left, untrained=untrained)]

    def ask(self) -> Decision:
        """The decision that is due; asking twice gives the same one."""
        if isinstance(self.history[-1], Observation | CertificateOutcome | PeelOrder):
            self.history.append(decide(self.spec, self.history, cost_law=self.cost_law))
        last = self.history[-1]
        assert not isinstance(last, Observation | CertificateOutcome | PeelOrder)
        return last

    def tell(self, row: Observation | CertificateOutcome | PeelOrder) -> Engine:
        """Record what came of the last decision.

        Raises:
            HistoryError: it is not what the last decision asked for.
        """
        decision = self.ask()
        expected = {Acquire: Observation, Certify: CertificateOutcome, PeelBatch: PeelOrder}.get(type(decision))
        if expected is None or not isinstance(row, expected):
            raise HistoryError(f"{type(decision).__name__} is not followed by {type(row).__name__}")
        self.history.append(row)
        return self


__all__ = ["Engine", "Row", "decide", "default_batch_size", "default_test_size", "start"]
