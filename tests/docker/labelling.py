"""A project of digits in the deployment's Label Studio, and simulated annotators who label what they are served."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

from backend.demo.annotators import Annotator, Pull
from backend.demo.data import load
from backend.demo.project import Admin, DemoProject, label_config
from backend.label_studio.accounts import Session
from backend.label_studio.config import parse_label_config
from tests.docker.deployment import Deployment, until

# Small enough for minutes, easy enough for machine labels.
SETTINGS = {"target-error": "0.1", "price": "0.04", "test-size": "40", "batch-size": "30", "certificate-size": "50", "work-ahead": "0"}
PASSWORD = "a-good-passphrase"
FILES = "/label-studio/files"  # in the container


class Campaign:
    """One campaign from its project to its end; people are at work within the context."""

    def __init__(self, deployment: Deployment, items: int = 300, annotators: int = 2, pace: float = 0.3) -> None:
        self.deployment = deployment
        self.pulls: list[Pull] = []
        self._recording = threading.Lock()
        self._data = load(None, items, 0)
        self._pace = pace
        url = deployment.label_studio_url
        with Session(url) as admin:
            assert admin.log_in("admin@example.com", deployment.settings["LABEL_STUDIO_PASSWORD"])
            # Label Studio's own people use its pages; these ones need tokens of the simple kind.
            admin._json("POST", "/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
            token = admin._json("GET", "/api/current-user/token")["token"]
            invitation = admin.invitation()
        with Admin(url, token) as admin:
            self.project, self.truth = self._make_project(admin)
        self.people = [self._annotator(f"annotator{number}@example.com", invitation) for number in range(annotators)]
        self.admin_token = token

    @classmethod
    def resumed(cls, other: Campaign) -> Campaign:
        """The same campaign, whose people come back to work."""
        again = copy.copy(other)
        again.people = [other._person(person.email, person._token) for person in other.people]
        return again

    def begin(self) -> None:
        """Connect the backend, zero-touch, and wait until people are asked for labels."""
        options = [part for name, value in SETTINGS.items() for part in (f"--{name}", value)]
        self.deployment.compose("run", "--rm", "--no-deps", "bootstrap", "--project", str(self.project.id), *options)
        self.id = until(lambda: self.deployment.api("/campaigns")["campaigns"], "a campaign has begun")[0]["campaign"]
        self.wait_for("collecting")

    def __enter__(self) -> Self:
        for person in self.people:
            person.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for person in self.people:
            person.stop()
        for person in self.people:
            person.join()

    def phase(self) -> str:
        for person in self.people:
            assert person.failure is None, person.failure
        found = self.deployment.api(f"/campaigns/{self.id}")
        assert found["phase"] != "halted", found["sentence"]
        return str(found["phase"])

    def wait_for(self, *phases: str) -> str:
        return str(until(lambda: (now := self.phase()) in phases and now, f"the campaign is {' or '.join(phases)}"))

    def check(self) -> dict[str, Any]:
        """The report of the finished campaign, held against Label Studio: all is labelled, by the machine only where nobody labelled."""
        self.wait_for("finished")
        report: dict[str, Any] = self.deployment.api(f"/campaigns/{self.id}/report")
        with Admin(self.deployment.label_studio_url, self.admin_token) as admin:
            tasks = admin.export(self.project)
        authors = {task["id"]: [annotation["completed_by"] for annotation in task["annotations"]] for task in tasks}
        assert set(authors) == set(self.truth)
        assert all(authors.values()), "a task has no label"
        service_user = Counter(author for found in authors.values() for author in found if author not in self._people_ids(tasks))
        machine = sum(service_user.values())
        assert len(service_user) <= 1, "machine labels by more than one user"
        assert machine == report["n_machine"]
        assert all(len(found) == 1 for found in authors.values() if set(found) & set(service_user)), "a machine label beside a person's"
        labels = {task["id"]: task["annotations"][0]["result"][0]["value"]["choices"][0] for task in tasks}
        wrong = sum(labels[task] != truth for task, truth in self.truth.items())
        assert wrong <= 0.1 * len(self.truth), f"{wrong} of {len(self.truth)} labels are wrong"
        return report | {"true_wrong": wrong}

    def _people_ids(self, tasks: list[dict[str, Any]]) -> set[int]:
        by_hand = {pull.annotation_id for pull in self.pulls}
        return {note["completed_by"] for task in tasks for note in task["annotations"] if note["id"] in by_hand}

    def _make_project(self, admin: Admin) -> tuple[DemoProject, dict[int, str]]:
        data = self._data
        names = data.write(self.deployment.images / "digits")
        project = int(admin._post("/api/projects", {"title": data.title, "label_config": label_config(data.choices)})["id"])
        storage = {"project": project, "title": "images", "path": f"{FILES}/digits", "use_blob_urls": True}
        admin._post("/api/storages/localfiles", storage)
        tasks = [{"image": f"/data/local-files/?d=digits/{name}"} for name in names]
        ids = admin._post(f"/api/projects/{project}/import?return_task_ids=true", tasks)["task_ids"]
        tab = admin._post(
            f"/api/dm/views?project={project}", {"project": project, "data": {"title": "All", "type": "list", "target": "tasks"}}
        )
        truth = {int(task): data.choices[label] for task, label in zip(ids, data.labels, strict=True)}
        return DemoProject(self.deployment.label_studio_url, project, int(tab["id"]), parse_label_config(label_config(data.choices))), truth

    def _annotator(self, email: str, invitation: str) -> Annotator:
        with Session(self.deployment.label_studio_url) as person:
            assert person.sign_up(invitation, email, PASSWORD)
            token = person._json("GET", "/api/current-user/token")["token"]
        return self._person(email, token)

    def _person(self, email: str, token: str) -> Annotator:
        return Annotator(self.project, email, token, self.truth, self._record, pace=self._pace, seed=0)

    def _record(self, pull: Pull) -> None:
        with self._recording:
            self.pulls.append(pull)
