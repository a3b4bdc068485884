"""A whole small world for the services: a fake Label Studio with people in it, a real SQLite store, a trainer that knows the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from backend.campaign.state import Phase, State, state_of
from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.label_studio.port import LabelStudioError
from backend.simtest.label_studio import FakeLabelStudio
from backend.steering.actions import ACTIONS
from backend.steering.call import Means
from backend.steps.loop import advance
from backend.steps.open import request_campaign
from backend.steps.ports import Heartbeat, Memory, Services
from backend.store import Campaign, Store
from mcal_engine.classifiers.images.decoding import ImageForm
from mcal_engine.training import Scored, TrainingRequest

CHOICES = ("ant", "bee", "cat")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="label" toName="image">'
    + "".join(f'<Choice value="{choice}"/>' for choice in CHOICES)
    + "</Choices></View>"
)
# One uniform sample, up to three looks: what a peel adds to a campaign is tested where there is one.
SETTINGS: dict[str, Any] = {
    "target_error": 0.05,
    "price_per_label": 0.04,
    "test_size": 40,
    "batch_size": 12,
    "machine_price_per_hour": 0.1,
    "certificate_rule": "uniform",
    "max_looks": 3,
}


def noise(task: int) -> np.random.Generator:
    return np.random.default_rng([7, task])


@dataclass
class NoisyTruth:
    """A trainer whose logits are the truth, blurred; more labels blur less. ``hopeless`` never learns."""

    truth: Callable[[int], int]
    hopeless: bool = False
    requests: list[TrainingRequest] = field(default_factory=list)
    fail: Exception | None = None
    during: Callable[[], None] | None = None
    skill: Callable[[TrainingRequest], float] = lambda request: 1.3 + 0.45 * float(np.log(1 + len(request.train_ids) / 12))

    def __call__(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> Scored:
        self.requests.append(request)
        heartbeat()
        if self.during is not None:
            self.during()
        if self.fail is not None:
            raise self.fail
        assert len(request.train_ids) == len(set(request.train_ids.tolist())) == len(request.train_labels)
        skill = 0.0 if self.hopeless else self.skill(request)
        logits = np.array([self._logits(task, skill, request.n_classes) for task in request.score_ids.tolist()]).reshape(
            -1, request.n_classes
        )
        seconds = {"embed": 1.0, "fit": 0.5 + 0.01 * len(request.train_ids)}
        once = 1.0 if request.round == 0 else 0.0
        features = self._features([*request.score_ids.tolist(), *request.train_ids.tolist()]) if request.with_features else None
        return Scored.of(request, logits, seconds, one_off_seconds=once, device="cpu (2 threads)", features=features)

    def _features(self, tasks: Sequence[int]) -> np.ndarray:
        """Near the truth's corner, each task at its own place."""
        return np.array([np.eye(3)[self.truth(task)] + noise(task).normal(0, 0.3, 3) for task in tasks], dtype=np.float32)

    def _logits(self, task: int, skill: float, n_classes: int) -> list[float]:
        random = noise(task)
        margin, other = random.normal(skill, 1.0), int(random.integers(1, n_classes))
        row = [-5.0] * n_classes
        row[self.truth(task)] = max(margin, 0.0)
        row[(self.truth(task) + other) % n_classes] = max(-margin, 0.0)
        return row


