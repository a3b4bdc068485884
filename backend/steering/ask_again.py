"""Ask people once more for the items that they answered without a usable label. The worker does the rest."""

from __future__ import annotations

from datetime import datetime

from backend.campaign import events
from backend.campaign.commit import Commit
from backend.campaign.state import Phase, State, state_of
from backend.store import Item, Store, retried
from mcal_engine.errors import InvalidValue

POSSIBLE = (Phase.RESIDUAL, Phase.FINISHED)


def answered_without_label(state: State) -> list[Item]:
    """The items that can be asked for again: readable, answered, and without a label of any kind."""
    return [item for item in state.set_aside if item.skipped and item.unreadable is None and item.last_answer is not None]


def ask_again(store: Store, campaign_id: int, now: datetime, *, by: str) -> list[str]:
    """Have people asked again for every item that they answered without a label; a finished campaign is taken up again. Returns sentences.

    Raises:
        InvalidValue: there is no such item, the campaign is at something else, or another campaign is live on the project.
        Conflict: the history is changing too fast.
    """

    def ask() -> list[str]:
        state = state_of(store, campaign_id, now)
        if state.stage not in POSSIBLE or state.phase not in (*POSSIBLE, Phase.PAUSED):
            at = state.phase.value.replace("_", " ")
            raise InvalidValue(f"campaign {campaign_id} is {at}: people can be asked again once they label the rest, or after the end")
        items = answered_without_label(state)
        if not items:
            raise InvalidValue(f"campaign {campaign_id} has no item that people answered without a label")
        commit = Commit(state, reopens=True)
        last_task = max(state.items) if state.ended and state.last_task is None else state.last_task
        answers = tuple(item.last_answer for item in items if item.last_answer is not None)
        commit.add(events.AskAgainRequested(ids=tuple(item.task_id for item in items), answers=answers, by=by, last_task=last_task))
        commit.store(store)
        return [f"campaign {campaign_id}: people are asked again for {len(items):,} item{'' if len(items) == 1 else 's'}", *says()]

    return retried(f"campaign {campaign_id}", ask)


def says() -> list[str]:
    """What is done to the answers that are there."""
    return [
        "Skips and empty answers are deleted in Label Studio, and everybody is served these tasks again.",
        "An answer that holds something else is kept; somebody who has not answered yet is served the task, or its author corrects it.",
    ]
