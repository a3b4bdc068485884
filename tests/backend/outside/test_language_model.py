"""A language model at an OpenAI-compatible endpoint: its prompt, its answers, how sure it is, what it costs, and what it may not tell."""

from __future__ import annotations

import base64
import io
import json
import logging
import math
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from backend.label_studio.config import parse_label_config
from backend.outside.answers import ModelError, Question, Reply, Subject
from backend.outside.language_model import LanguageModel, Terms, codes, label_of, prompt_of
from backend.outside.pictures import picture_of
from backend.simtest.label_studio import FakeLabelStudio
from tests.backend.label_studio.local_server import Asked, as_json, serving

KEY = "sk-hunter2"
CONFIG = """<View><Header value="What animal is it?"/><Image name="image" value="$image"/>
<Choices name="animal" toName="image"><Choice value="Cat" hint="also lynx"/><Choice value="Hound" alias="dog"/><Choice value="Other"/>
</Choices></View>"""
SUBJECT = Subject(7, CONFIG, parse_label_config(CONFIG), "http://label-studio", "<p>Look at the <b>ears</b>.</p>")
QUESTION = Question(5, {"image": "a.png"})


def shown(question: Question, subject: Subject) -> np.ndarray:
    return np.full((8, 8, 3), 200, dtype=np.uint8)


def completion(text: str, logprobs: list[tuple[str, float]] | None = None, *, tokens: tuple[int, int] = (100, 1)) -> dict[str, Any]:
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        first = logprobs[0]
        top = [{"token": token, "logprob": value} for token, value in logprobs]
        choice["logprobs"] = {"content": [{"token": first[0], "logprob": first[1], "top_logprobs": top}]}
    return {"choices": [choice], "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}


def model(answer: Callable[[dict[str, Any]], httpx.Response], **options: Any) -> tuple[LanguageModel, list[dict[str, Any]], list[float]]:
    asked: list[dict[str, Any]] = []
    paused: list[float] = []

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        asked.append(json.loads(request.content))
        return answer(asked[-1])

    made = LanguageModel("m", "http://llm.test/v1", KEY, shown, transport=httpx.MockTransport(handle), pause=paused.append, **options)
    return made, asked, paused


def saying(*bodies: Any) -> Callable[[dict[str, Any]], httpx.Response]:
    waiting = iter(bodies)

    def answer(body: dict[str, Any]) -> httpx.Response:
        found = next(waiting)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    return answer


def test_the_prompt_holds_what_the_labelling_interface_tells_people() -> None:
    prompt = prompt_of(SUBJECT)
    assert "What animal is it?" in prompt
    assert "Look at the  ears" in prompt
    assert "A: Cat: also lynx\nB: Hound (dog)\nC: Other" in prompt
    assert prompt.endswith("Answer with the letter of the one choice that fits best, and nothing else.")
    assert prompt_of(SUBJECT, "Only these:\n{choices}\nBe quick.").startswith(
        "Only these:\nA: Cat: also lynx\nB: Hound (dog)\nC: Other\nBe quick."
    )


def test_the_confidence_is_the_letter_s_share_among_the_choices() -> None:
    told = [("B", math.log(0.6)), (" A", math.log(0.2)), ("Z", math.log(0.15)), ("c", math.log(0.05))]
    asked_model, asked, _ = model(saying(completion("B", told)), terms=Terms(tokens_in=2.5, tokens_out=10.0))
    (reply,) = asked_model.ask(SUBJECT, [QUESTION])
    assert reply.label == 1
    assert reply.confidence == pytest.approx(0.6 / 0.85)
    assert reply.price == pytest.approx((100 * 2.5 + 1 * 10.0) / 1e6)
    assert asked[0]["logprobs"] is True and asked[0]["temperature"] == 0
    picture = asked[0]["messages"][1]["content"][0]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as image:
        assert image.size == (8, 8)


def test_without_log_probabilities_several_answers_are_compared_and_all_are_paid() -> None:
    asked_model, asked, _ = model(saying(*map(completion, ("B", "B", "dog", "A", "B"))), terms=Terms(tokens_in=10.0))
    (reply,) = asked_model.ask(SUBJECT, [QUESTION])
    assert (reply.label, reply.confidence) == (1, 4 / 6)
    assert reply.price == pytest.approx(5 * 100 * 10.0 / 1e6)
    assert [body["temperature"] for body in asked] == [0, 1, 1, 1, 1]


def test_an_endpoint_that_knows_no_log_probabilities_is_not_asked_for_them_again() -> None:
    refusal = httpx.Response(400, json={"error": {"message": "logprobs is not supported with this model"}})
    asked_model, asked, paused = model(saying(refusal, completion("C")), terms=Terms(samples=None, price=0.002))
    asked_model._terms = Terms(samples=1, price=0.002)
    (reply,) = asked_model.ask(SUBJECT, [QUESTION])
    assert reply == Reply(2, 0.5, 0.002)
    assert "logprobs" not in asked[1]
    assert paused == []


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A", 0),
        (" b.", 1),
        ("(C)", 2),
        ("Answer: B", 1),
        ("dog", 1),
        ("Cat", 0),
        ("cat", 0),
        ("Hound", None),
        ("D", None),
        ("", None),
        ("Because", None),
    ],
)
def test_an_answer_is_held_to_the_choices(text: str, label: int | None) -> None:
    assert label_of(text, SUBJECT) == label


