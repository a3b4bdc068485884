"""One campaign's surroundings on a running Label Studio: project, users, our web server and worker, simulated annotators."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from backend.campaign import events, history
from backend.campaign.state import State, state_of
from backend.demo.annotators import Annotator, Pull
from backend.demo.data import DemoData
from backend.demo.label_studio_server import LabelStudioServer
from backend.demo.processes import Command, wait_until_healthy
from backend.demo.project import Admin, ProjectError
from backend.demo.trace import Batch
from backend.label_studio import wire
from backend.label_studio.port import Task
from backend.store import Store

WEB_SECONDS = 60.0  # until the web server must answer


@dataclass(frozen=True, slots=True)
class Plan:
    """What to set up.

    Attributes:
        extra_params: the campaign's settings, as given in Label Studio's form.
        pace: seconds an annotator thinks over a task.
        seed: of the annotators' thinking times.
        poll_seconds: how often the worker looks without being woken.
        server: settings of web server and worker, by variable, on top of the house's own.
    """

    extra_params: Mapping[str, Any]
    annotators: int = 2
    pace: float = 0.0
    seed: int = 0
    poll_seconds: float = 3.0
    server: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


class House:
    """Everything around one campaign, from entering the context until leaving it; then no process is left.

    Attributes:
        project, truth: the project, and task id → text of the true answer.
        service_user: the user that the backend acts as; ``people``: the annotators.
        command: what makes a command of its arguments, settings and directory.
        web, worker: our own commands; ``page_password``: of the user admin on our pages.
        store: the campaign's database, to look at.
        pulls: every pull so far, in the order they ended.
    """

    def __init__(
        self, server: LabelStudioServer, directory: Path, data: DemoData, plan: Plan, command: Callable[..., Command] = Command
    ) -> None:
        self.server = server
        self.command = command
        self.directory = directory
        self.plan = plan
        self.pulls: list[Pull] = []
        self.annotators: list[Annotator] = []
        self._data = data
        self._stack = ExitStack()
        self._recording = threading.Lock()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _build(self, stack: ExitStack) -> None:
        folder = f"images-{secrets.token_hex(4)}"
        self.admin = stack.enter_context(Admin(self.server.url, self.server.admin_token))
        self.project, self.truth = self.admin.create_project(self._data, self.server.document_root, folder)
        self.service_user = self._person("mcal")
        self.people = [self._person(f"annotator{number + 1}") for number in range(self.plan.annotators)]
        self.directory.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.page_password = secrets.token_urlsafe(12)
        self.settings = {
            "MCAL_ADMIN_PASSWORD": self.page_password,
            "MCAL_LABEL_STUDIO_URL": self.server.url,
            "MCAL_LABEL_STUDIO_TOKEN": _personal_access_token(self.server.url, self.service_user.token),
            "MCAL_DATA_DIR": str(self.directory),
            "MCAL_DATABASE_URL": f"sqlite:///{self.directory / 'mcal.db'}",
            "MCAL_HOST": "127.0.0.1",
            "MCAL_PORT": str(port),
            "MCAL_PUBLIC_URL": self.url,
            "MCAL_POLL_SECONDS": str(self.plan.poll_seconds),
            **self.plan.server,
        }
        self.store = Store(self.settings["MCAL_DATABASE_URL"])
        stack.callback(self.store.close)
        self.store.migrate()
        self.web = self.command(["serve"], self.settings, self.directory)
        self.worker = self.command(["worker"], self.settings, self.directory)
        stack.callback(self._stop_all)
        self.web.start()
        self.worker.start()
        wait_until_healthy(self.url, self.web, WEB_SECONDS)

    def connect(self) -> int:
        """Connect the model in Label Studio, which starts the campaign; returns its id."""
        self.admin.connect(self.project, self.url, self.plan.extra_params)
        found = self.store.live_campaign(self.settings["MCAL_LABEL_STUDIO_URL"], self.project.id)
        if found is None:
            raise ProjectError("the model is connected, but no campaign has begun: are there extra params?")
        self.campaign_id = found.id
        return found.id

    def start_annotators(self) -> None:
        """Let the annotators work until :meth:`stop_annotators`."""
        for person in self.people:
            annotator = Annotator(
                self.project, person.email, person.token, self.truth, self._record, pace=self.plan.pace, seed=self.plan.seed
            )
            self.annotators.append(annotator)
            annotator.start()

    def stop_annotators(self) -> None:
        """Let everybody finish the task at hand and go home."""
        for annotator in self.annotators:
            annotator.stop()
        for annotator in self.annotators:
            annotator.join()
        self.annotators.clear()

    def check(self) -> None:
        """Raise unless everything that should run runs and nobody had to give up."""
        self.web.check()
        self.worker.check()
        for annotator in self.annotators:
            if annotator.failure is not None:
                raise annotator.failure

    def state(self) -> State:
        """The campaign as it stands, from its database."""
        return state_of(self.store, self.campaign_id, datetime.now(UTC))

    def batches(self) -> list[Batch]:
        """The queues that were opened so far; the last one, whatever is left, holds every task, in the order of ids."""
        everything = tuple(sorted(self.truth))
        opened = history.read(self.store, self.campaign_id, events.QueueOpened)
        return [
            Batch(
                entry.event.model_version,
                entry.event.queue,
                entry.at,
                everything if entry.event.queue == "residual" else entry.event.ids,
                frozenset(entry.event.twice),
            )
            for entry in opened
        ]

    def tasks(self) -> list[Task]:
        """The project as a user downloads it."""
        return [wire.task(row, self.project.control) for row in self.admin.export(self.project)]

    def service_user_id(self) -> int:
        created = history.read(self.store, self.campaign_id, events.Created)
        return created[0].event.service_user.id

    def trace(self) -> list[Pull]:
        """The pulls so far; safe while annotators work."""
        with self._recording:
            return list(self.pulls)

    def _record(self, pull: Pull) -> None:
        with self._recording:
            self.pulls.append(pull)

    def _person(self, name: str) -> Person:
        email, password = f"{name}.project{self.project.id}@example.com", secrets.token_urlsafe(12)
        return Person(email, password, self.server.create_user(email, password))

    def _stop_all(self) -> None:
        for annotator in self.annotators:
            annotator.stop()
        for command in (self.web, self.worker):
            command.ask_to_stop()  # so that both end at the same time
        for command in (self.web, self.worker):
            command.stop()


def _personal_access_token(url: str, legacy_token: str) -> str:
    reply = httpx.post(f"{url}/api/token/", headers={"Authorization": f"Token {legacy_token}"}, timeout=30)
    if reply.is_error:
        raise ProjectError(f"Label Studio answered {reply.status_code} when asked for a personal access token: {reply.text[:300]}")
    return str(reply.json()["token"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
