"""An ML backend of somebody else's, asked as Label Studio asks it: ``/setup`` once, then ``/predict`` for batches of tasks.

Our own token never goes there. A backend that fetches files from Label Studio needs a token of its own, as with Label Studio itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from backend.label_studio.port import LabelControl
from backend.label_studio.wire import chosen_in
from backend.outside.answers import ModelError, Question, Reply, Subject
from mcal_engine.words import counted

PREDICT_SECONDS = 100.0  # what Label Studio grants a backend for one /predict
SETUP_SECONDS = 60.0  # longer than Label Studio's 3 s: a backend may load its model then
LARGEST_REPLY = 64 * 2**20  # bytes
TRIES = 3  # to connect
SHOWN = 200  # characters of what a backend says about an error


class MLBackend:
    """An :class:`~backend.outside.answers.OutsideModel`.

    Args:
        address: where it answers.
        login: user and password for basic auth.
        at_once: tasks in one ``/predict``.
        seconds: after which a ``/predict`` is given up.
    """

    together = 1  # backends of label-studio-ml answer one request after the other

    def __init__(
        self,
        address: str,
        login: tuple[str, str] | None = None,
        *,
        at_once: int = 32,
        seconds: float = PREDICT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address, self.at_once = address, at_once
        auth = None if login is None else httpx.BasicAuth(*login)
        self._limits = httpx.Timeout(seconds, connect=min(seconds, 10.0))
        self._client = httpx.Client(base_url=address, auth=auth, transport=transport or httpx.HTTPTransport(retries=TRIES))

    def identity(self, subject: Subject) -> str:
        """Its address: what stands behind it may change, and the answers that were had stay."""
        del subject
        return f"backend:{self.address}"

    def ready(self, subject: Subject) -> str:
        """``/health``, then ``/setup`` with the labelling interface."""
        self._call("GET", "/health", None, self._limits)
        body = {
            "project": _project(subject),
            "schema": subject.label_config,
            "hostname": subject.label_studio_url,
            "access_token": "",
            "extra_params": {},
        }
        found = self._call("POST", "/setup", body, httpx.Timeout(SETUP_SECONDS, connect=10.0))
        return str(found.get("model_version") or "")

    def ask(self, subject: Subject, questions: Sequence[Question]) -> list[Reply]:
        """``/predict``; a task whose result cannot be used has no answer."""
        body = {
            "tasks": [
                {"id": each.task_id, "data": dict(each.data), "meta": {}, "annotations": [], "predictions": []} for each in questions
            ],
            "project": _project(subject),
            "label_config": subject.label_config,
            "params": {"login": "", "password": "", "context": None},
        }
        results = self._call("POST", "/predict", body, self._limits).get("results")
        if not isinstance(results, list) or len(results) != len(questions):
            got = f"{len(results)} results" if isinstance(results, list) else f"results of the type {type(results).__name__}"
            raise ModelError(
                f"the ML backend {self.address} must answer {counted(len(questions), 'task')} with as many results, got {got}",
                retryable=False,
            )
        return [reply_of(each, subject.control) for each in results]

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, limits: httpx.Timeout) -> dict[str, Any]:
        where = f"the ML backend {self.address}"
        try:
            with self._client.stream(method, path, json=body, timeout=limits) as response:
                content = bytearray()
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > LARGEST_REPLY:
                        raise ModelError(f"{where} answers {path} with more than {LARGEST_REPLY:,} bytes", retryable=False)
        except httpx.TimeoutException:
            raise ModelError(f"{where} did not answer {path} within {limits.read:g} s", retryable=True) from None
        except httpx.HTTPError as error:
            raise ModelError(f"{where} cannot be reached: {error or type(error).__name__}", retryable=True) from None
        status = response.status_code
        if status == 401:
            raise ModelError(f"{where} refuses the login: give it as http://USER:PASSWORD@HOST in MCAL_ML_BACKENDS", retryable=False)
        if not response.is_success:
            said = bytes(content[:SHOWN]).decode(errors="replace")
            raise ModelError(f"{where} answers {status} to {path}: {said or 'no words'}", retryable=status >= 500 or status == 429)
        return self._object(path, bytes(content))

    def _object(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ModelError(
                f"the ML backend {self.address} must answer {path} with a JSON object; is that the address of an ML backend?",
                retryable=False,
            )
        return found


def reply_of(result: Any, control: LabelControl) -> Reply:
    """One row of ``results``, for a control that takes one choice; no answer where it has another number, or none of the control's."""
    regions = result.get("result") if isinstance(result, Mapping) else None
    if not isinstance(regions, list) or not all(isinstance(region, Mapping) for region in regions):
        return Reply(None)
    try:
        chosen = chosen_in([dict(region) for region in regions], control).get(control.from_name, [])
    except (AttributeError, TypeError):  # what should be an object or a list is something else
        return Reply(None)
    if len(chosen) != 1 or chosen[0] not in control.choices:
        return Reply(None, said=", ".join(chosen)[:SHOWN])
    mine = next(region for region in regions if region.get("from_name") == control.from_name)
    score = _share(result.get("score"))
    return Reply(control.choices.index(chosen[0]), _share(mine.get("score")) if score == 0 else score)


def _share(score: Any) -> float:
    """A score as a confidence; 0 where it is none: not a number, or not in [0, 1]."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        return 0.0
    return float(score) if 0 <= score <= 1 else 0.0


def _project(subject: Subject) -> str:
    """As Label Studio names a project: its id, a point, and a time, which only tells models of one project apart."""
    return f"{subject.project_id}.0"
