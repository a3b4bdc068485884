"""Label Studio's JSON ↔ the port's types: pure functions, the only place that knows the fields of tasks, annotations, predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from backend.label_studio.kinds import KINDS, Kind
from backend.label_studio.port import Annotation, LabelControl, LabelStudioError, Prediction, Project, Task, User
from backend.label_studio.references import images_in, text_in
from mcal_engine.classifiers.texts.reading import plain
from mcal_engine.errors import InvalidValue

#: Fields to ask for when listing tasks. Label Studio applies the list to the nested annotations too.
TASK_FIELDS = ("id", "data", "created_at", "updated_at", "is_labeled", "overlap", "annotations")
ANNOTATION_FIELDS = (
    "id",
    "result",
    "completed_by",
    "updated_by",
    "created_at",
    "updated_at",
    "lead_time",
    "was_cancelled",
)
PROJECT_FIELDS = (
    "id",
    "title",
    "label_config",
    "maximum_annotations",
    "model_version",
    "sampling",
    "show_collab_predictions",
    "task_number",
    "finished_task_number",
    "created_at",
)
_PROVENANCE_MARK = "MCAL "


def user(data: Mapping[str, Any]) -> User:
    """``GET /api/current-user/whoami``, or a row of ``GET /api/users``."""
    name = " ".join(part for part in (data.get("first_name"), data.get("last_name")) if part)
    return User(id=_known(data, "id", "user"), email=data.get("email") or "", name=name.strip())


def project(data: Mapping[str, Any]) -> Project:
    """``GET /api/projects/{id}``; empty model versions come as null or as text."""
    return Project(
        id=_known(data, "id", "project"),
        title=data.get("title") or "",
        label_config=data.get("label_config") or "",
        maximum_annotations=data.get("maximum_annotations") or 1,
        model_version=data.get("model_version") or "",
        sampling=data.get("sampling") or "",
        show_collab_predictions=bool(data.get("show_collab_predictions")),
        n_tasks=_known(data, "task_number", "project"),
        n_labelled=data.get("finished_task_number") or 0,
        instruction=data.get("expert_instruction") or "",
        created_at=_time(data.get("created_at")),
    )


def task_time(data: Mapping[str, Any]) -> tuple[int, datetime]:
    """Id and time of the last change, of a row of ``GET /api/tasks``."""
    return int(_field(data, "id", "task")), moment(_field(data, "updated_at", "task"))


def task(data: Mapping[str, Any], control: LabelControl) -> Task:
    """A row of ``GET /api/tasks``, asked for with the fields above."""
    task_id = _field(data, "id", "task")
    fields = data.get("data") or {}
    return Task(
        id=task_id,
        image=image_reference(fields, control),
        created_at=moment(_field(data, "created_at", "task")),
        updated_at=moment(_field(data, "updated_at", "task")),
        is_labeled=bool(data.get("is_labeled")),
        annotations=tuple(annotation(each, task_id, control) for each in _field(data, "annotations", "task")),
        overlap=data.get("overlap") or 1,
        n_images=len(images_in(fields, control.data_key)) if control.reads == "image" else 0,
    )


#: Fields to ask for when the overlap of tasks is to be set.
OVERLAP_FIELDS = ("id", "overlap", "is_labeled", "annotations", "completed_by", "was_cancelled")


def overlap_change(data: Mapping[str, Any], overlap: int, *, skips_count: bool) -> dict[str, Any]:
    """What a task must be told so that it has this overlap; empty if nothing.

    A changed ``overlap`` alone changes nothing for people: only ``is_labeled`` keeps a task from being served. It is what Label Studio
    makes of it at every label: whether as many different people as the overlap says have labelled the task.
    """
    counted = (each for each in _field(data, "annotations", "task") if skips_count or not each.get("was_cancelled"))
    done = len({_user_id(_field(each, "completed_by", "annotation")) for each in counted}) >= overlap
    return {} if (data.get("overlap"), data.get("is_labeled")) == (overlap, done) else {"overlap": overlap, "is_labeled": done}


def skips_count(data: Mapping[str, Any]) -> bool:
    """Whether a task that somebody skipped counts as labelled (``GET /api/projects/{id}``)."""
    return data.get("skip_queue") == "IGNORE_SKIPPED"


def data_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a row of ``GET /api/tasks`` that was asked for with ``data``."""
    return dict(_field(data, "data", "task") or {})


def image_reference(data: Mapping[str, Any], control: LabelControl) -> str:
    """What the task's data has for the Image tag; "" where that is no image, or several. Of texts: what people read."""
    if control.reads == "text":
        return plain(text_in(data, control.data_key), markup=control.shows == "hypertext")
    found = images_in(data, control.data_key)
    return found[0] if len(found) == 1 else ""


def text_beside(data: Mapping[str, Any], control: LabelControl) -> str:
    """What people read beside the image of a task, one text after the other; "" where there is nothing."""
    found = (plain(text_in(data, each.data_key), markup=each.shows == "hypertext") for each in control.beside)
    return "\n".join(text for text in found if text)


def annotation(data: Mapping[str, Any], task_id: int, control: LabelControl) -> Annotation:
    result = data.get("result") or []
    text, why = answer_in(result, control)
    return Annotation(
        id=_field(data, "id", "annotation"),
        task_id=task_id,
        choice=text,
        completed_by=_user_id(_field(data, "completed_by", "annotation")) or 0,
        updated_by=_user_id(_field(data, "updated_by", "annotation")),
        created_at=moment(_field(data, "created_at", "annotation")),
        updated_at=moment(_field(data, "updated_at", "annotation")),
        lead_time=data.get("lead_time"),
        was_cancelled=bool(data.get("was_cancelled")),
        provenance=provenance_of(result),
        no_choice=why,
        empty=not result,
    )


