"""A worker that was stopped for longer than its lease lasts, and goes on afterwards, changes nothing any more."""

from __future__ import annotations

import inspect
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.fence import READS, fenced
from backend.label_studio.port import LabelStudioPort
from backend.steps.lease import hold
from backend.steps.loop import advance
from backend.steps.rollback import rollback
from backend.store import LeaseLost
from tests.backend.kills import Snapshot, lapse
from tests.backend.world import World

ROOT = Path(__file__).parents[3]


class Clock:
    """The leases' clock, which stands still but for the pauses."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Pause:
    """Stands in for a port. After one chosen call the process sleeps past its lease, and another worker takes over."""

    def __init__(self, inner: Any, calls: list[str], asleep: Callable[[], None], at: int) -> None:
        self._inner, self._calls, self._asleep, self._at = inner, calls, asleep, at

    def _wrapped(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            if inspect.isgenerator(result):
                result = iter(list(result))
            self._calls.append(name)
            if len(self._calls) == self._at:
                self._asleep()
            return result

        return call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name in ("acquire_lease", "renew_lease", "release_lease", "holds_lease"):
            return found
        if name == "fenced":
            return lambda *args: Pause(found(*args), self._calls, self._asleep, self._at)
        return self._wrapped(name, found)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wrapped("trainer", self._inner)(*args, **kwargs)


def everything(world: World) -> Any:
    """All that the campaign has left anywhere, but for who holds its lease."""
    with sqlite3.connect(world.path) as disk:
        tables = [name for (name,) in disk.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'leases'")]
        rows = {table: disk.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}
    disk.close()
    fake = world.label_studio
    return repr((rows, fake._projects, fake._tasks, fake._webhooks))


def stall(world: World, clock: Clock, at: int, work: Callable[[World], object]) -> str | None:
    """Let ``work`` sleep past its lease after its ``at``-th call; the name of that call, ``None`` where there was none."""
    calls: list[str] = []
    left: list[Any] = []

    def asleep() -> None:
        clock.now += 601
        lapse(world)
        assert world.store.acquire_lease(world.campaign.id, "another worker", 600)
        left.append(everything(world))

    world.fresh_services(
        steady=clock,
        **{
            name: Pause(inner, calls, asleep, at)
            for name, inner in (("store", world.store), ("label_studio", world.label_studio), ("trainer", world.trainer))
        },
    )
    lost = False
    try:
        work(world)
    except LeaseLost:
        lost = True
    finally:
        world.fresh_services()
        lapse(world)
    if not left:
        return None
    assert everything(world) == left[0], f"changed after {calls[at - 1]} (call {at})"
    assert (
        lost
        or calls[at:] == []
        or set(calls[at:])
        <= READS
        | {"events", "campaign", "items", "assignments", "duplicates"}
        | {
            "machine_labels",
            "frozen",
            "watermark",
        }
    )
    return calls[at - 1]


def visit(world: World) -> object:
    return advance(world.services, world.campaign.id)


def stall_everywhere(world: World, clock: Clock) -> set[tuple[str, str]]:
    """After the first call of each kind in each visit that makes new ones; in which phase, and after which call."""
    struck: set[tuple[str, str]] = set()
    for _ in range(40):
        before, phase = Snapshot.of(world), str(world.state().stage)
        calls = undisturbed(world)
        for at, name in enumerate(calls, start=1):
            if (phase, name) not in struck:
                before.restore(world)
                assert stall(world, clock, at, visit) == name
                struck.add((phase, name))
        before.restore(world)
        before.close()
        if world.advance().ended:
            return struck
        world.label()
    raise AssertionError("the campaign does not end")


def undisturbed(world: World) -> list[str]:
    """All calls of one visit."""
    calls: list[str] = []
    ports = {"store": world.store, "label_studio": world.label_studio, "trainer": world.trainer}
    world.fresh_services(**{name: Pause(inner, calls, lambda: None, 0) for name, inner in ports.items()})
    world.advance()
    return calls


def small(tmp_path: Path) -> World:
    return World(tmp_path, n=205, test_size=20, batch_size=10, target_error=0.1, overlap_share=0.3)


@pytest.mark.slow
def test_who_slept_past_the_lease_changes_nothing_in_any_phase(tmp_path: Path, clock: Clock) -> None:
    struck = stall_everywhere(small(tmp_path), clock)
    assert {name for _, name in struck} >= {
        "trainer",
        "append",
        "import_predictions",
        "predictions_to_annotations",
        "update_project",
        "set_overlap",
    }


@pytest.mark.parametrize("name", ["upsert_items", "import_predictions"])
def test_who_slept_while_a_campaign_was_opened_changes_nothing(tmp_path: Path, clock: Clock, name: str) -> None:
    world = World(tmp_path, n=200)
    before = Snapshot.of(world)
    calls = undisturbed(world)
    before.restore(world)
    before.close()
    assert stall(world, clock, calls.index(name) + 1, visit) == name


@pytest.mark.slow
def test_who_slept_during_a_rollback_removes_nothing_more(tmp_path: Path, clock: Clock) -> None:
    world = small(tmp_path)
    world.run()
    before = Snapshot.of(world)
    struck: set[str | None] = set()
    for at in range(1, 200):
        before.restore(world)
        struck.add(where := stall(world, clock, at, lambda world: rollback(world.services, world.campaign.id, by="test")))
        if where is None:
            break
    before.close()
    assert {"set_machine_labels", "delete_predictions", "tasks_by_id"} <= struck


def test_a_lease_that_nobody_took_is_renewed_after_a_sleep(tmp_path: Path, clock: Clock) -> None:
    world = small(tmp_path)
    with hold(world.store, world.campaign.id, 600, steady=clock) as lease:
        assert lease is not None
        clock.now += 5000
        lease.require()
        clock.now += 300
        with sqlite3.connect(world.path) as disk:
            disk.execute("UPDATE leases SET owner = 'somebody else'")
        disk.close()
        lease.check()  # two thirds of its time are left: nobody else can have it, unless the database's clock was set
        with pytest.raises(LeaseLost):
            lease.require()
        with pytest.raises(LeaseLost):
            lease.check()


def test_every_method_of_the_port_either_reads_or_is_fenced() -> None:
    def lost() -> None:
        raise LeaseLost("gone")

    names = {name for name, found in vars(LabelStudioPort).items() if callable(found) and not name.startswith("_")}
    assert names >= READS and len(names) > len(READS)

    class Everything:
        def __getattr__(self, name: str) -> Callable[..., str]:
            return lambda *args, **kwargs: name

    port: Any = fenced(Everything(), lost)  # type: ignore[arg-type]
    for name in sorted(names - READS):
        with pytest.raises(LeaseLost):
            getattr(port, name)()
    assert {getattr(port, name)() for name in READS} == READS


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_the_client_asks_before_each_request_of_a_long_change_and_before_each_repeat(allowed: int) -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        if request.url.path == "/api/tasks":
            rows = [{"id": task, "overlap": 1, "is_labeled": False, "annotations": []} for task in range(1, 9)]
            return httpx.Response(200, json={"tasks": rows})
        return httpx.Response(200 if request.method == "GET" else 503, json={})

    client = LabelStudioClient("http://ls.test", "0" * 40, transport=httpx.MockTransport(answer), first_pause=0.0)
    asked = 0

    def require() -> None:
        nonlocal asked
        asked += 1
        if asked > allowed:
            raise LeaseLost("gone")

    port = fenced(client, require)
    with pytest.raises(LeaseLost):
        port.delete_predictions(1, "queue")  # answered 503, and sent again
    assert sent == ["DELETE"] * (allowed - 1)
    asked = 0
    sent.clear()
    with pytest.raises(LeaseLost):
        port.set_overlap(1, list(range(1, 9)), 2)
    assert sent.count("PATCH") == allowed - 1
    client.close()


@pytest.mark.slow
def test_a_process_that_is_stopped_and_continued_writes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, n=200)
    script = (
        "import json, sys, pathlib\n"
        "from backend.label_studio.fence import fenced\n"
        "from backend.steps.lease import hold\n"
        "from backend.store import LeaseLost, NewEvent, Store\n"
        "class Studio:\n"
        "    def update_project(self, *args): pathlib.Path(sys.argv[2]).touch()\n"
        f"with hold(Store(sys.argv[1]), {world.campaign.id}, 1.0) as lease:\n"
        f"    store = Store(sys.argv[1]).fenced({world.campaign.id}, lease.owner)\n"
        "    studio = fenced(Studio(), lease.require)\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    told = []\n"
        f"    for change in (lambda: studio.update_project(1), lambda: store.append({world.campaign.id}, [NewEvent('paused', {{}})])):\n"
        "        try:\n            change()\n        except LeaseLost: told.append('lost')\n"
        "    print(json.dumps(told), flush=True)\n"
    )
    touched = tmp_path / "touched"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, f"sqlite:///{world.path}", str(touched)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None and holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while not world.store.acquire_lease(world.campaign.id, "another worker", 600):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        seq = world.state().last_seq
        holder.send_signal(signal.SIGCONT)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert json.loads(holder.stdout.readline()) == ["lost", "lost"]
    assert holder.wait(60) == 0
    assert world.state().last_seq == seq and not touched.exists()
