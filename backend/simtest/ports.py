"""Stand-ins for the ports of a process: every call goes through the life, which may let something happen there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.label_studio.fence import READS, before_request
from backend.simtest.machines import Process


@dataclass
class PortCall:
    """One call of one process at one port."""

    process: Process
    port: str
    method: str
    work: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """In words."""
        return f"{self.port}.{self.method}" if self.method else self.port

    def do(self) -> Any:
        """Make the call."""
        self._ask_the_fence()
        result = self.work(*self.args, **self.kwargs)
        # A generator does its work when it is asked for the first row: here, so that one call is one moment.
        return iter(list(result)) if self.method == "tasks" else result

    def do_with(self, place: int, value: Any) -> Any:
        """Make the call with another value for one argument."""
        self._ask_the_fence()
        return self.work(*self.args[:place], value, *self.args[place + 1 :], **self.kwargs)

    def _ask_the_fence(self) -> None:
        """As the real client does before each request that changes something."""
        if self.port == "label_studio" and self.method not in READS:
            before_request("POST")


class Port:
    """Stands in for an object whose methods, or which itself, a process calls."""

    def __init__(self, inner: Any, name: str, process: Process, enter: Callable[[PortCall], Any]) -> None:
        self._inner, self._name, self._process, self._enter = inner, name, process, enter

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        if not callable(found):
            return found
        if method == "fenced":  # the same port with an owner's name on it
            return lambda *args, **kwargs: Port(found(*args, **kwargs), self._name, self._process, self._enter)
        return lambda *args, **kwargs: self._enter(PortCall(self._process, self._name, method, found, args, kwargs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._enter(PortCall(self._process, self._name, "", self._inner, args, kwargs))
