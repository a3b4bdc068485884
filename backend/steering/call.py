"""What an action is made of: whom it asks, what it refuses, what it works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from backend.campaign.commit import Commit
from backend.campaign.state import State, state_of
from backend.steering.inputs import Inputs
from backend.steps.ports import Services, random_bits
from backend.store import Store, retried
from mcal_engine.errors import HistoryError, InvalidValue

UNREADABLE = "unreadable"
"""What stands in place of a phase where the history cannot be read."""


class Nothing(Inputs):
    """What an action asks that asks nothing."""


A = TypeVar("A", bound=Inputs)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an action is not done now. ``already``: what it would bring about is so, which is no error."""

    text: str
    already: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """What actions work with.

    Attributes:
        tools: what asks Label Studio, opened by the few that need it; raises InvalidValue where it cannot be asked.
        patience_seconds: how long a worker that is busy with the campaign is waited for.
        entropy: 128 bits that nobody could know before.
    """

    store: Store
    now: Callable[[], datetime]
    tools: Callable[[], Services]
    patience_seconds: float = 30.0
    entropy: Callable[[], int] = random_bits


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One call of an action that is possible: the campaign as it is, who called, and what they answered."""

    state: State
    by: str
    asked: A
    means: Means

    @property
    def name(self) -> str:
        """The campaign, as sentences begin with it."""
        return f"campaign {self.state.campaign_id}"

    def store(self, commit: Commit) -> None:
        """Raises Conflict where somebody else has appended since the state was read: the action is then called again."""
        commit.store(self.means.store)


class Hint(NamedTuple):
    """What a form says beside a field that may stay empty, and the most that can be entered now."""

    text: str
    most: float | None = None


def _no_hints(_: State) -> Mapping[str, Hint]:
    return {}


@dataclass(frozen=True, slots=True)
class Action(Generic[A]):
    """Something that an admin may do to a campaign.

    Attributes:
        name: of the command (``mcal campaign NAME``), the route (``POST /api/v1/campaigns/ID/NAME``) and the page, such as ``label-all``.
        title: on its button.
        summary: what it does, one line for help and description. ``details``: further sentences for those who read on.
        refuses: why it cannot be done in this state; ``None`` where it can.
        says: what it will do, in sentences, before it is done.
        does: does it; returns what was done, in sentences without a full stop. Called once more where others were faster.
        asks: the model of its inputs. ``hints``: by field.
        grave: it cannot be taken back, so that the command line asks for a yes.
        unreadable: does it where the history cannot be read; ``None``: then it cannot be done.
    """

    name: str
    title: str
    summary: str
    refuses: Callable[[State], Refusal | None]
    says: Callable[[State], list[str]]
    does: Callable[[Call[A]], list[str]]
    asks: type[A] = Nothing  # type: ignore[assignment]
    hints: Callable[[State], Mapping[str, Hint]] = _no_hints
    details: str = ""
    grave: bool = False
    unreadable: Callable[[Means, int, str], list[str]] | None = None

    def read(self, values: Mapping[str, Any], *, typed: bool) -> A:
        """The inputs as the model has them; ``typed`` as :meth:`Inputs.read` has it."""
        return self.asks.read(values, typed=typed)

    def perform(self, means: Means, campaign_id: int, asked: A, *, by: str) -> list[str]:
        """Do it, if it is possible; returns sentences without a full stop.

        Raises:
            InvalidValue: it cannot be done now, or an input breaks a rule; there is no such campaign.
            Conflict: the history is changing too fast.
        """

        def act() -> list[str]:
            try:
                state = state_of(means.store, campaign_id, means.now())
            except HistoryError:
                if self.unreadable is None:
                    raise
                return self.unreadable(means, campaign_id, by)
            refusal = self.refuses(state)
            if refusal is None:
                return self.does(Call(state, by, asked, means))
            if refusal.already:
                return [refusal.text]
            raise InvalidValue(refusal.text)

        return retried(f"campaign {campaign_id}", act)


def ended(state: State) -> Refusal | None:
    """The refusal of most actions on a campaign that has ended."""
    return Refusal(f"campaign {state.campaign_id} has ended: it is {words(state.phase)}") if state.ended else None


def alone(refuses: Callable[[State], Refusal | None]) -> Callable[[State], Refusal | None]:
    """The same refusals, and two more: what takes a finished campaign up again needs its project, with no other campaign live on it."""

    def refusal(state: State) -> Refusal | None:
        found = refuses(state)
        if found is None and state.gone_since:
            return Refusal(f"project {state.project_id} is gone from Label Studio")
        if found is None and state.beside is not None:
            return Refusal(f"campaign {state.beside} is under way on the same project")
        return found

    return refusal


def words(phase: str) -> str:
    """A phase's name in a sentence."""
    return str(phase).replace("_", " ")


def last_task(state: State) -> int | None:
    """Where the campaign's items end once it is taken up again.

    Nobody visited a finished campaign's project any more: what was added meanwhile is not in the ledger, and not the campaign's.
    """
    return max(state.items) if state.ended and state.last_task is None else state.last_task
