"""What the protocol needs from the rest of the house. ``backend.store.Store`` and the job queue satisfy these as they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from backend.label_studio.port import LabelControl
from backend.store import Campaign, Event, MachineLabel, NewEvent


class CampaignStore(Protocol):
    """The part of the store that answering Label Studio takes: single-row reads and appends, no bulk work."""

    def campaigns(self) -> list[Campaign]: ...

    def live_campaign(self, label_studio_url: str, project_id: int) -> Campaign | None: ...

    def has_duplicates(self, campaign_id: int) -> bool: ...

    def machine_labels(self, campaign_id: int) -> list[MachineLabel]: ...

    def create_campaign(self, project_id: int, label_studio_url: str, events: Sequence[NewEvent]) -> Campaign: ...

    def events(self, campaign_id: int, *, after: int = 0, kinds: Collection[str] | None = None) -> list[Event]: ...

    def append(self, campaign_id: int, events: Sequence[NewEvent], *, expected_seq: int | None = None) -> list[Event]: ...


class JobQueue(Protocol):
    """Wakes the worker."""

    def enqueue(self, campaign_id: int, reason: str) -> object:
        """Return at once. At most one job per campaign waits, however often this is called: that bounds what events can cost."""


class ParsedSettings(Protocol):
    """A campaign's settings, validated; ``backend.campaign_settings.CampaignSettings``."""

    @property
    def label_controls(self) -> str | None: ...

    @property
    def classifiers(self) -> tuple[str, ...]: ...

    @property
    def min_class_precision(self) -> float | None: ...

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]: ...


class SettingsParser(Protocol):
    """``backend.campaign_settings.parse_campaign_settings``."""

    def __call__(self, values: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None) -> ParsedSettings:
        """Validate ``values`` over ``defaults`` (the environment's if ``None``); raise InvalidValue naming every bad setting."""


LabelConfigParser = Callable[[str, str | None], LabelControl]
"""Label config XML and the names of the controls to use; raises InvalidValue."""

StatusLine = Callable[[int], str]
"""One short sentence on a campaign, from the database alone."""

Predictions = Callable[[int, Sequence[int]], Mapping[int, tuple[str, float, str]]]
"""(project id, task ids) → {task id: (choice, score in [0, 1], model version)}, from the database alone.

Leaves out every task while people must be blind or nothing is decided.
"""
