"""An ML backend is asked as Label Studio asks it: label-studio-ml's own server, our own plugin, and servers that misbehave."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest

from backend.outside.answers import ModelError, Question, Reply, Subject
from backend.outside.ml_backend import MLBackend, reply_of
from backend.store import Store
from backend.web.app import create_app
from tests.backend.outside.digits import CONFIG, CONTROL, as_data_url, digits, hosted
from tests.backend.web.world import World

SUBJECT = Subject(7, CONFIG, CONTROL, "http://label-studio:8080")


def served_by(app, **options):
    return MLBackend("http://model.test", transport=httpx.WSGITransport(app=app), **options)


def answering(answer, **options):
    return MLBackend("http://model.test", transport=httpx.MockTransport(answer), **options)


@pytest.mark.slow
def test_label_studio_ml_s_own_server_is_asked_for_the_digits_of_pictures():
    backend = served_by(hosted())
    images, labels = digits()
    assert backend.ready(SUBJECT) == "INITIAL"
    questions = [Question(place, {"image": as_data_url(images[place])}) for place in range(100)]
    replies = backend.ask(SUBJECT, [*questions, Question(100, {"image": "/data/upload/gone.png"})])
    said = np.array([-1 if each.label is None else each.label for each in replies])
    assert said[100] == -1
    right = said[:100] == labels[:100]
    assert right.mean() > 0.7  # nearest means on pixels: about 0.8
    sure = np.array([each.confidence for each in replies[:100]])
    assert sure[right].mean() > sure[~right].mean()
    backend.close()


def test_our_own_plugin_s_server_has_no_answer_before_its_campaign_has_one(tmp_path: Path):
    store = Store(f"sqlite:///{tmp_path / 'mcal.db'}")
    store.migrate()
    world = World(store)
    backend = served_by(create_app(world.deps()))
    assert backend.ready(SUBJECT).startswith("mcal: connected")
    assert backend.ask(SUBJECT, [Question(1, {"image": "x"}), Question(2, {})]) == [Reply(None), Reply(None)]
    store.close()


def test_what_is_sent_holds_the_tasks_and_the_labelling_interface_and_no_token():
    asked = []

    def answer(request):
        asked.append((request.method, request.url.path, json.loads(request.content or b"null"), request.headers.get("Authorization")))
        return httpx.Response(200, json={"model_version": "v3", "results": [{"result": [], "score": 0}]})

    backend = answering(answer, login=("ann", "hunter2"))
    assert backend.ready(SUBJECT) == "v3"
    backend.ask(SUBJECT, [Question(5, {"image": "a.png", "more": 1})])
    (_, health, _, _), (_, setup, said, login), (_, predict, told, _) = asked
    assert (health, setup, predict) == ("/health", "/setup", "/predict")
    assert said["schema"] == CONFIG and said["access_token"] == "" and said["project"].startswith("7.")
    assert told["tasks"][0]["id"] == 5 and told["tasks"][0]["data"] == {"image": "a.png", "more": 1}
    assert told["label_config"] == CONFIG
    assert login == "Basic YW5uOmh1bnRlcjI="


def region(choices, **more):
    return {"from_name": "digit", "to_name": "image", "type": "choices", "value": {"choices": choices}, **more}


@pytest.mark.parametrize(
    ("result", "reply"),
    [
        ({"result": [region(["3"])], "score": 0.75}, Reply(3, 0.75)),
        ({"result": [region(["3"], score=0.5)]}, Reply(3, 0.5)),
        ({"result": [region("3")], "score": 87.0}, Reply(3, 0.0)),
        ({"result": [region(["3"])], "score": float("nan")}, Reply(3, 0.0)),
        ({"result": [region(["3"])], "score": "high"}, Reply(3, 0.0)),
        ({"result": [region(["eleven"])], "score": 1.0}, Reply(None, said="eleven")),
        ({"result": [region(["3", "4"])], "score": 1.0}, Reply(None, said="3, 4")),
        ({"result": [region(["3"]), region(["4"])], "score": 1.0}, Reply(None, said="3, 4")),
        ({"result": [], "score": 1.0}, Reply(None)),
        ({"result": [{"from_name": "digit", "type": "choices", "value": [1]}]}, Reply(None)),
        ({"result": "3"}, Reply(None)),
        ({"result": [3]}, Reply(None)),
        (None, Reply(None)),
    ],
)
def test_a_result_is_an_answer_only_where_it_is_one_of_the_choices(result, reply):
    assert reply_of(result, CONTROL) == reply


def raising(error):
    def answer(request):
        raise error("it broke", request=request)

    return answer


@pytest.mark.parametrize(
    ("answer", "said", "retryable"),
    [
        (raising(httpx.ConnectError), "cannot be reached", True),
        (raising(httpx.ReadTimeout), r"did not answer /predict within 2 s", True),
        (raising(httpx.RemoteProtocolError), "cannot be reached", True),
        (lambda request: httpx.Response(500, text="CUDA out of memory"), "answers 500 to /predict: CUDA out of memory", True),
        (lambda request: httpx.Response(401), "refuses the login: give it as .* in MCAL_ML_BACKENDS", False),
        (lambda request: httpx.Response(302, headers={"Location": "http://elsewhere"}), "answers 302", False),
        (lambda request: httpx.Response(200, text="<html>"), "must answer /predict with a JSON object", False),
        (lambda request: httpx.Response(200, json=[1]), "must answer /predict with a JSON object", False),
        (lambda request: httpx.Response(200, json={"results": []}), "1 task with as many results, got 0 results", False),
        (lambda request: httpx.Response(200, json={"results": {}}), "got results of the type dict", False),
        (lambda request: httpx.Response(200, content=b"x" * (2**26 + 1)), "more than 67,108,864 bytes", False),
    ],
)
def test_a_server_that_misbehaves_is_named_with_what_it_did(answer, said, retryable):
    with pytest.raises(ModelError, match=said) as caught:
        answering(answer, seconds=2.0, login=("ann", "hunter2")).ask(SUBJECT, [Question(1, {})])
    assert caught.value.retryable is retryable
    assert "http://model.test" in str(caught.value)
    assert "hunter2" not in str(caught.value)
