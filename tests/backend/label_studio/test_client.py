from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.port import LabelControl, LabelStudioError, Prediction
from tests.backend.label_studio.local_server import Answer, Asked, as_json, serving

LEGACY = "0123456789abcdef0123456789abcdef01234567"
CONTROL = LabelControl("kind", "image", "image", ("cat", "dog"))
WHO = as_json({"id": 4, "email": "mcal@example.com"})


def jwt(**claims: Any) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "HS256"}, claims)]
    return ".".join([*parts, "c2lnbmF0dXJl"])


PAT = jwt(token_type="refresh", exp=7_000_000_000)


@pytest.fixture
def clients() -> Iterator[Callable[..., LabelStudioClient]]:
    made: list[LabelStudioClient] = []

    def make(url: str, token: str = LEGACY, **options: Any) -> LabelStudioClient:
        made.append(LabelStudioClient(url, token, first_pause=0.01, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


class TokenDesk:
    """Label Studio's token end points: hands out numbered access tokens and takes only those not revoked."""

    def __init__(self, lifetime: float = 300.0) -> None:
        self.lifetime = lifetime
        self.issued: list[str] = []
        self.revoked: set[str] = set()

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/api/token/refresh/":
            assert json.loads(asked.body) == {"refresh": PAT}
            assert asked.authorization is None
            self.issued.append(jwt(token_type="access", exp=time.time() + self.lifetime, number=len(self.issued)))
            return as_json({"access": self.issued[-1]})
        token = (asked.authorization or "").removeprefix("Bearer ")
        return WHO if token in self.issued and token not in self.revoked else as_json({"detail": "Given token not valid"}, 401)


@pytest.mark.slow
def test_a_legacy_token_is_sent_as_such(clients: Callable[..., LabelStudioClient]) -> None:
    with serving(lambda asked: WHO) as server:
        assert clients(server.url + "/").current_user().id == 4
        assert server.asked[0].authorization == f"Token {LEGACY}"


@pytest.mark.slow
def test_a_personal_access_token_buys_one_access_token_for_many_calls(clients: Callable[..., LabelStudioClient]) -> None:
    desk = TokenDesk()
    with serving(desk.answer) as server:
        client = clients(server.url, PAT)
        with ThreadPoolExecutor(8) as pool:
            assert len(list(pool.map(lambda _: client.current_user(), range(24)))) == 24
        assert len(desk.issued) == 1
        assert not any(PAT in (each.authorization or "") for each in server.asked)


def test_an_access_token_is_renewed_before_it_runs_out(clients: Callable[..., LabelStudioClient], monkeypatch: pytest.MonkeyPatch) -> None:
    desk = TokenDesk()
    with serving(desk.answer) as server:
        client = clients(server.url, PAT)
        client.current_user()
        real = time.monotonic
        monkeypatch.setattr("backend.label_studio.transport.time.monotonic", lambda: real() + 280)
        client.current_user()
        assert len(desk.issued) == 2


def test_a_refused_access_token_is_replaced_once(clients: Callable[..., LabelStudioClient]) -> None:
    desk = TokenDesk()
    with serving(desk.answer) as server:
        client = clients(server.url, PAT)
        client.current_user()
        desk.revoked = set(desk.issued)
        assert client.current_user().id == 4
        assert len(desk.issued) == 2
        server.answer = lambda asked: desk.answer(asked) if "refresh" in asked.path else as_json({"detail": "no"}, 401)
        with pytest.raises(LabelStudioError, match="refused the token"):
            client.current_user()
        assert len(desk.issued) == 3


def test_a_revoked_personal_access_token_says_how_to_get_one(clients: Callable[..., LabelStudioClient]) -> None:
    with serving(lambda asked: as_json({"detail": "Token is blacklisted"}, 401)) as server:
        with pytest.raises(LabelStudioError, match=r"expired, revoked or another server's.*Account & Settings") as caught:
            clients(server.url, PAT).current_user()
        assert caught.value.status == 401
        assert PAT not in str(caught.value)


@pytest.mark.parametrize(("token", "rule"), [(jwt(token_type="access", exp=1), "lives 5 minutes"), ("", "one word"), ("a b", "one word")])
def test_a_token_of_the_wrong_kind_is_refused_at_once(token: str, rule: str) -> None:
    with pytest.raises(LabelStudioError, match=rule):
        LabelStudioClient("http://127.0.0.1:1", token)


@pytest.mark.parametrize(
    ("url", "rule"), [("label-studio.test", "must start with http"), ("http://a:b@ls.test", "must not hold a user name")]
)
def test_an_address_of_the_wrong_kind_is_refused_at_once(url: str, rule: str) -> None:
    with pytest.raises(LabelStudioError, match=rule):
        LabelStudioClient(url, LEGACY)


@pytest.mark.parametrize(
    ("status", "retryable", "words"),
    [
        (401, False, "refused the token"),
        (403, False, "does not let this user"),
        (404, False, "does not know"),
        (429, True, "fewer requests"),
        (500, True, "answered 500"),
        (503, True, "answered 503"),
        (302, False, "give that address instead"),
    ],
)
@pytest.mark.parametrize("via", ["sdk", "http"])
def test_every_refusal_is_a_sentence_without_secrets(
    clients: Callable[..., LabelStudioClient], via: str, status: int, retryable: bool, words: str
) -> None:
    def answer(asked: Asked) -> Answer:
        code, headers, body = as_json({"detail": f"no, {asked.authorization}"}, status)
        return code, headers | {"Location": "https://elsewhere.test/"}, body

    with serving(answer) as server:
        client = clients(server.url)
        with pytest.raises(LabelStudioError, match=words) as caught:
            client.project(3) if via == "sdk" else client.task_ids(3)
        assert (caught.value.status, caught.value.retryable) == (status, retryable)
        assert LEGACY not in str(caught.value)


@pytest.mark.parametrize("via", ["sdk", "http"])
def test_a_web_page_instead_of_json_hints_at_a_wrong_address(clients: Callable[..., LabelStudioClient], via: str) -> None:
    with serving(lambda asked: (200, {"Content-Type": "text/html"}, b"<html>Welcome</html>")) as server:
        client = clients(server.url)
        with pytest.raises(LabelStudioError, match=r"JSON.*address") as caught:
            client.current_user() if via == "sdk" else client.task_ids(3)
        assert not caught.value.retryable


def test_reads_are_repeated_after_a_bad_gateway(clients: Callable[..., LabelStudioClient]) -> None:
    answers = iter([as_json({}, 502), as_json({}, 503), WHO])
    with serving(lambda asked: next(answers)) as server:
        assert clients(server.url).current_user().id == 4
        assert len(server.asked) == 3


def test_an_import_is_never_repeated_by_itself(clients: Callable[..., LabelStudioClient]) -> None:
    with serving(lambda asked: as_json({}, 502)) as server:
        with pytest.raises(LabelStudioError, match="answered 502") as caught:
            clients(server.url).import_predictions(1, "b1", [Prediction(1, 0.5)], CONTROL)
        assert caught.value.retryable
        assert len(server.asked) == 1


def test_nobody_listening_is_worth_a_retry(clients: Callable[..., LabelStudioClient]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = clients(url)
        for call in (client.current_user, lambda: client.task_ids(1), lambda: client.lock_task(1, 2)):
            with pytest.raises(LabelStudioError, match=f"{url} cannot be reached") as caught:
                call()
            assert caught.value.retryable


def test_a_slow_answer_is_a_timeout_that_is_not_repeated(clients: Callable[..., LabelStudioClient]) -> None:
    over = threading.Event()

    def answer(asked: Asked) -> Answer:
        over.wait(5)
        return WHO

    with serving(answer) as server:
        with pytest.raises(LabelStudioError, match="did not answer in time") as caught:
            clients(server.url, timeout=0.2).current_user()
        over.set()
        assert caught.value.retryable
        assert len(server.asked) == 1


def test_predictions_go_in_chunks_and_a_shortfall_is_an_error(clients: Callable[..., LabelStudioClient]) -> None:
    def answer(asked: Asked) -> Answer:
        rows = json.loads(asked.body)
        return as_json({"created": len(rows) - (len(rows) < 1000)}, 201)

    with serving(answer) as server:
        rows = [Prediction(task_id, 0.5) for task_id in range(2500)]
        with pytest.raises(LabelStudioError, match="created 499 of 500 predictions of b1"):
            clients(server.url).import_predictions(1, "b1", rows, CONTROL)
        assert [len(json.loads(each.body)) for each in server.asked] == [1000, 1000, 500]


def test_pages_go_by_id_so_that_nothing_is_read_twice_or_passed_over(clients: Callable[..., LabelStudioClient]) -> None:
    ids = list(range(1, 12_001, 2))

    def answer(asked: Asked) -> Answer:
        query = json.loads(dict(_params(asked))["query"])
        after = query["filters"]["items"][-1]["value"]
        return as_json({"tasks": [{"id": each} for each in ids if each > after][:5000]})

    with serving(answer) as server:
        assert clients(server.url).task_ids(1) == ids
        assert len(server.asked) == 2


def test_versions_that_contain_each_others_names_are_told_apart(clients: Callable[..., LabelStudioClient]) -> None:
    shown = {1: "q1", 2: "q10", 3: "q10, q1", 4: "x" * 500, 5: "y" * 500}

    def answer(asked: Asked) -> Answer:
        params = dict(_params(asked))
        if asked.path.startswith("/api/predictions"):
            return as_json([{"model_version": "q1"}] if params["task"] == "4" else [{"model_version": "q10"}])
        return as_json({"tasks": [{"id": each, "predictions_model_versions": text} for each, text in shown.items()] * 2})

    with serving(answer) as server:
        assert clients(server.url).predicted_task_ids(1, "q1", among=list(shown)) == [1, 3, 4]


def test_twins_of_our_webhook_are_deleted_and_others_left(clients: Callable[..., LabelStudioClient]) -> None:
    hooks = [{"id": 1, "url": "http://x/webhook"}, {"id": 2, "url": "http://ours/webhook"}, {"id": 3, "url": "http://ours/webhook"}]
    with serving(lambda asked: as_json(hooks) if asked.method == "GET" else as_json({})) as server:
        clients(server.url).register_webhook(7, "http://ours/webhook", {"X-Secret": "s"})
        assert server.paths()[1:] == ["PATCH /api/webhooks/2/", "DELETE /api/webhooks/3/"]
        body = json.loads(server.asked[1].body)
        assert (body["headers"], body["send_for_all_actions"], body["send_payload"], body["project"]) == ({"X-Secret": "s"}, False, True, 7)


def _params(asked: Asked) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(asked.path).query)
