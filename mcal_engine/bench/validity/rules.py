"""The rules that the validity benchmark compares: each says how far down the frozen order of the pool the machine may label.

None of them sees a label that was not paid for. The estimates are read off the test items T, the others off the certificate items V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
from scipy import stats

from mcal_engine import round as rounds
from mcal_engine.certificates import uniform
from mcal_engine.curves import error_curve
from mcal_engine.engine import decide
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import CertificateOutcome, Certify, Decision, FloatArray, IntArray, LabelByMachine, Observation, Row

ESTIMATES = ("plug_in_all_of_T", "theta_grid", "survivors", "engine_estimate")
CERTIFICATES = ("two_bands", "two_bands_with_skips", "certificate", "certificate_with_skips")
CROSS_CHECKS = ("clopper_pearson", "pac_labels")
BETS = (np.arange(64) + 0.5) / 64  # stakes that the betting test spreads its capital over, as shares of the largest safe one


def ranked(decision: Decision) -> int:
    """How many of the surest pool items a decision gives to the machine, items of V among them."""
    return decision.n_ranked if isinstance(decision, LabelByMachine) else 0


def engine_estimate_cut(spec: CampaignSpec, observation: Observation) -> int:
    """The engine's own estimate (``guarantee = "estimate"``): counts on its θ grid, and one error more than was counted."""
    return ranked(decide(spec.model_copy(update={"guarantee": "estimate"}), [observation], stop_requested=True))


def survivors_cut(target_error: float, observation: Observation, places: IntArray) -> int:
    """The plain estimate: as far down as the surviving test items in front hold a share of errors that is ε·|X| among |U|.

    ``places``: shape (n_test,). How many pool items are surer than each test item of ``observation``. The tolerated count is rarely whole;
    the cut stands in between two errors accordingly, so that the pool's errors in front of it are ε·|X| in the mean.
    """
    n_survivors = int(observation.survivors.sum())
    wrong = np.sort(places[observation.survivors & ~observation.measurements[0].correct])
    count = target_error * observation.n_items * n_survivors / max(observation.n_pool, 1)
    if count >= len(wrong):
        return observation.n_pool if n_survivors else 0
    return int(np.interp(count, np.arange(len(wrong) + 1), np.concatenate([[0], wrong])))


def plug_in_cut(target_error: float, observation: Observation, places: IntArray) -> int:
    """The same with all of T taken to stand for the pool, although acquisition has skimmed the pool and not T."""
    return survivors_cut(target_error, replace(observation, survivors=np.ones_like(observation.survivors)), places)


def places_in(frozen_surety: FloatArray, test_logits: FloatArray) -> IntArray:
    """How many pool items are surer than each test item; ``frozen_surety`` descends."""
    return np.searchsorted(-frozen_surety, -rounds.surety(test_logits), side="left").astype(np.int64)


def theta_grid_cut(spec: CampaignSpec, observation: Observation) -> int:
    """The paper's rule: the largest θ of the grid with no more than ε·|T| errors of T inside S_θ."""
    measurement = observation.measurements[0]
    grid = error_curve.theta_grid(spec.theta_step)
    errors = np.cumsum(np.bincount(measurement.level[~measurement.correct], minlength=len(grid) + 1))
    sizes = np.append(np.minimum(np.floor(grid * observation.n_items + 1e-9), observation.n_pool), observation.n_pool)
    fine = errors <= spec.target_error * len(measurement.correct) + 1e-9
    return int(sizes[fine].max(initial=0))


def certify_request(spec: CampaignSpec, observation: Observation) -> Certify | None:
    """The certificate sample that the engine would buy if it stopped here; ``None`` where people would label everything."""
    decision = decide(spec, [observation], stop_requested=True)
    return decision if isinstance(decision, Certify) else None


def certified_cut(spec: CampaignSpec, history: Sequence[Row]) -> int:
    """What the engine machine-labels after an answered sample, the last row of ``history``, if it does not look again."""
    return ranked(decide(spec, history, stop_requested=True))


def clopper_pearson_count(n_sample: int, share: float, level: float) -> int | None:
    """Errors of V up to which Clopper and Pearson's upper bound on a prefix's share of errors stays below ``share``."""
    fine = np.flatnonzero(stats.binom.cdf(np.arange(n_sample + 1), n_sample, share) <= level)
    return int(fine[-1]) if len(fine) else None


def pac_labels_count(n_sample: int, share: float, level: float) -> int | None:
    """The same for the construction of PAC labels (Candès et al. 2025) with a betting bound (Waudby-Smith and Ramdas 2024).

    The capital against "a share of at least ``share`` is wrong" is spread over fixed stakes, so it depends on the count alone; being
    convex in the count it also holds for draws without replacement (Hoeffding 1963, theorem 4).
    """
    stakes = BETS / (1 - share)
    count = np.arange(n_sample + 1)[:, None]
    growth = (n_sample - count) * np.log1p(stakes * share) + count * np.log1p(-stakes * (1 - share))
    capital = np.exp(np.minimum(growth, 700.0)).mean(axis=1)
    fine = np.flatnonzero(capital >= 1 / level)
    return int(fine[-1]) if len(fine) else None


def cut_at_count(outcome: CertificateOutcome, tolerated: int | None) -> int:
    """The prefix in front of error number ``tolerated`` + 1 of V; all of the pool where V has no more errors than that."""
    if tolerated is None:
        return 0
    error_ranks = outcome.ranks[outcome.errors]
    return outcome.n_pool if len(error_ranks) <= tolerated else int(error_ranks[tolerated])


def cross_checks(outcome: CertificateOutcome, allowed: int, level: float) -> dict[str, int]:
    """Where two independent constructions would cut on the same draws. Both bound a prefix's errors with V's own among them."""
    share = (allowed + 1) / outcome.n_pool
    if share >= 1:
        return {"clopper_pearson": outcome.n_pool, "pac_labels": outcome.n_pool}
    n_sample = len(outcome.ranks)
    return {
        "clopper_pearson": cut_at_count(outcome, clopper_pearson_count(n_sample, share, level)),
        "pac_labels": cut_at_count(outcome, pac_labels_count(n_sample, share, level)),
    }


def exact_miss(c: int, n_pool: int, n_sample: int, allowed: int) -> Fraction:
    """f(c) in whole numbers, to check :func:`mcal_engine.certificates.uniform.miss_probability` by."""
    errors = allowed + 1 + c
    ways = sum(comb(errors, k) * comb(n_pool - errors, n_sample - k) for k in range(c + 1))
    return Fraction(ways, comb(n_pool, n_sample))


def drawn_miss(c: int, n_pool: int, n_sample: int, allowed: int, draws: int, seed: int) -> float:
    """f(c) as a share of simulated draws."""
    errors = allowed + 1 + c
    return float(np.mean(np.random.default_rng(seed).hypergeometric(errors, n_pool - errors, n_sample, draws) <= c))


def computed_miss(c: int, n_pool: int, n_sample: int, allowed: int) -> float:
    """f(c) as the product computes it."""
    return float(uniform.miss_probability(c, n_pool=n_pool, n_sample=n_sample, allowed=allowed))
