"""What only a simulator can know: functions that see the labels nobody paid for. All are named ``true_…``; no decision uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from mcal_engine.answers import Questions
from mcal_engine.certificates.uniform import sample_share
from mcal_engine.round import freeze
from mcal_engine.simulator.campaign import RoundView, SimulatedCampaign
from mcal_engine.types import BoolArray, FloatArray, IntArray


def true_machine_errors(labels: IntArray, campaign: SimulatedCampaign) -> int:
    """Machine labels that differ from what people would have said."""
    return int(np.sum(labels[campaign.machine_ids] != campaign.machine_classes))


def true_overall_error(labels: IntArray, campaign: SimulatedCampaign) -> float:
    """Wrong labels of the finished data set as a share of all its items (the left side of Eq. 2)."""
    return true_machine_errors(labels, campaign) / len(campaign.ids)


def true_machine_error(labels: IntArray, campaign: SimulatedCampaign) -> float:
    """Wrong labels as a share of the machine's; 0 where it made none."""
    return true_machine_errors(labels, campaign) / max(len(campaign.machine_ids), 1)


def true_class_errors(labels: IntArray, campaign: SimulatedCampaign) -> dict[int, tuple[int, int]]:
    """For each class that the machine gave: how many of its labels say so, and how many of these are wrong."""
    wrong = labels[campaign.machine_ids] != campaign.machine_classes
    given = np.bincount(campaign.machine_classes, minlength=campaign.n_classes)
    errors = np.bincount(campaign.machine_classes[wrong], minlength=campaign.n_classes)
    return {place: (int(given[place]), int(errors[place])) for place in np.flatnonzero(given).tolist()}


def true_question_errors(questions: Questions, texts: Sequence[str], labels: IntArray, campaign: SimulatedCampaign) -> dict[str, float]:
    """For each question, the items whose machine label answers it otherwise than people would have, as a share of all items.

    Args:
        questions, texts: what is asked, and the whole answers that the classes are.
        labels: shape (n,). What people would have said.
    """
    answers = [questions.answer_of(text) for text in texts]
    pairs = list(zip(labels[campaign.machine_ids].tolist(), campaign.machine_classes.tolist(), strict=True))
    wrong = {one.name: sum(answers[said].get(one.name) != answers[given].get(one.name) for said, given in pairs) for one in questions}
    return {name: n / len(campaign.ids) for name, n in wrong.items()}


def true_wrong(labels: IntArray, pool_ids: IntArray, logits: FloatArray, kind: str = "margin") -> BoolArray:
    """Shape (n_pool,): whether the classifier is wrong, in the frozen order of the pool, surest first."""
    ids, classes, _ = freeze(pool_ids, logits, kind)
    return np.asarray(labels[ids] != classes)


def true_largest_machine_set(wrong: BoolArray, allowed: int) -> int:
    """The longest surest-first prefix of the pool with at most ``allowed`` errors: the S* of an oracle."""
    return int(np.searchsorted(np.cumsum(wrong), allowed, side="right"))


def true_certified_machine_set(wrong: BoolArray, allowed: int, level: float) -> float:
    """The S* that a certificate allows in the mean, with the V that is best for this order: what even an oracle has to pay for the proof.

    With c errors of V tolerated the cut stands at the (c + 1)-th error that is drawn, so the items between the j-th error and the next are
    in front of it with the chance that at most c of the first j were drawn: binomial, as V is a small share of the pool.
    """
    if len(wrong) <= allowed:
        return float(len(wrong))
    stretches = np.diff(np.concatenate([[0], np.flatnonzero(wrong), [len(wrong)]]))
    tolerated = np.unique(np.round(np.geomspace(1, 1000, 40))).astype(np.int64) - 1
    share = sample_share(tolerated, allowed=allowed, level=level)
    before = special.bdtr(tolerated[:, None].astype(np.float64), np.arange(len(stretches)), share[:, None])
    # No more than c errors in all of a stretch's predecessors: surely none is behind the cut; bdtr has no value there.
    before = np.where(np.arange(len(stretches)) <= tolerated[:, None], 1.0, before)
    return float(((before @ stretches) * (1 - share)).max())


def true_error_curve(wrong: BoolArray, n_items: int, grid: FloatArray) -> FloatArray:
    """ε_θ for each θ of ``grid``: errors among the θ·|X| surest pool items as a share of X; NaN beyond the pool."""
    totals = np.concatenate([[0], np.cumsum(wrong)])
    sizes = np.floor(grid * n_items + 1e-9).astype(np.int64)
    return np.where(sizes <= len(wrong), totals[np.minimum(sizes, len(wrong))] / n_items, np.nan)


@dataclass
class TrueTrajectory:
    """Looks over a campaign's shoulder: what stopping at each round would really have cost, had S* been known.

    Register it as an observer of :func:`mcal_engine.simulator.campaign.simulate`.
    """

    labels: IntArray
    allowed: int
    n_items: int
    rows: list[dict[str, float]] = field(default_factory=list)

    def __call__(self, view: RoundView) -> None:
        for scored in view.scored:
            wrong = true_wrong(self.labels, view.pool_ids, scored.pool_logits)
            self.rows.append(
                {
                    "round": view.observation.round,
                    "n_train": view.observation.n_train,
                    "n_pool": len(wrong),
                    "true_pool_errors": int(wrong.sum()),
                    "true_largest_machine_set": true_largest_machine_set(wrong, self.allowed),
                    "training_seconds": sum(one.training_seconds for one in view.scored),
                }
            )