def changed_at(data: Any) -> datetime:
    """When an annotation was changed last (``GET /api/annotations/{id}/``)."""
    return moment(_field(data, "updated_at", "annotation"))


def chosen_in(result: list[dict[str, Any]], control: LabelControl) -> dict[str, list[str]]:
    """What was chosen at each question of a campaign; questions without an answer are left out."""
    kinds = {each.question.name: KINDS[each.kind] for each in control.asks}
    found: dict[str, list[str]] = {}
    for item in result:
        name = str(item.get("from_name"))
        kind = kinds.get(name)
        if kind is not None and item.get("type") == kind.tag and (chosen := kind.read((item.get("value") or {}).get(kind.tag))):
            found.setdefault(name, []).extend(chosen)
    return found


def answer_in(result: list[dict[str, Any]], control: LabelControl) -> tuple[str | None, str]:
    """The text of the answer in a result, and where there is none, why."""
    chosen = chosen_in(result, control)
    if not chosen:
        return None, _no_answer(result, control)
    if control.plain:  # a choice that the control does not have is the ledger's to tell
        (some,) = chosen.values()
        return (some[0], "") if len(some) == 1 else (None, f"{len(some)} choices at once: {', '.join(map(repr, some))}")
    try:
        return control.questions.text_of({name: tuple(some) for name, some in chosen.items()}), ""
    except InvalidValue as error:
        return None, str(error)


def _no_answer(result: list[dict[str, Any]], control: LabelControl) -> str:
    """Why there is nothing to be read."""
    if not result:
        return "submitted without an answer"
    ours = [question.name for question in control.questions]
    named = ", ".join(map(repr, ours))
    others = sorted({str(item.get("from_name")) for item in result} - set(ours))
    if others:
        return f"answered under {', '.join(map(repr, others))} only, not under {named}"
    return f"submitted without a choice under {named}"


def result_of(text: str | None, control: LabelControl, provenance: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """What a person's or a machine's answer looks like; empty for no answer."""
    if text is None:
        return []
    kinds = {each.question.name: KINDS[each.kind] for each in control.asks}
    answer = {control.from_name: (text,)} if control.plain else control.questions.answer_of(text)
    return [_region(name, kinds[name], chosen, control, provenance) for name, chosen in answer.items()]


def _region(name: str, kind: Kind, chosen: tuple[str, ...], control: LabelControl, provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    item: dict[str, Any] = {"from_name": name, "to_name": control.to_name, "type": kind.tag, "value": {kind.tag: kind.write(chosen)}}
    if provenance is not None:
        made = "mcal" if control.plain else f"mcal-{name}"
        item |= {"id": made, "origin": "prediction", "meta": {"text": [_PROVENANCE_MARK + json.dumps(dict(provenance), sort_keys=True)]}}
    return item


def provenance_of(result: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What :func:`result_of` wrote into the meta text, None where there is nothing of ours."""
    for item in result:
        texts = (item.get("meta") or {}).get("text") or []
        for text in [texts] if isinstance(texts, str) else texts:
            if not isinstance(text, str) or not text.startswith(_PROVENANCE_MARK):
                continue
            try:
                found = json.loads(text.removeprefix(_PROVENANCE_MARK))
            except json.JSONDecodeError:
                return None  # somebody edited the text by hand
            return found if isinstance(found, dict) else None
    return None


def prediction(row: Prediction, model_version: str, control: LabelControl) -> dict[str, Any]:
    """A row of ``POST …/import/predictions``."""
    if not 0 <= row.score <= 1:  # Label Studio would drop the row silently
        raise InvalidValue(f"score must be in [0, 1], got {row.score} for task {row.task_id}")
    return {
        "task": row.task_id,
        "model_version": model_version,
        "score": row.score,
        "result": result_of(row.choice, control, row.provenance),
    }


def predictions_of(data: Mapping[str, Any], model_version: str) -> tuple[list[int], bool]:
    """Ids of a task's predictions of this version, and whether it has others, from a row that was asked for with ``predictions``."""
    rows = _field(data, "predictions", "task")
    mine = [int(_field(row, "id", "prediction")) for row in rows if row.get("model_version") == model_version]
    return mine, len(mine) < len(rows)


def moment(text: str | datetime) -> datetime:
    """A point in time, in UTC; the SDK has read some of them already."""
    when = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def _time(value: str | datetime | None) -> datetime | None:
    return None if value is None else moment(value)


def moment_text(when: datetime) -> str:
    """The one form that the Data Manager's filters take."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _user_id(data: Any) -> int | None:
    """Users come as ids in lists and as objects elsewhere."""
    return data.get("id") if isinstance(data, Mapping) else data


def _known(data: Mapping[str, Any], name: str, where: str) -> Any:
    """A field that must be there and not null (the SDK fills what is missing with null)."""
    found = _field(data, name, where)
    if found is None:
        raise LabelStudioError(f"Label Studio sent a {where} with {name} null; is its version supported?", retryable=False)
    return found


def _field(data: Mapping[str, Any], name: str, where: str) -> Any:
    try:
        return data[name]
    except KeyError:
        raise LabelStudioError(f"Label Studio sent a {where} without {name!r}; is its version supported?", retryable=False) from None
