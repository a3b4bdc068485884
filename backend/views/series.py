"""What the charts show: the forecast's history, and the error curves with their fits. Pure; computed from the engine's own rows."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from backend.campaign.state import State
from backend.views.people.labour import labour
from mcal_engine.cost import money
from mcal_engine.curves import error_curve
from mcal_engine.curves.learning_curve import FitFailed
from mcal_engine.types import Acquire, FloatArray, Measurement, Observation, Plan

SHOWN_SHARES = (0.2, 0.4, 0.6, 0.8)  # of the θ grid; the whole pool is shown besides
FIT_POINTS = 40


class ForecastPoint(TypedDict):
    """One round's forecast. Money in the campaign's currency."""

    round: int
    n_train: int
    n_labels_paid: int
    spent: float
    total_cost: float
    total_cost_now: float
    low: float | None
    high: float | None


class Curve(TypedDict):
    """ε_θ(B) of one share θ (``None``: the whole pool): as counted on the test items each round, and the fitted power law."""

    theta: float | None
    n_train: list[int]
    error: list[float]
    fit_n_train: list[float]
    fit_error: list[float]


class Race(TypedDict):
    """One candidate classifier: its test accuracy and training time by round; ``out`` once it has left the race."""

    classifier: str
    rounds: list[int]
    accuracy: list[float]
    training_seconds: list[float]
    out: bool


class Series(TypedDict):
    currency: str
    human_only: float | None
    target_error: float
    forecast: list[ForecastPoint]
    classifier: str | None
    curves: list[Curve]
    fit: str | None
    race: list[Race]


def series(state: State) -> Series:
    """The charts' numbers, from observations and decisions alone."""
    settings = state.settings
    observations = state.observations
    last = observations[-1] if observations else None
    leader = _leader(state)
    curves, trouble = error_curves(observations, leader, settings.theta_step, settings.seed) if leader else ([], None)
    return Series(
        currency=settings.currency,
        human_only=None if last is None else settings.price_per_label * last.counted.n_alone,
        target_error=settings.target_error,
        forecast=_forecast(state),
        classifier=leader,
        curves=curves,
        fit=trouble,
        race=_race(state),
    )


def error_curves(observations: tuple[Observation, ...], classifier: str, step: float, seed: int) -> tuple[list[Curve], str | None]:
    """Measured and fitted ε_θ(B) of a few shares θ; the text says why there are no fits yet."""
    grid = error_curve.theta_grid(step)
    rows = [(o, m) for o in observations for m in o.measurements if m.classifier == classifier and o.survivors.any() and o.n_pool > 0]
    if not rows:
        return [], None
    model = error_curve.model(observations, classifier, step, seed)
    places = sorted({int(np.abs(grid - share).argmin()) for share in SHOWN_SHARES})
    curves = [_curve(rows, grid, place, model) for place in [*places, None]]
    return [curve for curve in curves if curve["n_train"]], model.reason if isinstance(model, FitFailed) else None


def _curve(
    rows: list[tuple[Observation, Measurement]], grid: FloatArray, place: int | None, model: error_curve.ErrorModel | FitFailed
) -> Curve:
    sizes, errors = [], []
    for observation, measurement in rows:
        top = observation.n_pool / observation.n_items
        if place is not None and grid[place] >= top:
            continue  # the pool is smaller than this share by now
        counts = error_curve.count(observation, measurement, len(grid))
        column = len(grid) if place is None else place
        sizes.append(observation.n_train)
        errors.append(float(counts.errors[column] / max(counts.trials[0], 1.0) * top))
    fit_sizes: list[float] = []
    fit_errors: list[float] = []
    if not isinstance(model, FitFailed) and sizes:
        last = rows[-1][0]
        reach: FloatArray = np.asarray(np.geomspace(min(sizes), last.n_train + last.n_pool / 2, FIT_POINTS), dtype=np.float64)
        pool: FloatArray = np.asarray(last.n_pool - (reach - last.n_train), dtype=np.float64)
        shares, curve = model.at(reach, pool, last.n_items)
        column = -1 if place is None else place + 1
        inside = np.ones(len(reach), dtype=np.bool_) if place is None else shares[:, -1] > grid[place]
        fit_sizes, fit_errors = reach[inside].tolist(), curve[0, inside, column].tolist()
    return Curve(
        theta=None if place is None else float(grid[place]), n_train=sizes, error=errors, fit_n_train=fit_sizes, fit_error=fit_errors
    )


def _forecast(state: State) -> list[ForecastPoint]:
    points = []
    seconds = bought = 0.0
    hours = labour(state)["human_cost"] if state.settings.price_per_hour is not None else None
    each = state.settings.price_per_label if hours is None or not state.n_labels_paid else hours / state.n_labels_paid
    for row, after in zip(state.history, state.history[1:], strict=False):
        if not isinstance(row, Observation):
            continue
        seconds, bought = seconds + row.training_seconds, bought + row.bought
        plan: Plan | None = getattr(after, "plan", None)
        if plan is None:
            continue
        trained = float(money(seconds, state.settings.machine_price_per_hour)) + bought
        points.append(
            ForecastPoint(
                round=row.round,
                n_train=row.n_train,
                n_labels_paid=row.n_labels_paid,
                spent=each * row.n_labels_paid + trained,
                total_cost=plan.total_cost,
                total_cost_now=plan.total_cost_now,
                low=plan.low,
                high=plan.high,
            )
        )
    return points


def _leader(state: State) -> str | None:
    for row in reversed(state.history):
        name: str | None = getattr(row, "classifier", None)
        if name is not None:
            return name
    return state.observations[-1].measurements[0].classifier if state.observations and state.observations[-1].measurements else None


def _race(state: State) -> list[Race]:
    names = list(dict.fromkeys(m.classifier for o in state.observations for m in o.measurements))
    racing = state.decision.candidates if isinstance(state.decision, Acquire) else None
    made = []
    for name in names:
        rows = [(o.round, m) for o in state.observations for m in o.measurements if m.classifier == name and len(m.correct)]
        made.append(
            Race(
                classifier=name,
                rounds=[round for round, _ in rows],
                accuracy=[float(m.correct.mean()) for _, m in rows],
                training_seconds=[m.training_seconds for _, m in rows],
                out=racing is not None and name not in racing,
            )
        )
    return made
