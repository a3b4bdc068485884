"""Label Studio's request bodies, checked. Every function raises InvalidValue that names the field and the rule; no value is echoed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend.campaign_settings import decode
from mcal_engine.errors import InvalidValue

LARGEST_ID = 2**63 - 1  # what a database column holds


def project_id(body: dict[str, Any]) -> int:
    """The project's id: ``7``, ``"7"``, ``"7.1732229000"`` (id and creation time) or an object with such an ``id``."""
    value = body.get("project")
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, str):
        head = value.split(".", 1)[0]
        # Only ASCII digits: int() also takes "+7", " 7 ", "1_0" and other scripts' digits.
        value = int(head) if head.isascii() and head.isdigit() and len(head) < 20 else None
    number = _id(value)
    if number is None:
        raise InvalidValue('project must be a project id such as 7 or "7.1732229000"')
    return number


def extra_params(body: dict[str, Any]) -> dict[str, Any]:
    """The extra params as an object; ``{}`` where there are none."""
    return decode(body.get("extra_params"), "extra params")


def text(body: dict[str, Any], name: str) -> str:
    """A text field; ``""`` where it is missing or null."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidValue(f"{name} must be text")
    return value


def action(body: dict[str, Any]) -> str:
    """The webhook's event name."""
    value = text(body, "action")
    if not value:
        raise InvalidValue("action must name the event, such as ANNOTATION_CREATED")
    return value


def annotator(body: dict[str, Any]) -> int | None:
    """Who gave the annotation that an event is about; ``None`` where it does not say."""
    annotation = body.get("annotation")
    person = annotation.get("completed_by") if isinstance(annotation, dict) else None
    return _id(person.get("id") if isinstance(person, dict) else person)


def seconds_since_stored(body: dict[str, Any], now: datetime) -> float:
    """Age of the annotation that an event is about; 0 where it does not say."""
    annotation = body.get("annotation")
    at = annotation.get("created_at") if isinstance(annotation, dict) else None
    try:
        return (now - datetime.fromisoformat(at)).total_seconds() if isinstance(at, str) else 0.0
    except (ValueError, TypeError):  # not a time, or one without a zone
        return 0.0


def task_ids(body: dict[str, Any]) -> list[int | None]:
    """The ids of the tasks to predict, in order; ``None`` for a task without a usable id (it still gets its one result)."""
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InvalidValue("tasks must be a list of task objects")
    return [_id(task.get("id")) for task in tasks]


def _id(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID else None
