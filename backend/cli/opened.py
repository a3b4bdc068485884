"""What commands work with: the settings of this call, the database, the job queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from backend.jobs import JobQueue, QueueUnavailable
from backend.settings import ServerSettings, server_settings
from backend.store import Store


@dataclass(frozen=True, slots=True)
class Opened:
    settings: ServerSettings
    store: Store
    queue: JobQueue

    def wake(self, campaign_id: int, reason: str) -> None:
        """Hint at the campaign; without a queue the worker's own timer finds it."""
        try:
            self.queue.enqueue(campaign_id, reason)
        except QueueUnavailable as error:
            click.echo(f"mcal: {error}; the worker will notice by its timer", err=True)


@contextmanager
def opened(overrides: dict[str, Any]) -> Iterator[Opened]:
    """Open database and queue as the environment, ``.env`` and these server settings say."""
    settings = server_settings(**overrides)
    store = Store(settings.database_url)
    queue = JobQueue(settings.queue_url)
    try:
        store.migrate()
        yield Opened(settings, store, queue)
    finally:
        queue.close()
        store.close()


def now() -> datetime:
    return datetime.now(UTC)
