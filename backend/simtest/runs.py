"""What came out of a run of lives, to be kept in a file and counted together with others."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backend.simtest.life import Place
from backend.simtest.lives import Found, Violation
from backend.simtest.plan import Incident, draw
from mcal_engine import __version__
from mcal_engine.errors import InvalidValue


@dataclass
class Run:
    """Lives of some seeds.

    Attributes:
        parts: the seeds, each once.
        version: of the program that lived them.
    """

    parts: list[range] = field(default_factory=list)
    version: str = __version__
    minutes: float = 0.0
    found: Found = field(default_factory=Found)

    @classmethod
    def of_seeds(cls, first: int, n: int) -> Run:
        """A run that has not begun."""
        return cls([range(first, first + n)] if n else [])

    @classmethod
    def read(cls, file: Path) -> Run:
        """What :meth:`write` has written.

        Raises:
            InvalidValue: the file cannot be read as such.
        """
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            struck = Counter({Place(row["phase"], row["call"], row["kind"]): row["n"] for row in said["struck"]})
            parts = [range(first, first + n) for first, n in said["seeds"]]
            found = Found(said["lives"], said["calls"], struck, [_violation(row) for row in said["violations"]])
            return cls(parts, said["version"], said["minutes"], found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidValue(f"add must name a file that mcal simtest --json has written, got {file}: {type(error).__name__}") from None

    @property
    def seeds(self) -> str:
        """In words, such as "0 to 999, 3,000 to 3,999"."""
        joined: list[range] = []
        for part in sorted(self.parts, key=lambda part: part.start):
            first = joined.pop().start if joined and joined[-1].stop == part.start else part.start
            joined.append(range(first, part.stop))
        return ", ".join(f"{part.start:,} to {part.stop - 1:,}" for part in joined)

    def add(self, other: Run) -> None:
        """Count another run in.

        Raises:
            InvalidValue: it has some of these seeds too, or another version lived it.
        """
        if other.version != self.version:
            raise InvalidValue(f"add must name lives of version {self.version}, got some of {other.version}")
        for part in other.parts:
            twice = next((mine for mine in self.parts if mine.start < part.stop and part.start < mine.stop), None)
            if twice is not None:
                raise InvalidValue(f"each seed counts once, got {max(part.start, twice.start)} twice")
            self.parts.append(part)
        self.minutes += other.minutes
        self.found.add(other.found)

    def write(self, file: Path) -> None:
        """Keep it as JSON."""
        said = {
            "version": self.version,
            "seeds": [[part.start, len(part)] for part in self.parts],
            "lives": self.found.lives,
            "calls": self.found.calls,
            "minutes": round(self.minutes, 2),
            "struck": [place._asdict() | {"n": n} for place, n in sorted(self.found.struck.items())],
            "violations": [
                {
                    "seed": broken.plan.seed,
                    "scene": broken.plan.scene,
                    "problems": broken.problems,
                    "shortest": [{"at": each.at, "kind": each.kind, "seed": each.seed} for each in broken.shortest.incidents],
                }
                for broken in self.found.violations
            ],
        }
        file.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _violation(said: dict[str, Any]) -> Violation:
    plan = draw(said["seed"])
    incidents = tuple(Incident(each["at"], each["kind"], each["seed"]) for each in said["shortest"])
    return Violation(plan, said["problems"], replace(plan, incidents=incidents), [])