def test_an_answer_that_is_no_choice_is_paid_and_is_no_answer() -> None:
    asked_model, _, _ = model(saying(completion("I cannot tell", [("I", -0.1)])), terms=Terms(price=0.01))
    assert asked_model.ask(SUBJECT, [QUESTION]) == [Reply(None, 0.0, 0.01, "I cannot tell")]


def test_more_choices_than_letters_have_numbers() -> None:
    assert codes(26)[-1] == "Z"
    assert codes(27)[0] == "1" and codes(27)[-1] == "27"


def test_rate_limits_are_waited_for_as_the_endpoint_says() -> None:
    slow = httpx.Response(429, headers={"Retry-After": "7"}, json={})
    asked_model, asked, paused = model(saying(slow, httpx.Response(503), completion("A", [("A", 0.0)])))
    assert asked_model.ask(SUBJECT, [QUESTION])[0].label == 0
    assert paused == [7.0, 2.0]
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "said", "retryable", "tries"),
    [
        (401, {"error": f"bad key {KEY}"}, "refuses the key", False, 1),
        (404, {}, "check MCAL_LLM_URL and the model's name", False, 1),
        (400, {"error": f"too many tokens for {KEY}"}, "answers 400", False, 1),
        (500, {}, "answers 500", True, 4),
        (200, {"choices": []}, "is that an OpenAI-compatible endpoint", False, 1),
        (200, ["x"], "is that an OpenAI-compatible endpoint", False, 1),
    ],
)
def test_an_endpoint_that_misbehaves_is_named_and_the_key_is_not(
    status: int, body: Any, said: str, retryable: bool, tries: int, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    asked_model, asked, _ = model(lambda _: httpx.Response(status, json=body))
    with pytest.raises(ModelError, match=said) as caught:
        asked_model.ask(SUBJECT, [QUESTION])
    assert caught.value.retryable is retryable
    assert len(asked) == tries
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text


def test_what_an_answer_depends_on_is_not_what_it_costs() -> None:
    cheap, dear = (model(saying(), terms=Terms(price=price))[0].identity(SUBJECT) for price in (0.0, 1.0))
    assert cheap == dear
    assert cheap != model(saying(), template="Other words")[0].identity(SUBJECT)
    assert KEY not in cheap


def test_pictures_go_from_label_studio_to_a_server_that_speaks_the_protocol() -> None:
    """The whole way over real sockets; the server answers by the picture's brightness."""
    fake = FakeLabelStudio()
    for name, level in (("dark.png", 20), ("light.png", 240)):
        file = io.BytesIO()
        Image.new("RGB", (40, 20), (level,) * 3).save(file, "PNG")
        fake.media[name] = file.getvalue()

    def answer(asked: Asked) -> Any:
        url = json.loads(asked.body)["messages"][1]["content"][0]["image_url"]["url"]
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
            light = np.asarray(image).max() > 128
        return as_json(completion("B" if light else "A", [("B" if light else "A", -0.1)]))

    with serving(answer) as server:
        picture = picture_of(fake, side=32, max_bytes=10_000, max_pixels=10_000)
        asked_model = LanguageModel("m", f"{server.url}/v1", KEY, picture)
        names = ("dark.png", "light.png", "gone.png")
        replies = asked_model.ask(SUBJECT, [Question(place, {"image": name}) for place, name in enumerate(names)])
        asked_model.close()
        assert server.paths() == ["POST /v1/chat/completions"] * 2
    assert [reply.label for reply in replies] == [0, 1, None]
