"""The API's description, made from the table that its routes are made from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backend.campaign_settings import CampaignSettings
from backend.web.api.operation import PREFIX, Operation
from backend.web.api.schemas import Schemas
from mcal_engine import __version__

SCHEMAS = "#/components/schemas/"
ERROR = {  # a problem of RFC 9457
    "type": "object",
    "required": ["type", "title", "status", "detail", "error"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong: the value and the rule."},
        "error": {"type": "string", "description": "The same as detail."},
    },
}
ERRORS = {
    "400": "What was sent breaks a rule; `error` names it.",
    "401": "Neither token, password nor session.",
    "403": "A session without its CSRF token.",
    "404": "There is no such thing.",
    "409": "The project has a campaign already, or the campaign is changing too fast: `error` says which.",
    "429": "Too many wrong passwords; see Retry-After.",
    "503": "The database or Label Studio cannot be reached.",
}


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    models: set[type[BaseModel]] = {CampaignSettings, *(each.body for each in operations if each.body is not None)}
    in_order = sorted(models, key=lambda model: model.__name__)
    _, found = models_json_schema([(model, "validation") for model in in_order], ref_template=f"{SCHEMAS}{{model}}")
    answered = Schemas(SCHEMAS, {"Error", *found["$defs"]})
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(template(operation.path), {})[operation.method.lower()] = _operation(operation, answered)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mcal",
            "version": __version__,
            "description": "Campaigns that finish a Label Studio project at the lowest total cost. Shares are fractions, money is in the "
            "campaign's currency, times are ISO 8601 in UTC.",
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}, {"password": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "mcal_session",
                    "description": "Changes also need the page's token in the header X-CSRF-Token.",
                },
            },
            "schemas": {"Error": ERROR, **found["$defs"], **answered.found},
        },
    }


def template(path: str) -> str:
    """Flask's path in OpenAPI's spelling."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)


def _good(operation: Operation, answered: Schemas) -> dict[str, Any]:
    """The schema of a good answer in JSON."""
    if operation.gives is None:
        return {"type": "object"}
    if issubclass(operation.gives, BaseModel):
        return {"$ref": SCHEMAS + operation.gives.__name__}
    return answered.of(operation.gives)


def _operation(operation: Operation, answered: Schemas) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
        for name in re.findall(r"<(?:\w+:)?(\w+)>", operation.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": schema, "description": text} for name, (schema, text) in operation.query.items()]
    content = {
        media: {"schema": schema} for media, schema in (operation.answers or {"application/json": _good(operation, answered)}).items()
    }
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {str(operation.status): {"description": "Done.", "content": content}}
        | {
            status: {"description": text, "content": {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}Error"}}}}
            for status, text in ERRORS.items()
        },
    }
    if operation.details:
        made["description"] = operation.details
    if operation.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"$ref": SCHEMAS + operation.body.__name__}}}}
    return made
