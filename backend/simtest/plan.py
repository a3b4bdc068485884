"""What is to happen in a life: its kind of campaign, and incidents at numbered calls. Drawn from a seed, or made smaller by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass

from backend.simtest.acts import ACTS
from backend.simtest.faults import FAULTS
from backend.simtest.scenes import SCENES

CALLS = 420  # in a life of the usual length: where incidents are put
CALLS_IN_PHASE = 60
MOST = 9  # incidents


@dataclass(frozen=True, order=True)
class Incident:
    """Something that happens at the first call from number ``at`` on where it can. ``seed`` decides about its details."""

    at: int
    kind: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """A life to be.

    Attributes:
        seed: that it was drawn from.
        phase: the only one in which anything happens, and calls are counted; ``None``: all of them.
        incidents: faults, and what people and admins do of themselves.
    """

    seed: int
    scene: str
    incidents: tuple[Incident, ...]
    phase: str | None = None

    @property
    def loose(self) -> bool:
        """Whether people or admins do anything of themselves: then what is decided may differ from an undisturbed life."""
        return any(incident.kind in ACTS for incident in self.incidents)


def draw(seed: int, phase: str | None = None) -> Plan:
    """The life of a seed: in every second one only faults happen."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    scene = chance.choice(sorted(SCENES))
    kinds = sorted(FAULTS) if seed % 2 else sorted(FAULTS) + sorted(ACTS)
    n, last = chance.randint(1, MOST), CALLS if phase is None else CALLS_IN_PHASE
    drawn = [Incident(chance.randint(1, last), chance.choice(kinds), chance.randrange(2**31)) for _ in range(n)]
    return Plan(seed, scene, tuple(sorted(drawn)), phase)


def undisturbed(scene: str) -> Plan:
    """The same campaign without any incident."""
    return Plan(-1, scene, ())
