"""Mistakes that are built into the product on purpose, to see that the lives find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from backend.campaign import draws
from backend.campaign.commit import Commit
from backend.label_studio import write_back
from backend.label_studio.port import LabelControl, LabelStudioPort
from backend.label_studio.write_back import Removal, WrittenLabel
from backend.steps import ports
from backend.steps.lease import Lease
from backend.store import Event, Store, leases


@dataclass(frozen=True)
class Mutation:
    """One mistake: in words, and as patches of the product."""

    words: str
    patches: Callable[[], Sequence[AbstractContextManager[Any]]]


def _no_fencing() -> Sequence[AbstractContextManager[Any]]:
    def nothing(*_: Any) -> None:
        """Ask for no right."""

    return (patch.object(Lease, "require", nothing), patch.object(Lease, "check", nothing), patch.object(leases, "require", nothing))


def _trust_empty_list() -> Sequence[AbstractContextManager[Any]]:
    def unchecked(port: LabelStudioPort) -> LabelStudioPort:
        return port

    return (patch.object(ports, "checked", unchecked),)


def _fresh_state() -> Sequence[AbstractContextManager[Any]]:
    store_as_it_was_read = Commit.store

    def store(self: Commit, store: Store) -> list[Event]:
        """Append behind whatever others have appended since the decision was made."""
        later = store.events(self.state.campaign_id, after=self.state.last_seq)
        if later:
            object.__setattr__(self.state, "last_seq", later[-1].seq)
        return store_as_it_was_read(self, store)

    return (patch.object(Commit, "store", store),)


def _redraw() -> Sequence[AbstractContextManager[Any]]:
    drawn: Callable[..., Any] = draws.certificate_queue

    def again(*args: Any) -> Any:
        """Draw once more, by bits that are not kept."""
        *others, entropy, bands = args
        return drawn(*others, entropy + 1, bands)

    return (patch.object(draws, "certificate_queue", again),)


def _delete_by_query() -> Sequence[AbstractContextManager[Any]]:
    def remove(
        port: LabelStudioPort, project_id: int, written: Sequence[WrittenLabel], *, control: LabelControl, service_user_id: int
    ) -> Removal:
        """Read which labels nobody has edited, then delete all that the service user has on their tasks, unread."""
        tasks = {task.id: task for task in port.tasks_by_id(project_id, control, [label.task_id for label in written])}
        mine = {each.id: each for task in tasks.values() for each in task.annotations}
        free: list[int] = []
        kept: list[int] = []
        for label in written:
            found = mine.get(label.annotation_id)
            edited = found is not None and not (write_back.is_machine(found, service_user_id) and found.choice == label.choice)
            (kept if edited else free).append(label.task_id)
        for each in [each for each in mine.values() if each.completed_by == service_user_id and each.task_id in free]:
            port.delete_annotation(each.id)
        return Removal(tuple(free), tuple(kept))

    return (patch.object(write_back, "remove", remove),)


MUTATIONS: dict[str, Mutation] = {
    "no-fencing": Mutation("a worker that has lost its lease goes on", _no_fencing),
    "trust-empty-list": Mutation("what a list of tasks leaves out is taken for deleted", _trust_empty_list),
    "fresh-state": Mutation("a decision is stored although the history has moved on since it was made", _fresh_state),
    "redraw": Mutation("the certificate sample is drawn again, by bits that are not kept", _redraw),
    "delete-by-query": Mutation("machine labels are deleted by their author, not one by one as they were read", _delete_by_query),
}


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Within the block the product makes this mistake; ``None``: none."""
    with ExitStack() as stack:
        for change in () if name is None else MUTATIONS[name].patches():
            stack.enter_context(change)
        yield
