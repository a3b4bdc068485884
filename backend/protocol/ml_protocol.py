"""Label Studio's ML-backend protocol on parsed JSON. Nothing here trains or calls Label Studio: a worker does the work."""

from __future__ import annotations

import logging
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

from backend.campaign import events, history
from backend.label_studio.port import LabelControl
from backend.label_studio.wire import result_of
from backend.protocol import bodies
from backend.protocol.ports import (
    CampaignStore,
    JobQueue,
    LabelConfigParser,
    Predictions,
    SettingsParser,
    StatusLine,
)
from backend.protocol.setup import CampaignSetup
from backend.protocol.turnstile import Turnstile
from backend.store import Campaign
from mcal_engine.errors import InvalidValue

logger = logging.getLogger(__name__)

START_TRAINING = "START_TRAINING"
SUBMITTED = "ANNOTATION_CREATED"
WAKING_ACTIONS = frozenset(
    {
        START_TRAINING,
        SUBMITTED,
        "ANNOTATION_UPDATED",
        "ANNOTATION_DELETED",  # older Label Studios
        "ANNOTATIONS_CREATED",
        "ANNOTATIONS_DELETED",
        "TASKS_CREATED",
        "TASKS_DELETED",
        "PROJECT_UPDATED",
        "PROJECT_DELETED",
    }
)
STATUS_LENGTH = 100  # characters of model_version that Label Studio's page shows without trouble
HOW_TO_START = 'mcal: connected; to start, set extra params {"target_error": 0.05, "price_per_label": 0.04}'
BLIND_VERSION = "mcal-no-label"
"""Model version of empty results. Never a queue's nor the connected model's name: "Retrieve predictions" stores these results, and with
such a version it would put their tasks into the queue."""


