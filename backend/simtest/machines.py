"""The parts of a simulated machine: its processes, its shelf of images, its trainings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from backend.simtest.clock import VirtualClock
from backend.simtest.scenes import CHOICES
from backend.steps.ports import Heartbeat
from mcal_engine.classifiers.images.decoding import ImageForm
from mcal_engine.training import Scored, TrainingRequest

TRAINING_SECONDS = 90.0


class Killed(BaseException):
    """A process dies here: not an Exception, so that nothing on the way handles it."""


@dataclass
class Process:
    """A worker or a web server. Once dead, it does nothing any more."""

    name: str
    alive: bool = True

    def die(self) -> Killed:
        """What to raise."""
        self.alive = False
        return Killed(self.name)


@cache
def nature(task: int) -> tuple[int, float, int]:
    """A task's true class, how hard it is to see, and the class it is taken for where it is misread."""
    random = np.random.default_rng([7, task])
    return int(random.integers(len(CHOICES))), float(random.normal()), int(random.integers(1, len(CHOICES)))


def truth(task: int) -> str:
    """The choice that is right."""
    return CHOICES[nature(task)[0]]


@dataclass
class Trainer:
    """A trainer whose logits are the truth, blurred; more labels blur less. The same request gives the same answer."""

    clock: VirtualClock
    skill: float

    def __call__(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> Scored:
        """Train for a while, with a heartbeat now and then."""
        del campaign_id
        for _ in range(3):
            self.clock.wait(TRAINING_SECONDS / 3)
            heartbeat()
        skill = self.skill * (1 + 0.2 * float(np.log(1 + len(request.train_ids) / 12))) if self.skill else 0.0
        logits = np.full((len(request.score_ids), request.n_classes), -5.0)
        for row, task in enumerate(request.score_ids.tolist()):
            label, hardness, other = nature(task)
            margin = skill + hardness
            logits[row, label] = max(margin, 0.0)
            logits[row, (label + other) % len(CHOICES)] = max(-margin, 0.0)
        once = 1.0 if request.round == 0 else 0.0
        return Scored.of(request, logits, {"embed": 1.0, "fit": 0.5 + 0.01 * len(request.train_ids)}, one_off_seconds=once, device="cpu")


@dataclass
class Shelf:
    """Images that are there as soon as they are asked for."""

    there: set[int] = field(default_factory=set)

    def missing(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        """See :class:`backend.steps.ports.ImageShelf`."""
        del campaign_id
        return [task for task in task_ids if task not in self.there]

    def look(self, campaign_id: int, references: Mapping[int, str], heartbeat: Heartbeat) -> tuple[ImageForm | None, dict[int, str]]:
        """See :class:`backend.steps.ports.ImageShelf`."""
        del campaign_id, references
        heartbeat()
        return ImageForm(32), {}

    def fetch(self, campaign_id: int, references: Mapping[int, str], form: ImageForm, heartbeat: Heartbeat) -> dict[int, str]:
        """See :class:`backend.steps.ports.ImageShelf`."""
        del campaign_id, form
        heartbeat()
        self.there |= set(references)
        return {}

    def missing_beside(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        """See :class:`backend.steps.ports.ImageShelf`."""
        del campaign_id, task_ids
        return []  # no candidate of a life looks at texts

    def keep_beside(self, campaign_id: int, texts: Mapping[int, str]) -> None:
        """See :class:`backend.steps.ports.ImageShelf`."""
        del campaign_id, texts

    def discard(self, campaign_id: int) -> None:
        """See :class:`backend.steps.ports.ImageShelf`."""
        del campaign_id
        self.there.clear()

    def sweep(self, live: Callable[[], Sequence[int]]) -> None:
        """See :class:`backend.steps.ports.ImageShelf`."""
        if not live():
            self.there.clear()
