"""``/healthz``: the process answers. ``/readyz``: each dependency by name, without secrets and without waiting long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from flask import Blueprint

from backend.web.answers import Answer, json_view
from mcal_engine.errors import MCALError

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 2.0  # for all checks together, as they run side by side; probes give up soon after
FRESH_SECONDS = 1.0  # answers are reused that long: the route is open, the dependencies are not to be hammered through it


class Check:
    """One dependency. At most one thread asks it at a time, however long it hangs and however often somebody wants to know."""

    def __init__(self, name: str, call: Callable[[], object]) -> None:
        self._name = name
        self._call = call
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._result = ""
        self._asked_at = float("-inf")

    def ask(self) -> None:
        """Ask in the background, unless an answer is on its way or fresh."""
        with self._lock:
            running = self._asked_at > float("-inf") and not self._done.is_set()
            if running or time.monotonic() - self._asked_at < FRESH_SECONDS:
                return
            self._asked_at = time.monotonic()
            self._done.clear()
        threading.Thread(target=self._run, name=f"readiness of {self._name}", daemon=True).start()

    def result(self) -> str:
        """``"ok"`` or what is wrong, within the deadline; at once if the call has been hanging for longer than that."""
        if not self._done.wait(max(0.0, self._asked_at + DEADLINE_SECONDS - time.monotonic())):
            return f"no answer within {DEADLINE_SECONDS:g} s"
        return self._result

    def _run(self) -> None:
        try:
            self._call()
        except MCALError as error:
            self._result = str(error)  # written for people, free of secrets
        except Exception as error:
            logger.warning("readiness of %s", self._name, exc_info=error)
            self._result = type(error).__name__  # a library's text may hold an address with a password
        else:
            self._result = "ok"
        self._done.set()


def blueprint(checks: Mapping[str, Callable[[], object]], notes: Mapping[str, Callable[[], object]]) -> Blueprint:
    """``notes`` are asked and told as ``checks`` are, but the server is ready without them."""
    made = Blueprint("health", __name__)
    asked = {name: Check(name, call) for name, call in ({**checks, **notes}).items()}

    def healthz() -> Answer:
        return {"status": "ok"}, 200

    def readyz() -> Answer:
        for check in asked.values():
            check.ask()
        results = {name: check.result() for name, check in asked.items()}
        ready = all(results[name] == "ok" for name in checks)
        well = all(result == "ok" for result in results.values())
        return {"status": "ok" if well else "degraded" if ready else "unavailable", "checks": results}, 200 if ready else 503

    made.add_url_rule("/healthz", "healthz", json_view(healthz))
    made.add_url_rule("/readyz", "readyz", json_view(readyz))
    return made
