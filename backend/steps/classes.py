"""The classes of a campaign while its labels are read: an answer that nobody gave before becomes one, on record before any label has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.campaign import events, history
from backend.label_studio.port import LabelControl, Task
from backend.label_studio.write_back import is_machine
from backend.steps.ports import Services


class Classes:
    """All answers there can be, or where they are too many, those that people gave, in the order in which they first did.

    Attributes:
        n_events: how often new ones were recorded.
    """

    def __init__(self, services: Services, campaign_id: int, control: LabelControl, service_user: int, known: Sequence[str]) -> None:
        self.n_events = 0
        self._services, self._campaign_id, self._service_user = services, campaign_id, service_user
        self._fixed = bool(control.choices)
        self._known = dict.fromkeys(known)

    def with_answers_of(self, tasks: Iterable[Task]) -> tuple[str, ...]:
        """All classes by number, those included that people's labels on these tasks make."""
        if not self._fixed:
            self._record(tasks)
        return tuple(self._known)

    def _record(self, tasks: Iterable[Task]) -> None:
        given = (
            annotation.choice
            for task in tasks
            for annotation in task.annotations
            if annotation.choice is not None and not annotation.was_cancelled and not is_machine(annotation, self._service_user)
        )
        new = tuple(dict.fromkeys(answer for answer in given if answer not in self._known))
        if new:
            self._services.store.append(self._campaign_id, [history.new(events.AnswersSeen(answers=new))])
            self._known.update(dict.fromkeys(new))
            self.n_events += 1
