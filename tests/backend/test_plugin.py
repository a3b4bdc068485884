"""The plugin class on the real label-studio-ml 1.0.9, on a small copy of 2.x's interface, and without either."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.store import NewEvent, Store
from backend.web.access import Access
from backend.web.app import create_app
from mcal_engine.errors import InvalidValue
from tests.backend.web.world import CONFIG, PARAMS, World, event_body, predict_body, setup_body

pytestmark = pytest.mark.slow  # Label Studio's own package for backends imports torch

GUARDED = Access("admin", "open sesame")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'mcal.db'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def plugin() -> Iterator[types.ModuleType]:
    """backend.plugin, freshly imported against whatever label_studio_ml there is now, and forgotten afterwards."""
    before = {name: sys.modules.pop(name, None) for name in ("backend.plugin", "backend.plugin_base")}
    yield importlib.import_module("backend.plugin")
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def forget(name: str) -> dict[str, types.ModuleType]:
    return {key: sys.modules.pop(key) for key in list(sys.modules) if key == name or key.startswith(name + ".")}


@pytest.fixture
def without_label_studio_ml(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "label_studio_ml" else real(name, package))
    yield


@pytest.fixture
def host_1(tmp_path: Path) -> Iterator[types.ModuleType]:
    """label_studio_ml.api 1.0.9 with an app of its own (the package keeps one for the whole process)."""
    pytest.importorskip("label_studio_ml")
    importlib.import_module("backend.plugin")  # its import is contained there
    kept = forget("label_studio_ml.api")
    yield importlib.import_module("label_studio_ml.api")
    forget("label_studio_ml.api")
    sys.modules.update(kept)


@pytest.fixture
def app_1(host_1: types.ModuleType, plugin: types.ModuleType, world: World, tmp_path: Path) -> Flask:
    app: Flask = host_1.init_app(plugin.MCALBackend, model_dir=str(tmp_path / "models"))
    installed: Flask = plugin.install(app, world.protocol, Access())
    return installed


# --- 1.0.9, for real


def test_label_studio_ml_hosts_the_same_protocol(app_1: Flask, world: World) -> None:
    client = app_1.test_client()
    assert client.get("/health").get_json() == {"status": "UP", "model_class": "MCALBackend"}
    assert client.get("/").status_code == 200
    assert client.post("/setup", json=setup_body(PARAMS)).get_json()["model_version"].startswith("mcal: campaign 1")
    assert (
        client.get("/versions").get_json() == client.post("/versions", json={"project": "7.1"}).get_json() == {"versions": ["mcal 0.1.0"]}
    )
    world.decided = {3: ("one", 0.75, "final")}
    results = client.post("/predict", json=predict_body([5, 3])).get_json()["results"]
    assert [len(r["result"]) for r in results] == [0, 1]
    assert client.post("/webhook", json=event_body("ANNOTATIONS_DELETED")).get_json() == {"status": "ok", "campaign": 1}
    assert world.queue.jobs == [(1, "setup"), (1, "ANNOTATIONS_DELETED")]


def test_predict_needs_no_setup_before_it(app_1: Flask) -> None:
    assert app_1.test_client().post("/predict", json=predict_body([1])).status_code == 200


def test_both_hosts_give_the_same_answers(app_1: Flask, world: World) -> None:
    world.campaign()
    ours, theirs = create_app(world.deps()).test_client(), app_1.test_client()
    bodies: dict[str, list[Any]] = {
        "/setup": [setup_body(), setup_body("{"), {}],
        "/predict": [predict_body([1, 2]), {}],
        "/webhook": [event_body("START_TRAINING"), event_body("X"), {}],
        "/train": [{"project": 7}, {}],
        "/versions": [{}],
    }
    requests = [("GET", path, None) for path in ("/", "/health", "/versions")]
    requests += [("POST", path, body) for path in bodies for body in bodies[path]]
    for method, path, body in requests:
        one, two = ours.open(path, method=method, json=body), theirs.open(path, method=method, json=body)
        assert (one.status, one.get_json()) == (two.status, two.get_json()), path


def test_no_process_is_started_per_webhook(app_1: Flask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
    world.campaign()
    assert app_1.test_client().post("/webhook", json=event_body("ANNOTATION_CREATED")).status_code == 200


def test_a_host_without_basic_auth_of_its_own_gets_ours(
    host_1: types.ModuleType, plugin: types.ModuleType, world: World, tmp_path: Path
) -> None:
    app = plugin.install(host_1.init_app(plugin.MCALBackend, model_dir=str(tmp_path)), world.protocol, GUARDED)
    client: FlaskClient = app.test_client()
    assert client.post("/setup", json=setup_body(PARAMS)).status_code == 401
    assert client.post("/setup", json=setup_body(PARAMS), auth=("admin", "open sesame")).status_code == 200


def test_the_hosts_logging_of_bodies_is_taken_out(app_1: Flask, world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        app_1.test_client().post("/webhook", json=event_body("PROJECT_UPDATED"))
        app_1.test_client().post("/setup", json=setup_body(PARAMS))
    assert "sharing-token" not in caplog.text and "0123456789abcdef" not in caplog.text


def test_bodies_above_the_limit_are_refused_there_too(app_1: Flask) -> None:
    app_1.config["MAX_CONTENT_LENGTH"] = 100
    assert app_1.test_client().post("/setup", json=setup_body(PARAMS)).status_code == 413


def test_the_class_has_the_signatures_that_1_0_9_calls(plugin: types.ModuleType, host_1: types.ModuleType, world: World) -> None:
    plugin.MCALBackend.connect(world.protocol)
    world.campaign()
    world.decided = {3: ("one", 0.75, "final")}
    model = plugin.MCALBackend(label_config=CONFIG, train_output=None, hostname="http://x", access_token="t", model_version=None)
    assert isinstance(model, sys.modules["label_studio_ml.model"].LabelStudioMLBase)
    (result,) = model.predict(predict_body([3])["tasks"], login=None, password=None, context=None)
    assert result["model_version"] == "final"
    model.process_event("ANNOTATION_CREATED", event_body("ANNOTATION_CREATED"), "1", {"workdir": "/tmp"})
    assert world.queue.jobs == [(1, "ANNOTATION_CREATED")]


@pytest.mark.slow
def test_importing_the_plugin_leaves_the_process_as_it_was() -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "import logging, multiprocessing, sys, types\n"
        # In torch's place: label-studio-ml only reaches through it for multiprocessing, and its import takes seconds.
        "sys.modules['torch'] = torch = types.ModuleType('torch')\n"
        "torch.multiprocessing = sys.modules['torch.multiprocessing'] = multiprocessing\n"
        "import backend.plugin\n"
        "assert 'label_studio_ml.model' in sys.modules\n"
        "print(multiprocessing.get_start_method(allow_none=True), logging.root.handlers, warnings.filters[0][:3])\n"
    )
    pytest.importorskip("label_studio_ml")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "None [] ('error', None, <class 'Warning'>)"


# --- 2.x, by its interface


@pytest.fixture
def host_2(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A label_studio_ml with 2.x's base class interface and the shape of its app."""
    kept = forget("label_studio_ml")
    package, model, api = (types.ModuleType(name) for name in ("label_studio_ml", "label_studio_ml.model", "label_studio_ml.api"))

    class LabelStudioMLBase:
        def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
            raise AssertionError("2.x's base writes a database into the working directory")

        def set_extra_params(self, extra_params: Any) -> None:
            raise ValueError("Value must be a string")

        def get(self, key: str) -> Any:
            raise AssertionError("the cache database was read")

    def init_app(model_class: Any, basic_auth_user: str | None = None, basic_auth_pass: str | None = None) -> Flask:
        """Routes that make a model per request, as 2.x does; only what the tests below send is handled."""
        from flask import jsonify, request

        app = Flask(__name__)

        @app.post("/predict")
        def _predict() -> Any:
            project = str(request.json["project"]).split(".", 1)[0]
            model = model_class(project_id=project, label_config=request.json["label_config"])
            params = dict(request.json["params"])
            return jsonify({"results": model.predict(request.json["tasks"], context=params.pop("context", {}), **params)})

        @app.post("/setup")
        def _setup() -> Any:
            body: dict[str, Any] = request.json
            model = model_class(project_id=body["project"].split(".", 1)[0], label_config=body["schema"])
            if body.get("extra_params"):
                model.set_extra_params(body["extra_params"])
            return jsonify({"model_version": model.get("model_version")})

        @app.post("/webhook")
        def webhook() -> Any:
            data: dict[str, Any] = request.json
            event = data.pop("action")
            model = model_class(str(data["project"]["id"]), label_config=data["project"]["label_config"])
            return jsonify({"result": model.fit(event, data), "status": "ok"}), 201

        @app.get("/health")
        @app.get("/")
        def health() -> Any:
            return jsonify({"status": "UP", "model_class": model_class.__name__})

        return app

    model.LabelStudioMLBase = LabelStudioMLBase  # type: ignore[attr-defined]
    api.init_app = init_app  # type: ignore[attr-defined]
    package.__path__ = []
    package.__spec__ = importlib.machinery.ModuleSpec("label_studio_ml", None, is_package=True)
    for module in (package, model, api):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    yield api
    monkeypatch.undo()
    forget("label_studio_ml")
    sys.modules.update(kept)


