"""A decision with everything that follows from it, stored all at once: the only commit points of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.campaign import draws
from backend.campaign.queues import Queue
from backend.campaign.state import State
from backend.store import Assignment, Event, Frozen, MachineLabel, NewEvent, Store
from mcal_engine import codec
from mcal_engine.types import Decision


@dataclass
class Commit:
    """What is appended in one transaction, on the condition that nobody else has appended since ``state``."""

    state: State
    events: list[NewEvent] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    frozen: tuple[int, Sequence[Frozen]] | None = None
    machine_labels: list[MachineLabel] = field(default_factory=list)
    reopens: bool = False

    def event(self, kind: str, **payload: Any) -> None:
        self.events.append(NewEvent(kind, payload))

    def decision(self, decision: Decision, after: str) -> None:
        self.event("decision", decision=codec.to_json(decision), after=after)

    def open(self, queue: Queue, assignments: Sequence[Assignment] = ()) -> None:
        self.event("queue_opened", **queue.payload())
        self.assignments.extend(assignments)

    def close_queue(self, reason: str) -> None:
        """Close the open queue; those of its items that are labelled now are B's from here on."""
        queue = self.state.queue
        if queue is None:
            return
        self.event("queue_closed", model_version=queue.model_version, reason=reason, n_taken=self.state.n_taken(queue))
        for rank, task in enumerate(queue.ids):
            item = self.state.items.get(task)
            if task not in self.state.roles and item is not None and not item.deleted and item.label is not None:
                self.assignments.append(Assignment(task, "train", queue.round, rank))

    def leave_rest_to_people(self, predicted: Mapping[int, int] | None = None) -> None:
        """``predicted``: task → class, which people are shown where they are to be assisted."""
        self.open(draws.residual_queue(self.state, predicted or {}))

    def write_back(self, model_version: str, look: int, rows: Sequence[MachineLabel]) -> None:
        self.event("write_back_started", model_version=model_version, look=look, n=len(rows))
        self.machine_labels.extend(rows)

    def store(self, store: Store) -> list[Event]:
        """Append it all. Raises :class:`backend.store.Conflict` if the history has moved on."""
        return store.append(
            self.state.campaign_id,
            self.events,
            expected_seq=self.state.last_seq,
            assignments=self.assignments,
            frozen=self.frozen,
            machine_labels=self.machine_labels,
            reopens=self.reopens,
        )
