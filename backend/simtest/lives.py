"""Many lives: each judged, counted, and, where an invariant is broken, made as short as it can be."""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backend.simtest.life import Ground, Life, Outcome, Place
from backend.simtest.mutations import mutated
from backend.simtest.plan import Plan, draw, undisturbed

MEMORY = Path("/dev/shm")  # noqa: S108 (a folder in memory, where there is one: nothing in it outlives the run)
PORTION = 25  # lives that one process is given at a time
_UNDISTURBED: dict[str, dict[str, Any]] = {}  # scene → what comes out where nothing happens: always the same


@dataclass(frozen=True)
class Violation:
    """A life that broke an invariant, and the shortest one that breaks it in the same way."""

    plan: Plan
    problems: list[str]
    shortest: Plan
    lines: list[str]


@dataclass
class Found:
    """What came out of some lives: how many, their calls, what struck where, and what was broken."""

    lives: int = 0
    calls: int = 0
    struck: Counter[Place] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Count another part in."""
        self.lives += other.lives
        self.calls += other.calls
        self.struck += other.struck
        self.violations += other.violations


class Lives:
    """Lives in this process, one after the other.

    Args:
        mutation: the mistake that the product makes in them, but in no undisturbed life.
    """

    def __init__(self, ground: Ground, mutation: str | None = None) -> None:
        self._ground, self._mutation = ground, mutation

    def live(self, plan: Plan) -> Outcome:
        """One life, judged; where only faults happen it is compared with the undisturbed one."""
        with mutated(self._mutation):
            outcome = Life(plan, self._ground).run()
        if not plan.loose and plan.incidents:
            expected = self._expected(plan.scene)
            differs = [name for name, value in expected.items() if value != outcome.ledger.get(name)]
            if differs:
                outcome.problems.append(f"8: not as in the undisturbed life: {', '.join(differs)}")
        return outcome

    def shortest(self, plan: Plan, problems: Sequence[str]) -> tuple[Plan, Outcome]:
        """Leave out one incident after the other as long as an invariant is still broken in the same way."""
        kind, outcome = _kind(problems[0]), self.live(plan)
        for incident in plan.incidents:
            smaller = replace(plan, incidents=tuple(each for each in plan.incidents if each is not incident))
            found = self.live(smaller)
            if kind in map(_kind, found.problems):
                plan, outcome = smaller, found
        return plan, outcome

    def _expected(self, scene: str) -> dict[str, Any]:
        if scene not in _UNDISTURBED:
            _UNDISTURBED[scene] = Life(undisturbed(scene), self._ground).run().ledger
        return _UNDISTURBED[scene]


def _kind(problem: str) -> str:
    return problem.split(":", maxsplit=1)[0]


@contextmanager
def lives(mutation: str | None = None) -> Iterator[Lives]:
    """Lives on a database of their own, in memory where the machine has a place there; nothing is logged."""
    logger = logging.getLogger("backend")
    before = logger.propagate, list(logger.handlers)
    logger.propagate, logger.handlers = False, [logging.NullHandler()]
    try:
        with tempfile.TemporaryDirectory(prefix="mcal-simtest-", dir=MEMORY if MEMORY.is_dir() else None) as name:
            ground = Ground(Path(name))
            try:
                yield Lives(ground, mutation)
            finally:
                ground.store.close()
    finally:
        logger.propagate, logger.handlers = before


def some(seeds: Iterable[int], phase: str | None = None, mutation: str | None = None, *, first_only: bool = False) -> Found:
    """Live the lives of these seeds, in this process; ``first_only``: up to the first that breaks an invariant."""
    found = Found()
    with lives(mutation) as many:
        for seed in seeds:
            outcome = many.live(draw(seed, phase))
            found.lives += 1
            found.calls += outcome.calls
            found.struck += outcome.struck
            if outcome.problems:
                shortest, last = many.shortest(outcome.plan, outcome.problems)
                found.violations.append(Violation(outcome.plan, outcome.problems, shortest, last.lines))
                if first_only:
                    break
    return found


def many(first: int, n: int, jobs: int = 1, phase: str | None = None) -> Iterator[Found]:
    """Live ``n`` lives from seed ``first`` on, in ``jobs`` processes; yields portions as they come."""
    portions = [range(start, min(start + PORTION, first + n)) for start in range(first, first + n, PORTION)]
    if jobs == 1:
        yield from (some(seeds, phase) for seeds in portions)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(some, portions, [phase] * len(portions))
