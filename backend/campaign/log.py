"""A campaign's events, read into what they say. Pure; :mod:`backend.campaign.state` puts it beside the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from backend.campaign import events, queues
from backend.campaign.audits import Audits
from backend.campaign.checks import Checks
from backend.campaign.events import Happening
from backend.campaign.history import Entry
from backend.campaign.queues import Queue
from backend.campaign_settings import OPERATIONAL, CampaignSettings, as_recorded, parse_campaign_settings
from backend.label_studio.queue import ProjectBefore, Sentinel
from mcal_engine import codec
from mcal_engine.classifiers.images.decoding import ImageForm
from mcal_engine.errors import HistoryError, InvalidValue
from mcal_engine.types import Acquire, Bands, Certify, Decision, Row


@dataclass(frozen=True, slots=True)
class Halt:
    """Why the campaign stands still and what a person can do; ``mends_itself`` when the next visit to the project may lift it.

    ``seq`` is its event's.
    """

    reason: str
    fix: str
    mends_itself: bool
    seq: int


class Log:
    """What the events say, read one after the other; the last word on each thing counts."""

    def __init__(self) -> None:
        self._given: Mapping[str, Any] = {"target_error": 0.05, "price_per_label": 1.0}  # replaced by the first event
        self.certificate_settings: CampaignSettings | None = None
        self.follows: events.Follows | None = None
        self.created: events.Created | None = None
        self.answers: list[str] = []  # that became classes, of controls whose answers are not known beforehand
        self.image_form: ImageForm | None = None  # in which all images of the campaign are kept
        self.changed_images: set[int] = set()  # tasks that got another image in Label Studio
        self.history: list[Row] = []
        self.decision: Decision | None = None
        self.queues: list[Queue] = []
        self.look = 0
        self.bands: Bands | None = None  # what the last look's sample was drawn by
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
        self.checks = Checks()
        self.last_task: int | None = None  # of a finished campaign that was taken up again: later ones are none of its
        self.asked_again: dict[int, int] = {}  # task → the last answer it had when people were asked for it again
        self.asking = False  # people are to be asked again, and Label Studio has not been told yet
        self.reopened = False  # after its end, and what the project was like before is not noted yet
        self.ending: type[Happening] | None = None  # the kind of event that ended the campaign
        self.report: dict[str, Any] | None = None
        self.gone_since = False  # the project was deleted after the end

    def read(self, entry: Entry[Happening]) -> None:
        self.audits.read(entry)
        self.checks.read(entry)
        match event := entry.event:
            case events.Requested() | events.SettingsChanged():
                self._given = _known(event.settings)
                if isinstance(event, events.Requested):
                    self.follows = event.follows
            case events.Created():
                self._given = _known(event.settings)
                self.created, self.title = event, event.title
            case events.AnswersSeen(answers=answers):
                self.answers += answers
            case events.ImageFormChosen(form=form):
                self.image_form = form
            case events.ImagesChanged(ids=ids):
                self.changed_images |= set(ids)
            case events.Decided(decision=decision):
                self._decided(decision)
            case events.Observed(observation=observation):
                self.history.append(observation)
                self.devices = self.devices if event.devices is None else event.devices
            case events.SampleRead(outcome=outcome):
                self.history.append(outcome)
            case events.QueueOpened():
                self.queues.append(queues.opened(event, entry.at))
                self.last_known_task = max(self.last_known_task, event.last_known_task)
            case events.QueueClosed():
                self._close(event)
            case events.Published():
                self.published, self.sentinel = event.model_version, event.sentinel
            case events.TasksJoined(last_known_task=last):
                self.last_known_task = max(self.last_known_task, last)
            case events.PoolFrozen(look=look, bands=bands):
                self.look, self.bands = look, bands
            case events.PeelRanked(order=order):
                self.history.append(order)
                self.devices = self.devices if event.devices is None else event.devices
            case events.NamesRead():
                self.title = event.title
                self.names |= event.annotators
            case events.WriteBackApproved(by=by):
                self.approved_by = by
            case events.WriteBackDone():
                self.written_back = True
            case events.AuditRequested() | events.TakeBackStarted() | events.AskAgainRequested():
                self.reopened = self.reopened or self.ending is events.Finished
                self.last_task = event.last_task
                self.ending = self.report = None
                if isinstance(event, events.AskAgainRequested):
                    self.asked_again |= dict(zip(event.ids, event.answers, strict=True))
                    self.asking = True
            case events.AuditOpened() | events.AuditCancelled() | events.TakeBackDone() | events.AskedAgain():
                self._note(event.project_before)
                self.asking = self.asking and not isinstance(event, events.AskedAgain)
            case events.StopRequested(by=by):
                self.stop_requested_by = by
            case events.Paused():
                self.paused = True
            case events.Resumed(lifts=lifts):
                self.halt = None
                self.paused = self.paused and lifts == "halt"
            case events.Halted():
                self.halt = Halt(event.reason, event.fix, event.mends_itself, entry.seq)
            case events.Finished() | events.ProjectGone():
                self.ending, self.report = type(event), event.report
            case events.ProjectGoneSince():
                self.gone_since = True
            case events.RolledBack() | events.Cancelled():
                self.ending = type(event)

    @property
    def settings(self) -> CampaignSettings:
        """As the last event has them. Earlier ones are not looked at: bad ones are mended by good ones that follow.

        Raises:
            HistoryError: they break a rule.
        """
        try:
            return parse_campaign_settings(self._given, defaults={})
        except InvalidValue as error:
            raise HistoryError(f"the recorded settings cannot be used: {error}") from None

    def settings_for_decisions(self) -> CampaignSettings:
        """A changed ε after V was drawn would be another look at the same sample: V is read under what it was drawn for."""
        drawn_for, now = self.certificate_settings, self.settings
        return now if drawn_for is None else drawn_for.model_copy(update={name: getattr(now, name) for name in OPERATIONAL})

    def _note(self, project_before: ProjectBefore | None) -> None:
        """What the project was like when a finished campaign was taken up again: that is what it gets back at the end."""
        if project_before is not None and self.created is not None:
            self.created = replace(self.created, project_before=project_before)
            self.reopened = False

    def _decided(self, row: Decision) -> None:
        self.history.append(row)
        self.decision = row
        self.approved_by = None
        self.written_back = False
        if isinstance(row, Certify):
            self.certificate_settings = self.settings
        elif isinstance(row, Acquire):
            self.certificate_settings = None

    def _close(self, event: events.QueueClosed) -> None:
        for place, queue in enumerate(self.queues):
            if queue.model_version == event.model_version:
                self.queues[place] = replace(queue, closed=True, n_taken=event.n_taken)


def _known(said: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were recorded, without the two that version 0.1 had more.

    Raises:
        HistoryError: one of these was in use.
    """
    recorded = as_recorded(said)
    if recorded.pop("second_harvest", 0):
        raise HistoryError(codec.SECOND_HARVEST)
    if recorded.pop("error_scope", "all") != "all":
        raise HistoryError(codec.ERROR_SCOPE)
    return recorded
