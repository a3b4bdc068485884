"""Ask people once more for the items that they answered without a usable label. The worker does the rest."""

from __future__ import annotations

from backend.campaign import events
from backend.campaign.commit import Commit
from backend.campaign.state import Phase, State
from backend.steering.call import Call, Nothing, Refusal, last_task, words
from backend.store import Item
from mcal_engine.words import counted

POSSIBLE = (Phase.RESIDUAL, Phase.FINISHED)


def answered_without_label(state: State) -> list[Item]:
    """The items that can be asked for again: readable, answered, and without a label of any kind."""
    return [item for item in state.set_aside if item.skipped and item.unreadable is None and item.last_answer is not None]


def refuses_ask_again(state: State) -> Refusal | None:
    name = f"campaign {state.campaign_id}"
    if state.stage not in POSSIBLE or state.phase not in (*POSSIBLE, Phase.PAUSED):
        return Refusal(f"{name} is {words(state.phase)}: people can be asked again once they label the residual items, or after the end")
    if not answered_without_label(state):
        return Refusal(f"{name} has no item that people answered without a label")
    return None


def says_ask_again(state: State) -> list[str]:
    n = len(answered_without_label(state))
    return [f"People are asked again for {counted(n, 'item')}.", *(f"{text}." for text in _what_happens())]


def ask_again(call: Call[Nothing]) -> list[str]:
    """Have people asked again for every item that they answered without a label; a finished campaign is taken up again.

    Raises:
        InvalidValue: another campaign is live on the project.
    """
    items = answered_without_label(call.state)
    commit = Commit(call.state, reopens=True)
    answers = tuple(item.last_answer for item in items if item.last_answer is not None)
    ids = tuple(item.task_id for item in items)
    commit.add(events.AskAgainRequested(ids=ids, answers=answers, by=call.by, last_task=last_task(call.state)))
    call.store(commit)
    return [f"{call.name}: people are asked again for {counted(len(items), 'item')}", *_what_happens()]


def _what_happens() -> list[str]:
    """What is done to the answers that are there."""
    return [
        "Skips and empty answers are deleted in Label Studio, and everybody is served these tasks again",
        "An answer that holds something else is kept; somebody who has not answered yet is served the task, or its author corrects it",
    ]
