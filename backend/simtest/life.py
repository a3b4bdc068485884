"""One simulated life of a campaign, from its request to its end, with incidents on the way. The same plan gives the same calls."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from backend.campaign.state import Phase, State, state_of
from backend.campaign_settings import parse_campaign_settings
from backend.label_studio.port import LabelStudioError, Task
from backend.simtest import invariants
from backend.simtest.acts import ACTS
from backend.simtest.clock import VirtualClock
from backend.simtest.faults import FAULTS
from backend.simtest.label_studio_of_life import LifeLabelStudio
from backend.simtest.machines import Killed, Process, Shelf, Trainer
from backend.simtest.people import People
from backend.simtest.plan import Incident, Plan
from backend.simtest.ports import Port, PortCall
from backend.simtest.reads import Reads
from backend.simtest.scenes import CONFIG, SCENES, SMALLEST
from backend.steering.actions import ACTIONS
from backend.steering.call import Means
from backend.steering.control import change_settings
from backend.steps.open import request_campaign
from backend.steps.ports import Services
from backend.store import Store, StoreUnavailable
from backend.worker import Worker
from mcal_engine.errors import InvalidValue, MCALError

KINDS = FAULTS | ACTS
LEASE_SECONDS = 120.0
TURN_SECONDS = 20 * 60.0  # between two visits; a lease that nobody gave back is over by then
SECONDS = {"label_studio": 0.2, "store": 0.01}  # that a call takes
TURNS = 60  # after so many, a campaign that has not ended never will
ENTROPY = 2**100 + 7
UNEXPECTED = "unexpected error"  # what the worker logs of an exception that no part of the program has a name for


class Place(NamedTuple):
    """Where something happened: at which stage, at which call, and what."""

    phase: str
    call: str
    kind: str


@dataclass
class Outcome:
    """What became of a life.

    Attributes:
        problems: what broke an invariant. ``lines``: every call, visit and incident, in order.
        struck: how often each kind of incident happened at each stage and call.
        calls: at ports. ``ledger``: what must not depend on faults.
    """

    plan: Plan
    problems: list[str]
    lines: list[str]
    struck: Counter[Place]
    calls: int
    ledger: dict[str, Any]


class Ground:
    """What all lives of this process stand on: a migrated database, emptied for each."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self._path = directory / "life.db"
        self.store = Store(f"sqlite:///{self._path}", self._now)
        self.store.migrate()
        self.store.close()
        self._empty = self._path.read_bytes()

    def _now(self) -> datetime:
        return self.clock.now()

    def renewed(self, clock: VirtualClock) -> Store:
        """An empty database, dated by this clock."""
        self.store.close()
        for ending in ("-wal", "-shm"):
            Path(f"{self._path}{ending}").unlink(missing_ok=True)
        self._path.write_bytes(self._empty)
        self.clock = clock
        return self.store


class _NoJobs:
    """Hints are not needed: every turn visits."""

    def enqueue(self, campaign_id: int, reason: str) -> bool:
        del campaign_id, reason
        return True

    def run_worker(self, *_: Any) -> None:
        """Nothing waits."""


