"""The benchmark's summary: our rows with their spread, beside what the paper reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcal_engine.bench.paper.runs import Row
from mcal_engine.cost import money
from mcal_engine.spec import SERVICE_PRICES

# Tables 1 to 3 of the MCAL paper (ICLR 2023): (service, ε) → |B|/|X|, |S|/|X|, overall error, savings; ResNet-18 was chosen in all.
PAPER: dict[str, dict[tuple[str, float], tuple[float, float, float, float]]] = {
    "fashion": {
        ("amazon", 0.05): (0.061, 0.85, 0.040, 0.86),
        ("satyam", 0.05): (0.084, 0.85, 0.040, 0.86),
        ("amazon", 0.10): (0.044, 0.90, 0.081, 0.889),
    },
    "cifar10": {
        ("amazon", 0.05): (0.222, 0.65, 0.024, 0.67),
        ("satyam", 0.05): (0.270, 0.65, 0.024, 0.65),
        ("amazon", 0.10): (0.259, 0.75, 0.053, 0.705),
    },
    "cifar100": {
        ("amazon", 0.05): (0.320, 0.10, 0.004, 0.29),
        ("satyam", 0.05): (0.576, 0.20, 0.010, 0.23),
        ("amazon", 0.10): (0.640, 0.25, 0.016, 0.391),
    },
}
# Table 2: oracle-δ active learning with the best net: (δ, savings).
PAPER_ORACLE = {
    ("fashion", "amazon"): (0.067, 0.846),
    ("fashion", "satyam"): (0.017, 0.763),
    ("cifar10", "amazon"): (0.067, 0.629),
    ("cifar10", "satyam"): (0.067, 0.280),
    ("cifar100", "amazon"): (0.167, 0.090),
    ("cifar100", "satyam"): (0.167, -0.653),
}


def paper_name(name: str) -> str | None:
    """The paper's data set that a file's name speaks of: ``fashion_mnist`` is its Fashion."""
    return next((known for known in sorted(PAPER, key=len, reverse=True) if name.lower().replace("-", "").startswith(known)), None)


def summary(rows: Sequence[Row]) -> list[Row]:
    """One row per strategy, service and ε, over all seeds; shares and savings as (mean, standard deviation)."""
    found = [*_campaign_rows(rows), *_oracle_rows(rows)]
    return found + _paper_rows(rows)


def campaigns(rows: Sequence[Row], **wanted: object) -> list[Row]:
    """The engine's runs that differ from the plain certified run at Amazon's price and ε = 5 % in nothing but ``wanted``."""
    plain: dict[str, object] = {"kind": "campaign", "preset": "default", "service": "amazon", "target_error": 0.05}
    plain |= {"acquisition": "margin", "class_share": 1.0, "budget_share": 0.0}
    return [row for row in rows if all(row["run"][name] == value for name, value in (plain | wanted).items())]


def _campaign_rows(rows: Sequence[Row]) -> list[Row]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        run = row["run"]
        if run["kind"] == "campaign":
            key = (run["preset"], run["acquisition"], run["service"], run["target_error"], run["class_share"], run["budget_share"])
            groups.setdefault(key, []).append(row)
    found = []
    for (preset, acquisition, service, target, share, budget), same in groups.items():
        results = [row["result"] for row in same]
        what = {"default": "MCAL, certified", "paper": "MCAL, the paper's preset"}[preset]
        what += "" if acquisition == "margin" else f", M = {acquisition}"
        what += "" if share == 1 else f", {share:.0%} of each class"
        what = f"MCAL, a budget of {budget:.0%}" if budget else what
        found.append(
            {
                "strategy": what,
                "service": service,
                "target_error": target,
                "n_items": same[0]["n_items"],
                "n_runs": len(same),
                "train_share": _spread([r["n_train"] / r["n_items"] for r in results]),
                "machine_share": _spread([r["n_machine"] / r["n_items"] for r in results]),
                "error": _spread([r["true_overall_error"] for r in results]),
                "savings": _spread([r["savings"] for r in results]),
                "total_cost": _spread([r["total_cost"] for r in results]),
                "broken": None if budget else sum(r["true_overall_error"] > r["target_error"] for r in results),
            }
        )
    return found


def active_learning_costs(rows: Sequence[Row], service: str, target_error: float) -> dict[float, list[Row]]:
    """Per δ, one row per seed: where plain active learning first may machine-label all of the rest, and what that costs there."""
    costs: dict[float, list[Row]] = {}
    for row in rows:
        if row["run"]["kind"] != "active_learning":
            continue
        n_items, steps, seconds = row["n_items"], row["result"]["steps"], 0.0
        for step in steps:
            seconds += step["seconds"]
            met = step["true_pool_errors"] <= target_error * n_items
            if met or step is steps[-1]:
                n_train = step["n_train"] if met else n_items
                training = float(money(seconds, row["machine_price_per_hour"]))
                total = SERVICE_PRICES[service] * n_train + training
                costs.setdefault(row["run"]["delta"], []).append(
                    {
                        "seed": row["run"]["seed"],
                        "n_items": n_items,
                        "n_train": n_train,
                        "training_cost": training,
                        "total_cost": total,
                        "savings": 1 - total / (SERVICE_PRICES[service] * n_items),
                        "error": step["true_pool_errors"] / n_items if met else 0.0,
                    }
                )
                break
    return costs


def _oracle_rows(rows: Sequence[Row]) -> list[Row]:
    found = []
    for service, target in (("amazon", 0.05), ("satyam", 0.05), ("amazon", 0.10)):
        costs = active_learning_costs(rows, service, target)
        if costs:
            delta = min(costs, key=lambda one: float(np.mean([row["total_cost"] for row in costs[one]])))
            best = costs[delta]
            found.append(
                {
                    "strategy": f"active learning, oracle δ = {delta:.1%}",
                    "service": service,
                    "target_error": target,
                    "n_items": best[0]["n_items"],
                    "n_runs": len(best),
                    "train_share": _spread([row["n_train"] / row["n_items"] for row in best]),
                    "machine_share": _spread([1 - row["n_train"] / row["n_items"] for row in best]),
                    "error": _spread([row["error"] for row in best]),
                    "savings": _spread([row["savings"] for row in best]),
                    "total_cost": _spread([row["total_cost"] for row in best]),
                    "broken": 0,
                }
            )
    return found


def _paper_rows(rows: Sequence[Row]) -> list[Row]:
    known = paper_name(rows[0]["data"]["name"]) if rows else None
    if known is None:
        return []
    found = [
        _reported("the paper: MCAL, ResNet-18", service, target, train, machine, error, savings)
        for (service, target), (train, machine, error, savings) in PAPER[known].items()
    ]
    oracle = [(service, *PAPER_ORACLE[known, service]) for service in SERVICE_PRICES]
    return found + [
        _reported(f"the paper: active learning, oracle δ = {delta:.1%}", service, 0.05, None, None, None, savings)
        for service, delta, savings in oracle
    ]


def _reported(
    strategy: str, service: str, target: float, train: float | None, machine: float | None, error: float | None, savings: float
) -> Row:
    return {
        "strategy": strategy,
        "service": service,
        "target_error": target,
        "n_items": None,
        "n_runs": None,
        "train_share": None if train is None else (train, None),
        "machine_share": None if machine is None else (machine, None),
        "error": None if error is None else (error, None),
        "savings": (savings, None),
        "total_cost": None,
        "broken": None,
    }


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


COLUMNS = ("strategy", "service", "ε", "n", "runs", "|B|/|X|", "|S|/|X|", "true error", "savings", "total cost", "ε broken")


def cells(row: Row) -> list[str]:
    """A row of :func:`summary` as text, under ``COLUMNS``."""

    def share(name: str, places: int = 1) -> str:
        value = row[name]
        if value is None:
            return ""
        mean, deviation = value
        return f"{mean:.{places}%}" + ("" if deviation is None else f" ± {100 * deviation:.{places}f}")

    cost = row["total_cost"]
    money_text = "" if cost is None else f"{cost[0]:,.2f}" + ("" if cost[1] is None else f" ± {cost[1]:,.2f}")
    return [
        row["strategy"],
        row["service"],
        f"{row['target_error']:.0%}",
        "" if row["n_items"] is None else f"{row['n_items']:,}",
        "" if row["n_runs"] is None else str(row["n_runs"]),
        share("train_share"),
        share("machine_share"),
        share("error", 2),
        share("savings"),
        money_text,
        "" if row["broken"] is None else str(row["broken"]),
    ]


def markdown(rows: Sequence[Row]) -> str:
    """The summary as a Markdown table."""
    lines = ["| " + " | ".join(column.replace("|", "\\|") for column in COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in summary(rows)]
    return "\n".join(lines) + "\n"


def made_with(rows: Sequence[Row]) -> str:
    """Hardware, versions, seeds and data behind the table, in one sentence."""
    machines = sorted({", ".join(f"{name} {version}" for name, version in row["versions"].items()) for row in rows})
    seeds = sorted({row["run"]["seed"] for row in rows})
    first = rows[0]
    return (
        f"{first['data']['name']} ({first['n_items']:,} items), classifier {first['classifier']}, "
        f"{first['machine_price_per_hour']:g} USD per machine hour, seeds {', '.join(map(str, seeds))}; {'; '.join(machines)}."
    )
