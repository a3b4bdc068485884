"""The turnstile on a clock of its own: sleeping moves the clock, and nobody really waits."""

from __future__ import annotations

import threading
from collections.abc import Generator
from datetime import UTC, datetime
from itertools import pairwise
from queue import Queue
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from backend.protocol.turnstile import (
    GAP_PER_DELAY,
    LONGEST_GAP,
    LONGEST_SECONDS,
    MOST_WAITING,
    SHORTEST_GAP,
    SILENT_SECONDS,
    Turnstile,
)
from backend.store import Duplicate, Store
from backend.web.access import Access
from backend.web.app import create_app
from backend.web.server import serve
from tests.backend.web.world import World, event_body


class Clock:
    """Stands still unless it is moved; whoever waits is noted and let through at once, so that many can wait at one instant."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.time


def wait(turnstile: Turnstile, project: int, person: int, delay: float = 0.0) -> float:
    return sum(turnstile.pass_through(project, person, delay))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turnstile(clock: Clock) -> Turnstile:
    return Turnstile(clock, clock.waits.append)


def test_the_second_person_within_the_gap_waits_for_the_rest_of_it(clock: Clock, turnstile: Turnstile) -> None:
    assert wait(turnstile, 7, 1) == 0
    clock.time += 0.1
    assert wait(turnstile, 7, 2) == pytest.approx(SHORTEST_GAP - 0.1)
    assert clock.waits == [pytest.approx(SHORTEST_GAP - 0.1)]


def test_who_comes_after_the_gap_does_not_wait_nor_does_one_person_alone(clock: Clock, turnstile: Turnstile) -> None:
    assert [wait(turnstile, 7, 1) for _ in range(5)] == [0] * 5
    clock.time += SHORTEST_GAP
    assert wait(turnstile, 7, 2) == 0 and clock.waits == []


def test_projects_have_nothing_to_do_with_each_other(turnstile: Turnstile) -> None:
    assert [wait(turnstile, project, person) for project, person in ((7, 1), (8, 2), (9, 3))] == [0, 0, 0]


@pytest.mark.parametrize(("delay", "gap"), [(-3600, SHORTEST_GAP), (0.2, 0.2 * GAP_PER_DELAY), (3600, LONGEST_GAP)])
def test_a_slow_label_studio_has_a_longer_gap_and_a_wrong_clock_the_shortest_or_longest(delay: float, gap: float) -> None:
    clock = Clock()
    turnstile = Turnstile(clock, clock.waits.append)
    wait(turnstile, 7, 1)
    clock.time += 0.2
    assert wait(turnstile, 7, 2, delay) == pytest.approx(min(gap, LONGEST_SECONDS * 2 / 3) - 0.2)


arrivals_of_people = st.lists(st.tuples(st.integers(1, 8), st.floats(0, 0.5), st.floats(-1, 2)), max_size=40)


@given(arrivals_of_people)
def test_turns_come_in_order_of_arrival_and_nobody_waits_too_long(arrivals: list[tuple[int, float, float]]) -> None:
    clock = Clock()
    turnstile = Turnstile(clock, clock.waits.append)
    turns: list[tuple[float, int]] = []
    for person, pause, delay in arrivals:
        clock.time += pause
        waited = wait(turnstile, 7, person, delay)
        assert 0 <= waited < LONGEST_SECONDS
        assert all(part <= SILENT_SECONDS for part in clock.waits)
        turns.append((clock.time + waited, person))
    for (before, first), (after, second) in pairwise(turns):
        assert after > before if first != second else after >= before


def test_no_more_than_some_wait_at_once_so_that_pages_are_still_served(turnstile: Turnstile) -> None:
    people = [turnstile.pass_through(7, person) for person in range(MOST_WAITING + 3)]
    assert [next(person, None) is not None for person in people] == [False] + [True] * MOST_WAITING + [False] * 2
    people[1].close()  # Label Studio went away
    late = turnstile.pass_through(7, 100)
    assert next(late, None) is not None and next(turnstile.pass_through(7, 101), None) is None


class Counting(Turnstile):
    def __init__(self) -> None:
        super().__init__(sleep=lambda _: None)
        self.seen: list[tuple[int, int]] = []
        self.delays: list[float] = []

    def pass_through(self, project_id: int, person: int, delay: float = 0.0) -> Generator[float, None, None]:
        self.seen.append((project_id, person))
        self.delays.append(delay)
        return super().pass_through(project_id, person, delay)


SUBMITTED: dict[str, Any] = event_body("ANNOTATION_CREATED") | {"annotation": {"id": 5, "completed_by": 3}}


def doubled(world: World) -> None:
    world.store.upsert_duplicates(1, [Duplicate(11, 5, 3, 0, datetime(2026, 1, 1, tzinfo=UTC))])


def test_submissions_are_kept_apart_only_once_a_task_has_been_labelled_twice(store: Store) -> None:
    turnstile = Counting()
    world = World(store, turnstile=turnstile)
    world.campaign()
    client = create_app(world.deps()).test_client()
    client.post("/webhook", json=SUBMITTED)
    assert turnstile.seen == []
    doubled(world)
    client.post("/webhook", json=SUBMITTED)
    client.post("/webhook", json=event_body("ANNOTATION_UPDATED") | {"annotation": {"id": 5, "completed_by": 3}})
    client.post("/webhook", json=event_body("ANNOTATION_CREATED"))  # an event without a payload
    assert turnstile.seen == [(7, 3)]
    assert [job for job in world.queue.jobs if job == (1, "ANNOTATION_CREATED")] == [(1, "ANNOTATION_CREATED")] * 3


def test_a_stranger_s_events_hold_nobody_up(store: Store) -> None:
    turnstile = Counting()
    world = World(store, turnstile=turnstile)
    world.campaign()
    doubled(world)
    guarded: FlaskClient = create_app(world.deps(access=Access("admin", "open sesame", "webhook secret"))).test_client()
    assert guarded.post("/webhook", json=SUBMITTED).status_code == 200 and turnstile.seen == []
    guarded.post("/webhook", json=SUBMITTED, headers={"X-MCAL-Secret": "webhook secret"})
    assert turnstile.seen == [(7, 3)]


@pytest.mark.parametrize(
    ("created_at", "known"), [("2026-01-01T00:00:00.000000Z", True), ("2026-01-01T00:00:00", False), ("soon", False), (7, False)]
)
def test_how_slow_label_studio_is_follows_from_when_it_stored_the_label(store: Store, created_at: object, known: bool) -> None:
    turnstile = Counting()
    world = World(store, turnstile=turnstile)
    world.campaign()
    doubled(world)
    body = SUBMITTED | {"annotation": {"id": 5, "completed_by": 3, "created_at": created_at}}
    assert create_app(world.deps()).test_client().post("/webhook", json=body).status_code == 200
    assert len(turnstile.delays) == 1 and (turnstile.delays[0] > 0) == known


@pytest.mark.slow
def test_a_long_wait_sends_label_studio_a_byte_before_its_second_is_over_and_the_answer_after_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Label Studio asks: with ``requests``, and its limit of one second, which is a limit on silence."""
    monkeypatch.setattr("backend.protocol.turnstile.LONGEST_GAP", 1.3)
    monkeypatch.setattr("backend.protocol.turnstile.SHORTEST_GAP", 1.3)
    world = World(store, turnstile=Turnstile(clock=lambda: 0.0))
    world.campaign()
    doubled(world)
    stop, address = threading.Event(), Queue[str]()
    serving = threading.Thread(
        target=serve,
        args=(create_app(world.deps()), "127.0.0.1", 0, stop),
        kwargs={"protected": False, "listening": lambda host, port: address.put(f"http://{host}:{port}/webhook")},
    )
    serving.start()
    try:
        url = address.get(timeout=10)
        first = requests.post(url, json=SUBMITTED, timeout=1.0)
        second = requests.post(url, json=SUBMITTED | {"annotation": {"id": 6, "completed_by": 4}}, timeout=1.0)
    finally:
        stop.set()
        serving.join()
    assert first.json() == second.json() == {"status": "ok", "campaign": 1}
    assert first.content[:1] == b"{" and second.content.startswith(b"    {")
