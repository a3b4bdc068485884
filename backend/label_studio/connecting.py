"""Connects this backend to a project, as *Settings → Model* does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.label_studio.transport import Connection

TITLE = "MCAL"


def connect_model(
    connection: Connection, project_id: int, url: str, extra_params: Mapping[str, Any] | None, login: tuple[str, str] | None
) -> bool:
    """Connect the model at ``url``, or bring the connection that there is up to date. Label Studio calls ``/health`` and ``/setup``.

    Args:
        extra_params: the campaign's settings; ``None`` leaves those that there are.
        login: user and password that Label Studio is to give; ``None``: nobody has to log in.

    Returns:
        Whether the connection is new.

    Raises:
        LabelStudioError: Label Studio refuses, or does not reach ``url``.
    """
    body: dict[str, Any] = {"project": project_id, "url": url, "title": TITLE, "is_interactive": False, "auth_method": "NONE"}
    if extra_params is not None:
        body["extra_params"] = dict(extra_params)
    if login is not None:
        body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": login[0], "basic_auth_pass": login[1]}
    rows: list[dict[str, Any]] = connection.json("GET", "/api/ml", params={"project": project_id})
    same = [int(row["id"]) for row in rows if str(row.get("url") or "").rstrip("/") == url]
    if same:
        connection.json("PATCH", f"/api/ml/{same[0]}", json=body)
    else:
        connection.json("POST", "/api/ml", json=body)
    return not same
