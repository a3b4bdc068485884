"""A decision with everything that follows from it, stored all at once: the only commit points of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend.campaign import draws, events, history, queues
from backend.campaign.events import Happening
from backend.campaign.queues import Queue
from backend.campaign.state import State
from backend.store import Assignment, Event, Frozen, MachineLabel, Store
from mcal_engine.types import Decision


@dataclass
class Commit:
    """What is appended in one transaction, on the condition that nobody else has appended since ``state``."""

    state: State
    events: list[Happening] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    frozen: tuple[int, Sequence[Frozen]] | None = None
    machine_labels: list[MachineLabel] = field(default_factory=list)
    reopens: bool = False

    def add(self, event: Happening) -> None:
        self.events.append(event)

    def decision(self, decision: Decision, after: str) -> None:
        self.add(events.Decided(decision=decision, after=after))

    def open(self, queue: Queue, assignments: Sequence[Assignment] = (), *, last_known_task: int = 0) -> None:
        """``last_known_task``: where the test items are drawn with this queue, the highest task id that took part."""
        self.add(queues.opening(queue, last_known_task=last_known_task))
        self.assignments.extend(assignments)

    def close_queue(self, reason: str, *, trains: bool = True) -> None:
        """Close the open queue, if one is open.

        Args:
            trains: those of its items that are labelled now are training data from here on. Nothing that a queue after the write-back
                asked for is.
        """
        queue = self.state.queue
        if queue is None:
            return
        n_taken = self.state.n_taken(queue) if trains else 0
        self.add(events.QueueClosed(model_version=queue.model_version, reason=reason, n_taken=n_taken))
        if not trains:
            return
        for rank, task in enumerate(queue.ids):
            item = self.state.items.get(task)
            if task not in self.state.roles and item is not None and not item.deleted and item.label is not None:
                self.assignments.append(Assignment(task, "train", queue.round, rank))

    def leave_rest_to_people(self, predicted: Mapping[int, int] | None = None) -> None:
        """``predicted``: task → class, which people are shown where they are to be assisted."""
        self.open(draws.residual_queue(self.state, predicted or {}))

    def write_back(self, model_version: str, look: int, rows: Sequence[MachineLabel]) -> None:
        self.add(events.WriteBackStarted(model_version=model_version, look=look, n=len(rows)))
        self.machine_labels.extend(rows)

    def store(self, store: Store) -> list[Event]:
        """Append it all. Raises :class:`backend.store.Conflict` if the history has moved on."""
        return store.append(
            self.state.campaign_id,
            [history.new(event) for event in self.events],
            expected_seq=self.state.last_seq,
            assignments=self.assignments,
            frozen=self.frozen,
            machine_labels=self.machine_labels,
            reopens=self.reopens,
        )
