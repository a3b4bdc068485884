"""The line between backend and Label Studio carries everything until it is cut, and each cut is what it is called."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.chaos.proxy import Line


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def line(asked: list[str]) -> Iterator[Line]:
    class Receiver(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 200_000)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        serving = threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True)
        serving.start()
        with Line(receiver.server_port) as made:
            yield made
        receiver.shutdown()
        serving.join()


def test_a_whole_line_carries_requests_and_answers(line: Line, asked: list[str]) -> None:
    assert len(httpx.get(f"{line.url}/a", timeout=20).content) == 200_000
    assert asked == ["/a"]


def test_a_refused_caller_is_reset_and_nothing_arrives_until_it_is_mended(line: Line, asked: list[str]) -> None:
    line.cut("refused")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{line.url}/a", timeout=20)
    assert asked == []
    line.mend()
    assert httpx.get(f"{line.url}/b", timeout=20).status_code == 200


def test_a_deaf_caller_is_heard_and_gets_no_answer(line: Line, asked: list[str]) -> None:
    line.cut("deaf")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{line.url}/a", timeout=20)
    assert asked == ["/a"]


def test_a_silent_line_makes_callers_wait(line: Line, asked: list[str]) -> None:
    line.cut("silent")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{line.url}/a", timeout=httpx.Timeout(20, read=0.2))
    assert asked == []
