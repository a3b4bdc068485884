"""``/metrics``: campaigns in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

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
    registry = CollectorRegistry()
    registry.register(_Campaigns(desk))

    @made.get("/metrics")
    def metrics() -> Response:
        try:
            sessions.require_caller()
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
            return Response(encode(registry), content_type=content_type)
        except Exception as error:  # noqa: BLE001 (becomes a status, and a log entry where it is ours)
            return error_response(error)

    return made


class _Campaigns(Collector):
    """Live campaigns only: ended ones do not change any more."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterable[Metric]:
        views: list[View] = []
        broken = 0
        for campaign in self._desk.store.live_campaigns():
            try:
                views.append(self._desk.snapshots.get(campaign.id).view)
            except MCALError:
                broken += 1
        yield _gauge("mcal_info", "Version.", [({"version": __version__}, 1)])
        yield _gauge("mcal_campaigns_unreadable", "Live campaigns whose history cannot be read.", [({}, broken)])
        phases = [({**_labels(view), "phase": view["phase"]}, 1) for view in views]
        yield _gauge("mcal_campaign_phase", "1 for the phase it is in.", phases)
        for name, (help, value) in GAUGES.items():
            yield _gauge(name, help, [(_labels(view), found) for view in views if (found := value(view)) is not None])


def _labels(view: View) -> dict[str, str]:
    return {"campaign": str(view["campaign"]), "project": str(view["project"]), "currency": view["settings"]["currency"]}


def _gauge(name: str, help: str, rows: Sequence[tuple[dict[str, str], float]]) -> Metric:
    made = Metric(name, help, "gauge")
    for labels, value in rows:
        made.add_sample(name, labels, value)
    return made
