"""The plots of a simulated campaign: what it cost, what was forecast, how the error fell, and how far margins can be trusted."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mcal_engine.curves import error_curve
from mcal_engine.curves.learning_curve import FitFailed
from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.campaign import SimulatedCampaign
from mcal_engine.types import BoolArray
from mcal_engine.words import counted

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

INK, BLUE, ORANGE, GRAY, GREEN = "#1d2733", "#2563eb", "#d97706", "#94a3b8", "#0f766e"
PARTS = {
    "n_train": ("B: training", BLUE),
    "n_test": ("T: test", "#7c3aed"),
    "n_certificate": ("V: certificate", ORANGE),
    "n_residual": ("residual: people", GRAY),
    "n_machine": ("S: machine", GREEN),
}


def blank(title: str, x: str, y: str) -> Figure:
    """An empty figure in the report's style; InvalidValue names the extra to install where plotly is missing."""
    try:
        from plotly.graph_objects import Figure
    except ImportError:
        raise InvalidValue("the HTML report needs plotly, which is not installed; it comes with: pip install plotly") from None
    figure = Figure()
    figure.update_layout(
        title=title,
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "color": INK},
        margin={"l": 60, "r": 20, "t": 60, "b": 50},
        height=420,
        xaxis={"title": x, "rangemode": "tozero"},
        yaxis={"title": y, "rangemode": "tozero"},
        legend={"orientation": "h", "y": -0.2},
    )
    return figure


def cost_forecast(report: dict[str, Any]) -> Figure:
    """What finishing would cost, as forecast after each round: now, at the best B (C*) with its 90 % band, and what was really paid."""
    money = report["currency"]
    figure = blank("Forecast of the total cost after each round", "training labels |B|", f"total cost ({money})")
    rows = [row for row in report["rounds"] if row["plan"] is not None]
    sizes = [row["n_train"] for row in rows]
    banded = [row for row in rows if row["plan"]["low"] is not None]
    if banded:
        around = [row["n_train"] for row in banded]
        edge = [row["plan"]["high"] for row in banded] + [row["plan"]["low"] for row in reversed(banded)]
        figure.add_scatter(
            x=around + around[::-1], y=edge, mode="lines", fill="toself", name="90 % band of C*", line={"width": 0}, fillcolor="#2563eb22"
        )
    figure.add_scatter(
        x=sizes, y=[row["plan"]["total_cost"] for row in rows], name="C*: best plan", line={"color": BLUE}, mode="lines+markers"
    )
    stop_now = [row["plan"]["total_cost_now"] for row in rows]
    figure.add_scatter(x=sizes, y=stop_now, name="if training stopped here", line={"color": ORANGE}, mode="lines+markers")
    figure.add_hline(report["human_only_cost"], line={"dash": "dot", "color": GRAY}, annotation_text="people alone")
    figure.add_hline(report["total_cost"], line={"dash": "dash", "color": GREEN}, annotation_text="paid in the end")
    return figure


def error_curves(campaign: SimulatedCampaign, classifier: str, every: int = 4) -> Figure:
    """ε_θ measured on T after each round, and the fitted laws of the last round (the paper's Figs. 2 and 3)."""
    from plotly.colors import sample_colorscale

    spec, observations = campaign.spec, campaign.observations
    figure = blank("Errors among the θ·|X| surest items, as a share of all items", "training labels |B|", "ε_θ")
    grid = error_curve.theta_grid(spec.theta_step)
    measured: dict[int, list[tuple[int, float]]] = {}
    for row in observations:
        for one in (m for m in row.measurements if m.classifier == classifier):
            counts = error_curve.count(row, one, len(grid))
            share = counts.errors / np.maximum(counts.trials, 1) * row.n_pool / row.n_items
            for index in np.flatnonzero(grid < row.n_pool / row.n_items):
                measured.setdefault(int(index), []).append((row.n_train, float(share[index])))
    shown = [index for index in range(every - 1, len(grid), every) if index in measured]
    model = error_curve.model(observations, classifier, spec.theta_step, spec.seed)
    sizes = np.linspace(observations[0].n_train, observations[-1].n_train, 80)
    colours = sample_colorscale("Viridis", np.linspace(0, 0.9, max(len(shown), 2)).tolist())
    for colour, index in zip(colours, shown, strict=False):
        name = f"θ = {grid[index]:.2f}"
        points = measured[index]
        figure.add_scatter(x=[p[0] for p in points], y=[p[1] for p in points], name=name, mode="markers", marker={"color": colour})
        if not isinstance(model, FitFailed):
            law = model.laws(np.asarray(sizes, dtype=np.float64))[index]
            figure.add_scatter(x=sizes, y=law, name=f"{name}, fit", line={"color": colour}, showlegend=False)
    figure.add_hline(spec.target_error, line={"dash": "dash", "color": ORANGE}, annotation_text="target error")
    return figure


def parts(report: dict[str, Any]) -> Figure:
    """Who labelled what: B, T, V, the residual and S as one bar."""
    figure = blank("Who labelled what", f"share of {counted(report['n_items'], 'item')}", "")
    for key, (name, colour) in PARTS.items():
        share = report[key] / report["n_items"]
        text = f"{report[key]:,}" if share > 0.03 else ""
        figure.add_bar(x=[share], y=["items"], name=name, orientation="h", marker={"color": colour}, text=[text], textposition="inside")
    figure.update_layout(
        barmode="stack", height=250, legend={"y": -0.55, "traceorder": "normal"}, xaxis={"tickformat": ".0%", "range": [0, 1]}
    )
    return figure


def accuracy_by_margin(wrong: BoolArray, n_ranked: int, n_bins: int = 20) -> Figure:
    """The last classifier's true accuracy along the frozen order of the pool, surest first (the paper's Fig. 5)."""
    figure = blank("True accuracy of the last classifier by margin", "pool items, surest first", "accuracy")
    edges = np.linspace(0, len(wrong), min(n_bins, len(wrong)) + 1).astype(int)
    accuracy = [1 - float(wrong[low:high].mean()) for low, high in pairwise(edges)]
    middle = [(low + high) / 2 for low, high in pairwise(edges)]
    figure.add_bar(x=middle, y=accuracy, width=np.diff(edges) * 0.92, marker={"color": BLUE}, name="accuracy", showlegend=False)
    if n_ranked:
        figure.add_vline(n_ranked, line={"dash": "dash", "color": GREEN}, annotation_text="machine-labelled up to here")
    figure.update_layout(yaxis={"tickformat": ".0%", "range": [0, 1]})
    return figure
