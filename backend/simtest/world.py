"""What incidents and invariants see of a life: its parts, and what can be made to happen in it."""

from __future__ import annotations

import random
from typing import Any, Protocol

from backend.label_studio.port import Project, Task
from backend.simtest.clock import VirtualClock
from backend.simtest.label_studio_of_life import LifeLabelStudio
from backend.simtest.machines import Process
from backend.simtest.people import People
from backend.store import Store


class World(Protocol):
    """The world of one campaign.

    Attributes:
        n: calls at ports so far. ``last_read``: the number of the last one that listed the project's tasks.
        earlier: Label Studio's tasks at the last turn. ``found``: as the campaign read them first. ``before``: the project before it.
        hand_set: whether somebody has changed the project's settings by hand.
        loose: whether people or admins do anything of themselves.
    """

    clock: VirtualClock
    label_studio: LifeLabelStudio
    people: People
    store: Store
    project: int
    before: Project
    earlier: dict[int, Task]
    found: dict[int, Task]
    n: int
    last_read: int
    hand_set: bool
    loose: bool

    def sleep(self, sleeper: Process, chance: random.Random) -> None:
        """Suspend the caller beyond its lease; meanwhile another worker goes on, and in some lives people and the admin too."""

    def other_visit(self, sleeper: Process) -> None:
        """Let another worker visit in the middle of this one's call."""

    def admin(self, name: str, **asked: Any) -> None:
        """Let an admin ask for one of the actions; it may be refused, or fail."""

    def change_settings(self, **changes: Any) -> None:
        """Let an admin change settings; that may be refused, or fail."""
