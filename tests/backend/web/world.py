"""What the web tests share: stand-ins at the ports, and request bodies as Label Studio 1.23 sends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from werkzeug.security import generate_password_hash

from backend.campaign_settings import parse_campaign_settings
from backend.label_studio.config import parse_label_config
from backend.protocol import MLProtocol
from backend.protocol.turnstile import Turnstile
from backend.steps.ports import Services
from backend.store import Campaign, NewEvent, Store
from backend.web.access import Access
from backend.web.admin import Admin
from backend.web.desk import Desk
from backend.web.ports import WebDeps
from mcal_engine.errors import InvalidValue

URL = "http://label-studio.test:8080"
PARAMS = {"target_error": 0.05, "price_per_label": 0.04}
LOGIN = ("admin", "open sesame")
ADMIN = Admin(LOGIN[0], generate_password_hash(LOGIN[1], "scrypt:1024:8:1"), "signs the cookies")
CONFIG = """<View><Image name="image" value="$image"/>
<Choices name="digit" toName="image"><Choice value="zero"/><Choice value="one"/></Choices></View>"""


class RecordingQueue:
    def __init__(self) -> None:
        self.jobs: list[tuple[int, str]] = []

    def enqueue(self, campaign_id: int, reason: str) -> None:
        self.jobs.append((campaign_id, reason))


class Untouchable:
    """Fails whoever uses it in any way."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"must not be touched, but .{name} was read")

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("must not be touched, but was called")


def no_tools() -> Services:
    raise InvalidValue("there is no token")


def desk(store: Any) -> Desk:
    """The admin's side without a Label Studio."""
    return Desk(admin=ADMIN, store=store, now=lambda: datetime.now(UTC), tools=no_tools, wake=lambda *_: None)


class World:
    """A protocol with everything around it in reach of a test."""

    def __init__(self, store: Store, *, queue: Any = None, turnstile: Turnstile | None = None) -> None:
        self.store = store
        self.queue = queue if queue is not None else RecordingQueue()
        self.decided: dict[int, tuple[str, float, str]] = {}
        self.asked_predictions: list[tuple[int, list[int]]] = []
        self.protocol = MLProtocol(
            store=store,
            queue=self.queue,
            label_studio_url=URL,
            parse_settings=parse_campaign_settings,
            parse_label_config=parse_label_config,
            status_line=self.status_line,
            predictions=self.predictions,
            version="0.1.0",
            turnstile=turnstile,
        )

    def status_line(self, campaign_id: int) -> str:
        return f"mcal: campaign {campaign_id}, round 3, 212 of 350 labels in"

    def predictions(self, project_id: int, task_ids: Sequence[int]) -> Mapping[int, tuple[str, float, str]]:
        self.asked_predictions.append((project_id, list(task_ids)))
        return {task_id: self.decided[task_id] for task_id in task_ids if task_id in self.decided}

    def deps(self, *, access: Access | None = None, checks: Mapping[str, Callable[[], object]] | None = None, **more: Any) -> WebDeps:
        return WebDeps(protocol=self.protocol, access=access or Access(), desk=desk(self.store), checks=checks or {}, **more)

    def campaign(self, project_id: int = 7, settings: dict[str, Any] | None = None) -> Campaign:
        """A live campaign as the command line starts one."""
        full = parse_campaign_settings(settings or PARAMS).model_dump(mode="json")
        return self.store.create_campaign(project_id, URL, [NewEvent("requested", {"settings": full, "source": "cli"})])

    def settings(self, campaign_id: int) -> dict[str, Any]:
        return next(e.payload["settings"] for e in reversed(self.store.events(campaign_id)) if "settings" in e.payload)

    def kinds(self, campaign_id: int) -> list[str]:
        return [event.kind for event in self.store.events(campaign_id)]


def setup_body(extra_params: Any = None, *, project: Any = "7.1732229000", schema: Any = CONFIG) -> dict[str, Any]:
    return {
        "project": project,
        "schema": schema,
        "hostname": "http://localhost:8080",
        "access_token": "0123456789abcdef",
        "extra_params": extra_params,
    }


def predict_body(task_ids: Sequence[Any], *, label_config: Any = CONFIG) -> dict[str, Any]:
    tasks = [{"id": task_id, "data": {"image": f"/data/{task_id}.png"}, "project": 7, "annotations": []} for task_id in task_ids]
    params = {"login": None, "password": None, "context": None}
    return {"tasks": tasks, "project": "7.1732229000", "label_config": label_config, "params": params}


def event_body(action: Any, *, project: Any = None) -> dict[str, Any]:
    whole = {"id": 7, "title": "digits", "label_config": CONFIG, "token": "sharing-token", "model_version": "q1"}
    return {"action": action, "project": whole if project is None else project}
