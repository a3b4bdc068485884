"""Every operation of the API with thousands of made-up requests, good and bad: ``make fuzz-api``.

The real app on waitress and SQLite, with the fake Label Studio behind it, a campaign that has finished, one that is in the middle and one
that nobody has visited. schemathesis (``uv tool run``; it is no part of the product) reads the API's own description and makes the
requests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from backend.steps.loop import advance
from backend.steps.open import request_campaign
from backend.web.access import Access
from backend.web.admin import Admin
from backend.web.app import create_app
from backend.web.desk import Desk
from backend.web.ports import WebDeps
from backend.web.server import serve
from tests.backend.web.world import ADMIN
from tests.backend.web.world import World as Web
from tests.backend.world import CONFIG, World

SCHEMATHESIS = ["uv", "tool", "run", "--from", "schemathesis==4.32.5", "schemathesis"]
TOKEN = "a-token-of-enough-length"


def deps(folder: Path) -> WebDeps:
    world = World(folder)
    world.run()
    for visits in (1, 0):
        project = world.label_studio.add_project(CONFIG, [f"/data/{place}.png" for place in range(250)])
        made = request_campaign(world.services, project, world.settings, "test")
        for _ in range(visits):
            advance(world.services, made.id)
    admin = Admin(ADMIN.user, ADMIN.password_hash, "signs the cookies", token=TOKEN)
    desk = Desk(admin=admin, store=world.store, now=world.now, tools=lambda: world.services, wake=lambda *_: None)
    return WebDeps(protocol=Web(world.store).protocol, access=Access(), desk=desk, checks={})


def main(arguments: Sequence[str]) -> int:
    over, listens = threading.Event(), threading.Event()
    where: list[int] = []

    def listening(_host: str, port: int) -> None:
        where.append(port)
        listens.set()

    with tempfile.TemporaryDirectory(prefix="mcal-api-") as folder:
        app = create_app(deps(Path(folder)))
        serving = threading.Thread(target=lambda: serve(app, "127.0.0.1", 0, over, protected=False, listening=listening))
        serving.start()
        listens.wait()
        command = [*SCHEMATHESIS, "run", f"http://127.0.0.1:{where[0]}/api/v1/openapi.json", "-H", f"Authorization: Bearer {TOKEN}"]
        command += ["--checks", "not_a_server_error", "--max-examples", "50", "--seed", "1", "--continue-on-failure", *arguments]
        try:
            return subprocess.run(command, cwd=folder, check=False).returncode
        finally:
            over.set()
            serving.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
