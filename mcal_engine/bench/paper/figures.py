"""The benchmark's figures: the analogues of the paper's Figs. 2 to 27, drawn from the result rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcal_engine.bench.paper.runs import Row
from mcal_engine.bench.paper.table import active_learning_costs, campaigns, summary
from mcal_engine.curves import learning_curve
from mcal_engine.curves.learning_curve import FitFailed
from mcal_engine.simulator.figures import BLUE, GRAY, GREEN, ORANGE, blank
from mcal_engine.spec import SERVICE_PRICES
from mcal_engine.types import FloatArray

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

THETA = 10  # θ = 0.5, as in the paper's appendix F


def all_figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Every figure that the rows hold something for, by file name."""
    makers: dict[str, Callable[[Sequence[Row]], Figure | None]] = {
        "fig02_fits_plain_and_truncated": fits,
        "fig03_fit_with_more_points": fits_with_more_points,
        "fig04_error_by_batch_size": error_by_batch,
        "fig05_error_by_margin": error_by_margin,
        "fig07_total_cost": total_cost,
        "fig08_active_learning_amazon": lambda found: cost_by_batch(found, "amazon"),
        "fig11_sample_selection": selection,
        "fig12_machine_share_by_batch": machine_share_by_batch,
        "fig13_items_per_class": per_class,
        "fig14_gain_of_active_learning": gain,
        "fig16_active_learning_satyam": lambda found: cost_by_batch(found, "satyam"),
        "fig19_training_cost_by_batch": training_by_batch,
    }
    drawn = {name: make(rows) for name, make in makers.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _counts(row: Row, theta: int = THETA) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    rounds = row["result"]["error_curves"]
    sizes = np.array([one["n_train"] for one in rounds], dtype=np.float64)
    errors = np.array([one["errors"][theta - 1] for one in rounds], dtype=np.float64)
    trials = np.array([max(one["n_survivors"], 1) for one in rounds], dtype=np.float64)
    scale = np.array([row["n_items"] / one["n_pool"] for one in rounds], dtype=np.float64)
    return sizes, errors, trials, scale


def fits(rows: Sequence[Row]) -> Figure | None:
    """Figs. 2 and 22 to 27: the plain and the truncated power law at θ = 0.5."""
    longest = max(campaigns(rows), key=lambda row: len(row["result"]["error_curves"]), default=None)
    if longest is None:
        return None
    sizes, errors, trials, scale = _counts(longest)
    figure = blank("Learning curve at θ = 0.5: plain and truncated power law (Figs. 2, 22–27)", "training labels |B|", "ε_θ")
    figure.add_scatter(x=sizes, y=errors / trials / scale, mode="markers", name="measured on T", marker={"color": GRAY})
    along = np.linspace(sizes[0], sizes[-1] * 1.5, 80)
    for name, colour, truncated in (("plain", ORANGE, False), ("truncated", BLUE, True)):
        law = learning_curve.fit(sizes, errors, trials, scale, truncated=truncated)
        if not isinstance(law, FitFailed):
            figure.add_scatter(x=along, y=law(along)[0], mode="lines", name=f"{name} power law", line={"color": colour})
    return figure


def fits_with_more_points(rows: Sequence[Row]) -> Figure | None:
    """Fig. 3: what the fit says after its first points."""
    longest = max(campaigns(rows), key=lambda row: len(row["result"]["error_curves"]), default=None)
    if longest is None:
        return None
    sizes, errors, trials, scale = _counts(longest)
    figure = blank("The fit at θ = 0.5 after more and more rounds (Fig. 3)", "training labels |B|", "ε_θ")
    figure.add_scatter(x=sizes, y=errors / trials / scale, mode="markers", name="measured on T", marker={"color": GRAY})
    along = np.linspace(sizes[0], sizes[-1], 80)
    for n, colour in zip(sorted({4, 6, 10, len(sizes)}), (ORANGE, "#b45309", GREEN, BLUE), strict=False):
        law = learning_curve.fit(sizes[:n], errors[:n], trials[:n], scale[:n]) if n <= len(sizes) else FitFailed("too few rounds")
        if not isinstance(law, FitFailed):
            figure.add_scatter(x=along, y=law(along)[0], mode="lines", name=f"first {n} rounds", line={"color": colour})
    return figure


def error_by_batch(rows: Sequence[Row]) -> Figure | None:
    """Fig. 4: ε_θ at about the same |B|, reached in batches of different size."""
    runs = [row for row in rows if row["run"]["kind"] == "active_learning"]
    reach = min((row["result"]["steps"][-1]["n_train"] for row in runs), default=0)
    if len({row["run"]["delta"] for row in runs}) < 2:
        return None
    figure = blank(f"Error by batch size at |B| ≈ {reach:,} (Fig. 4)", "δ as a share of X", "ε_θ")
    for theta, colour in ((4, BLUE), (8, GREEN), (12, ORANGE), (16, GRAY)):
        points = []
        for row in runs:
            step = min(row["result"]["steps"], key=lambda one: abs(one["n_train"] - reach))
            if step["true_error_curve"][theta - 1] is not None:
                points.append((row["run"]["delta"], step["true_error_curve"][theta - 1]))
        points.sort()
        figure.add_scatter(
            x=[p[0] for p in points], y=[p[1] for p in points], mode="lines+markers", name=f"θ = {theta / 20:g}", line={"color": colour}
        )
    return figure


def error_by_margin(rows: Sequence[Row]) -> Figure | None:
    """Fig. 5: accuracy of the last classifier along the pool, surest first."""
    found = campaigns(rows)
    if not found:
        return None
    figure = blank("True accuracy along the pool, surest first (Fig. 5)", "rank by margin (share of the pool)", "accuracy")
    for row in found:
        bins = row["result"]["true_error_by_margin"]
        where = (np.arange(len(bins)) + 0.5) / max(len(bins), 1)
        figure.add_scatter(x=where, y=[1 - error for error in bins], mode="lines+markers", name=f"seed {row['run']['seed']}")
    return figure


def total_cost(rows: Sequence[Row]) -> Figure | None:
    """Fig. 7: the total cost of each strategy."""
    found = [row for row in summary(rows) if row["total_cost"] is not None and row["service"] == "amazon" and row["target_error"] == 0.05]
    found = [row for row in found if not any(word in row["strategy"] for word in ("M =", "class", "budget"))]
    if not found:
        return None
    figure = blank("Total cost at 0.04 USD per label, ε = 5 % (Fig. 7)", "", "total cost (USD)")
    human = SERVICE_PRICES["amazon"] * found[0]["n_items"]
    names = ["people alone", *(row["strategy"] for row in found)]
    figure.add_bar(x=names, y=[human, *(row["total_cost"][0] for row in found)], marker={"color": BLUE}, showlegend=False)
    return figure


def cost_by_batch(rows: Sequence[Row], service: str) -> Figure | None:
    """Figs. 8 to 10 and 16 to 18: plain active learning against MCAL, by batch size."""
    costs = active_learning_costs(rows, service, 0.05)
    if not costs:
        return None
    figure = blank(f"Active learning by batch size, {service} (Figs. 8–10, 16–18)", "δ as a share of X", "total cost (USD)")
    deltas = sorted(costs)
    totals = [float(np.mean([row["total_cost"] for row in costs[delta]])) for delta in deltas]
    figure.add_scatter(x=deltas, y=totals, mode="lines+markers", name="active learning (stops by the truth, no T)", line={"color": ORANGE})
    n_items = next(iter(costs.values()))[0]["n_items"]
    figure.add_hline(SERVICE_PRICES[service] * n_items, line={"dash": "dot", "color": GRAY}, annotation_text="people alone")
    for preset, colour in (("default", GREEN), ("paper", BLUE)):
        ours = campaigns(rows, service=service, preset=preset)
        if ours:
            mean = float(np.mean([row["result"]["total_cost"] for row in ours]))
            figure.add_hline(mean, line={"dash": "dash", "color": colour}, annotation_text=f"MCAL, {preset} preset")
    return figure


def selection(rows: Sequence[Row]) -> Figure | None:
    """Figs. 6 and 11: cost and machine-labelled share by M."""
    names = ["margin", "entropy", "least_confidence", "k_center", "diverse_margin", "random"]
    found = [(name, campaigns(rows, acquisition=name)) for name in names]
    found = [(name, same) for name, same in found if same]
    if len(found) < 2:
        return None
    figure = blank("Share labelled by the machine, by sample selection M (Figs. 6, 11)", "", "|S|/|X|")
    shares = [[row["result"]["n_machine"] / row["n_items"] for row in same] for _, same in found]
    figure.add_bar(
        x=[name for name, _ in found],
        y=[float(np.mean(share)) for share in shares],
        error_y={"array": [float(np.std(share)) for share in shares]},
        marker={"color": BLUE},
        showlegend=False,
    )
    return figure


def machine_share_by_batch(rows: Sequence[Row]) -> Figure | None:
    """Fig. 12: the largest share an oracle could machine-label along plain active learning, by batch size."""
    shares: dict[float, list[float]] = {}
    for row in rows:
        if row["run"]["kind"] == "active_learning":
            best = max(step["true_largest_machine_set"]["0.05"] for step in row["result"]["steps"])
            shares.setdefault(row["run"]["delta"], []).append(best / row["n_items"])
    if len(shares) < 2:
        return None
    figure = blank("Largest share the machine can label at ε = 5 %, by batch size (Fig. 12)", "δ as a share of X", "|S|/|X|")
    deltas = sorted(shares)
    figure.add_scatter(x=deltas, y=[float(np.mean(shares[delta])) for delta in deltas], mode="lines+markers", line={"color": BLUE})
    return figure


def per_class(rows: Sequence[Row]) -> Figure | None:
    """Fig. 13: savings by the number of items per class."""
    points: dict[float, list[float]] = {}
    for row in rows:
        share = row["run"]["class_share"]
        if row in campaigns(rows, class_share=share):
            points.setdefault(row["n_items"] / row["n_classes"], []).append(row["result"]["savings"])
    if len(points) < 2:
        return None
    figure = blank("Savings by items per class (Fig. 13)", "items per class", "savings")
    sizes = sorted(points)
    figure.add_scatter(x=sizes, y=[float(np.mean(points[size])) for size in sizes], mode="lines+markers", line={"color": GREEN})
    return figure


def gain(rows: Sequence[Row]) -> Figure | None:
    """Figs. 14 and 15: what active learning is worth: total cost with margin and with random draws."""
    pairs = [
        (service, campaigns(rows, service=service), campaigns(rows, service=service, acquisition="random")) for service in SERVICE_PRICES
    ]
    pairs = [pair for pair in pairs if pair[1] and pair[2]]
    if not pairs:
        return None
    figure = blank(
        "Total cost with and without active learning, as a share of people alone (Figs. 14, 15)", "", "total cost / people alone"
    )
    services = [service for service, _, _ in pairs]
    figure.add_bar(x=services, y=[_mean_cost(active) for _, active, _ in pairs], name="margin", marker={"color": GREEN})
    figure.add_bar(x=services, y=[_mean_cost(drawn) for _, _, drawn in pairs], name="random", marker={"color": GRAY})
    return figure


def _mean_cost(rows: Sequence[Row]) -> float:
    """As a share of what people alone would cost."""
    return float(np.mean([1 - row["result"]["savings"] for row in rows]))


def training_by_batch(rows: Sequence[Row]) -> Figure | None:
    """Figs. 19 to 21: training cost of plain active learning, by batch size."""
    costs = active_learning_costs(rows, "amazon", 0.05)
    if not costs:
        return None
    figure = blank("Training cost of active learning by batch size (Figs. 19–21)", "δ as a share of X", "training cost (USD)")
    deltas = sorted(costs)
    means = [float(np.mean([row["training_cost"] for row in costs[delta]])) for delta in deltas]
    figure.add_scatter(x=deltas, y=means, mode="lines+markers", line={"color": ORANGE})
    return figure
