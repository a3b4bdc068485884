"""Callers without credentials, in a process of their own: they must not hold up whoever measures beside them."""

from __future__ import annotations

import json
import threading

import httpx

LARGE_BODY = 31_000_000  # bytes


def throw(url: str) -> None:
    """Four callers without credentials who send large bodies, until the process is ended."""
    body = json.dumps({"action": "ANNOTATION_CREATED", "project": 1, "filling": "x" * LARGE_BODY}).encode()

    def without_end() -> None:
        while True:
            try:
                httpx.post(f"{url}/webhook", content=body, headers={"Content-Type": "application/json"}, timeout=30)
            except httpx.TransportError:
                continue  # refused in mid-body

    throwers = [threading.Thread(target=without_end, daemon=True) for _ in range(4)]
    for thread in throwers:
        thread.start()
    for thread in throwers:
        thread.join()