@dataclass
class Shelf:
    """Images that are there as soon as they are asked for, except the bad ones."""

    bad: dict[str, str] = field(default_factory=dict)
    there: set[int] = field(default_factory=set)
    fetched: list[int] = field(default_factory=list)
    fail: Exception | None = None
    beside: dict[int, str] = field(default_factory=dict)

    def missing(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        return [task for task in task_ids if task not in self.there]

    def look(self, campaign_id: int, references: Mapping[int, str], heartbeat: Heartbeat) -> tuple[ImageForm | None, dict[int, str]]:
        if self.fail is not None:
            raise self.fail
        reasons = {task: self.bad[image] for task, image in references.items() if image in self.bad}
        return (None, reasons) if len(reasons) == len(references) else (ImageForm(32), {})

    def fetch(self, campaign_id: int, references: Mapping[int, str], form: ImageForm, heartbeat: Heartbeat) -> dict[int, str]:
        if self.fail is not None:
            raise self.fail
        self.fetched += list(references)
        reasons = {task: self.bad[image] for task, image in references.items() if image in self.bad}
        self.there |= set(references) - set(reasons)
        return reasons

    def missing_beside(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        return [task for task in task_ids if task not in self.beside]

    def keep_beside(self, campaign_id: int, texts: Mapping[int, str]) -> None:
        self.beside |= texts

    def discard(self, campaign_id: int) -> None:
        self.there.clear()

    def sweep(self, live: Callable[[], Sequence[int]]) -> None:
        if not live():
            self.there.clear()


def act(services: Services, campaign_id: int, name: str, *, by: str = "test", **asked: Any) -> str:
    """Do one of the actions; its sentences in one text."""
    action, means = ACTIONS[name], Means(services.store, services.now, lambda: services)
    return " ".join(action.perform(means, campaign_id, action.read(asked, typed=True), by=by))


class World:
    """One project with people in it, and one campaign."""

    config = CONFIG

    def __init__(self, directory: Path, *, n: int = 300, hopeless: bool = False, start: bool = True, **settings: Any) -> None:
        self.offset = timedelta()
        self.label_studio = FakeLabelStudio()
        self.label_studio.now = self.now
        self.people = [self.label_studio.add_user(f"{name}@example.com") for name in ("ann", "bob")]
        self.project = self.label_studio.add_project(self.config, [f"/data/{place}.png" for place in range(n)])
        self.tasks = self.label_studio.task_ids(self.project)
        self.trainer = NoisyTruth(self.leaning, hopeless)
        self.shelf = Shelf()
        directory.mkdir(exist_ok=True)
        self.path = directory / "mcal.db"
        self.store = Store(f"sqlite:///{self.path}")
        self.store.migrate()
        self.settings = parse_campaign_settings({**SETTINGS, **settings}, defaults={})
        self.services = self.fresh_services()
        self.campaign: Campaign
        if start:
            self.begin()

    def begin(self, settings: CampaignSettings | None = None) -> None:
        self.campaign = request_campaign(self.services, self.project, settings or self.settings, "test")

    def fresh_services(self, **parts: Any) -> Services:
        """Services of a worker that has just started: nothing remembered."""
        made: dict[str, Any] = {
            "store": self.store,
            "label_studio": self.label_studio,
            "trainer": self.trainer,
            "images": self.shelf,
            "now": self.now,
            "label_studio_url": self.label_studio.url,
            "lease_seconds": 600.0,
            "memory": Memory(),
            "entropy": lambda: 2**100 + 7,  # the real bits would make every run of the tests another one
        }
        self.services = Services(**{**made, **parts})
        return self.services

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def wait(self, **how_long: float) -> None:
        """Let time pass."""
        self.offset += timedelta(**how_long)

    @staticmethod
    def truth(task: int) -> int:
        return int(noise(task).integers(0, 10**6)) % len(CHOICES)

    def leaning(self, task: int) -> int:
        """The class that the trainer leans to."""
        return self.truth(task)

    def right(self, task: int) -> str:
        return CHOICES[self.truth(task)]

    def act(self, name: str, *, by: str = "test", **asked: Any) -> str:
        """What an admin does, as page, API and command line do it; the sentences in one text."""
        return act(self.services, self.campaign.id, name, by=by, **asked)

    def advance(self) -> State:
        state = advance(self.services, self.campaign.id)
        assert state is not None
        return state

    def state(self) -> State:
        return state_of(self.store, self.campaign.id, self.now())

    def label(self, n: int | None = None, *, skip: Iterable[int] = ()) -> list[int]:
        """Two people take turns with "Label All Tasks", until it is empty or ``n`` labels are given. Returns the tasks served."""
        served: list[int] = []
        avoid = set(skip)
        turn = 0
        idle = 0
        while idle < len(self.people) and (n is None or len(served) < n):
            person = self.people[turn % len(self.people)]
            turn += 1
            task = self.label_studio.next_task(self.project, person)
            if task is None:
                idle += 1
                continue
            idle = 0
            served.append(task)
            if task in avoid:
                self.label_studio.skip(task, person)
            else:
                self.label_studio.annotate(task, person, self.right(task))
        return served

    def run(self, *, until: Iterable[Phase] = (), rounds: int = 60, **labelling: Any) -> State:
        """Advance and label in turns until the campaign has ended or come to one of these stages."""
        state = self.advance()
        for _ in range(rounds):
            if state.ended or state.stage in set(until):
                return state
            self.label(**labelling)
            state = self.advance()
        raise AssertionError(f"still {state.stage} after {rounds} rounds: {state.progress}")

    def annotations(self) -> dict[int, list[Any]]:
        """Task → its annotations, as Label Studio has them now."""
        return {task.id: list(task.annotations) for task in self.label_studio.tasks(self.project, self.state().control)}

    def machine_annotations(self) -> dict[int, Any]:
        me = self.label_studio.service_user.id
        found = {
            task: [a for a in rows if a.completed_by == me and a.updated_by in (None, me)] for task, rows in self.annotations().items()
        }
        assert all(len(rows) <= 1 for rows in found.values()), "a task has two machine labels"
        return {task: rows[0] for task, rows in found.items() if rows}

    def ledger(self) -> dict[str, Any]:
        """Everything that must be the same however the campaign came about: no times, no ids of annotations."""
        state = self.state()
        items = {task: (item.label, item.skipped, item.deleted, item.n_human, item.preexisting) for task, item in state.items.items()}
        report = (
            None if state.report is None else {key: value for key, value in state.report.items() if key not in ("wall_seconds", "versions")}
        )
        return {
            "phase": state.phase,
            "items": items,
            "roles": state.roles,
            "machine": {row.task_id: (row.label, row.state) for row in state.machine_labels},
            "decisions": [event.payload["decision"] for event in self.store.events(self.campaign.id, kinds=("decision",))],
            "queues": [(queue.kind, queue.ids, queue.n_asked) for queue in state.queues],
            "repeats": state.n_repeats_paid,
            "report": report,
        }


class Killed(BaseException):
    """A process dies here: not an Exception, so that nothing on the way handles it."""


class Away(LabelStudioError):
    def __init__(self) -> None:
        super().__init__("Label Studio cannot be reached", retryable=True)
