"""A campaign's events, read into what they say. Pure; :mod:`backend.campaign.state` puts it beside the labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from backend.campaign.audits import Audits
from backend.campaign.queues import Queue
from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.label_studio.port import LabelControl
from backend.label_studio.queue import Sentinel
from backend.store import Event
from mcal_engine import codec
from mcal_engine.errors import HistoryError
from mcal_engine.types import Acquire, Certify, Decision, HumanLabelAll, LabelByMachine, Row

# May change while V is being labelled.
OPERATIONAL = (
    "quorum",
    "patience_minutes",
    "blind_timeout_hours",
    "work_ahead",
    "assisted_labelling",
    "approve_write_back",
    "notify_about",
)


@dataclass(frozen=True, slots=True)
class Halt:
    """Why the campaign stands still and what a person can do; ``mends_itself`` when the next look at the project may lift it.

    ``seq`` is its event's.
    """

    reason: str
    fix: str
    mends_itself: bool
    seq: int


@dataclass(frozen=True, slots=True)
class Created:
    """What was found when the campaign began."""

    control: LabelControl
    config_fingerprint: str
    service_user: int
    project_before: dict[str, Any]
    n_items: int
    n_preexisting: int
    label_studio_version: str


class Log:
    """What the events say, read one after the other; the last word on each thing counts."""

    def __init__(self) -> None:
        self.settings = CampaignSettings(target_error=0.05, price_per_label=1.0)  # replaced by the first event
        self.certificate_settings: CampaignSettings | None = None
        self.created: Created | None = None
        self.history: list[Row] = []
        self.decision: Decision | None = None
        self.queues: list[Queue] = []
        self.look = 0
        self.paused = False
        self.halt: Halt | None = None
        self.stop_requested_by: str | None = None
        self.last_known_task = 0
        self.published: str | None = None
        self.sentinel: Sentinel | None = None
        self.approved_by: str | None = None
        self.written_back = False
        self.devices: dict[str, str] = {}  # by classifier: what the last round was trained on
        self.title = ""
        self.names: dict[int, str] = {}  # of annotators, by id
        self.audits = Audits()
        self.last_task: int | None = None  # of a finished campaign that was taken up again: later ones are none of its
        self.reopened = False  # after its end, and what the project was like before is not noted yet
        self.ending: str | None = None  # the event that ended the campaign
        self.report: dict[str, Any] | None = None

    def read(self, event: Event) -> None:
        payload = event.payload
        self.audits.read(event)
        match event.kind:
            case "requested" | "settings":
                self.settings = _settings(payload)
            case "created":
                self.settings = _settings(payload)
                self.created = _created(payload)
                self.title = payload.get("title", "")
            case "decision":
                self._decided(codec.from_json(payload["decision"]))
            case "observation" | "outcome":
                self.history.append(codec.from_json(payload[event.kind]))
                self.devices = payload.get("devices", self.devices)
            case "queue_opened":
                self.queues.append(Queue.opened(payload, event.created_at))
                self.last_known_task = max(self.last_known_task, payload.get("last_known_task", 0))
            case "queue_closed":
                self._close(payload)
            case "published":
                self.published = payload["model_version"]
                locked = payload["sentinel"]
                self.sentinel = locked and Sentinel(locked["task_id"], datetime.fromisoformat(locked["locked_at"]))
            case "tasks_joined":
                self.last_known_task = max(self.last_known_task, payload["last_known_task"])
            case "frozen":
                self.look = payload["look"]
            case "names":
                self.title = payload["title"]
                self.names |= {int(person): name for person, name in payload["annotators"].items()}
            case "write_back_approved":
                self.approved_by = payload["by"]
            case "write_back_done":
                self.written_back = True
            case "audit_requested" | "take_back_started":
                self.reopened = self.reopened or self.ending == "finished"
                self.last_task = payload["last_task"]
                self.ending = self.report = None
            case "audit_opened" | "audit_cancelled" | "take_back_done":
                self._note(payload.get("project_before"))
            case "stop_requested":
                self.stop_requested_by = payload["by"]
            case "paused":
                self.paused = True
            case "resumed":
                self.halt = None
                self.paused = self.paused and payload.get("lifts") == "halt"
            case "halted":
                self.halt = Halt(payload["reason"], payload["fix"], payload.get("mends_itself", False), event.seq)
            case "finished":
                self.ending, self.report = event.kind, payload["report"]
            case "rolled_back" | "cancelled":
                self.ending = event.kind

    def settings_for_decisions(self) -> CampaignSettings:
        """A changed ε after V was drawn would be another look at the same sample: V is read under what it was drawn for."""
        drawn_for = self.certificate_settings
        if drawn_for is None:
            return self.settings
        return drawn_for.model_copy(update={name: getattr(self.settings, name) for name in OPERATIONAL})

    def _note(self, project_before: dict[str, Any] | None) -> None:
        """What the project was like when a finished campaign was taken up again: that is what it gets back at the end."""
        if project_before is not None and self.created is not None:
            self.created = replace(self.created, project_before=dict(project_before))
            self.reopened = False

    def _decided(self, row: Row) -> None:
        if not isinstance(row, Acquire | Certify | LabelByMachine | HumanLabelAll):
            return
        self.history.append(row)
        self.decision = row
        self.approved_by = None
        self.written_back = False
        if isinstance(row, Certify):
            self.certificate_settings = self.settings
        elif isinstance(row, Acquire):
            self.certificate_settings = None

    def _close(self, payload: dict[str, Any]) -> None:
        for place, queue in enumerate(self.queues):
            if queue.model_version == payload["model_version"]:
                self.queues[place] = replace(queue, closed=True, n_taken=payload.get("n_taken"))


def _settings(payload: dict[str, Any]) -> CampaignSettings:
    """Settings as they were recorded; version 0.1 had one more.

    Raises:
        HistoryError: that one was in use.
    """
    recorded = dict(payload["settings"])
    if recorded.pop("second_harvest", 0):
        raise HistoryError(codec.SECOND_HARVEST)
    return parse_campaign_settings(recorded, defaults={})


def _created(payload: dict[str, Any]) -> Created:
    control = payload["control"]
    return Created(
        control=LabelControl(control["from_name"], control["to_name"], control["data_key"], tuple(control["choices"])),
        config_fingerprint=payload["config_fingerprint"],
        service_user=payload["service_user"]["id"],
        project_before=dict(payload["project_before"]),
        n_items=payload["n_items"],
        n_preexisting=payload["n_preexisting"],
        label_studio_version=payload.get("label_studio_version", ""),
    )