class _Unexpected(logging.Handler):
    """Hears what the worker could not name."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if UNEXPECTED in text and "(injected)" not in text:
            self.heard.append(text)


class Life:
    """The world of one campaign.

    Attributes:
        n: calls at ports so far. ``stage``: where the campaign stood when it was last looked at.
        earlier: Label Studio's tasks at the last turn. ``last_read``: the number of the last call that listed its tasks.
    """

    def __init__(self, plan: Plan, ground: Ground) -> None:
        self.plan, self.scene, self.loose = plan, SCENES[plan.scene], plan.loose
        self.clock = VirtualClock()
        self.store = ground.renewed(self.clock)
        self._reads = cast(Store, Reads(self.store))
        self.label_studio = LifeLabelStudio()
        self.label_studio.now = self.clock.label_studio_now
        self.project = self.label_studio.add_project(CONFIG, [f"/data/{place}.png" for place in range(self.scene.n)])
        self.before = self.label_studio.project(self.project)
        self.people = People(self.label_studio, self.project, self.scene)
        self.shelf, self.trainer = Shelf(), Trainer(self.clock, self.scene.skill)
        self.campaign: int | None = None
        self.n, self.stage, self.last_read = 0, "requested", 0
        self.lines: list[str] = []
        self.problems: list[str] = []
        self.struck: Counter[Place] = Counter()
        self.earlier: dict[int, Task] = self.label_studio.content()
        self.found = self.earlier
        self._waiting = sorted(plan.incidents)
        self._workers: dict[str, tuple[Process, Worker]] = {}
        self._depth = self._born = self._n_in_phase = 0
        self._rolls_back = self.hand_set = False

    # --- what happens

    def run(self) -> Outcome:
        """Live it, and judge it."""
        logger, heard = logging.getLogger("backend.worker"), _Unexpected()
        logger.addHandler(heard)
        try:
            self._live()
        finally:
            logger.removeHandler(heard)
        self.problems += [f"unexpected error: {text.splitlines()[-1]}" for text in heard.heard]
        self.problems += self.people.problems
        state = self.state()
        if state is not None:
            self.problems += invariants.at_the_end(self, state)
        ledger = {} if state is None else invariants.ledger(self, state)
        return Outcome(self.plan, list(dict.fromkeys(self.problems)), self.lines, self.struck, self.n, ledger)

    def _live(self) -> None:
        for task in sorted(self.earlier)[: self.scene.labelled]:
            self.people.answer(task, self.people.two[0], -1)
        for turn in range(TURNS):
            self.clock.wait(TURN_SECONDS)
            self.earlier = self.label_studio.content()
            self._say(f"turn {turn}")
            if self.campaign is None:
                self._request()
                continue
            self._visit("worker")
            state = self.state()
            assert state is not None
            self.problems += invariants.always(self)
            if self._over(state):
                return
            self._people(state)
            self._admin(state)
        self.problems.append(f"no end: after {TURNS} turns the campaign is still {self.stage}")

    def _over(self, state: State) -> bool:
        if not state.ended:
            return False
        if state.phase != Phase.FINISHED:
            return True
        if self._rolls_back:  # the admin was refused, and will ask again
            return False
        audit_to_come = self.scene.audit and not state.audits and ACTIONS["audit"].refuses(state) is None
        return not audit_to_come and self.scene.rollback_after != Phase.FINISHED

    def _people(self, state: State) -> None:
        if self.scene.called_off and state.audit is not None:
            return  # whoever is served by it waits
        if self.loose and state.published is not None:
            self.people.label_queue(state, None if self.clock.seconds % 3 else 5, self.n)
        elif self._is_served(state):
            self.people.label_queue(state, None, self.n)

    def _is_served(self, state: State) -> bool:
        """Whether people find the queue that was decided; without incidents of their own they wait for it."""
        if state.ended:
            return False
        queue = state.queue
        return queue is not None and state.published == queue.model_version

    def _admin(self, state: State) -> None:
        """What the admin of this scene does, and what any admin does about a campaign that stands still."""
        scene = self.scene
        if state.phase in (Phase.PAUSED, Phase.HALTED):
            self.admin("resume")
        if state.phase == Phase.AWAITING_APPROVAL:
            self.admin("approve")
        if scene.audit and state.phase == Phase.FINISHED and not state.audits:
            self.admin("audit", size=12)
        if scene.called_off and state.audit is not None and state.audit.model_version and state.audit.cancelled_by is None:
            self.admin("cancel-audit")
        self._rolls_back |= scene.rollback_after == state.stage.value and (state.ended or self._is_served(state))
        if self._rolls_back and state.phase not in (Phase.ROLLED_BACK, Phase.CANCELLED):
            self.admin("rollback")

    def _request(self) -> None:
        settings = parse_campaign_settings(self.scene.all_settings, defaults={})
        found = self._by_admin(lambda services: request_campaign(services, self.project, settings, "simtest"))
        live = found or next(iter(self._reads.live_campaigns()), None)
        self.campaign = None if live is None else live.id

    def admin(self, name: str, **asked: Any) -> None:
        """An admin asks for one of the actions; it may be refused, or fail."""
        if self.campaign is None:
            return
        campaign, action = self.campaign, ACTIONS[name]

        def act(services: Services) -> list[str]:
            means = Means(services.store, services.now, lambda: services, patience_seconds=0.0)
            return action.perform(means, campaign, action.read(asked, typed=True), by="simtest")

        if name == "ask-again":
            self.people.asked_again |= set(self.label_studio.content())
        self._by_admin(act)

    def change_settings(self, **changes: Any) -> None:
        """An admin changes settings; that may be refused, or fail."""
        if self.campaign is not None:
            campaign = self.campaign
            self._by_admin(lambda services: change_settings(services.store, campaign, changes, services.now(), by="simtest"))

    def sleep(self, sleeper: Process, chance: random.Random) -> None:
        """The caller is suspended beyond its lease; meanwhile another worker goes on, and in some lives people and the admin too."""
        if self._depth:
            return
        with self.clock.asleep():
            for _ in range(chance.randint(1, 3)):
                self.clock.wait(LEASE_SECONDS * 2)
                self.other_visit(sleeper)
                state = self.state()
                if state is None:
                    continue
                self._people(state)
                self._admin(state)
                if self.loose and chance.random() < 0.3:
                    self.admin(chance.choice(["rollback", "audit", "pause", "stop"]))

    def other_visit(self, sleeper: Process) -> None:
        """Another worker visits in the middle of this one's call."""
        if self._depth or self.campaign is None:
            return
        self._depth += 1
        try:
            self._visit("another" if sleeper.name.startswith("worker") else "worker")
        finally:
            self._depth -= 1

    # --- processes

    def _visit(self, name: str) -> None:
        assert self.campaign is not None
        process, worker = self._worker(name)
        try:
            worker.visit(self.campaign)
        except Killed:
            self._say(f"{process.name} is dead")

    def _by_admin(self, act: Callable[[Services], Any]) -> Any:
        process = self._process("web")
        try:
            return act(self._services(process))
        except Killed:
            self._say(f"{process.name} is dead")
        except (InvalidValue, LabelStudioError, StoreUnavailable) as error:
            self._say(f"{process.name}: refused: {error}")
        except (MCALError, OSError) as error:
            self._say(f"{process.name}: failed: {error}")
        return None

    def _process(self, name: str) -> Process:
        self._born += 1
        return Process(f"{name} {self._born}")

    def _worker(self, name: str) -> tuple[Process, Worker]:
        found = self._workers.get(name)
        if found is None or not found[0].alive:
            process = self._process(name)
            found = process, Worker(self._services(process), _NoJobs(), 60.0, rest_seconds=0.0)
            self._workers[name] = found
        return found

    def _services(self, process: Process) -> Services:
        def port(inner: Any, name: str) -> Any:
            return Port(inner, name, process, self.enter)

        return Services(
            store=port(self._reads, "store"),
            label_studio=port(self.label_studio, "label_studio"),
            trainer=port(self.trainer, "trainer"),
            images=port(self.shelf, "images"),
            now=self.clock.now,
            label_studio_url=self.label_studio.url,
            lease_seconds=LEASE_SECONDS,
            seen=self._seen,
            entropy=lambda: ENTROPY,
            beats=self.clock.beats,
            steady=self.clock.monotonic,
            smallest=SMALLEST,
        )

    def enter(self, call: PortCall) -> Any:
        """One call at a port: time passes, and what is due happens."""
        if not call.process.alive:
            raise Killed(call.process.name)
        if call.method == "renew_lease":
            return call.do()
        self.n += 1
        self.clock.wait(SECONDS.get(call.port, 0.1))
        self.lines.append(f"{self.n:5} {call.process.name}, {self.stage}: {call.where}")
        if call.method == "tasks":
            self.last_read = self.n
            if self.stage == "requested":
                self.found = self.label_studio.content()
        incident = self._due(call)
        if incident is None:
            return call.do()
        self.struck[Place(self.stage, call.where, incident.kind)] += 1
        self._say(f"*** {incident.kind}")
        return KINDS[incident.kind].strike(self, call, random.Random(incident.seed))  # noqa: S311 (a seed's life, no secret)

    def _due(self, call: PortCall) -> Incident | None:
        """The first incident whose time has come and that can happen here."""
        if self.plan.phase is not None:
            if self.stage != self.plan.phase:
                return None
            self._n_in_phase += 1
        now = self.n if self.plan.phase is None else self._n_in_phase
        for place, incident in enumerate(self._waiting):
            if incident.at > now:
                return None
            if KINDS[incident.kind].where(call.port, call.method):
                return self._waiting.pop(place)
        return None

    def _seen(self, state: State) -> None:
        self.stage = state.phase.value

    def _say(self, text: str) -> None:
        self.lines.append(f"      {text}")

    def state(self) -> State | None:
        """The campaign as the store has it; not a call."""
        return None if self.campaign is None else state_of(self._reads, self.campaign, self.clock.now())
