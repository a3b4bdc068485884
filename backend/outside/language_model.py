"""A language or vision model at an OpenAI-compatible endpoint, asked for one choice per task.

Choices have letters (numbers, where there are more than 26), and the model answers with one of them. How sure it is comes from the
log-probability of the letter where the endpoint tells it, else from how many of several answers agree. The key goes into one header and
nowhere else.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import string
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from PIL import Image

from backend.label_studio.config import ChoiceText, interface_of
from backend.outside.answers import ModelError, Question, Reply, Subject
from mcal_engine.classifiers.base import UInt8Array

ANSWER_SECONDS = 120.0  # for one answer; a model on a CPU takes its time
TRIES = 4  # of one request: rate limits and hiccups
LONGEST_PAUSE = 60.0  # seconds, whatever Retry-After says
LARGEST_REPLY = 4 * 2**20  # bytes
LONGEST_INSTRUCTION = 8_000  # characters
TOP = 20  # tokens whose log-probabilities are asked for: the most that endpoints give
SAMPLES = 5  # answers that are compared where there are no log-probabilities
CHOICES = "{choices}"
HOW_TO_ANSWER = "Answer with the {code} of the one choice that fits best, and nothing else."

Picture = Callable[[Question, Subject], UInt8Array | None]
"""The task's picture, shape (S, S, 3); ``None`` where it cannot be had."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a model is asked, and what it costs. Prices are in the campaign's currency.

    Attributes:
        samples: answers per task that are compared; ``None``: one with log-probabilities, or ``SAMPLES`` where there are none.
        together: requests under way at the same time.
        price: of one answer; ``None``: tokens are paid.
        tokens_in, tokens_out: price of a million tokens of the question, and of the answer.
    """

    samples: int | None = None
    together: int = 4
    price: float | None = None
    tokens_in: float = 0.0
    tokens_out: float = 0.0


class LanguageModel:
    """An :class:`~backend.outside.answers.OutsideModel`.

    Args:
        model: its name at the endpoint.
        url: of the endpoint, such as ``https://api.openai.com/v1``.
        key: of the endpoint; "" for none.
        picture: has the tasks' pictures.
        template: instead of the prompt that is made from the labelling interface; ``{choices}`` in it becomes the list of choices.
    """

    at_once = 4

    def __init__(
        self,
        model: str,
        url: str,
        key: str,
        picture: Picture,
        *,
        terms: Terms | None = None,
        template: str | None = None,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model, self.url, self._key, self._picture = model, url, key, picture
        self._terms, self._template, self._pause = terms or Terms(), template, pause
        self.together = self._terms.together
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Timeout(ANSWER_SECONDS, connect=10.0)
        self._client = httpx.Client(headers=headers, transport=transport or httpx.HTTPTransport(retries=2), timeout=limits)
        self._tells_logprobs = self._terms.samples is None  # until the endpoint has shown that it does not

    def identity(self, subject: Subject) -> str:
        """What its answers depend on, beside the task: not what they cost."""
        return json.dumps(["llm", self.model, self.url, prompt_of(subject, self._template), self._terms.samples], ensure_ascii=False)

    def ready(self, subject: Subject) -> str:
        """There is nothing to tell it beforehand."""
        del subject
        return ""

    def ask(self, subject: Subject, questions: Sequence[Question]) -> list[Reply]:
        """One answer for each task; a task without a picture has none, and costs nothing."""
        return [self._ask(subject, question) for question in questions]

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _ask(self, subject: Subject, question: Question) -> Reply:
        picture = self._picture(question, subject)
        if picture is None:
            return Reply(None)
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": prompt_of(subject, self._template)},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": _data_url(picture)}}]},
        ]
        n = len(subject.control.choices)
        first = self._complete(messages, temperature=0.0 if self._terms.samples is None else 1.0)
        price = self._price(first)
        if self._tells_logprobs:
            surety = confidence_of(first, n)
            if surety is not None:
                return self._reply(first, subject, surety, price)
            self._tells_logprobs = False
        wanted = self._terms.samples or SAMPLES
        answers = [first]
        while len(answers) < wanted:
            more = self._complete(messages, temperature=1.0)
            price += self._price(more)
            answers.append(more)
        votes = Counter(label for label in (label_of(text_of(each), subject) for each in answers) if label is not None)
        if not votes:
            return Reply(None, 0.0, self._terms.price if self._terms.price is not None else price, said=text_of(first)[:200])
        label, agreeing = votes.most_common(1)[0]
        return Reply(label, agreeing / (wanted + 1), self._terms.price if self._terms.price is not None else price)

    def _reply(self, completion: Mapping[str, Any], subject: Subject, confidence: float, price: float) -> Reply:
        label = label_of(text_of(completion), subject)
        paid = self._terms.price if self._terms.price is not None else price
        return Reply(None, 0.0, paid, said=text_of(completion)[:200]) if label is None else Reply(label, confidence, paid)

    def _price(self, completion: Mapping[str, Any]) -> float:
        """Of one request, by the tokens that the endpoint counted."""
        usage = completion.get("usage")
        told = usage if isinstance(usage, Mapping) else {}
        tokens = [told.get(name) for name in ("prompt_tokens", "completion_tokens")]
        counted = [float(each) if isinstance(each, int | float) and math.isfinite(each) and each >= 0 else 0.0 for each in tokens]
        return (counted[0] * self._terms.tokens_in + counted[1] * self._terms.tokens_out) / 1e6

    def _complete(self, messages: list[dict[str, Any]], *, temperature: float) -> dict[str, Any]:
        """One request, tried again where waiting may help."""
        body: dict[str, Any] = {"model": self.model, "messages": messages, "temperature": temperature, "max_tokens": 8}
        for attempt in range(TRIES):
            told = body | ({"logprobs": True, "top_logprobs": TOP} if self._tells_logprobs else {})
            try:
                return self._post(told)
            except _Refused as error:
                if error.status == 400 and "logprob" in error.said.lower() and self._tells_logprobs:
                    self._tells_logprobs = False
                    continue
                if not error.retryable or attempt == TRIES - 1:
                    raise
                self._pause(min(error.wait if error.wait is not None else 2.0**attempt, LONGEST_PAUSE))
        raise AssertionError("unreachable")

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        where = f"the model {self.model} at {self.url}"
        try:
            with self._client.stream("POST", f"{self.url}/chat/completions", json=body) as response:
                content = bytearray()
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > LARGEST_REPLY:
                        raise _Refused(f"{where} answers with more than {LARGEST_REPLY:,} bytes", retryable=False)
        except httpx.TimeoutException:
            raise _Refused(f"{where} did not answer within {ANSWER_SECONDS:g} s", retryable=True) from None
        except httpx.HTTPError as error:
            raise _Refused(f"{where} cannot be reached: {error or type(error).__name__}", retryable=True) from None
        status = response.status_code
        said = self._redacted(bytes(content).decode(errors="replace"))[:300]
        if status in (401, 403):
            raise _Refused(f"{where} refuses the key ({status}): set MCAL_LLM_API_KEY", retryable=False, status=status)
        if status == 404:
            raise _Refused(f"{where} is not there (404): check MCAL_LLM_URL and the model's name", retryable=False, status=status)
        if not response.is_success:
            retryable = status in (408, 409, 429) or status >= 500
            wait = _seconds(response.headers.get("retry-after"))
            raise _Refused(f"{where} answers {status}: {said or 'no words'}", retryable=retryable, status=status, said=said, wait=wait)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(_first(found), Mapping):
            raise _Refused(f"{where} must answer with a chat completion; is that an OpenAI-compatible endpoint?", retryable=False)
        return found

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


class _Refused(ModelError):
    """A request that failed; ``wait`` is what the endpoint asks for, in seconds."""

    def __init__(self, message: str, *, retryable: bool, status: int = 0, said: str = "", wait: float | None = None) -> None:
        super().__init__(message, retryable=retryable)
        self.status, self.said, self.wait = status, said, wait


def codes(n: int) -> list[str]:
    """What stands for each of ``n`` choices: a letter where there are enough, else a number from 1 on."""
    return list(string.ascii_uppercase[:n]) if n <= len(string.ascii_uppercase) else [str(number) for number in range(1, n + 1)]


def prompt_of(subject: Subject, template: str | None = None) -> str:
    """What the model is told: the headers and the instruction of the labelling interface, and the choices with their hints."""
    found = interface_of(subject.label_config, subject.control)
    signs = codes(len(found.choices))
    listed = "\n".join(f"{sign}: {_shown(choice)}" for sign, choice in zip(signs, found.choices, strict=True))
    how = HOW_TO_ANSWER.format(code="letter" if len(signs) <= len(string.ascii_uppercase) else "number")
    if template is not None:
        return f"{template.replace(CHOICES, listed)}\n\n{how}" if CHOICES in template else f"{template}\n\nChoices:\n{listed}\n\n{how}"
    instruction = re.sub(r"<[^>]*>", " ", subject.instruction)[:LONGEST_INSTRUCTION].strip()
    parts = ["You label items for a data set, one at a time.", *found.headers, instruction, f"Choices:\n{listed}", how]
    return "\n\n".join(part for part in parts if part)


def label_of(text: str, subject: Subject) -> int | None:
    """The class index that an answer means: its code, or the choice in words; ``None`` where it is neither."""
    choices = subject.control.choices
    plain = text.strip().strip("\"'`*.()[]: ").strip()
    signs = codes(len(choices))
    found = re.match(r"(?:choice\s+|option\s+|answer:?\s*)?([A-Za-z]|\d+)(?![\w])", plain, re.IGNORECASE)
    if found is not None and found[1].upper() in signs:
        return signs.index(found[1].upper())
    folded = [choice.casefold() for choice in choices]
    return folded.index(plain.casefold()) if folded.count(plain.casefold()) == 1 else None


def confidence_of(completion: Mapping[str, Any], n: int) -> float | None:
    """How sure the model is of its answer, by log-probabilities; ``None`` where it tells none.

    With letters: the answer's share of what the first letter's alternatives have together. With numbers, which may be several tokens: the
    probability of the tokens that the model gave.
    """
    logprobs = (_first(completion) or {}).get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = (
        [each for each in content if isinstance(each, Mapping) and str(each.get("token", "")).strip()] if isinstance(content, list) else []
    )
    if not tokens or not all(isinstance(each.get("logprob"), int | float) for each in tokens):
        return None
    if n > len(string.ascii_uppercase):
        digits = [each["logprob"] for each in tokens if str(each["token"]).strip().isdigit()]
        return math.exp(min(sum(digits), 0.0)) if digits else 0.0
    signs = set(codes(n))
    first = next((each for each in tokens if str(each["token"]).strip().upper() in signs), None)
    if first is None:
        return 0.0
    shares: Counter[str] = Counter()
    for each in first.get("top_logprobs") or [first]:
        sign = str(each.get("token", "")).strip().upper()
        if sign in signs and isinstance(each.get("logprob"), int | float):
            shares[sign] += math.exp(min(each["logprob"], 0.0))  # type: ignore[assignment]  # Counter's values may be shares
    mine = str(first["token"]).strip().upper()
    total = sum(shares.values())
    return shares[mine] / total if total > 0 else math.exp(min(first["logprob"], 0.0))


def text_of(completion: Mapping[str, Any]) -> str:
    """What the model wrote."""
    message = (_first(completion) or {}).get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    return content if isinstance(content, str) else ""


def _first(completion: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = completion.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else None


def _shown(choice: ChoiceText) -> str:
    shown = choice.shown if choice.shown == choice.value else f"{choice.shown} ({choice.value})"
    return f"{shown}: {choice.hint}" if choice.hint else shown


def _data_url(picture: UInt8Array) -> str:
    file = io.BytesIO()
    Image.fromarray(np.asarray(picture)).save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _seconds(text: str | None) -> float | None:
    """``Retry-After`` in seconds; dates are not read."""
    try:
        wait = float(text or "")
    except ValueError:
        return None
    return wait if math.isfinite(wait) and wait >= 0 else None
