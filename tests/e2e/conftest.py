"""Campaigns on one real Label Studio: each test builds a house of its own on it (project, users, web server, worker)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backend.demo.data import DemoData, load
from backend.demo.house import House, Plan
from backend.demo.label_studio_server import LabelStudioServer
from tests.conftest import RealLabelStudio

# Small enough for minutes, easy enough for machine labels: one error in ten may stay, no labels ahead so that queues run dry.
SMALL: dict[str, Any] = {
    "target_error": 0.1,
    "price_per_label": 0.04,
    "test_size": 50,
    "batch_size": 30,
    "certificate_size": 50,
    "work_ahead": 0.0,
}
Build = Callable[..., House]


@pytest.fixture
def server(real_label_studio: RealLabelStudio) -> LabelStudioServer:
    return real_label_studio.server


@pytest.fixture
def build(server: LabelStudioServer, tmp_path: Path) -> Iterator[Build]:
    """Build a house with a project of digits, or of ``data``; extra settings by name. All are torn down after the test."""
    with ExitStack() as stack:

        def make(
            items: int, server_settings: Mapping[str, str] | None = None, data: Path | DemoData | None = None, **settings: Any
        ) -> House:
            read = data if isinstance(data, DemoData) else load(data, items, 0)
            plan = Plan(extra_params=SMALL | settings, pace=0.1, poll_seconds=2.0, server=server_settings or {})
            return stack.enter_context(House(server, tmp_path / f"house-{items}", read, plan))

        yield make
