"""The line between the backend and Label Studio: a TCP proxy on loopback that can be cut in three ways."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Literal, Self

Cut = Literal["refused", "silent", "deaf"]
CUTS: tuple[Cut, ...] = ("refused", "silent", "deaf")
BUFFER = 65536
TICK = 0.05  # seconds between two looks at whether the line is cut


class Line:
    """Carries bytes to ``127.0.0.1:port`` and back, until it is :meth:`cut`.

    ``refused``: connections are reset, new ones too. ``silent``: nothing passes, and nobody is told. ``deaf``: requests arrive and are
    carried out, their answers are thrown away and the connection is reset; so a caller cannot tell whether a change was made.

    Attributes:
        url: where the other end is reached through this line.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._how: Cut | None = None
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TICK)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def cut(self, how: Cut) -> None:
        self._how = how

    def mend(self) -> None:
        self._how = None

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                caller, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._carry, args=(caller,), daemon=True)
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
            thread.start()

    def _carry(self, caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            if self._how == "refused":
                return _reset(caller)
            with socket.create_connection(self._target, timeout=30) as target, selectors.DefaultSelector() as ready:
                ready.register(caller, selectors.EVENT_READ, target)
                ready.register(target, selectors.EVENT_READ, caller)
                while not self._closed.is_set():
                    if self._how == "refused":
                        return _reset(caller)
                    if self._how == "silent":
                        self._closed.wait(TICK)
                        continue
                    for key, _ in ready.select(TICK):
                        source = key.fileobj
                        assert isinstance(source, socket.socket)
                        content = source.recv(BUFFER)
                        if source is target and self._how == "deaf":
                            return _reset(caller)
                        if not content:
                            return None
                        key.data.sendall(content)
        return None


def _reset(caller: socket.socket) -> None:
    """Close without a word: the caller sees a reset, as when a cable is pulled and a firewall answers."""
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
