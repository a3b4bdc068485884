"""The port onto a real Label Studio (1.23.2): its SDK where that covers the call, plain HTTP for the Data Manager's actions and lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from backend.label_studio import wire
from backend.label_studio.images import MediaFetcher
from backend.label_studio.port import Annotation, LabelControl, LabelStudioError, Prediction, Project, Task, User
from backend.label_studio.transport import Connection, detail_of, unreachable
from backend.label_studio.typed import typed
from mcal_engine.errors import InvalidValue
from mcal_engine.words import counted

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

PAGE = 1000  # tasks per page: about 0.7 s with annotations
IDS_PER_QUERY = 250  # ids travel in the URL, which proxies cut at 8 kB
PREDICTIONS_PER_CALL = 1000
TASKS_PER_ACTION = 500
PATCHES_AT_ONCE = 4  # where there is no bulk action
OVERLAP_PASSES = 3
BULK_TIMEOUT = 600.0  # seconds; deleting 20,000 predictions takes 170
VERSIONS_SHOWN = 500  # Label Studio cuts a task's list of model versions after this many characters
WEBHOOK_ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    "PROJECT_UPDATED",
)
T = TypeVar("T")


@typed
class LabelStudioClient:
    """Implements :class:`~backend.label_studio.port.LabelStudioPort`; safe to share between threads.

    Args:
        url: address of Label Studio, with its path if it has one.
        token: Personal Access Token, or a legacy token where the organization allows them.
        timeout: seconds for an ordinary call; bulk calls get ten minutes.
        allowed_private_hosts: names or networks outside Label Studio that may be asked for images though their address is private.
        public_url: Label Studio's address in people's browsers, which tasks may name their images by.
        transport: where requests go, for tests.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 60.0,
        allowed_private_hosts: Sequence[str] = (),
        public_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        first_pause: float = 0.3,
    ) -> None:
        self._http = Connection(url, token, timeout=timeout, transport=transport, first_pause=first_pause)
        self.url = self._http.base_url
        self._media = MediaFetcher(self._http, allowed_private_hosts=allowed_private_hosts, public_url=public_url)

    @cached_property
    def _sdk(self) -> LabelStudio:
        """Made at the first call: to import it takes seconds, which the start of a server need not wait for."""
        from label_studio_sdk import LabelStudio

        # Our own client signs and retries; the SDK gets a placeholder, which TokenAuth overwrites, and no retries of its own.
        return LabelStudio(  # type: ignore[no-untyped-call]
            base_url=self.url, api_key="signed-by-transport", httpx_client=self._http.client, max_retries=0
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()
        self._media.close()

    def current_user(self) -> User:
        """The user whose token this is."""
        return wire.user(self._ask(lambda: self._sdk.users.whoami().model_dump(), "who am I"))

    def users(self) -> list[User]:
        """Everybody in the organization."""
        found: list[Any] = self._ask(self._sdk.users.list, "users")
        return [wire.user(each.model_dump()) for each in found]

    def version(self) -> str:
        """Label Studio's release, e.g. ``1.23.2``."""
        return str(self._ask(lambda: self._sdk.versions.get().model_dump(), "version").get("release") or "")

    def project(self, project_id: int) -> Project:
        """One project as it is now."""
        return wire.project(self._ask(lambda: self._sdk.projects.get(project_id).model_dump(), f"project {project_id}"))

    def projects(self) -> list[Project]:
        """All projects that the user sees."""
        found: list[Any] = self._ask(
            lambda: list(self._sdk.projects.list(page_size=100, include=",".join(wire.PROJECT_FIELDS))), "projects"
        )
        return [wire.project(each.model_dump()) for each in found]

    def update_project(self, project_id: int, **fields: Any) -> None:
        """PATCH: ``sampling``, ``model_version``, ``show_collab_predictions``."""
        self._ask(lambda: self._sdk.projects.update(project_id, **fields), f"change of project {project_id}")

    def tasks(self, project_id: int, control: LabelControl, *, updated_since: datetime | None = None) -> Iterator[Task]:
        """Tasks with their annotations, by id; a task that changes while the pages are read is seen once, before or after."""
        filters = []
        if updated_since is not None:
            filters.append(_filter("updated_at", "greater", "Datetime", wire.moment_text(updated_since)))
        for row in self._rows(project_id, _TASK_FIELDS, filters, fields="all"):
            yield wire.task(row, control)

    def tasks_by_id(self, project_id: int, control: LabelControl, task_ids: Sequence[int]) -> list[Task]:
        """The given tasks as they are now; tasks that are gone are left out."""
        rows = self._rows_by_id(project_id, task_ids, _TASK_FIELDS, [], fields="all")
        return [wire.task(row, control) for row in rows]

    def task_ids(self, project_id: int) -> list[int]:
        """The ids of all tasks, ascending."""
        return [int(row["id"]) for row in self._rows(project_id, "id", [], page=5 * PAGE)]

    def task_times(self, project_id: int) -> dict[int, datetime]:
        """The ids of all tasks, ascending, with the time of each one's last change."""
        return dict(wire.task_time(row) for row in self._rows(project_id, "id,updated_at", [], page=5 * PAGE))

    def task_data(self, project_id: int, task_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The data of the given tasks, as they were imported; tasks that are gone are left out."""
        return {int(row["id"]): wire.data_of(row) for row in self._rows_by_id(project_id, task_ids, "id,data", [])}

    def n_tasks_after(self, project_id: int, task_id: int) -> int:
        """How many tasks have a higher id."""
        total = self._found(project_id, "id", [_filter("id", "greater", "Number", task_id)], None, 1, {})["total"]
        if not isinstance(total, int):
            raise LabelStudioError(f"Label Studio sent {type(total).__name__} for a number of tasks", retryable=True)
        return total

    def import_predictions(self, project_id: int, model_version: str, predictions: Sequence[Prediction], control: LabelControl) -> None:
        """Import in chunks; raises unless Label Studio created every one of them (it drops what it does not like, answering 201)."""
        for chunk in _chunks(predictions, PREDICTIONS_PER_CALL):
            body = [wire.prediction(row, model_version, control) for row in chunk]
            try:
                reply = self._http.json("POST", f"/api/projects/{project_id}/import/predictions", json=body, timeout=BULK_TIMEOUT)
            except LabelStudioError as error:
                if error.status == 400 and "task" in str(error):
                    text = f"a task was deleted while predictions of {model_version} were imported: {error}"
                    raise LabelStudioError(text, retryable=True, status=400) from None
                raise
            if reply.get("created") != len(chunk):
                text = f"Label Studio created {reply.get('created')} of {counted(len(chunk), 'prediction')} of {model_version}"
                raise LabelStudioError(f"{text}; has the label config changed?", retryable=True)

    def predicted_task_ids(self, project_id: int, model_version: str, *, among: Sequence[int]) -> list[int]:
        """Which of these tasks hold a prediction of this version."""
        # The filter finds parts of names, so the names are compared here; its value must be a list, or it is taken letter by letter.
        filters = [_filter("predictions_model_versions", "contains", "List", [model_version])]
        found = set()
        for row in self._rows_by_id(project_id, among, "id,predictions_model_versions", filters):
            shown = str(row.get("predictions_model_versions") or "")
            listed = model_version in {name.strip() for name in shown.split(",")}
            if listed or (len(shown) >= VERSIONS_SHOWN and self._holds(int(row["id"]), model_version)):
                found.add(int(row["id"]))
        return sorted(found)

    def delete_predictions(self, project_id: int, model_version: str) -> None:
        """Delete every prediction of this version."""
        body = {"model_version": model_version}
        self._http.json("DELETE", f"/api/projects/{project_id}/model-versions/", json=body, timeout=BULK_TIMEOUT)

    def delete_predictions_on(self, project_id: int, model_version: str, task_ids: Sequence[int]) -> None:
        """Delete this version's predictions on these tasks: in bulk where they are a task's only ones, one by one elsewhere."""
        alone: list[int] = []
        mixed: list[int] = []
        for row in self._rows_by_id(project_id, task_ids, "id,predictions,model_version", [], fields="all"):
            mine, others = wire.predictions_of(row, model_version)
            if mine and not others:
                alone.append(int(row["id"]))
            else:
                mixed += mine
        for chunk in _chunks(alone, TASKS_PER_ACTION):
            self._action("delete_tasks_predictions", project_id, chunk)
        if mixed:
            _at_once(self._delete_prediction, [(each,) for each in mixed])

    def _delete_prediction(self, prediction_id: int) -> None:
        try:
            self._http.json("DELETE", f"/api/predictions/{prediction_id}/")
        except LabelStudioError as error:
            if error.status != 404:
                raise

    def predictions_to_annotations(self, project_id: int, model_version: str, task_ids: Sequence[int]) -> None:
        """Turn this version's predictions on these tasks into annotations by the calling user."""
        for chunk in _chunks(task_ids, TASKS_PER_ACTION):
            self._action("predictions_to_annotations", project_id, chunk, model_version=model_version)

    def delete_unchanged(self, annotations: Sequence[Annotation]) -> list[int]:
        """Delete those that are still as given, one by one, each read again right before; returns the ids of the others."""
        changed: list[int] = []

        def delete(annotation: Annotation) -> None:
            path = f"/api/annotations/{annotation.id}/"
            try:
                if wire.changed_at(self._http.json("GET", path)) != annotation.updated_at:
                    changed.append(annotation.id)
                else:
                    self._http.json("DELETE", path)
            except LabelStudioError as error:
                if error.status != 404:  # gone
                    raise

        _at_once(delete, [(each,) for each in annotations])
        return sorted(changed)

    def delete_annotation(self, annotation_id: int) -> None:
        """Delete one annotation; one that is already gone is no error."""
        try:
            self._ask(lambda: self._sdk.annotations.delete(annotation_id), f"annotation {annotation_id}")
        except LabelStudioError as error:
            if error.status != 404:
                raise

    def lock_task(self, project_id: int, task_id: int) -> bool:
        """Lock a task; whether the calling user holds the lock now."""
        try:
            reply = self._action("next_task", project_id, [task_id])
        except LabelStudioError as error:
            if error.status == 404 and "no tasks" in str(error):
                return False  # labelled, gone, or annotated by the calling user
            raise
        if not reply:
            raise LabelStudioError(f"Label Studio answered nothing when task {task_id} was to be locked", retryable=True)
        return bool(reply.get("unique_lock_id"))  # somebody else's lock leaves it empty, though the answer is 200

    def release_task(self, project_id: int, task_id: int) -> None:
        """Give the lock back. Only an annotation does that, so one is made (a skip, which counts as no label) and deleted."""
        try:
            made = self._http.json("POST", f"/api/tasks/{task_id}/annotations/", json={"result": [], "was_cancelled": True})
        except LabelStudioError as error:
            if error.status == 404:
                return  # the task is gone, and its lock with it
            raise
        self.delete_annotation(int(made["id"]))

    def set_overlap(self, project_id: int, task_ids: Sequence[int], overlap: int) -> None:
        """Ask this many different people about each of these tasks; see :class:`~backend.label_studio.port.LabelStudioPort`."""
        if overlap < 1:
            raise InvalidValue(f"overlap must be 1 or more, got {overlap}")
        skips_count = wire.skips_count(self._http.json("GET", f"/api/projects/{project_id}/"))
        for _ in range(OVERLAP_PASSES):  # a label that came in between reading and writing is seen the next time
            rows = self._rows_by_id(project_id, task_ids, ",".join(wire.OVERLAP_FIELDS), [], fields="all")
            changes = {int(row["id"]): wire.overlap_change(row, overlap, skips_count=skips_count) for row in rows}
            wrong = [(task_id, change) for task_id, change in changes.items() if change]
            if not wrong:
                return
            _at_once(self._change_task, wrong)

    def _change_task(self, task_id: int, fields: dict[str, Any]) -> None:
        try:
            self._http.json("PATCH", f"/api/tasks/{task_id}/", json=fields)
        except LabelStudioError as error:
            if error.status != 404:  # gone meanwhile
                raise

    def webhooks(self, project_id: int) -> list[dict[str, Any]]:
        """The project's webhooks as Label Studio has them (headers may hold secrets: do not show them)."""
        found = self._ask(lambda: self._sdk.webhooks.list(project=str(project_id)), "webhooks")
        return [each.model_dump() for each in found]

    def register_webhook(self, project_id: int, url: str, headers: dict[str, str]) -> None:
        """Create or update the one webhook with this URL; further ones with the same URL would double every event and are deleted."""
        same = [each["id"] for each in self.webhooks(project_id) if each["url"] == url]
        settings = {"url": url, "headers": headers, "send_payload": True, "send_for_all_actions": False, "is_active": True}
        body = settings | {"project": project_id, "actions": list(WEBHOOK_ACTIONS)}
        if same:
            self._http.json("PATCH", f"/api/webhooks/{same[0]}/", json=body)
        else:
            self._http.json("POST", "/api/webhooks/", json=body)
        for twin in same[1:]:
            self._http.json("DELETE", f"/api/webhooks/{twin}/")

    def fetch_media(self, reference: str, *, task_id: int, max_bytes: int) -> bytes:
        """Bytes of an image as this Label Studio serves it; see :class:`~backend.label_studio.images.MediaFetcher`."""
        return self._media.fetch(reference, task_id=task_id, max_bytes=max_bytes)

    def _ask(self, call: Callable[[], T], what: str) -> T:
        """Run an SDK call with our errors."""
        from label_studio_sdk.core.api_error import ApiError

        try:
            return call()
        except ApiError as error:
            status = error.status_code or 0
            if 200 <= status < 300:
                text = f"Label Studio at {self.url} answered without JSON when asked for: {what}; is that the right address?"
                raise LabelStudioError(text, retryable=False, status=status) from None
            detail = detail_of(error.body) if isinstance(error.body, dict) else "no details"
            raise self._http.refusal(status, detail, what, error.headers) from None
        except httpx.RequestError as error:
            raise unreachable(self.url, error) from None

    def _action(self, action: str, project_id: int, task_ids: Sequence[int], **fields: Any) -> dict[str, Any]:
        """A Data Manager action on exactly these tasks; without any, Label Studio might take all."""
        body = {"selectedItems": {"all": False, "included": list(task_ids)}} | fields
        path = f"/api/dm/actions?id={action}&project={project_id}"
        return dict(self._http.json("POST", path, json=body, timeout=BULK_TIMEOUT) or {})

    def _rows(
        self, project_id: int, include: str, filters: list[dict[str, Any]], *, page: int = PAGE, **query: Any
    ) -> Iterator[dict[str, Any]]:
        """All tasks that pass the filters, paged by id so that tasks that come and go meanwhile shift nothing."""
        last = 0
        while True:
            rows = self._page(project_id, include, [*filters, _filter("id", "greater", "Number", last)], None, page, query)
            yield from rows
            if len(rows) < page:
                return
            last = max(int(row["id"]) for row in rows)

    def _rows_by_id(
        self, project_id: int, task_ids: Sequence[int], include: str, filters: list[dict[str, Any]], **query: Any
    ) -> Iterator[dict[str, Any]]:
        seen: set[int] = set()
        for chunk in _chunks(sorted(set(task_ids)), IDS_PER_QUERY):
            for row in self._page(project_id, include, filters, chunk, PAGE, query):
                if row["id"] not in seen:  # a filter on predictions returns a task once per prediction
                    seen.add(row["id"])
                    yield row

    def _page(
        self,
        project_id: int,
        include: str,
        filters: list[dict[str, Any]],
        selected: Sequence[int] | None,
        size: int,
        query: dict[str, Any],
    ) -> list[dict[str, Any]]:
        rows = self._found(project_id, include, filters, selected, size, query)["tasks"]
        if not isinstance(rows, list):  # an empty object is no empty project
            raise LabelStudioError(f"Label Studio sent {type(rows).__name__} for a list of tasks", retryable=True)
        return rows

    def _found(
        self,
        project_id: int,
        include: str,
        filters: list[dict[str, Any]],
        selected: Sequence[int] | None,
        size: int,
        query: dict[str, Any],
    ) -> dict[str, Any]:
        """The first page of what passes, and the ``total``."""
        wanted: dict[str, Any] = {"filters": {"conjunction": "and", "items": filters}}
        if selected is not None:
            wanted["selectedItems"] = {"all": False, "included": list(selected)}
        params = {
            "project": project_id,
            "page_size": size,
            "include": include,
            "resolve_uri": "false",
            "query": json.dumps(wanted),
            **query,
        }
        found: dict[str, Any] = self._http.json("GET", "/api/tasks", params=params, timeout=BULK_TIMEOUT)
        return found

    def _holds(self, task_id: int, model_version: str) -> bool:
        """Whether a task with more versions than Label Studio lists holds this one."""
        predictions = self._http.json("GET", "/api/predictions", params={"task": task_id})
        return any(each["model_version"] == model_version for each in predictions)


_TASK_FIELDS = ",".join(dict.fromkeys(wire.TASK_FIELDS + wire.ANNOTATION_FIELDS))


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _at_once(change: Callable[..., None], rows: Iterable[tuple[Any, ...]]) -> None:
    """Call it for each row, a few at the same time; the first error ends it."""
    with ThreadPoolExecutor(PATCHES_AT_ONCE) as pool:  # whose threads know of the fence only what they are told
        list(pool.map(lambda job: job[0].run(change, *job[1]), [(copy_context(), row) for row in rows]))


def _chunks(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
