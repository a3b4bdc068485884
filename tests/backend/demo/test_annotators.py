"""Simulated people against a Label Studio of a few lines: what they ask, what they answer, and what makes them give up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from backend.demo.annotators import Annotator, AnnotatorError, Pull
from backend.demo.project import DemoProject, label_config
from backend.label_studio.config import parse_label_config


@dataclass
class Scripted:
    """Answers in the given order, then "no more tasks"."""

    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, Any, str | None]] = field(default_factory=list)


@pytest.fixture
def label_studio() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            script.asked.append((self.path, body, self.headers["Authorization"]))
            status, answer = script.answers.pop(0) if script.answers else (404, {"detail": "There are no tasks"})
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def work(label_studio: Scripted, until: Callable[[list[Pull], Annotator], bool]) -> tuple[list[Pull], Annotator]:
    pulls: list[Pull] = []
    project = DemoProject(label_studio.url, 7, 3, parse_label_config(label_config(["cat", "dog"])))
    person = Annotator(project, "ann@example.com", "her-token", {1: "cat", 2: "dog"}, pulls.append, pace=0.0, seed=0)
    person.start()
    deadline = time.monotonic() + 20
    while not until(pulls, person):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    person.stop()
    person.join()
    return pulls, person


def test_a_person_presses_the_button_and_submits_the_true_label(label_studio: Scripted) -> None:
    label_studio.answers = [(200, {"id": 1, "queue": "Uncertainty"}), (201, {"id": 50})]
    pulls, person = work(label_studio, lambda pulls, _: len(pulls) >= 2)
    assert person.failure is None
    (button, body, token), (submit, given, _) = label_studio.asked[:2]
    assert (button, body, token) == ("/api/dm/actions?id=next_task&project=7&tabID=3", {}, "Token her-token")
    assert submit == "/api/tasks/1/annotations/?project=7"
    assert given["result"][0]["value"] == {"choices": ["cat"]}
    assert 0.3 < given["lead_time"] < 20
    assert (pulls[0].task_id, pulls[0].annotation_id, pulls[0].choice) == (1, 50, "cat")
    assert pulls[0].submitted_at is not None
    assert pulls[0].asked_at <= pulls[0].served_at <= pulls[0].submitted_at


def test_no_more_tasks_is_recorded_and_asked_again_after_a_while(label_studio: Scripted) -> None:
    pulls, _ = work(label_studio, lambda pulls, _: len(pulls) >= 2)
    assert [pull.task_id for pull in pulls[:2]] == [None, None]
    assert (pulls[1].asked_at - pulls[0].served_at).total_seconds() > 0.3


def test_a_server_in_trouble_is_tried_again(label_studio: Scripted) -> None:
    label_studio.answers = [(500, {}), (200, {"id": 2}), (503, {}), (200, {"id": 2}), (201, {"id": 51})]
    pulls, person = work(label_studio, lambda pulls, _: any(pull.task_id for pull in pulls))
    assert person.failure is None
    assert [(pull.task_id, pull.choice) for pull in pulls if pull.task_id] == [(2, "dog")]


def test_a_refusal_ends_the_work_with_its_reason(label_studio: Scripted) -> None:
    label_studio.answers = [(401, {"detail": "Invalid token"})]
    _, person = work(label_studio, lambda _, person: person.failure is not None)
    assert isinstance(person.failure, AnnotatorError)
    assert "401" in str(person.failure)
    assert "her-token" not in str(person.failure)
