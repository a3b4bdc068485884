"""A world behind a real web server on a free port."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.security import generate_password_hash

from backend.campaign_settings import parse_campaign_settings
from backend.label_studio.config import parse_label_config
from backend.protocol import MLProtocol
from backend.views.status import status_line
from backend.web.access import Access
from backend.web.admin import Admin
from backend.web.app import create_app
from backend.web.desk import Desk
from backend.web.ports import WebDeps
from backend.web.server import serve
from tests.backend.world import World

USER, PASSWORD, TOKEN = "admin", "open sesame", "a-token-of-enough-length"
ADMIN = Admin(USER, generate_password_hash(PASSWORD, "scrypt:1024:8:1"), "signs the cookies", TOKEN)


class Wakes:
    """A job queue that only remembers."""

    def __init__(self) -> None:
        self.jobs: list[tuple[int, str]] = []

    def enqueue(self, campaign_id: int, reason: str) -> None:
        self.jobs.append((campaign_id, reason))


def deps_of(world: World, wakes: Wakes | None = None, admin: Admin = ADMIN, **more: Any) -> WebDeps:
    """The web app's parts over this world's store and fake Label Studio."""
    wakes = wakes or Wakes()
    desk = Desk(admin=admin, store=world.store, now=world.now, tools=lambda: world.services, wake=wakes.enqueue)
    protocol = MLProtocol(
        store=world.store,
        queue=wakes,
        label_studio_url=world.label_studio.url,
        parse_settings=parse_campaign_settings,
        parse_label_config=parse_label_config,
        status_line=lambda campaign_id: status_line(world.store, campaign_id, world.now()),
        predictions=lambda project_id, task_ids: {},
        version="test",
    )
    return WebDeps(protocol=protocol, access=Access(), desk=desk, checks={"store": world.store.ping}, **more)


@contextmanager
def serving(deps: WebDeps) -> Iterator[str]:
    """The server's address; it ends with the block."""
    stop, started = threading.Event(), queue.Queue[int]()
    arguments = (create_app(deps), "127.0.0.1", 0, stop)
    keywords = {"protected": False, "listening": lambda _, port: started.put(port)}
    thread = threading.Thread(target=serve, args=arguments, kwargs=keywords)
    thread.start()
    try:
        yield f"http://127.0.0.1:{started.get(timeout=20)}"
    finally:
        stop.set()
        thread.join(timeout=20)
