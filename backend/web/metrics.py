"""``/metrics``: campaigns in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from backend.views.campaign import View
from backend.web.answers import error_response
from backend.web.desk import Desk
from backend.web.session import Sessions
from mcal_engine import __version__
from mcal_engine.errors import MCALError

GAUGES: dict[str, tuple[str, Callable[[View], float | None]]] = {
    "mcal_campaign_items": ("Items of the project.", lambda view: view["report"]["n_items"]),
    "mcal_campaign_human_labels": ("Human labels paid, repeats included.", lambda view: view["report"]["human_labels"]),
    "mcal_campaign_machine_labels": ("Items labelled by the machine.", lambda view: view["report"]["n_machine"]),
    "mcal_campaign_open_items": ("Items without any label, set-aside ones not counted.", lambda view: view["report"]["n_open"]),
    "mcal_campaign_set_aside_items": ("Items that were skipped or cannot be read.", lambda view: view["n_set_aside"]),
    "mcal_campaign_queue_missing": ("Labels the open queue lacks.", lambda view: (view["queue"] or {}).get("missing")),
    "mcal_campaign_labels_left": ("Labels that people still have to give, by the forecast.", lambda view: view["pace"]["n_left"]),
    "mcal_campaign_work_hours_left": ("Hours of one person's work for these.", lambda view: view["pace"]["work_hours_left"]),
    "mcal_campaign_seconds_per_label": ("What a label takes, idle time cut off.", lambda view: view["labour"]["seconds_per_label"]),
    "mcal_campaign_rounds": ("Rounds measured.", lambda view: len(view["report"]["rounds"])),
    "mcal_campaign_spent": ("Money spent, in the campaign's currency.", lambda view: view["money"]["total"]),
    "mcal_campaign_forecast": ("Forecast of the whole bill, in the campaign's currency.", lambda view: view["money"]["forecast"]),
    "mcal_campaign_training_seconds": ("Seconds of training.", lambda view: view["report"]["training_seconds"]),
}  # fmt: skip


def blueprint(desk: Desk, sessions: Sessions) -> Blueprint:
    made = Blueprint("metrics", __name__)

    @made.get("/metrics")
    def metrics() -> Response:
        try:
            sessions.require_caller()
            return Response(text(desk), content_type="text/plain; version=0.0.4; charset=utf-8")
        except Exception as error:  # noqa: BLE001 (becomes a status, and a log entry where it is ours)
            return error_response(error)

    return made


def text(desk: Desk) -> str:
    """Live campaigns only: ended ones do not change any more."""
    views: list[View] = []
    broken = 0
    for campaign in desk.store.live_campaigns():
        try:
            views.append(desk.snapshots.get(campaign.id).view)
        except MCALError:
            broken += 1
    lines = _metric("mcal_info", "Version.", [({"version": __version__}, 1)])
    lines += _metric("mcal_campaigns_unreadable", "Live campaigns whose history cannot be read.", [({}, broken)])
    lines += _metric("mcal_campaign_phase", "1 for the phase it is in.", [({**_labels(view), "phase": view["phase"]}, 1) for view in views])
    for name, (help, value) in GAUGES.items():
        rows = [(_labels(view), found) for view in views if (found := value(view)) is not None]
        lines += _metric(name, help, rows)
    return "\n".join(lines) + "\n"


def _labels(view: View) -> dict[str, Any]:
    return {"campaign": view["campaign"], "project": view["project"], "currency": view["settings"]["currency"]}


def _metric(name: str, help: str, rows: list[tuple[dict[str, Any], float]]) -> list[str]:
    made = [f"# HELP {name} {help}", f"# TYPE {name} gauge"]
    for labels, value in rows:
        inside = ",".join(f'{key}="{_escaped(str(text))}"' for key, text in labels.items())
        made.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return made


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