@pytest.mark.parametrize("installed", [True, False], ids=["installed", "stock routes"])
def test_the_same_class_serves_on_2_x(host_2: types.ModuleType, plugin: types.ModuleType, world: World, installed: bool) -> None:
    plugin.MCALBackend.connect(world.protocol)
    app = host_2.init_app(plugin.MCALBackend)
    client = (plugin.install(app, world.protocol, Access()) if installed else app).test_client()
    assert client.get("/health").get_json()["model_class"] == "MCALBackend"
    for params in (PARAMS, '{"target_error": 0.05, "price": 0.04}', None):
        assert client.post("/setup", json=setup_body(params)).get_json()["model_version"].startswith("mcal: campaign 1")
    world.decided = {3: ("one", 0.75, "final")}
    results = client.post("/predict", json=predict_body([5, 3])).get_json()["results"]
    assert [len(r["result"]) for r in results] == [0, 1]
    assert client.post("/webhook", json=event_body("ANNOTATION_CREATED")).status_code in (200, 201)
    assert world.queue.jobs == [(1, "setup"), (1, "ANNOTATION_CREATED")]


def test_versions_are_added_to_a_2_x_app(host_2: types.ModuleType, plugin: types.ModuleType, world: World) -> None:
    client = plugin.install(host_2.init_app(plugin.MCALBackend), world.protocol, Access()).test_client()
    assert client.get("/versions").get_json() == client.post("/versions", json={}).get_json() == {"versions": ["mcal 0.1.0"]}


