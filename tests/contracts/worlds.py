"""The fake and the real Label Studio behind one face: the port, and what people do."""

from __future__ import annotations

from typing import Any, Protocol

import httpx

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import LabelStudioPort, User
from backend.label_studio.wire import result_of
from backend.simtest.label_studio import FakeLabelStudio
from tests.conftest import RealLabelStudio

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="digit" toName="image" choice="single-radio">'
    '<Choice value="zero"/><Choice value="one"/><Choice value="two"/></Choices></View>'
)
CONTROL = parse_label_config(CONFIG)


class World(Protocol):
    @property
    def port(self) -> LabelStudioPort: ...
    @property
    def ann(self) -> User: ...
    @property
    def bob(self) -> User: ...

    def add_project(self, n_tasks: int) -> tuple[int, list[int]]: ...
    def next_task(self, project_id: int, user: User) -> int | None: ...
    def shown(self, task_id: int, user: User) -> list[str]:
        """Choices that the page of this task preselects for this person, whom it was just served to."""

    def stored(self, task_id: int) -> list[str]:
        """Choices of every prediction that the Data Manager would show on this task."""

    def labels_shown(self, task_id: int, user: User) -> list[str]:
        """Choices of annotations that came with this task when it was served to this person."""

    def annotate(self, task_id: int, user: User, choice: str) -> int: ...
    def skip(self, task_id: int, user: User) -> int: ...
    def edit(self, annotation_id: int, user: User, choice: str) -> None: ...
    def remove_annotation(self, annotation_id: int) -> None: ...
    def delete_task(self, task_id: int) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.port = self.fake = FakeLabelStudio()
        self.ann = self.fake.add_user("ann@example.com")
        self.bob = self.fake.add_user("bob@example.com")

    def add_project(self, n_tasks: int) -> tuple[int, list[int]]:
        project_id = self.fake.add_project(CONFIG, [f"https://images.test/{index}.png" for index in range(n_tasks)], title="Contract")
        return project_id, self.fake.task_ids(project_id)

    def next_task(self, project_id: int, user: User) -> int | None:
        return self.fake.next_task(project_id, user)

    def shown(self, task_id: int, user: User) -> list[str]:
        found = self.fake.suggestion(task_id)
        return [] if found is None else [found]

    def stored(self, task_id: int) -> list[str]:
        return [row.choice for row in self.fake.predictions(task_id).values() if row.choice is not None]

    def labels_shown(self, task_id: int, user: User) -> list[str]:
        return []  # the stream holds a person's own labels only, and whoever has one is not asked again

    def annotate(self, task_id: int, user: User, choice: str) -> int:
        return self.fake.annotate(task_id, user, choice)

    def skip(self, task_id: int, user: User) -> int:
        return self.fake.skip(task_id, user)

    def edit(self, annotation_id: int, user: User, choice: str) -> None:
        self.fake.edit(annotation_id, user, choice)

    def remove_annotation(self, annotation_id: int) -> None:
        self.fake.remove_annotation(annotation_id)

    def delete_task(self, task_id: int) -> None:
        self.fake.delete_task(task_id)


class RealWorld:
    def __init__(self, real: RealLabelStudio) -> None:
        self.url = real.server.url
        self.port = LabelStudioClient(self.url, real.service_token)
        self._admin = self._http(real.server.admin_token)
        people = {}
        for token in real.annotator_tokens:
            http = self._http(token)
            who = http.get("/api/current-user/whoami").json()
            people[User(who["id"], who["email"])] = http
        self._people = {user.id: http for user, http in people.items()}
        self._served: dict[tuple[int, int], list[str]] = {}
        self._labels: dict[tuple[int, int], list[str]] = {}
        self.ann, self.bob = people

    def close(self) -> None:
        self.port.close()
        for http in (self._admin, *self._people.values()):
            http.close()

    def add_project(self, n_tasks: int) -> tuple[int, list[int]]:
        project = self._ok(self._admin.post("/api/projects", json={"title": "Contract", "label_config": CONFIG}))
        rows = [{"data": {"image": f"https://images.test/{index}.png"}} for index in range(n_tasks)]
        added = self._ok(self._admin.post(f"/api/projects/{project['id']}/import?return_task_ids=true", json=rows))
        return project["id"], added["task_ids"]

    def next_task(self, project_id: int, user: User) -> int | None:
        reply = self._people[user.id].post(f"/api/dm/actions?id=next_task&project={project_id}", json={})
        if reply.status_code == 404:
            return None
        task = self._ok(reply)
        self._served[user.id, task["id"]] = _choices(task["predictions"])
        self._labels[user.id, task["id"]] = _choices(task["annotations"])
        return int(task["id"])

    def shown(self, task_id: int, user: User) -> list[str]:
        return self._served[user.id, task_id]

    def labels_shown(self, task_id: int, user: User) -> list[str]:
        return self._labels[user.id, task_id]

    def stored(self, task_id: int) -> list[str]:
        return _choices(self._ok(self._people[self.ann.id].get(f"/api/tasks/{task_id}"))["predictions"])

    def labels(self, task_id: int) -> list[str]:
        """Choices of every annotation that the Data Manager would show on this task."""
        return _choices(self._ok(self._people[self.ann.id].get(f"/api/tasks/{task_id}"))["annotations"])

    def export(self, project_id: int) -> list[dict[str, Any]]:
        """What an admin gets from Export, JSON."""
        return list(self._ok(self._admin.get(f"/api/projects/{project_id}/export", params={"exportType": "JSON"})))

    def annotate(self, task_id: int, user: User, choice: str) -> int:
        body = {"result": result_of(choice, CONTROL), "lead_time": 2.0}
        return int(self._ok(self._people[user.id].post(f"/api/tasks/{task_id}/annotations/", json=body))["id"])

    def skip(self, task_id: int, user: User) -> int:
        body: dict[str, Any] = {"result": [], "was_cancelled": True}
        return int(self._ok(self._people[user.id].post(f"/api/tasks/{task_id}/annotations/", json=body))["id"])

    def edit(self, annotation_id: int, user: User, choice: str) -> None:
        self._ok(self._people[user.id].patch(f"/api/annotations/{annotation_id}/", json={"result": result_of(choice, CONTROL)}))

    def remove_annotation(self, annotation_id: int) -> None:
        self._admin.delete(f"/api/annotations/{annotation_id}/").raise_for_status()

    def delete_task(self, task_id: int) -> None:
        self._admin.delete(f"/api/tasks/{task_id}/").raise_for_status()

    def _http(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Token {token}"}, timeout=120)

    @staticmethod
    def _ok(reply: httpx.Response) -> Any:
        assert reply.is_success, reply.text
        return reply.json()


def _choices(predictions: list[dict[str, Any]]) -> list[str]:
    return [choice for row in predictions for region in row["result"] for choice in region["value"]["choices"]]
