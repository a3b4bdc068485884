"""Open a campaign on the tasks that were added since this one finished. The worker does the rest."""

from __future__ import annotations

from backend.campaign.state import Phase, State
from backend.steering.call import Call, Nothing, Refusal, last_task, words
from backend.steps.open import request_follow_up
from mcal_engine.words import counted


def refuses_follow_up(state: State) -> Refusal | None:
    if state.phase != Phase.FINISHED:
        return Refusal(f"campaign {state.campaign_id} is {words(state.phase)}: only a finished one can be followed up")
    return None


def says_follow_up(state: State) -> list[str]:
    return [
        "A new campaign opens on the tasks that were added to the project since this one finished.",
        f"It begins with the {counted(_n_labels(state), 'label')} that people gave here as training items. They cost nothing again.",
        "Its test and certificate items are drawn from the new tasks, and its error bound is about the new tasks alone.",
        "It begins with the settings of this campaign; they can be changed.",
        "This campaign stays finished, with its machine labels and its certificate.",
    ]


def follow_up(call: Call[Nothing]) -> list[str]:
    """Open it.

    Raises:
        InvalidValue: too few tasks were added, or another campaign's machine labels are among them.
        LabelStudioError: Label Studio cannot be asked.
    """
    last = last_task(call.state)
    assert last is not None  # of a finished campaign it is known
    made, n = request_follow_up(call.means.tools(), call.state, last, call.by)
    return [f"campaign {made.id} has been requested for the {counted(n, 'task')} that were added since {call.name} finished"]


def _n_labels(state: State) -> int:
    return sum(item.label is not None for item in (*state.inherited, *state.live))
