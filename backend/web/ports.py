"""What the web app is made from. ``backend.wiring`` fills it in; tests use stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from backend.web.access import Access

if TYPE_CHECKING:  # the plugin takes the routes alone, without the engine that the pages need
    from backend.web.desk import Desk

MAX_BODY_BYTES = 32 * 1024 * 1024  # a 1,000-task write-back's event has about 1 MB, a prediction request about 0.5 kB per task


class MLHandler(Protocol):
    """:class:`backend.protocol.MLProtocol`, as the routes see it. Every method raises InvalidValue for a body that breaks a rule."""

    def setup(self, body: dict[str, Any]) -> dict[str, Any]: ...

    def predict(self, body: dict[str, Any]) -> dict[str, Any]: ...

    def webhook(self, body: dict[str, Any], *, trusted: bool) -> dict[str, Any]: ...

    def keep_apart(self, body: dict[str, Any]) -> Generator[float, None, None] | None: ...

    def train(self, body: dict[str, Any]) -> dict[str, Any]: ...

    def versions(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class WebDeps:
    """Everything :func:`backend.web.app.create_app` needs.

    Attributes:
        protocol: answers Label Studio.
        access: what Label Studio must show.
        desk: the admin's side: pages and API.
        checks: name of a dependency → a call that raises when it cannot be reached.
        notes: the same for what the server itself does without, such as a worker: told, but no reason to call the server unready.
        max_body_bytes: larger requests are refused with 413.
        trusted_hosts: names this server may be called by; empty: any. Set it wherever nobody has to log in
            (:func:`backend.web.server.trusted_hosts`), or a web page could reach a loopback server through a name of its own.
    """

    protocol: MLHandler
    access: Access
    desk: Desk
    checks: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    notes: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    max_body_bytes: int = MAX_BODY_BYTES
    trusted_hosts: tuple[str, ...] = ()
