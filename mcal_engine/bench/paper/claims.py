"""What the paper says must hold, looked up in our own rows: each statement with its figures, whether it holds or not.

Every comparison is made seed by seed, so that what a seed does to both sides (the same T, the same first batch) cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mcal_engine.bench.paper.runs import Row
from mcal_engine.bench.paper.table import active_learning_costs, campaigns

SMALL, LARGE = 0.033, 0.133  # δ up to the first is small, from the second on it is large


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement, whether the mean over seeds agrees with it, and the figures."""

    statement: str
    holds: bool
    figures: str

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'DOES NOT HOLD'}: {self.statement}: {self.figures}"


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Every claim that the rows hold something for."""
    makers: tuple[Callable[[Sequence[Row]], list[Claim]], ...] = (
        uncertainty_beats_k_center,
        small_batches_beat_large_ones,
        more_items_per_class_save_more,
        mcal_costs_no_more_than_the_oracle,
        active_learning_pays,
        budgets_buy_accuracy,
    )
    return [claim for make in makers for claim in make(rows)]


def uncertainty_beats_k_center(rows: Sequence[Row]) -> list[Claim]:
    """Fig. 11."""
    others = _by_seed(campaigns(rows, acquisition="k_center"), _machine_share)
    found = []
    for name in ("margin", "entropy", "least_confidence"):
        ours = _by_seed(campaigns(rows, acquisition=name), _machine_share)
        found += _compared(f"M = {name} machine-labels more than k-centre (Fig. 11)", ours, others, "of X")
    return found


def small_batches_beat_large_ones(rows: Sequence[Row]) -> list[Claim]:
    """Fig. 12: what plain active learning can machine-label in the end, by δ."""
    by_delta = {
        delta: {row["seed"]: 1 - row["n_train"] / row["n_items"] for row in found}
        for delta, found in active_learning_costs(rows, "amazon", 0.05).items()
    }
    small = _mean_over([found for delta, found in by_delta.items() if delta <= SMALL])
    large = _mean_over([found for delta, found in by_delta.items() if delta >= LARGE])
    found = _compared(f"δ ≤ {SMALL:.1%} machine-labels more than δ ≥ {LARGE:.1%} (Fig. 12)", small, large, "of X")
    each = ", ".join(f"{delta:.1%}: {np.mean(list(by_delta[delta].values())):.1%}" for delta in sorted(by_delta))
    return [Claim(one.statement, one.holds, f"{one.figures}; by δ {each}") for one in found]


def more_items_per_class_save_more(rows: Sequence[Row]) -> list[Claim]:
    """Fig. 13."""
    shares = sorted({row["run"]["class_share"] for row in rows if row["run"]["kind"] == "campaign"})
    if len(shares) < 2:
        return []
    by_share = {share: _by_seed(campaigns(rows, class_share=share), _savings) for share in shares}
    found = _compared("all items of each class save more than the fewest (Fig. 13)", by_share[shares[-1]], by_share[shares[0]], "saved")
    each = ", ".join(f"{share:.0%}: {np.mean(list(by_share[share].values())):.1%}" for share in shares if by_share[share])
    return [Claim(one.statement, one.holds, f"{one.figures}; by share of each class {each}") for one in found]


def mcal_costs_no_more_than_the_oracle(rows: Sequence[Row]) -> list[Claim]:
    """Table 2: active learning that knows the best δ and when to stop, and pays neither T nor V."""
    found = []
    for service, target in (("amazon", 0.05), ("satyam", 0.05), ("amazon", 0.10)):
        costs = active_learning_costs(rows, service, target)
        if not costs:
            continue
        best = max(costs, key=lambda delta: float(np.mean([row["savings"] for row in costs[delta]])))
        oracle = {row["seed"]: row["savings"] for row in costs[best]}
        for preset in ("default", "paper"):
            same = campaigns(rows, preset=preset, service=service, target_error=target)
            ours, tests = _by_seed(same, _savings), _by_seed(same, lambda row: float(row["result"]["n_test"] / row["n_items"]))
            what = f"MCAL ({preset} preset, {service}, ε = {target:.0%}) saves no less than active learning with the best δ = {best:.1%}"
            found += _compared(f"{what} (Table 2)", ours, oracle, "saved")
            paying = {seed: saved - tests[seed] for seed, saved in oracle.items() if seed in tests}
            found += _compared(f"{what} and the same T, paid, to know when to stop", ours, paying, "saved")
    return found


def active_learning_pays(rows: Sequence[Row]) -> list[Claim]:
    """Figs. 14 and 15."""
    found = []
    for service in ("amazon", "satyam"):
        ours = _by_seed(campaigns(rows, service=service), _savings)
        drawn = _by_seed(campaigns(rows, service=service, acquisition="random"), _savings)
        found += _compared(f"active learning saves more than random draws, {service} (Figs. 14, 15)", ours, drawn, "saved")
    return found


def budgets_buy_accuracy(rows: Sequence[Row]) -> list[Claim]:
    """Budget mode: what was predicted, and what was true."""
    shares = sorted({row["run"]["budget_share"] for row in rows} - {0.0})
    same = {share: campaigns(rows, budget_share=share) for share in shares}
    if not any(same.values()):
        return []
    kept = all(row["result"]["total_cost"] <= row["result"]["budget"] * (1 + 1e-9) for found in same.values() for row in found)
    true = {share: _by_seed(found, lambda row: float(row["result"]["true_overall_error"])) for share, found in same.items()}
    predicted = {share: _by_seed(found, lambda row: float(row["result"]["error_estimate"])) for share, found in same.items()}
    each = ", ".join(
        f"{share:.0%} of human-only: predicted {_spread(predicted[share], 2)}, true {_spread(true[share], 2)}" for share in shares
    )
    means = [float(np.mean(list(true[share].values()))) for share in shares]
    return [Claim("budgets are kept and more money buys fewer errors", kept and means == sorted(means, reverse=True), each)]


def _machine_share(row: Row) -> float:
    return float(row["result"]["n_machine"] / row["n_items"])


def _savings(row: Row) -> float:
    return float(row["result"]["savings"])


def _by_seed(rows: Sequence[Row], value: Callable[[Row], float]) -> dict[int, float]:
    return {row["run"]["seed"]: value(row) for row in rows}


def _mean_over(several: Sequence[dict[int, float]]) -> dict[int, float]:
    seeds = set.intersection(*(set(one) for one in several)) if several else set()
    return {seed: float(np.mean([one[seed] for one in several])) for seed in sorted(seeds)}


def _spread(values: dict[int, float], places: int = 1) -> str:
    found = list(values.values())
    return f"{np.mean(found):.{places}%}" + (f" ± {100 * np.std(found, ddof=1):.{places}f}" if len(found) > 1 else "")


def _compared(statement: str, ours: dict[int, float], theirs: dict[int, float], unit: str) -> list[Claim]:
    """``ours`` against ``theirs`` over the seeds that both have."""
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return []
    gap = {seed: ours[seed] - theirs[seed] for seed in seeds}
    left, right = ({seed: side[seed] for seed in seeds} for side in (ours, theirs))
    points = _spread(gap).replace("%", "")
    figures = f"{_spread(left)} against {_spread(right)} {unit}, difference {points} points over {len(seeds)} seeds"
    return [Claim(statement, float(np.mean(list(gap.values()))) >= 0, figures)]
