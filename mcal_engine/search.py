"""The joint argmin of Eq. 1 and 2: how far to grow B, what share θ to machine-label, and how large a certificate sample V to buy.

The numbers of equations and of lines of Algorithm 1 are the paper's. Money is in the campaign's currency.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcal_engine.certificates import uniform
from mcal_engine.class_forecast import Kept
from mcal_engine.cost import CostModel, money
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Bands, FloatArray, Observation


@dataclass(frozen=True, slots=True)
class Terms:
    """The certificate's price list: for each row, pay a share q of the pool for V and be cut somewhere in the pool.

    Attributes:
        share: shape (n,). q; 0 in the one row of an uncertified campaign.
        errors: shape (n, n_quantiles). Errors of the pool in front of the cut, at equally likely quantiles. With c errors of V tolerated,
            the cut stands at its (c + 1)-th, so their number is spread about (c + 1)/q like a negative binomial, here as its gamma limit.
            The mean alone would be too bright: a few errors more cost more than a few errors less save, and for small c the spread is
            wide.
        kept: what a bound per class leaves of the machine's set; ``None`` without such a bound.
    """

    share: FloatArray
    errors: FloatArray
    kept: Kept | None = None

    def beside(self, other: Terms) -> Terms:
        """Both price lists in one: what is planned takes the cheapest row of the two."""
        return Terms(np.concatenate([self.share, other.share]), np.concatenate([self.errors, other.errors]))


QUANTILES = (np.arange(7) + 0.5) / 7


def terms(spec: CampaignSpec, n_labels: int, n_pool: int, level: float) -> Terms:
    """Every size of V worth weighing, from the smallest that tolerates no error to thousands of tolerated errors.

    Args:
        spec: the settings in force.
        n_labels, n_pool: the items that will carry a label, and |U|.
        level: the look's share of 1 − confidence_level.
    """
    from scipy import special  # here, so that a command line that only reads does not wait for it

    if spec.certifies and level <= 0:  # earlier looks have spent it all
        return Terms(np.ones(1), np.zeros((1, len(QUANTILES))))
    if not spec.certifies:
        return Terms(np.zeros(1), np.array([[spec.target_error * n_labels]]))  # Eq. 2 as it stands: ε of all labels
    allowed = uniform.allowance(spec.target_error, n_labels)
    tolerated = np.unique(np.round(np.geomspace(1, 3000, 60))).astype(np.int64) - 1
    share = uniform.sample_share(tolerated, allowed=allowed, level=level)
    if spec.certificate_size is not None:
        wanted = min(spec.certificate_size / max(n_pool, 1), 1.0)
        tolerated, share = tolerated[share <= wanted][-1:], np.full(int(np.any(share <= wanted)), wanted)
    else:
        tolerated, share = tolerated[share < 0.95], share[share < 0.95]
    if not len(share):  # no sample that leaves something over certifies anything
        return Terms(np.ones(1), np.zeros((1, len(QUANTILES))))
    return Terms(share, special.gammaincinv(tolerated[:, None] + 1.0, QUANTILES[None, :]) / share[:, None])


def terms_of_bands(bands: Bands | None, sure_errors: float) -> Terms:
    """The one size of V that the rule of two bands draws; see :mod:`mcal_engine.certificates.bands`.

    With s errors of V in band 1 the machine's set ends at V's error number t[s] + 1 of band 2, so the pool's errors of band 2 in front of
    it are spread about (t[s] + 1)/q2, as in :class:`Terms`; s is about Poisson. That a peel ranks anew is not counted.

    Args:
        bands: of today's pool; ``None``: no sample certifies anything.
        sure_errors: the errors that band 1 is expected to hold, items.
    """
    from scipy import special, stats  # here, so that a command line that only reads does not wait for it

    if bands is None:
        return Terms(np.ones(1), np.zeros((1, len(QUANTILES))))
    sure, unsure = bands.sample_sure / max(bands.n_sure, 1), max(bands.sample_unsure, 1) / max(bands.n_unsure, 1)
    chance = stats.poisson.pmf(np.arange(len(bands.tolerated)), sure * sure_errors)
    behind = sure_errors + special.gammaincinv(np.array(bands.tolerated)[:, None] + 1.0, QUANTILES[None, :]) / unsure
    # With more errors of V in band 1 than the table has entries for, band 1 is all that may be the machine's.
    alone = min(sure_errors, (bands.sure_tolerated + 1) / sure) if sure else 0.0
    errors = np.append(behind.ravel(), alone)
    weights = np.append(np.repeat(chance / len(QUANTILES), len(QUANTILES)), max(1 - float(chance.sum()), 0.0))
    ascending = np.argsort(errors, kind="stable")
    place = np.searchsorted(np.cumsum(weights[ascending]), QUANTILES * weights.sum())
    return Terms(np.array([bands.n_sample / bands.n_pool]), errors[ascending][np.minimum(place, len(errors) - 1)][None])


@dataclass(frozen=True, slots=True)
class Surface:
    """Total cost of each training size, with the best θ and V chosen for it.

    Attributes:
        sizes: shape (n_sizes,). |B|, items.
        cost: shape (R, n_sizes). C (Eq. 1), money; replicate 0 is the data. The other arrays are replicate 0's.
        theta: shape (n_sizes,). The share θ of X that the machine set reaches down to, V's items in it included.
        n_machine: shape (n_sizes,). |S*|, items; 0 where labelling everything by hand is the cheapest.
        n_certificate: shape (n_sizes,). |V|, items.
    """

    sizes: FloatArray
    cost: FloatArray
    theta: FloatArray
    n_machine: FloatArray
    n_certificate: FloatArray


def surface(
    spec: CampaignSpec,
    observation: Observation,
    shares: FloatArray,
    errors: FloatArray,
    sizes: FloatArray,
    price_list: Terms,
    training: FloatArray,
    doubt: FloatArray,
    to_buy: FloatArray | float = 0.0,
) -> Surface:
    """Price every training size (Algorithm 1, line 18).

    Args:
        spec: the settings in force.
        observation: the last round, for the counts of today.
        price_list: the sizes of V to weigh, and what each buys; see :func:`terms`.
        shares, errors: error curves at each size, shapes (n_sizes, n_points) and (R, n_sizes, n_points).
        sizes: shape (n_sizes,). |B| to weigh.
        training: shape (n_sizes,). Money spent and still to be spent on training on the way to each size.
        doubt: shape (m,). Equally likely factors on the error curves, of mean about 1; see :func:`doubt_about`.
        to_buy: shape (n_sizes,) or a number. Money that must be paid before the machine can label anything.
    """
    n_items = observation.n_items
    worst = worst_useful_error(spec.target_error, observation.n_classes)
    n_replicates, n_sizes = errors.shape[:2]
    theta = np.empty((n_replicates, n_sizes, len(price_list.share)))
    # A curve that is f times as high meets a budget where the curve itself meets a budget divided by f.
    budget = (price_list.errors[:, :, None] / doubt).reshape(len(price_list.share), -1) / n_items
    equal = np.full(budget.shape[1], 1 / budget.shape[1])
    for replicate, size in np.ndindex(n_replicates, n_sizes):
        # Eq. 2: the largest θ with ε_θ ≤ what this V would let pass, on average over where its cut may stand
        theta[replicate, size] = largest_share(shares[size], errors[replicate, size], budget, worst) @ equal
    inside: FloatArray = theta * n_items
    if price_list.kept is not None:
        wrong = np.array([[np.interp(theta[r, s], shares[s], errors[r, s]) for s in range(n_sizes)] for r in range(n_replicates)])
        inside = inside * price_list.kept.at(inside * price_list.share, wrong / np.maximum(theta, 1e-9))
    machine = np.floor(inside * (1 - price_list.share))  # |S*|: V's items in front of the cut are people's
    pool = observation.n_pool - (sizes - observation.n_train)
    # What the machine saves, in labels, is less the labels of V's second people and what its predictions are still to cost.
    second = spec.overlap_share * np.ceil(price_list.share * pool[:, None])
    saved = machine - second - (np.zeros(n_sizes) + to_buy)[:, None] / spec.price_per_label
    best = np.argmax(saved, axis=2)
    most = np.take_along_axis(saved, best[:, :, None], axis=2)[:, :, 0]
    n_machine = np.where(most > 0, np.take_along_axis(machine, best[:, :, None], axis=2)[:, :, 0], 0.0)
    # Eq. 1: C = |X∖S*|·C_h + C_t
    cost = spec.price_per_label * (observation.counted.n_at_end() - np.maximum(most, 0.0)) + training
    return Surface(
        sizes,
        cost,
        np.take_along_axis(theta, best[:, :, None], axis=2)[0, :, 0],
        n_machine[0],
        np.where(n_machine[0] > 0, np.ceil(price_list.share[best[0]] * pool), 0.0),
    )


def largest_share(shares: FloatArray, errors: FloatArray, budget: FloatArray, worst: float) -> FloatArray:
    """The largest θ whose error stays within each budget (Eq. 2), along a curve that is linear between its points.

    Args:
        shares, errors: shape (n_points,). θ and ε_θ, shares of X, both ascending from 0.
        budget: any shape. Allowed errors, as shares of X.
        worst: the largest share of the machine's labels that may be wrong for them to be of use.

    Returns:
        θ in the shape of ``budget``; 0 where more than ``worst`` of the machine's labels would be wrong.
    """
    # A rising ramp far below the counts' resolution makes ties unique, so that the far end of a flat piece is found.
    ramp = np.arange(len(errors)) * 1e-12
    theta = np.interp(budget + ramp[-1], errors + ramp, shares)
    # At the θ that a budget leads to the error is the budget, or the curve's end where all of the pool is within it.
    return np.where(np.minimum(budget, errors[-1]) <= worst * theta + 1e-9, theta, 0.0)


EQUALLY_LIKELY = (0.1, 0.3, 0.5, 0.7, 0.9)  # the middles of five equally likely parts: to take a mean over
BAND = (0.05, 0.95)  # the ends of a band that holds 90 %


def doubt_about(n_errors: float, at: tuple[float, ...] = EQUALLY_LIKELY) -> FloatArray:
    """How far the true error may be from the counted one: quantiles of its posterior, Gamma(k + 1), relative to its mean; shape (len(at),).

    The errors that matter for a plan are the few inside S*, so k is small and the doubt is large; a plan made for the counted error
    alone would buy too small a certificate sample.
    """
    from scipy import special  # here, so that a command line that only reads does not wait for it

    return np.asarray(special.gammaincinv(n_errors + 1.0, np.array(at)) / (n_errors + 1.0), dtype=np.float64)


def worst_useful_error(target_error: float, n_classes: int) -> float:
    """The error inside S* above which machine labels are of no use: half of what guessing gets wrong, or ε where that is more.

    ε is a share of all items, so a guesser could fill a few per cent of them with noise and stay below it.
    """
    return max(target_error, 0.5 * (1 - 1 / n_classes))


def candidate_sizes(n_train: int, n_pool: int, first_step: int, n_points: int = 96) -> FloatArray:
    """Training sizes to weigh, items, ascending: today's, today's plus one batch, and geometrically on to the whole pool."""
    if n_pool <= 0:
        return np.array([float(n_train)])
    first = min(first_step, n_pool)
    steps = np.unique(np.round(np.geomspace(first, n_pool, n_points)))
    return np.concatenate([[float(n_train)], n_train + steps])


def batch_for(spec: CampaignSpec, cost: CostModel, n_train: int, target: int, total: float, spent_on_path: float, floor: int) -> int:
    """δ once the forecast is stable: the smallest (B_opt − |B|)/N whose total stays below C*·(1 + β) (Algorithm 1, lines 20 and 21).

    Args:
        spec: for β (``batch_cost_slack``) and the price of the machine.
        cost: what training will cost (Eq. 4).
        n_train, target: |B| and B_opt, items.
        total: C*, money, with the way to B_opt in one jump.
        spent_on_path: the part of it that this way's training is.
        floor: the smallest δ, items.
    """
    grow = target - n_train
    if grow <= floor:
        return max(grow, 1)
    most = grow // floor
    rounds = np.arange(1, most + 1)
    totals = total - spent_on_path + money(cost.path(n_train, np.full(most, float(target)), grow / rounds), spec.machine_price_per_hour)
    affordable = np.flatnonzero(totals <= total * (1 + spec.batch_cost_slack))
    return int(np.ceil(grow / rounds[affordable[-1]])) if len(affordable) else grow
