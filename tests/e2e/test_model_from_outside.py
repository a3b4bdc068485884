"""A campaign on a real Label Studio whose only candidate is another ML backend: slow, talking nonsense, dying and coming back."""

from __future__ import annotations

import json
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from backend.demo import audit
from backend.demo.run import judge
from backend.label_studio.config import parse_label_config
from tests.e2e.conftest import Build
from tests.e2e.following import begin, finish
from tests.e2e.test_whole_campaign import replayed
from tests.engine.simulator.test_texts import rows, written

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SLOW, DEADLY = 2, 3  # which /predict takes its time, and which one ends the process before it is answered
SILENT = 7  # of so many texts one is answered with a choice that does not exist


class Model:
    """Knows the labels of texts, errs on one of twenty, and is less sure there."""

    def __init__(self, truth: dict[str, str]) -> None:
        self.truth, self.choices = truth, sorted(set(truth.values()))
        self.asked: Counter[str] = Counter()  # texts that were answered
        self.said: dict[int, str] = {}  # task → the answer
        self.calls = 0
        self.dead = threading.Event()
        self.back = False  # after its death, and changed: it would say something else of each text that it has answered before

    def answer(self, task: int, text: str) -> tuple[str, float]:
        noise = zlib.crc32(text.encode())
        if noise % SILENT == 0:
            return "perhaps", 0.99
        wrong = noise // SILENT % 20 == 0
        place = self.choices.index(self.truth[text]) + wrong + (self.asked[text] > 1)
        self.said[task] = self.choices[place % len(self.choices)]
        return self.said[task], 0.3 if wrong else 0.6 + noise % 1000 / 2600

    @contextmanager
    def served(self, port: int = 0) -> Iterator[int]:
        """As the ecosystem's backends are asked; the port."""
        server = ThreadingHTTPServer(("127.0.0.1", port), handler(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({"status": "UP"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/setup":
                self._reply({"model_version": "1"})
                return
            model.calls += 1
            if model.calls == SLOW:
                threading.Event().wait(1.0)
            if model.calls == DEADLY:
                model.dead.set()
            if model.dead.is_set() and not model.back:
                self.close_connection = True
                return
            control = parse_label_config(body["label_config"])
            results = []
            for task in body["tasks"]:
                text = task["data"][control.data_key]
                model.asked[text] += 1
                choice, score = model.answer(task["id"], text)
                region = {"from_name": control.from_name, "to_name": control.to_name, "type": "choices", "value": {"choices": [choice]}}
                results.append({"result": [region], "score": score})
            self._reply({"results": results})

        def _reply(self, found: dict[str, Any]) -> None:
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    return Handler


def test_a_campaign_with_another_ml_backend_outlives_its_death_and_asks_nothing_twice(build: Build, tmp_path: Path) -> None:
    found = rows(200)
    model = Model({row["text"]: row["label"] for row in found})
    data = written(tmp_path / "topics.csv", found)
    with model.served() as port:
        address = f"http://127.0.0.1:{port}"
        house = build(200, {"MCAL_ML_BACKENDS": address}, data=data, classifiers=f"backend:{address}", target_error=0.2)
        begin(house)
        assert model.dead.wait(300), house.worker.log_tail()
    model.back = True
    with model.served(port):
        report = finish(house)
    _, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []
    assert report["certified"] and report["n_machine"] > 0
    assert set(model.asked.values()) == {1}
    machine = {each.task.id: each.machine[0].choice for each in audit.count(house.tasks(), house.service_user_id()) if each.machine}
    assert machine == {task: model.said[task] for task in machine}
    replayed(house)
