"""What tests ask a page in a browser: what axe-core objects to, whether something has come true, the numbers it shows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def axe(page: Any) -> list[str]:
    """Serious and critical findings of axe-core, each with the element it is about."""
    axe_core_python = pytest.importorskip("axe_core_python")
    (script,) = Path(axe_core_python.__file__).parent.rglob("axe.min.js")
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    return [
        f"{rule['id']}: {node['html'][:150]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def until(page: Any, condition: str, seconds: float = 30, check: Callable[[], object] = lambda: None) -> None:
    """Wait for a condition. (Playwright's own wait_for_function needs eval, which our policy does not allow.)

    ``check`` is called on the way and raises where waiting has no sense any more.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        check()
        assert time.monotonic() < deadline, f"{condition} within {seconds:g} s; the page says: {page.inner_text('main')[:600]}"
        page.wait_for_timeout(100)


def numbers(page: Any) -> dict[str, Any]:
    """Every number on the page by its path in the API's answer."""
    pairs = page.eval_on_selector_all("data[data-path]", "all => all.map(each => [each.dataset.path, each.value])")
    return {path: json.loads(value) for path, value in pairs}
