"""Campaigns with real parts and real faults, one after another: ``make chaos DB=sqlite|postgresql MINUTES=30``.

A real Label Studio, two workers, a web server and simulated people; on PostgreSQL both databases are there, and jobs go through Redis.
While a campaign runs, processes are killed and stopped and the line to Label Studio is cut, at random moments. After its end Label Studio,
ledger and report are compared (``tests/chaos/promises.py``). One line of JSON for each campaign; a table of all comes last; the exit code
is 1 where a promise was broken. A seed gives the same choices again, not the same moments: the processes are real.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backend.campaign.state import Phase
from backend.demo.data import load
from backend.demo.house import House, Plan
from backend.demo.label_studio_server import LabelStudioServer
from backend.demo.processes import Command
from mcal_engine.errors import MCALError
from tests.chaos.faults import Faults
from tests.chaos.nursery import Nursery
from tests.chaos.promises import broken
from tests.chaos.proxy import Line
from tests.databases import fresh_database, own_postgresql, own_redis
from tests.e2e.conftest import SMALL
from tests.e2e.test_kills_and_outages import assert_continues, ledger
from tests.e2e.test_two_machines import holder

DATABASES = ("sqlite", "postgresql")
LEASE_SECONDS = 5.0
LONGEST = 1800.0  # seconds for one campaign
ITEMS = 260
VARIETY: tuple[Mapping[str, Any], ...] = (
    {},
    {"assisted_labelling": "on"},
    {"work_ahead": 0.5, "certificate_size": 60},
    {"overlap_share": 0.2},
)


class Stuck(MCALError):
    """The campaign came to no end, or to one that it should not come to."""


@dataclass(frozen=True)
class Life:
    """What became of one campaign. ``violations`` is empty where every promise was kept."""

    database: str
    seed: int
    settings: Mapping[str, Any]
    seconds: float
    certified: bool | None = None
    within_target: bool | None = None
    n_machine: int | None = None
    faults: Mapping[str, int] = field(default_factory=dict)
    violations: Sequence[str] = ()
    load_average: float = 0.0


@dataclass(frozen=True)
class Parts:
    """What stays from one campaign to the next. ``postgresql`` and ``redis`` are addresses, where they are used."""

    database: str
    folder: Path
    nursery: Nursery
    label_studio: LabelStudioServer
    postgresql: str | None = None
    redis: str | None = None


@contextmanager
def parts(database: str) -> Iterator[Parts]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcal-chaos-")))
        nursery = stack.enter_context(Nursery())
        if database == "sqlite":
            yield Parts(database, folder, nursery, stack.enter_context(LabelStudioServer(folder / "label-studio")))
            return
        postgresql = stack.enter_context(own_postgresql()).url
        (folder / "redis").mkdir()
        redis = stack.enter_context(own_redis(folder / "redis"))
        server = stack.enter_context(LabelStudioServer(folder / "label-studio", postgresql=postgresql))
        yield Parts(database, folder, nursery, server, postgresql, redis)


def live(parts: Parts, folder: Path, seed: int, gap: float) -> Life:
    """One campaign from its first label to its end, hurt all the way."""
    chance = random.Random(seed)
    settings = dict(SMALL) | dict(chance.choice(VARIETY))
    begun = time.monotonic()
    with ExitStack() as stack:
        line = stack.enter_context(Line(parts.label_studio.port))
        ours = {"MCAL_LABEL_STUDIO_URL": line.url, "MCAL_LEASE_SECONDS": str(LEASE_SECONDS), "MCAL_WEBHOOK_SECRET": "the-same-everywhere"}
        if parts.postgresql is not None and parts.redis is not None:
            ours |= {"MCAL_DATABASE_URL": stack.enter_context(fresh_database(parts.postgresql)), "MCAL_QUEUE_URL": parts.redis}
            ours |= {"MCAL_CACHE_URL": f"file://{folder / 'cache'}"}
        plan = Plan(extra_params=settings, pace=0.05, seed=seed, poll_seconds=1.0, server=ours)
        house = stack.enter_context(House(parts.label_studio, folder / "first", load(None, ITEMS, seed), plan, parts.nursery.command))
        faults = Faults(
            _workers(house, stack, folder, apart=parts.database != "sqlite"),
            house.web,
            house.url,
            line,
            lambda: None if (found := holder(house)) is None else found[0],
            lambda: _progress(house),
            seed=f"{seed}/faults",
            lease_seconds=LEASE_SECONDS,
            gap=gap,
        )
        violations, report, kept = _played(house, faults)
    return Life(
        parts.database,
        seed,
        {name: value for name, value in settings.items() if SMALL.get(name) != value},
        round(time.monotonic() - begun, 1),
        None if report is None else report["certified"],
        kept,
        None if report is None else report["n_machine"],
        dict(faults.counts),
        violations,
        round(os.getloadavg()[0], 1),
    )


def _workers(house: House, stack: ExitStack, folder: Path, *, apart: bool) -> list[Command]:
    """Two workers as users run them, on one machine or (``apart``) with a data directory each."""
    directory = folder / "second"
    directory.mkdir()
    second = house.command(["worker"], house.settings | ({"MCAL_DATA_DIR": str(directory)} if apart else {}), directory)
    stack.callback(second.stop)
    second.start()
    return [house.worker, second]


def _progress(house: House) -> object:
    labelled = sum(item.label is not None for item in house.store.items(house.campaign_id))
    return len(house.store.events(house.campaign_id)), labelled


def _played(house: House, faults: Faults) -> tuple[list[str], dict[str, Any] | None, bool | None]:
    house.connect()
    faults.start()
    report, found, kept = None, list[str](), None
    try:
        report = _until_the_end(house)
    except (MCALError, AssertionError) as error:
        found = [f"{type(error).__name__}: {error}"]
    finally:
        faults.end()
        house.stop_annotators()
    if report is not None:
        found, kept = broken(house)
    return faults.troubles + found, report, kept


def _until_the_end(house: House) -> dict[str, Any]:
    """Let people work as soon as there is something to do; what is in the ledger once must stay there."""
    deadline, before = time.monotonic() + LONGEST, ledger(house)
    while time.monotonic() < deadline:
        state = house.state()
        if state.published is not None and not house.annotators:
            house.start_annotators()
        if state.report is not None:
            return dict(state.report)
        for annotator in house.annotators:
            if annotator.failure is not None:
                raise annotator.failure
        if state.ended or (state.phase == Phase.HALTED and state.halt is not None and not state.halt.mends_itself):
            raise Stuck(f"the campaign is {state.phase.value}: {state.halt}; {house.worker.log_tail()}")
        now = ledger(house)
        assert_continues(before, now)
        before = now
        time.sleep(0.5)
    state = house.state()
    raise Stuck(f"no end within {LONGEST:g} s: {state.phase.value}, {state.progress}; {house.worker.log_tail()}")


def table(lives: Sequence[Life]) -> str:
    """Markdown: one line for each database."""
    rows = ["| database | campaigns | certified | over the target | kills | stops | cuts | kills of the web server | violations |"]
    rows.append("|---|---|---|---|---|---|---|---|---|")
    for database in DATABASES:
        some = [life for life in lives if life.database == database]
        faults = sum((Counter(life.faults) for life in some), Counter[str]())
        cuts = sum(n for what, n in faults.items() if what.startswith("cut"))
        cells = [len(some), sum(life.certified is True for life in some), sum(life.within_target is False for life in some)]
        cells += [faults["kill"], faults["stop"], cuts, faults["kill the web server"], sum(len(life.violations) for life in some)]
        if some:
            rows.append(f"| {database} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", nargs="+", default=DATABASES, choices=DATABASES)
    parser.add_argument("--minutes", type=float, default=30.0, help="for each database; a campaign that has begun is played to its end")
    parser.add_argument("--seed", type=int, default=0, help="of the first campaign; the others count on from it")
    parser.add_argument("--gap", type=float, default=8.0, help="seconds from one fault to the next, on average")
    parser.add_argument("--keep", type=Path, help="folder for what is left of campaigns that broke a promise")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing is left running
    lives: list[Life] = []
    for database in asked.databases:
        with parts(database) as there:
            until, seed = time.monotonic() + 60 * asked.minutes, asked.seed
            while time.monotonic() < until:
                own = there.folder / f"campaign-{seed}"
                own.mkdir()
                lives.append(live(there, own, seed, asked.gap))
                sys.stdout.write(json.dumps(asdict(lives[-1]), ensure_ascii=False) + "\n")
                sys.stdout.flush()
                if lives[-1].violations and asked.keep is not None:
                    shutil.copytree(own, asked.keep / f"{database}-{seed}", dirs_exist_ok=True)
                shutil.rmtree(own)
                seed += 1
    sys.stdout.write(table(lives) + "\n")
    return 1 if any(life.violations for life in lives) else 0


if __name__ == "__main__":
    sys.exit(main())