class MLProtocol:
    """One object answers for every project of one Label Studio.

    Args:
        store: campaigns and their history.
        queue: wakes the worker; drops what is already waiting.
        label_studio_url: the Label Studio this backend serves. What ``/setup`` says of its hostname and token is not used: both
            are often wrong (an internal name, a token that default organisations refuse).
        parse_settings: extra params → settings.
        parse_label_config: label config → its Choices.
        status_line: what a campaign is doing; shown in Label Studio as the model's version.
        predictions: decided machine labels; see :data:`backend.protocol.ports.Predictions`.
        version: of this program.
        turnstile: keeps people apart who submit at once, where a campaign has had a task labelled twice.
    """

    def __init__(
        self,
        *,
        store: CampaignStore,
        queue: JobQueue,
        label_studio_url: str,
        parse_settings: SettingsParser,
        parse_label_config: LabelConfigParser,
        status_line: StatusLine,
        predictions: Predictions,
        version: str,
        turnstile: Turnstile | None = None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._url = label_studio_url.rstrip("/")
        self._parse_label_config = parse_label_config
        self._status_line = status_line
        self._predictions = predictions
        self._version = version
        self._turnstile = turnstile or Turnstile()
        self._setup = CampaignSetup(store, queue, self._url, parse_settings)

    def setup(self, body: dict[str, Any]) -> dict[str, Any]:
        """Apply changed extra params; say in ``model_version`` how the campaign stands. Repeating it changes nothing.

        Raises:
            InvalidValue: the body, a setting or the label config breaks a rule.
        """
        project_id = bodies.project_id(body)
        label_config = bodies.text(body, "schema")
        try:
            given = bodies.extra_params(body)
            campaign = self._setup.apply(project_id, given, label_config) if given else self._setup.latest(project_id)
        except InvalidValue as error:
            logger.warning("project %d: setup refused: %s", project_id, error)
            raise
        line = self._idle_line(label_config) if campaign is None else self._status_line(campaign.id)
        return {"model_version": shorten(line)}

    def predict(self, body: dict[str, Any]) -> dict[str, Any]:
        """Exactly one result per task, in order; empty ones wherever no machine label is decided.

        Raises:
            InvalidValue: the body has no project or no list of tasks.
        """
        project_id = bodies.project_id(body)
        task_ids = bodies.task_ids(body)
        known = [task_id for task_id in task_ids if task_id is not None]
        decided = self._predictions(project_id, known) if known else {}
        control = self._control(project_id, bodies.text(body, "label_config")) if decided else None
        results = []
        for task_id in task_ids:
            found = None if control is None or task_id is None else decided.get(task_id)
            # An answer that the config no longer has would break the annotator's page.
            if control is None or found is None or not _has(control, found[0]):
                results.append({"result": [], "score": 0.0, "model_version": BLIND_VERSION})
            else:
                text, score, model_version = found
                results.append({"result": result_of(text, control), "score": score, "model_version": model_version})
        return {"results": results}

    def webhook(self, body: dict[str, Any], *, trusted: bool) -> dict[str, Any]:
        """An event is a hint: it wakes the project's campaign, which then asks Label Studio for the truth.

        So lost, doubled, reordered and forged events do no harm, nor do those that our own writing causes: at worst the worker
        visits once more and finds nothing to do, and the queue holds one waiting job per campaign however many events arrive.
        A ``trusted`` sender's do more: START_TRAINING resumes a paused or halted campaign, and the answer to a submission may be held
        back (:meth:`keep_apart`).

        Raises:
            InvalidValue: no action, or a known one without its project.
        """
        action = bodies.action(body)
        if action not in WAKING_ACTIONS:
            return {"status": "ignored", "reason": "unknown action"}
        return self._wake(bodies.project_id(body), action, resume=trusted and action == START_TRAINING)

    def keep_apart(self, body: dict[str, Any]) -> Generator[float, None, None] | None:
        """The wait before a trusted event is answered, part by part (:meth:`Turnstile.pass_through`); None where there is none.

        Submissions wait, where two people submitted at once and the campaign has paid for a task twice before.
        """
        person = bodies.annotator(body) if bodies.action(body) == SUBMITTED else None
        campaign = self._store.live_campaign(self._url, bodies.project_id(body)) if person is not None else None
        if person is None or campaign is None or not self._store.has_duplicates(campaign.id):
            return None
        return self._turnstile.pass_through(campaign.project_id, person, bodies.seconds_since_stored(body, datetime.now(UTC)))

    def train(self, body: dict[str, Any]) -> dict[str, Any]:
        """What older Label Studios call instead of START_TRAINING; the sender is trusted.

        Raises:
            InvalidValue: the body has no project.
        """
        return self._wake(bodies.project_id(body), "train", resume=True)

    def versions(self) -> dict[str, Any]:
        """The model versions on offer: this program decides which classifier a campaign uses, so there is one."""
        return {"versions": [f"mcal {self._version}"]}

    def _wake(self, project_id: int, reason: str, *, resume: bool) -> dict[str, Any]:
        campaign = self._store.live_campaign(self._url, project_id)
        if campaign is None:
            return {"status": "ignored", "reason": "no live campaign on this project"}
        if resume:
            self._resume(campaign, reason)
        self._queue.enqueue(campaign.id, reason)
        return {"status": "ok", "campaign": campaign.id}

    def _resume(self, campaign: Campaign, by: str) -> None:
        switches = history.read(self._store, campaign.id, events.Paused, events.Halted, events.Resumed)
        if switches and not isinstance(switches[-1].event, events.Resumed):
            self._store.append(campaign.id, [history.new(events.Resumed(by=by))])

    def _idle_line(self, label_config: str) -> str:
        if label_config.strip():
            try:
                self._parse_label_config(label_config, None)
            except InvalidValue as error:
                return f"mcal: connected, but cannot start: {error}"
        return HOW_TO_START

    def _control(self, project_id: int, label_config: str) -> LabelControl | None:
        """What the campaign labels with, as the labelling interface has it now."""
        campaign = self._setup.latest(project_id)
        names = None
        if campaign is not None:
            began = history.read(self._store, campaign.id, events.Created)
            names = began[-1].event.control.from_name if began else self._setup.settings(campaign).get("label_controls")
        try:
            return self._parse_label_config(label_config, names)
        except InvalidValue as error:
            logger.warning("project %d: no predictions: %s", project_id, error)
            return None


def _has(control: LabelControl, text: str) -> bool:
    """Whether there can be such an answer."""
    try:
        control.questions.answer_of(text)
    except InvalidValue:
        return False
    return True


def shorten(line: str) -> str:
    """One line of at most ``STATUS_LENGTH`` characters."""
    line = " ".join(line.split())
    return line if len(line) <= STATUS_LENGTH else line[: STATUS_LENGTH - 1].rstrip() + "…"
