"""What the services need besides the store and Label Studio, as values and small protocols; wired in ``backend.wiring``."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from backend.campaign.state import SMALLEST, State
from backend.label_studio.checked import checked
from backend.label_studio.fence import fenced
from backend.label_studio.port import LabelStudioPort
from backend.steps.lease import Beats, Lease, by_thread, steady_clock
from backend.steps.webhook import Webhook
from backend.store import Store
from mcal_engine.acquisition import Distances, by_numpy
from mcal_engine.classifiers.images.decoding import ImageForm
from mcal_engine.training import Scored, TrainingRequest

Heartbeat = Callable[[], None]  # raises when the work must end: lease lost, or the process is asked to stop


class Trainer(Protocol):
    def __call__(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> Scored:
        """Train and score on the campaign's images; ``heartbeat`` is called every few seconds and its exception ends the training."""


class ImageShelf(Protocol):
    """The campaign's decoded images, fetched once and kept across restarts."""

    def missing(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        """The given tasks whose image is not on the shelf yet."""

    def look(self, campaign_id: int, references: Mapping[int, str], heartbeat: Heartbeat) -> tuple[ImageForm | None, dict[int, str]]:
        """How all images of the campaign are to be kept, from a sample of the references (task id → reference) of the whole project.

        Returns:
            The form, or ``None`` where not one can be read, with the reason for each.

        Raises:
            LabelStudioError: as for :meth:`fetch`.
        """

    def fetch(self, campaign_id: int, references: Mapping[int, str], form: ImageForm, heartbeat: Heartbeat) -> dict[int, str]:
        """Fetch images in parallel (task id → reference) and keep them in this form, always the same one for a campaign.

        Returns:
            The reason for each one that cannot be read.

        Raises:
            LabelStudioError: Label Studio itself is away, which says nothing about the images.
        """

    def keep_texts(self, campaign_id: int, texts: Mapping[int, str]) -> dict[int, str]:
        """Keep the texts of tasks (task id → text as people read it) of a campaign whose items are texts, once each.

        Returns:
            The reason for each one that nobody can classify.
        """

    def missing_beside(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        """The given tasks of which it is not known yet what text stands beside their image."""

    def keep_beside(self, campaign_id: int, texts: Mapping[int, str]) -> None:
        """Keep the texts beside images (task id → text as people read it, "" where there is none), once each."""

    def discard(self, campaign_id: int) -> None:
        """Forget a campaign's images: it has ended."""

    def sweep(self, live: Callable[[], Sequence[int]]) -> None:
        """Forget the images here of all but the live campaigns: the others have ended on other machines."""


@dataclass(slots=True)
class Memory:
    """What a worker remembers of its last visits, by campaign, so that it need not ask again at once. To lose it costs time only."""

    user: int | None = None  # whom the token belongs to
    visited_at: dict[int, datetime] = field(default_factory=dict)
    moved_at: dict[int, datetime] = field(default_factory=dict)  # when the watermark last moved: it is Label Studio's time, this is ours
    checked_at: dict[int, datetime] = field(default_factory=dict)  # the last full check
    guarded_at: dict[int, datetime] = field(default_factory=dict)  # the last look at the sentinel
    named_at: dict[int, datetime] = field(default_factory=dict)  # the last question for annotators' names
    nameless: set[int] = field(default_factory=set)  # annotators whom Label Studio did not name


def random_bits() -> int:
    """128 bits from the operating system."""
    return secrets.randbits(128)


def _anything(race: Sequence[str]) -> None:
    """Allow every candidate."""


def _nobody(state: State) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a step works with.

    Attributes:
        seen: is shown each state on the way; it never waits and never raises.
        webhook: registered for each new campaign; ``None``: only what Label Studio registers by itself, or the timer.
        distances: how acquisitions that need features measure them.
        beats: what renews the lease of a campaign that is worked on. ``steady``: the clock in seconds that the lease runs out by, which
            nobody can set.
        smallest: tasks that a project must have at least; simulated campaigns make do with fewer.
        entropy: 128 random bits that nobody can know beforehand, for samples that a promise rests on.
        device: where trainings run, as ``MCAL_DEVICE`` names it; the default race depends on it.
        check_race: raises :class:`InvalidValue` where the operator does not allow a candidate.
    """

    store: Store
    label_studio: LabelStudioPort
    trainer: Trainer
    images: ImageShelf
    now: Callable[[], datetime]
    label_studio_url: str
    lease_seconds: float
    memory: Memory = field(default_factory=Memory)
    seen: Callable[[State], None] = _nobody
    webhook: Webhook | None = None
    distances: Distances = by_numpy
    device: str = "auto"
    entropy: Callable[[], int] = random_bits
    check_race: Callable[[Sequence[str]], None] = _anything
    beats: Beats = by_thread
    steady: Callable[[], float] = steady_clock
    smallest: int = SMALLEST

    def owned(self, campaign_id: int, lease: Lease) -> Services:
        """The same for one visit of this owner: nothing is changed any more, here or in Label Studio, once the lease is another's.

        What contradicts itself in Label Studio's answers is an error there.
        """
        store, label_studio = self.store.fenced(campaign_id, lease.owner), fenced(checked(self.label_studio), lease.require)
        return replace(self, store=store, label_studio=label_studio)
