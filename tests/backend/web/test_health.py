from __future__ import annotations

import threading
from dataclasses import replace

from backend.web.app import create_app
from backend.web.health import Check
from mcal_engine.errors import MCALError
from tests.backend.web.world import World


def test_ready_means_that_every_dependency_answers(world: World) -> None:
    answer = create_app(world.deps(checks={"store": world.store.ping, "queue": lambda: None})).test_client().get("/readyz")
    assert answer.status_code == 200 and answer.get_json() == {"status": "ok", "checks": {"store": "ok", "queue": "ok"}}


def test_a_server_without_a_worker_is_ready_and_says_so(world: World) -> None:
    def nobody() -> None:
        raise MCALError("no worker has been seen")

    deps = replace(world.deps(checks={"store": world.store.ping}), notes={"worker": nobody})
    answer = create_app(deps).test_client().get("/readyz")
    assert answer.status_code == 200
    assert answer.get_json() == {"status": "degraded", "checks": {"store": "ok", "worker": "no worker has been seen"}}


def test_what_is_away_is_named_without_secrets(world: World) -> None:
    def refuses() -> None:
        raise MCALError("Label Studio answered 401")

    def leaks() -> None:
        raise ConnectionError("postgresql://mcal:hunter2@db/mcal refused")

    checks = {"store": leaks, "label_studio": refuses, "queue": lambda: None}
    answer = create_app(world.deps(checks=checks)).test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json() == {
        "status": "unavailable",
        "checks": {"store": "ConnectionError", "label_studio": "Label Studio answered 401", "queue": "ok"},
    }


def test_a_dependency_that_hangs_is_asked_once_and_waited_for_once(world: World, monkeypatch: object) -> None:
    released, calls = threading.Event(), []

    def hangs() -> None:
        calls.append(1)
        released.wait(30)

    client = create_app(world.deps(checks={"label_studio": hangs, "queue": lambda: None})).test_client()
    try:
        answers = [client.get("/readyz") for _ in range(20)]  # twenty waits would take 40 s: the time limit of the suite
    finally:
        released.set()
    assert {answer.status_code for answer in answers} == {503} and calls == [1]
    assert answers[-1].get_json()["checks"] == {"label_studio": "no answer within 2 s", "queue": "ok"}


def test_a_fresh_answer_is_used_again() -> None:
    calls: list[int] = []
    check = Check("store", lambda: calls.append(1))
    for _ in range(5):
        check.ask()
        assert check.result() == "ok"
    assert calls == [1]


def test_a_dependency_that_comes_back_is_seen(monkeypatch: object) -> None:
    from backend.web import health

    results = [MCALError("away")]

    def call() -> None:
        if results:
            raise results.pop()

    check = Check("store", call)
    check.ask()
    assert check.result() == "away"
    check._asked_at -= health.FRESH_SECONDS
    check.ask()
    assert check.result() == "ok"