def test_extra_params_that_break_a_rule_raise_on_2_x_too(host_2: types.ModuleType, plugin: types.ModuleType, world: World) -> None:
    model = plugin.MCALBackend.connect(world.protocol)("7", label_config=CONFIG)
    model.set_extra_params({"target_error": 5})
    with pytest.raises(InvalidValue, match="target_error"):
        model.get("model_version")
    assert model.get("label_config") is None


# --- neither


def test_without_label_studio_ml_the_class_still_answers(without_label_studio_ml: None, plugin: types.ModuleType, world: World) -> None:
    assert plugin.MCALBackend.__mro__[1] is object
    world.campaign()
    world.store.append(1, [NewEvent("paused", {})])
    model = plugin.MCALBackend.connect(world.protocol)(label_config=CONFIG, project_id=7)
    assert model.predict(predict_body([1])["tasks"]) == [{"result": [], "score": 0.0, "model_version": "mcal-no-label"}]
    assert model.predict([]) == []
    assert model.fit((), event="START_TRAINING", data={}) == {"status": "ok", "campaign": 1}
    assert world.kinds(1) == ["requested", "paused"]  # a host that let the sender in unasked resumes nothing


def test_a_class_that_nobody_connected_says_what_to_do(without_label_studio_ml: None, plugin: types.ModuleType) -> None:
    with pytest.raises(plugin.NotConnected, match="install"):
        plugin.MCALBackend(label_config=CONFIG).predict(predict_body([1])["tasks"])
