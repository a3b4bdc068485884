"""Faults at random moments, while a campaign runs: SIGKILL, SIGSTOP with SIGCONT, a line that is cut. The choices follow from a seed."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from backend.demo.processes import Command, wait_until_healthy
from tests.chaos.proxy import CUTS, Line

GRACE = 30.0  # seconds within which the children of a killed worker end by themselves
HOLDER = 0.4  # how often the holder is chosen where it may be: so it is hit at any moment of a step, not at its beginning alone
WHAT = {"kill": 60, "stop": 20, "cut": 15, "kill the web server": 5}  # how often, relative to one another


class Faults(threading.Thread):
    """Hurts the processes and the line until :meth:`end`; then all is whole again.

    Args:
        holder: which process holds the campaign's lease.
        progress: what changes as the campaign goes on. The holder is hurt once before it has changed again, so that each step comes to an
            end at some time; between these hits the others are hurt.
        lease_seconds: a process is stopped for up to twice as long.
        gap: seconds from one fault to the next, on average.

    Attributes:
        counts: how many faults of each kind there were.
        troubles: what went wrong with the processes themselves.
    """

    def __init__(
        self,
        workers: Sequence[Command],
        web: Command,
        web_url: str,
        line: Line,
        holder: Callable[[], int | None],
        progress: Callable[[], object],
        *,
        seed: str,
        lease_seconds: float,
        gap: float,
    ) -> None:
        super().__init__(name="faults", daemon=True)
        self.counts: Counter[str] = Counter()
        self.troubles: list[str] = []
        self._workers, self._web, self._web_url, self._line, self._holder = list(workers), web, web_url, line, holder
        self._progress, self._seen = progress, object()
        self._chance = random.Random(seed)
        self._lease_seconds, self._gap = lease_seconds, gap
        self._ending = threading.Event()
        self._later: list[tuple[float, int, Callable[[], None]]] = []  # what is mended, and when
        self._number = itertools.count()
        self._hurt: set[int] = set()  # workers, by place, that are dead or stopped
        self._groups: set[int] = set()  # process groups whose leader was killed
        self._cut = False

    def end(self) -> None:
        """Stop hurting, mend everything, and look whether everybody is there and nobody else."""
        self._ending.set()
        self.join()
        deadline = time.monotonic() + GRACE
        while (left := [group for group in self._groups if _alive(group)]) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.troubles += [f"a child outlived its killed worker (process group {group})" for group in left]

    def run(self) -> None:
        due = time.monotonic() + self._chance.expovariate(1 / self._gap)
        while not self._ending.is_set():
            self._mend(time.monotonic())
            self._look()
            if time.monotonic() >= due:
                self._one()
                due = time.monotonic() + self._chance.expovariate(1 / self._gap)
            self._ending.wait(0.05)
        self._mend(float("inf"))

    def _mend(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._number), what))

    def _look(self) -> None:
        for place, worker in enumerate(self._workers):
            if place not in self._hurt and not worker.running:
                self.troubles.append(f"a worker ended by itself: {worker.log_tail()}")
                self._start(place)

    def _one(self) -> None:
        what = self._chance.choices(list(WHAT), list(WHAT.values()))[0]
        if what == "cut":
            if not self._cut:
                self._cut_line()
        elif what == "kill the web server":
            self._kill_web()
        elif (place := self._victim()) is not None:
            (self._kill if what == "kill" else self._stop_worker)(place)
        else:
            return
        if what != "cut":
            self.counts[what] += 1

    def _victim(self) -> int | None:
        whole = [place for place in range(len(self._workers)) if place not in self._hurt]
        held = self._holder()
        others = [place for place in whole if self._workers[place].pid != held]
        if len(others) < len(whole) and self._chance.random() < HOLDER and (now := self._progress()) != self._seen:
            self._seen = now
            others = [place for place in whole if place not in others]
        return self._chance.choice(others) if others else None

    def _kill(self, place: int) -> None:
        """The worker alone, whose children must notice; or all of them, as when a machine goes down."""
        pid = self._workers[place].pid
        (os.killpg if self._chance.random() < 0.5 else os.kill)(pid, signal.SIGKILL)
        self._groups.add(pid)
        self._hurt.add(place)
        self._after(self._chance.uniform(0, 2), lambda: self._start(place))

    def _start(self, place: int) -> None:
        self._workers[place].stop()
        self._workers[place].start()
        self._hurt.discard(place)

    def _stop_worker(self, place: int) -> None:
        pid, both = self._workers[place].pid, self._chance.random() < 0.5
        send = os.killpg if both else os.kill
        send(pid, signal.SIGSTOP)
        self._hurt.add(place)

        def go_on() -> None:
            with contextlib.suppress(ProcessLookupError):
                send(pid, signal.SIGCONT)
            self._hurt.discard(place)

        self._after(self._chance.uniform(0.2, 2 * self._lease_seconds), go_on)

    def _cut_line(self) -> None:
        how = self._chance.choice(CUTS)
        self._line.cut(how)
        self._cut = True
        self.counts[f"cut, {how}"] += 1

        def mend() -> None:
            self._line.mend()
            self._cut = False

        self._after(self._chance.uniform(0.5, 6), mend)

    def _kill_web(self) -> None:
        os.killpg(self._web.pid, signal.SIGKILL)
        self._web.stop()
        self._web.start()
        wait_until_healthy(self._web_url, self._web, 120)


def _alive(group: int) -> bool:
    """Whether a process of the group still runs; one that is dead and that nobody has waited for does not."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(int(of) == group and not state.startswith("Z") for of, state in map(str.split, listed.splitlines()))
