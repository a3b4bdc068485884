"""What a caller may take of the server before it has shown who it is: a small body, a minute for a request, a place in the queue."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

CONNECTIONS = 400  # open at the same time
HEADER_BYTES = 32 * 1024
UNTRUSTED_BODY_BYTES = 256 * 1024  # a login, a form, an event of a webhook without a secret
REQUEST_SECONDS = 60.0  # from a request's first byte to its last
IDLE_SECONDS = 30  # without a byte
CROWDED, RELIEVED = 0.9, 0.7  # shares of CONNECTIONS

Trusts = Callable[[str, Mapping[str, str]], bool]
"""Whether a caller may send a large body: of its address and its headers, named as in ``X_MCAL_SECRET``."""


def channel_for(trusts: Trusts) -> type[HTTPChannel]:
    """The channel of waitress, whose parser judges a body's size by who sends it: at the end of the headers, before the body is kept."""

    class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
        adj: Any

        def __init__(self, adj: Any, address: str) -> None:
            super().__init__(adj)
            self.began = time.monotonic()
            self._address = address

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            large = self.chunked or self.content_length >= UNTRUSTED_BODY_BYTES
            if large and not trusts(self._address, self.headers):
                self.adj = copy.copy(self.adj)
                self.adj.max_request_body_size = UNTRUSTED_BODY_BYTES

    class Channel(HTTPChannel):  # type: ignore[misc]
        def parser_class(self, adj: Any) -> Parser:
            return Parser(adj, str(self.addr[0]))

    return Channel


def sweep(channels: Iterable[HTTPChannel], now: float) -> None:
    """Close requests that come in too slowly, and, where it is crowded, the oldest connections that no answer is being made for."""
    open_ones = [each for each in channels if not each.will_close]
    for channel in open_ones:
        request = channel.request
        if request is not None and now - request.began > REQUEST_SECONDS:
            channel.will_close = True
    if len(open_ones) > CROWDED * CONNECTIONS:
        waiting = sorted((each for each in open_ones if not each.requests), key=lambda each: each.creation_time)
        for channel in waiting[: len(open_ones) - int(RELIEVED * CONNECTIONS)]:
            channel.will_close = True
