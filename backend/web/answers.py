"""JSON in, JSON out: bodies read strictly, every failure a JSON object with a 4xx or 5xx, never a traceback."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound, UnsupportedMediaType
from werkzeug.http import HTTP_STATUS_CODES

from backend.label_studio.port import LabelStudioError
from backend.store import Conflict, Taken
from mcal_engine.errors import InvalidValue, MCALError

logger = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], int]
REASON_LENGTH = 200


def read_object() -> dict[str, Any]:
    """The request's JSON object.

    A JSON content type is demanded because a foreign web page can post anything else to a loopback server without asking.
    """
    if not request.is_json:
        raise UnsupportedMediaType("the body must be application/json")
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def json_view(view: Callable[..., Answer]) -> Callable[..., Response]:
    """A Flask view from a function that returns (object, status). It needs no error handlers of the app that hosts it."""

    @wraps(view)
    def wrapped(**arguments: Any) -> Response:
        try:
            answer, status = view(**arguments)
        except Exception as error:  # noqa: BLE001 (becomes a 500 and is logged)
            return error_response(error)
        response = jsonify(answer)
        response.status_code = status
        return response

    return wrapped


def error_response(error: Exception) -> Response:
    """Any exception as JSON. The text goes into the HTTP reason phrase as well: the only part of it Label Studio shows its users."""
    headers: dict[str, str] = {}
    if isinstance(error, Conflict | Taken):
        status, text = 409, str(error)
    elif isinstance(error, InvalidValue):
        status, text = 400, str(error)
    elif isinstance(error, LabelStudioError) and error.status == NotFound.code:
        status, text = NotFound.code, str(error)  # what was asked about is not there; nobody is away
    elif isinstance(error, MCALError):
        logger.warning("%s refused: %s", request.path, error)
        status, text = 503, str(error)
    elif isinstance(error, HTTPException):
        status, text = error.code or 500, error.description or error.name
        headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After", "WWW-Authenticate")}
    else:
        logger.error("%s %s failed", request.method, request.path, exc_info=error)
        status, text = 500, "internal error; the server's log has the details"
    response = jsonify({"error": text})
    response.status = f"{status} {_reason(text)}"
    response.headers.extend(headers)
    return response


def problem_response(error: Exception) -> Response:
    """As :func:`error_response`, as a problem of RFC 9457; ``error`` says the same as ``detail``."""
    response = error_response(error)
    text, status = response.get_json()["error"], response.status_code
    about = {"type": "about:blank", "title": HTTP_STATUS_CODES.get(status, "Error"), "status": status, "detail": text, "error": text}
    response.data = json.dumps(about)
    response.mimetype = "application/problem+json"
    return response


def _reason(text: str) -> str:
    """One line of printable ASCII: what an HTTP status line may carry."""
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in " ".join(text.split()))
    return plain[:REASON_LENGTH]
