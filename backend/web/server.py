"""Serves the app with waitress until it is told to stop."""

from __future__ import annotations

import errno
import ipaddress
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

from backend.web import connections
from mcal_engine.errors import InvalidValue

THREADS = 16  # half of them may wait at the turnstile of people who submit
LOOP_SECONDS = 0.2  # how soon a stop is noticed
FINISH_SECONDS = 5  # how long requests under way may still take after it


def serve(
    app: Flask,
    host: str,
    port: int,
    stop_event: threading.Event,
    *,
    protected: bool,
    allow_open: bool = False,
    trusts: connections.Trusts = lambda _address, _headers: True,
    trusted_proxy: str | None = None,
    listening: Callable[[str, int], object] | None = None,
) -> None:
    """Serve until ``stop_event`` is set, finish what is under way, close the sockets.

    Args:
        protected: whether callers have to log in (``Access.protected``).
        allow_open: serve other machines without a login all the same.
        trusts: who may send large bodies (:class:`Trusts`); everybody, if not given.
        trusted_proxy: whose word counts for the caller's address and for https; nobody's, if not given.
        listening: called with host and port once connections are accepted; port 0 picks a free one.

    Raises:
        InvalidValue: the server would be open to other machines, or the address cannot be had.
    """
    check_exposure(host, protected=protected, allow_open=allow_open)
    sockets: dict[int, Any] = {}
    try:
        server = create_server(
            app,
            map=sockets,
            host=host,
            port=port,
            threads=THREADS,
            ident="mcal",
            clear_untrusted_proxy_headers=True,
            max_request_body_size=app.config["MAX_CONTENT_LENGTH"],
            max_request_header_size=connections.HEADER_BYTES,
            connection_limit=connections.CONNECTIONS,
            channel_timeout=connections.IDLE_SECONDS,
            cleanup_interval=5,
            **_proxy(trusted_proxy),
        )
    except (OSError, ValueError) as error:
        wasyncore.close_all(sockets)
        why = "the port is in use" if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else str(error)
        raise InvalidValue(f"cannot serve on host {host} port {port}: {why}") from None
    for each in [each for each in sockets.values() if isinstance(each, BaseWSGIServer)]:
        each.channel_class = connections.channel_for(trusts)
    try:
        if listening is not None:
            listening(host, _port(server))
        _loop(sockets, stop_event)
        server.task_dispatcher.shutdown(timeout=FINISH_SECONDS)
        wasyncore.loop(timeout=LOOP_SECONDS, use_poll=True, map=sockets, count=1)  # send what was answered last
    finally:
        server.task_dispatcher.shutdown(timeout=0)
        for channel in _channels(sockets):
            channel.handle_close()  # large answers that nobody took any more wait in temporary files
        wasyncore.close_all(sockets)


def _loop(sockets: dict[int, Any], stop_event: threading.Event) -> None:
    swept = time.monotonic()
    while not stop_event.is_set():
        wasyncore.loop(timeout=LOOP_SECONDS, use_poll=True, map=sockets, count=1)
        if (now := time.monotonic()) - swept >= LOOP_SECONDS:
            connections.sweep(_channels(sockets), now)
            swept = now


def check_exposure(host: str, *, protected: bool, allow_open: bool) -> None:
    """Raise InvalidValue if other machines could use the server without a login and nobody has said that this is wanted."""
    if protected or allow_open or is_loopback(host):
        return
    raise InvalidValue(
        f"host {host!r} can be reached from other machines and nobody would have to log in: set MCAL_BASIC_AUTH_USER and "
        "MCAL_BASIC_AUTH_PASSWORD (and the same pair in Label Studio's model settings), serve on 127.0.0.1, or allow it with --allow-open"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on ``host``; other names than ``localhost`` are not looked up and count as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def trusted_hosts(host: str, *addresses: str, protected: bool) -> tuple[str, ...]:
    """Names the server may be called by: any (empty) where a login is needed or other machines are served, else loopback's and its own.

    ``addresses``: under which it is called.
    """
    if protected or not is_loopback(host):
        return ()
    own = [name for address in addresses if (name := urlsplit(address).hostname)]
    return tuple(dict.fromkeys(["localhost", "127.0.0.1", "[::1]", host, *own]))


def _channels(sockets: dict[int, Any]) -> list[HTTPChannel]:
    return [each for each in sockets.values() if isinstance(each, HTTPChannel)]


def _proxy(trusted: str | None) -> dict[str, Any]:
    """Settings of waitress for a proxy in front; one, since those behind it are its own business."""
    if trusted is None:
        return {}
    return {"trusted_proxy": trusted, "trusted_proxy_count": 1, "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto"}}


def _port(server: Any) -> int:
    listens = getattr(server, "effective_listen", None)
    return int(listens[0][1] if listens else server.effective_port)
