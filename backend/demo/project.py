"""The demo's project in Label Studio, made as an admin makes one: images or texts, a control for each question, a connected model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import quoteattr

import httpx

from backend.demo.data import DemoData
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import LabelControl
from mcal_engine.answers import Question, Questions
from mcal_engine.classifiers.candidates import Reads
from mcal_engine.errors import MCALError
from mcal_engine.words import counted_of

FROM_NAME = "label"
TO_NAMES: Mapping[Reads, str] = {"image": "image", "text": "text"}
IMPORT_CHUNK = 5_000  # tasks per request


class ProjectError(MCALError):
    """Label Studio refused a step that makes the demo's project."""


@dataclass(frozen=True, slots=True)
class DemoProject:
    """Where annotators work, and what they are asked. ``tab_id`` is the Data Manager's tab that the button names."""

    url: str
    id: int
    tab_id: int
    control: LabelControl


class Admin:
    """The project's admin, over one connection."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=120)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()

    def create_project(self, data: DemoData, document_root: Path, folder: str) -> tuple[DemoProject, dict[int, str]]:
        """Write the images to ``document_root/folder``, make the project, import one task per item.

        Returns:
            The project, and the truth: task id → text of the true answer.
        """
        config = data.interface or label_config(data.choices, data.reads, data.questions, beside=data.beside is not None)
        project = self._post("/api/projects", {"title": data.title, "label_config": config})
        project_id = int(project["id"])
        if data.reads == "text":
            tasks = [{"text": str(text)} for text in data.images]
        else:
            names = data.write(document_root / folder)
            # Local files are served to those who may see a storage on their folder; nothing needs to be synchronised.
            storage = {"project": project_id, "title": "images", "path": str(document_root / folder), "use_blob_urls": True}
            self._post("/api/storages/localfiles", storage)
            tasks = [{"image": f"/data/local-files/?d={folder}/{name}"} for name in names]
            if data.beside is not None:
                tasks = [task | {"text": text} for task, text in zip(tasks, data.beside, strict=True)]
        ids: list[int] = []
        for start in range(0, len(tasks), IMPORT_CHUNK):
            path = f"/api/projects/{project_id}/import?return_task_ids=true"
            ids += [int(task) for task in self._post(path, tasks[start : start + IMPORT_CHUNK])["task_ids"]]
        if len(ids) != len(tasks):
            raise ProjectError(f"Label Studio imported {counted_of(len(ids), len(tasks), 'task')}")
        tab_data = {"title": "Default", "type": "list", "target": "tasks"}
        tab = self._post(f"/api/dm/views?project={project_id}", {"project": project_id, "data": tab_data})
        truth = {task: data.choices[label] for task, label in zip(ids, data.labels, strict=True)}
        return DemoProject(self._url, project_id, int(tab["id"]), parse_label_config(config)), truth

    def connect(self, project: DemoProject, backend_url: str, extra_params: Mapping[str, Any]) -> None:
        """Connect the model as *Settings → Model* does; Label Studio then calls ``/health`` and ``/setup``."""
        body = {"project": project.id, "url": backend_url, "title": "MCAL", "extra_params": dict(extra_params), "is_interactive": False}
        self._post("/api/ml", body)

    def export(self, project: DemoProject) -> list[dict[str, Any]]:
        """Every task with its annotations, as a user downloads them."""
        reply = self._session.get(
            f"/api/projects/{project.id}/export", params={"exportType": "JSON", "download_all_tasks": "true"}, timeout=httpx.Timeout(600)
        )
        return list(_answer(reply))

    def _post(self, path: str, body: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
        return dict(_answer(self._session.post(path, json=body)))


def label_config(choices: Sequence[str], reads: Reads = "image", questions: Questions | None = None, *, beside: bool = False) -> str:
    """The labelling interface: one image or text, or an image with a text ``beside`` it, and one choice, or a control for each question."""
    to_name = TO_NAMES[reads]
    asked = [_control(question, to_name, required=not question.optional) for question in questions or ()]
    control = "".join(asked) or _control(Question(FROM_NAME, tuple(choices)), to_name, required=False)
    item = f'<Image name="{to_name}" value="$image" zoom="true"/>' if reads == "image" else f'<Text name="{to_name}" value="$text"/>'
    text = '<Text name="text" value="$text"/>' if beside else ""
    return f"<View>{item}{text}{control}</View>"


def _control(question: Question, to_name: str, *, required: bool) -> str:
    values = "".join(f"<Choice value={quoteattr(choice)}/>" for choice in question.choices)
    how = f'choice="{"multiple" if question.several else "single"}" showInline="true"' + (' required="true"' if required else "")
    return f'<Choices name={quoteattr(question.name)} toName="{to_name}" {how}>{values}</Choices>'


def _answer(reply: httpx.Response) -> Any:
    if reply.is_error:
        asked = f"{reply.request.method} {reply.request.url.path}"
        raise ProjectError(f"Label Studio answered {reply.status_code} to {asked}: {reply.text[:500]}")
    return reply.json()
