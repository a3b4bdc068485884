from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.protocol import MLProtocol
from backend.store import Store, StoreUnavailable
from backend.web.access import Access
from backend.web.app import create_app
from backend.web.ports import WebDeps
from mcal_engine.errors import InvalidValue
from tests.backend.web.world import PARAMS, URL, Untouchable, World, desk, event_body, predict_body, setup_body

pytestmark = pytest.mark.slow

POSTS = ["/setup", "/predict", "/webhook", "/train"]
GUARDED = Access("admin", "open sesame")
CLOSED = [("GET", "/versions"), ("POST", "/versions"), ("POST", "/setup"), ("POST", "/predict"), ("POST", "/train")]


@pytest.mark.parametrize("path", ["/", "/health", "/healthz"])
def test_health_touches_nothing(path: str) -> None:
    nothing: Any = Untouchable()
    deps = WebDeps(protocol=nothing, access=GUARDED, desk=desk(nothing), checks={"store": nothing})
    answer = create_app(deps).test_client().get(path)
    assert answer.status_code == 200 and answer.get_json()["status"] in ("UP", "ok")


def test_health_names_the_model_class(client: FlaskClient) -> None:
    assert client.get("/health").get_json() == client.get("/").get_json() == {"status": "UP", "model_class": "MCALBackend"}


def test_a_browser_at_the_bare_address_is_shown_the_campaigns_and_a_program_the_models_health(client: FlaskClient) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    assert client.get("/", headers=browser).headers["Location"] == "/campaigns"
    assert client.get("/", headers={"Accept": "*/*"}).is_json  # Label Studio's
    assert client.get("/health", headers=browser).is_json


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_versions_are_listed_with_and_without_a_body(client: FlaskClient, method: str) -> None:
    assert client.open("/versions", method=method).get_json() == {"versions": ["mcal 0.1.0"]}
    assert client.open("/versions", method=method, json={"project": "7.1"}).get_json() == {"versions": ["mcal 0.1.0"]}


def test_setup_and_webhook_ask_neither_for_predictions_nor_for_bulk_data(store: Store) -> None:
    class Narrow:
        """Only what answering needs; reading items, assignments or frozen orders fails."""

        campaigns, live_campaign, create_campaign = store.campaigns, store.live_campaign, store.create_campaign
        events, append = store.events, store.append

    world = World(store)
    protocol = MLProtocol(
        store=Narrow(), queue=world.queue, label_studio_url=URL, parse_settings=world.protocol._setup._parse_settings,
        parse_label_config=world.protocol._parse_label_config, status_line=world.status_line, predictions=Untouchable(), version="1",
    )  # fmt: skip
    assert protocol.setup(setup_body(PARAMS)) and protocol.webhook(event_body("START_TRAINING"), trusted=True)


def test_the_web_process_loads_neither_training_nor_a_label_studio_client() -> None:
    code = (
        "import sys, backend.web.app, backend.web.server, backend.protocol;"
        "print([m for m in ('torch', 'label_studio_ml', 'label_studio_sdk', 'huey', 'httpx') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"text"', "application/json", 400),
        (b"null", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"project": ' + b"9" * 10_000 + b"}", "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"project": 7}', "text/plain", 415),
        (b"project=7", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
    ],
)
def test_bodies_that_are_no_json_object_are_refused(world: World, path: str, data: bytes, content_type: str, status: int) -> None:
    answer = create_app(world.deps()).test_client().post(path, data=data, content_type=content_type)
    assert answer.status_code == status and list(answer.get_json()) == ["error"]
    assert world.store.campaigns() == [] and world.queue.jobs == []


@pytest.mark.parametrize("path", POSTS)
def test_a_body_above_the_limit_is_refused(world: World, path: str) -> None:
    client = create_app(world.deps(max_body_bytes=1000)).test_client()
    answer = client.post(path, json={**event_body("ANNOTATION_CREATED"), "padding": "x" * 1000})
    assert answer.status_code == 413 and list(answer.get_json()) == ["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/setup", 405), ("PUT", "/webhook", 405), ("DELETE", "/health", 405), ("GET", "/nothing", 404), ("POST", "/metrics", 405)],
)
def test_wrong_methods_and_addresses_are_answered_in_json(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status and list(answer.get_json()) == ["error"]
    assert status != 405 or answer.headers["Allow"]


def test_an_address_that_is_not_there_is_a_page_for_people(client: FlaskClient) -> None:
    answer = client.get("/nothing<b>", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404 and answer.mimetype == "text/html"
    assert "Nothing here" in answer.text and "/nothing&lt;b&gt;" in answer.text and answer.headers["Content-Security-Policy"]
    problem = client.get("/api/v1/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert problem.status_code == 404 and problem.is_json


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize("auth", [None, ("admin", "wrong"), ("wrong", "open sesame"), ("", "")])
def test_without_the_right_login_the_door_is_closed(world: World, method: str, path: str, auth: tuple[str, str] | None) -> None:
    world.campaign()
    client = create_app(world.deps(access=GUARDED)).test_client()
    answer = client.open(path, method=method, json=setup_body({**PARAMS, "seed": 5}) if method == "POST" else None, auth=auth)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Basic")
    assert world.kinds(1) == ["requested"] and world.asked_predictions == []


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_with_the_right_login_it_opens(world: World, method: str, path: str) -> None:
    world.campaign()
    client = create_app(world.deps(access=GUARDED)).test_client()
    body = {**setup_body(), **predict_body([1])} if method == "POST" else None
    assert client.open(path, method=method, json=body, auth=("admin", "open sesame")).status_code in (200, 201)


@pytest.mark.parametrize(("user", "password", "secret"), [("admin", None, None), (None, "x", None), ("admin", "", None), (None, None, " ")])
def test_half_a_login_or_an_empty_secret_is_refused(user: str | None, password: str | None, secret: str | None) -> None:
    with pytest.raises(InvalidValue):
        Access(user, password, secret)


def test_secrets_do_not_show_in_the_settings_text() -> None:
    assert "sesame" not in repr(Access("admin", "sesame", "sesame too"))


def test_a_programming_error_gives_no_traceback_away(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("password is 1234")

    monkeypatch.setattr(world, "predictions", broken)
    world.protocol._predictions = broken
    answer = create_app(world.deps()).test_client().post("/predict", json=predict_body([1]))
    assert answer.status_code == 500 and "1234" not in answer.get_data(as_text=True) + answer.status
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_database_that_is_away_is_a_503_not_a_500(world: World) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("database sqlite:///mcal.db: locked")

    world.protocol._predictions = away
    answer = create_app(world.deps()).test_client().post("/predict", json=predict_body([1]))
    assert answer.status_code == 503 and "locked" in answer.get_json()["error"]


@pytest.mark.parametrize("path", ["/health", "/campaigns", "/nothing", "/readyz"])
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'") and headers["X-Content-Type-Options"] == "nosniff"


def test_a_foreign_host_name_is_refused_where_hosts_are_listed(world: World) -> None:
    client = create_app(world.deps(trusted_hosts=("localhost", "127.0.0.1", "[::1]"))).test_client()
    for host in ("localhost", "localhost:9090", "127.0.0.1:9090", "[::1]:9090"):
        assert client.post("/setup", json=setup_body(), headers={"Host": host}).status_code == 200, host
    for host in ("evil.example:9090", "localhost.evil.example", "[::1", "", "::1"):
        answer = client.post("/setup", json=setup_body(PARAMS), headers={"Host": host})
        assert answer.status_code == 400 and list(answer.get_json()) == ["error"], host
    assert world.store.campaigns() == []
