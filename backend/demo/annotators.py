"""Simulated annotators: each pulls tasks as the "Label All Tasks" button does and submits the true label, over its own connection."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from backend.demo.project import DemoProject
from backend.label_studio import wire
from mcal_engine.errors import MCALError

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.5  # between two looks at an empty queue
AWAY_SECONDS = 1.0  # before trying again when Label Studio is away
TYPICAL_LEAD_TIME = 2.4  # seconds a person takes for an easy image


class AnnotatorError(MCALError):
    """Label Studio refused what an annotator does every day."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One press of the button: what came back, and the annotation that was submitted for it.

    Attributes:
        annotator: the person's address.
        asked_at, served_at, submitted_at: UTC; ``submitted_at`` is ``None`` without a task.
        task_id: ``None`` where Label Studio said that there are no more tasks.
        rule: the name Label Studio gives the rule that picked the task.
    """

    annotator: str
    asked_at: datetime
    served_at: datetime
    task_id: int | None = None
    rule: str = ""
    annotation_id: int | None = None
    choice: str | None = None
    submitted_at: datetime | None = None


class Annotator(threading.Thread):
    """One person at work until :meth:`stop`. ``failure`` holds what ended the work before that.

    Args:
        project: where to label.
        email: who this is; ``token`` is this person's own.
        truth: task id → text of the true answer.
        record: called with every pull, in this thread.
        pace: seconds to think over each task, on average; 0 goes as fast as Label Studio does.
        seed: of the thinking times.
    """

    def __init__(
        self,
        project: DemoProject,
        email: str,
        token: str,
        truth: Mapping[int, str],
        record: Callable[[Pull], None],
        *,
        pace: float,
        seed: int,
    ) -> None:
        super().__init__(name=f"annotator-{email}", daemon=True)
        self.email = email
        self.failure: Exception | None = None
        self._project = project
        self._token = token
        self._truth = truth
        self._record = record
        self._pace = pace
        self._random = random.Random(f"{seed}/{email}")  # noqa: S311 (thinking times, not secrets)
        self._ending = threading.Event()

    def stop(self) -> None:
        """Ask for an end after the task at hand; ``join`` waits for it."""
        self._ending.set()

    def run(self) -> None:
        headers = {"Authorization": f"Token {self._token}"}
        with httpx.Client(base_url=self._project.url, headers=headers, timeout=120) as session:
            while not self._ending.is_set():
                try:
                    found = self._label_one(session)
                except httpx.TransportError as error:
                    logger.info("%s: Label Studio is away (%s)", self.email, type(error).__name__)
                    self._ending.wait(AWAY_SECONDS)
                except Exception as error:  # noqa: BLE001 (a thread must hand its failure over, whatever it is)
                    self.failure = error
                    return
                else:
                    if not found:
                        self._ending.wait(IDLE_SECONDS)

    def _label_one(self, session: httpx.Client) -> bool:
        asked_at = datetime.now(UTC)
        button: dict[str, str | int] = {"id": "next_task", "project": self._project.id, "tabID": self._project.tab_id}
        reply = session.post("/api/dm/actions", params=button, json={})
        served_at = datetime.now(UTC)
        if reply.status_code == httpx.codes.NOT_FOUND:
            self._record(Pull(self.email, asked_at, served_at))
            return False
        if _away(reply):
            return False
        task = _answer(reply, "asked for the next task")
        task_id = int(task["id"])
        lead_time = TYPICAL_LEAD_TIME * self._random.lognormvariate(0, 0.4)
        if self._pace and self._ending.wait(self._pace * self._random.uniform(0.5, 1.5)):
            return False
        choice = self._truth[task_id]
        annotation = self._submit(session, task_id, choice, lead_time)
        if annotation is None:
            return False
        submitted_at = datetime.now(UTC)
        rule, annotation_id = str(task.get("queue", "")), int(annotation["id"])
        self._record(Pull(self.email, asked_at, served_at, task_id, rule, annotation_id, choice, submitted_at))
        return True

    def _submit(self, session: httpx.Client, task_id: int, choice: str, lead_time: float) -> dict[str, Any] | None:
        answered = wire.result_of(choice, self._project.control)
        result = [region | {"id": f"{self._random.getrandbits(40):010x}", "origin": "manual"} for region in answered]
        body = {"result": result, "lead_time": round(lead_time, 3), "started_at": _started(lead_time)}
        reply = session.post(f"/api/tasks/{task_id}/annotations/", params={"project": self._project.id}, json=body)
        if _away(reply):
            return None
        return _answer(reply, f"gave the label of task {task_id}")


def _started(lead_time: float) -> str:
    return datetime.fromtimestamp(time.time() - lead_time, UTC).isoformat()


def _away(reply: httpx.Response) -> bool:
    """A server in trouble (a locked database, a restart) is tried again, as a person would reload the page."""
    return reply.status_code >= httpx.codes.INTERNAL_SERVER_ERROR


def _answer(reply: httpx.Response, doing: str) -> dict[str, Any]:
    if reply.is_error:
        raise AnnotatorError(f"Label Studio answered {reply.status_code} when an annotator {doing}: {reply.text[:300]}")
    return dict(reply.json())
