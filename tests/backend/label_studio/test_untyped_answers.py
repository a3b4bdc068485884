"""Answers that are no answers: whatever comes with status 200, the client's methods work or raise the port's own error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.port import Annotation, LabelControl, LabelStudioError, LabelStudioPort, Prediction

CONTROL = LabelControl("label", "image", "image", ("one", "two"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANNOTATION = Annotation(5, 2, "one", 4, None, NOW, NOW, None, False, None)
BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "null": (b"null", {}),
    "list": (b"[]", {}),
    "object": (b"{}", {}),
    "number": (b"7", {}),
    "list of null": (b"[null]", {}),
    "tasks as object": (b'{"tasks": {}}', {}),
    "tasks null": (b'{"tasks": null}', {}),
    "tasks of null": (b'{"tasks": [null]}', {}),
    "task of nulls": (b'{"tasks": [{"id": null, "updated_at": null, "created_at": null, "annotations": null}]}', {}),
    "fields null": (b'{"id": null, "task_number": null, "created": null, "updated_at": null}', {}),
    "bad UTF-8": (b'{"id": "\xff\xfe"}', {}),
    "broken gzip": (b"\x1f\x8b\x08\x00broken", {"Content-Encoding": "gzip"}),
    "web page": (b"<html>Welcome</html>", {"Content-Type": "text/html"}),
    "deep": (b"[" * 100_000 + b"]" * 100_000, {}),
}
CALLS: dict[str, Callable[[LabelStudioPort], Any]] = {
    "current_user": lambda port: port.current_user(),
    "users": lambda port: port.users(),
    "version": lambda port: port.version(),
    "project": lambda port: port.project(1),
    "projects": lambda port: port.projects(),
    "update_project": lambda port: port.update_project(1, sampling="x"),
    "tasks": lambda port: list(port.tasks(1, CONTROL)),
    "tasks_by_id": lambda port: port.tasks_by_id(1, CONTROL, [2]),
    "task_ids": lambda port: port.task_ids(1),
    "task_times": lambda port: port.task_times(1),
    "n_tasks_after": lambda port: port.n_tasks_after(1, 2),
    "task_data": lambda port: port.task_data(1, [2]),
    "import_predictions": lambda port: port.import_predictions(1, "q", [Prediction(2, 0.5)], CONTROL),
    "predicted_task_ids": lambda port: port.predicted_task_ids(1, "q", among=[2]),
    "delete_predictions": lambda port: port.delete_predictions(1, "q"),
    "delete_predictions_on": lambda port: port.delete_predictions_on(1, "q", [2]),
    "predictions_to_annotations": lambda port: port.predictions_to_annotations(1, "q", [2]),
    "delete_unchanged": lambda port: port.delete_unchanged([ANNOTATION]),
    "delete_annotation": lambda port: port.delete_annotation(5),
    "lock_task": lambda port: port.lock_task(1, 2),
    "release_task": lambda port: port.release_task(1, 2),
    "set_overlap": lambda port: port.set_overlap(1, [2], 2),
    "webhooks": lambda port: port.webhooks(1),
    "register_webhook": lambda port: port.register_webhook(1, "http://a.test", {}),
}


def test_every_method_is_tried() -> None:
    names = {name for name, found in vars(LabelStudioPort).items() if callable(found) and not name.startswith("_")}
    assert set(CALLS) == names - {"fetch_media"}


@pytest.mark.parametrize("kind", BODIES)
def test_what_is_no_answer_is_label_studios_trouble(kind: str) -> None:
    body, headers = BODIES[kind]
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body, headers={"Content-Type": "application/json"} | headers))
    client = LabelStudioClient("http://ls.test", "0" * 40, transport=transport, first_pause=0.0)
    refused = set()
    for name, call in CALLS.items():
        try:
            call(client)
        except LabelStudioError:
            refused.add(name)
    client.close()
    assert refused >= {"current_user", "project", "tasks", "tasks_by_id", "task_ids", "task_times", "n_tasks_after", "import_predictions"}
