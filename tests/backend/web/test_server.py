from __future__ import annotations

import base64
import http.client
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from flask import Flask, request

from backend.store import Store
from backend.web import access, connections
from backend.web.access import Access
from backend.web.app import create_app
from backend.web.server import check_exposure, serve, trusted_hosts
from mcal_engine.errors import InvalidValue
from tests.backend.web.world import PARAMS, World, event_body, predict_body, setup_body


def basic_auth(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def listening(world: World, *, access: Access | None = None, app: Flask | None = None, **more: Any) -> Iterator[int]:
    """A real server on a free port, which it yields."""
    stop, started = threading.Event(), queue.Queue[int]()
    who = access or Access()
    arguments = (app or create_app(world.deps(access=who)), "127.0.0.1", 0, stop)
    options = {"protected": who.protected, "trusts": who.trusts, "listening": lambda _, port: started.put(port), **more}
    thread = threading.Thread(target=serve, args=arguments, kwargs=options)
    thread.start()
    port = started.get(timeout=10)
    try:
        yield port
    finally:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)


@contextmanager
def serving(world: World) -> Iterator[Callable[..., tuple[int, str, Any]]]:
    """A real server; yields a function that sends one request and gives back status, reason and JSON."""

    def send(method: str, path: str, body: Any = None) -> tuple[int, str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            return answer.status, answer.reason, json.loads(answer.read())
        finally:
            connection.close()

    with listening(world) as port:
        yield send


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


def answer_of(connection: socket.socket) -> bytes:
    """Everything that comes until the server closes."""
    connection.settimeout(10)
    return b"".join(iter(lambda: connection.recv(65536), b""))


HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_idle_connections_make_way_for_those_that_ask(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 30)
    with listening(world) as port, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
            asking.sendall(HEALTH)
            assert b" 200 " in answer_of(asking)


def test_a_request_that_drips_in_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.1)
    with listening(world) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        slow.sendall(HEALTH[:20])
        assert answer_of(slow) == b""


def test_long_headers_are_refused(world: World) -> None:
    with listening(world) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as talker:
        # No byte more than the server reads: it would close the connection on what is left, and take the answer with it.
        talker.sendall(b"GET /health HTTP/1.0\r\nX: ".ljust(connections.HEADER_BYTES, b"y"))
        assert b" 431 " in answer_of(talker)


GUARD = Access("label-studio", "open sesame", "a-secret")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/webhook", {}, 413),
        ("/webhook", {"X-MCAL-Secret": "wrong"}, 413),
        ("/predict", {}, 413),
        ("/login", {}, 413),
        ("/predict", {"Authorization": basic_auth("label-studio", "wrong")}, 413),
        ("/webhook", {"X-MCAL-Secret": "a-secret"}, 200),
        ("/predict", {"Authorization": basic_auth("label-studio", "open sesame")}, 200),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.slow
def test_only_those_who_show_who_they_are_may_send_large_bodies(
    world: World, path: str, headers: dict[str, str], status: int, chunked: bool
) -> None:
    body = json.dumps(predict_body(range(5000)) | event_body("ANNOTATION_CREATED")).encode()
    assert len(body) > connections.UNTRUSTED_BODY_BYTES
    sized = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
    with listening(world, access=GUARD) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest("POST", path)
        for name, value in {**headers, **sized, "Content-Type": "application/json"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
        if status == 413:  # as in test_long_headers_are_refused
            sent = sent[: connections.UNTRUSTED_BODY_BYTES if chunked else 0]
        connection.send(sent)
        assert connection.getresponse().status == status
        connection.close()


def test_a_large_body_is_no_way_to_try_passwords_without_end() -> None:
    def may(password: str) -> bool:
        return GUARD.trusts("10.0.0.1", {"AUTHORIZATION": basic_auth("label-studio", password)})

    assert may("open sesame")
    assert not any(may(f"guess {n}") for n in range(access.TRIES))
    assert not may("open sesame"), "this address has to wait"
    assert GUARD.trusts("10.0.0.2", {"AUTHORIZATION": basic_auth("label-studio", "open sesame")})


def test_guessing_label_studio_s_password_is_slowed_down(world: World) -> None:
    guard = Access("label-studio", "open sesame")
    client = create_app(world.deps(access=guard)).test_client()
    found = [client.post("/setup", json=setup_body(), auth=("label-studio", f"guess {n}")).status_code for n in range(access.TRIES + 2)]
    assert found == [401] * access.TRIES + [429] * 2
    assert client.get("/health").status_code == 200
    assert client.post("/setup", json=setup_body()).status_code == 401, "calls without a login are no guesses"
    other = {"REMOTE_ADDR": "10.0.0.2"}
    assert client.post("/setup", json=setup_body(), auth=("label-studio", "open sesame"), environ_overrides=other).status_code == 200


def test_who_calls_and_how_is_believed_from_the_trusted_proxy_alone(world: World) -> None:
    seen: list[tuple[str | None, bool]] = []
    deps = world.deps()
    app = create_app(deps)
    app.before_request(lambda: seen.append((request.remote_addr, request.is_secure)))
    forwarded = HEALTH.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n")
    for proxy in (None, "127.0.0.1", "127.0.0.2"):
        with listening(world, app=app, trusted_proxy=proxy) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as proxied:
            proxied.sendall(forwarded)
            assert b" 200 " in answer_of(proxied)
    assert seen == [("127.0.0.1", False), ("203.0.113.9", True), ("127.0.0.1", False)]


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
    assert {"mcal.internal", "mcal.example"} <= set(
        trusted_hosts("localhost", "https://mcal.internal/", "https://mcal.example", protected=False)
    )
    assert trusted_hosts("127.0.0.1", "http://127.0.0.1:9090", protected=True) == ()
    assert trusted_hosts("0.0.0.0", "http://mcal.internal", protected=False) == ()
