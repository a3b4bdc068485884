from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backend.store import Store
from backend.web.app import create_app
from backend.web.server import check_exposure, serve, trusted_hosts
from mcal_engine.errors import InvalidValue
from tests.backend.web.world import PARAMS, World, event_body, predict_body, setup_body


@contextmanager
def serving(world: World) -> Iterator[Callable[..., tuple[int, str, Any]]]:
    """A real server on a free port; yields a function that sends one request and gives back status, reason and JSON."""
    stop, started = threading.Event(), queue.Queue[int]()
    arguments = (create_app(world.deps()), "127.0.0.1", 0, stop)
    thread = threading.Thread(target=serve, args=arguments, kwargs={"protected": False, "listening": lambda _, port: started.put(port)})
    thread.start()
    port = started.get(timeout=10)

    def send(method: str, path: str, body: Any = None) -> tuple[int, str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            return answer.status, answer.reason, json.loads(answer.read())
        finally:
            connection.close()

    try:
        yield send
    finally:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)


def test_the_server_answers_and_ends_when_told_to(world: World) -> None:
    with serving(world) as send:
        assert send("GET", "/health") == (200, "OK", {"status": "UP", "model_class": "MCALBackend"})


def test_the_reason_of_a_refusal_survives_the_wire(world: World) -> None:
    with serving(world) as send:
        status, reason, _ = send("POST", "/setup", setup_body({**PARAMS, "target_error": 5}))
    assert (status, reason) == (400, "target_error must be in (0, 1), got 5 (did you mean 0.05?)")


def test_while_a_round_trains_every_route_still_answers(store: Store) -> None:
    class BusyWorker:
        """A worker whose first job trains until the test lets it go; later jobs wait behind it."""

        def __init__(self) -> None:
            self.waiting: queue.Queue[tuple[int, str]] = queue.Queue()
            self.training, self.may_end = threading.Event(), threading.Event()
            threading.Thread(target=self._work, daemon=True).start()

        def enqueue(self, campaign_id: int, reason: str) -> None:
            self.waiting.put((campaign_id, reason))

        def _work(self) -> None:
            self.waiting.get()
            self.training.set()
            self.may_end.wait(60)

    worker = BusyWorker()
    world = World(store, queue=worker)
    with serving(world) as send:
        try:
            assert send("POST", "/setup", setup_body(PARAMS))[0] == 200
            assert worker.training.wait(10)
            results: list[int] = []

            def annotator() -> None:
                results.extend(
                    [
                        send("POST", "/webhook", event_body("ANNOTATION_CREATED"))[0],
                        send("GET", "/health")[0],
                        send("POST", "/setup", setup_body(PARAMS))[0],
                        send("POST", "/predict", predict_body([1, 2]))[0],
                        send("GET", "/versions")[0],
                        send("GET", "/readyz")[0],
                    ]
                )

            threads = [threading.Thread(target=annotator) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=30)
            assert results == [200] * 72
            assert worker.waiting.qsize() == 12 and not worker.may_end.is_set()
        finally:
            worker.may_end.set()
    assert len(store.campaigns()) == 1


def test_a_port_in_use_is_said_plainly(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidValue, match=f"port {port}: the port is in use"):
            serve(create_app(world.deps()), "127.0.0.1", port, threading.Event(), protected=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "backend.example", "8.8.8.8", "*"])
def test_a_server_others_can_reach_wants_a_login(world: World, host: str) -> None:
    with pytest.raises(InvalidValue, match="MCAL_BASIC_AUTH_USER"):
        serve(create_app(world.deps()), host, 0, threading.Event(), protected=False)
    check_exposure(host, protected=True, allow_open=False)
    check_exposure(host, protected=False, allow_open=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1", "[::1]"])
def test_loopback_may_be_open(host: str) -> None:
    check_exposure(host, protected=False, allow_open=False)


def test_only_an_open_loopback_server_is_particular_about_its_name() -> None:
    assert trusted_hosts("127.0.0.1", "http://127.0.0.1:9090", protected=False) == ("localhost", "127.0.0.1", "[::1]")
    assert "mcal.internal" in trusted_hosts("localhost", "https://mcal.internal/", protected=False)
    assert trusted_hosts("127.0.0.1", "http://127.0.0.1:9090", protected=True) == ()
    assert trusted_hosts("0.0.0.0", "http://mcal.internal", protected=False) == ()
