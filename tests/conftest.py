"""One real Label Studio for the whole test session, for the tests that want it; and a Ctrl-C that works in what tests start."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from backend.demo.label_studio_server import LabelStudioServer, ServerError

if threading.current_thread() is threading.main_thread():
    # A run in the background of a shell ignores SIGINT, and so would every process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class RealLabelStudio:
    """A running server, the service user's token and those of two annotators."""

    server: LabelStudioServer
    service_token: str
    annotator_tokens: tuple[str, str]


@pytest.fixture(scope="session")
def real_label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLabelStudio]:
    """Skips loudly where Label Studio cannot be had; fails in CI, where a suite that did not run is no evidence."""
    server = LabelStudioServer(tmp_path_factory.mktemp("label-studio"))
    try:
        server.start()
    except ServerError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NOT RUN, because a real Label Studio could not be started: {error}")
    try:
        emails = ("mcal@example.com", "ann@example.com", "bob@example.com")
        service, ann, bob = (server.create_user(email, "a-good-passphrase") for email in emails)
        yield RealLabelStudio(server, service, (ann, bob))
    finally:
        server.stop()
