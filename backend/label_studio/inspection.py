"""What a look around needs to know of a Label Studio beyond the port: who can reach whom, and who labelled what. Read only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.label_studio.port import LabelStudioError
from backend.label_studio.transport import Connection
from backend.label_studio.wire import provenance_of

LOOKED_AT = 50  # tasks with annotations of the service user that are read; one label by hand is enough to know


@dataclass(frozen=True, slots=True)
class ConnectedModel:
    """A row of *Settings → Model*. ``state`` is as of now: asking makes Label Studio call the model."""

    url: str
    state: str  # Connected, Disconnected, Error, Training, Predicting
    error: str


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Which tokens the organisation accepts; ``None`` where this user may not know."""

    personal_access_tokens: bool | None
    legacy_tokens: bool | None


class Inspector:
    """Read-only questions to one Label Studio. Every method raises LabelStudioError as the port's do."""

    def __init__(self, connection: Connection) -> None:
        self._http = connection

    def models(self, project_id: int) -> list[ConnectedModel]:
        """The models connected to a project; Label Studio calls each one's ``/health`` and ``/setup`` before it answers."""
        rows: list[dict[str, Any]] = self._http.json("GET", "/api/ml", params={"project": project_id})
        return [ConnectedModel(str(row.get("url") or "").rstrip("/"), _state(row), str(row.get("error_message") or "")) for row in rows]

    def token_settings(self) -> TokenSettings:
        """The organisation's settings of tokens."""
        found = self._http.json("GET", "/api/jwt/settings")
        settings = found if isinstance(found, Mapping) else {}
        return TokenSettings(settings.get("api_tokens_enabled"), settings.get("legacy_api_tokens_enabled"))

    def may_change(self, project_id: int) -> bool | None:
        """Whether this user may change the project, without changing it; ``None`` where Label Studio does not tell.

        Asked with OPTIONS: the answer describes PUT only to those who have the right to it.
        """
        try:
            found = self._http.json("OPTIONS", f"/api/projects/{project_id}")
        except LabelStudioError as error:
            if error.status is None or error.retryable:  # Label Studio is away, which says nothing about rights
                raise
            return None
        if not isinstance(found, Mapping):
            return None
        actions = found.get("actions")
        return isinstance(actions, Mapping) and "PUT" in actions

    def labelled_by_hand(self, project_id: int, user_id: int) -> int | None:
        """A task that holds an annotation by this user which the backend did not write; ``None`` if none of those looked at does."""
        by_user = {"filter": "filter:tasks:annotators", "operator": "contains", "type": "List", "value": user_id}
        query = {"filters": {"conjunction": "and", "items": [by_user]}}
        params = {"project": project_id, "page_size": LOOKED_AT, "fields": "all", "include": "id,annotations,result,completed_by"}
        rows = self._http.json("GET", "/api/tasks", params=params | {"query": json.dumps(query)})["tasks"]
        for row in rows:
            for annotation in row.get("annotations") or []:
                author = annotation.get("completed_by")
                author = author.get("id") if isinstance(author, Mapping) else author
                if author == user_id and provenance_of(annotation.get("result") or []) is None:
                    return int(row["id"])
        return None


def _state(row: Mapping[str, Any]) -> str:
    return str(row.get("readable_state") or row.get("state") or "")
