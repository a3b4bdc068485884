"""The admin's last word: people label everything that is left, and the search or the certificate ends; a write-back is declined."""

from __future__ import annotations

from dataclasses import replace

from backend.campaign.commit import Commit
from backend.campaign.state import Phase, State
from backend.steering.call import Call, Nothing, Refusal, ended, words
from backend.steering.control import JUDGING
from mcal_engine.types import HumanLabelAll, StopReason, Verdict
from mcal_engine.words import counted

POSSIBLE = (Phase.COLLECTING, Phase.TRAINING_DUE, *JUDGING, Phase.AWAITING_APPROVAL)


def refuses_label_all(state: State) -> Refusal | None:
    if state.ended or state.stage in POSSIBLE:
        return ended(state)
    return Refusal(f"campaign {state.campaign_id} is {words(state.stage)}: there is no search to end")


def says_label_all(state: State) -> list[str]:
    price, money = state.settings.price_per_label, state.settings.currency
    return [
        f"The machine labels nothing; people label all of the {counted(len(state.residual), 'item')} that are left.",
        f"At {price:g} {money} per label that is {price * len(state.residual):,.2f} {money} more.",
        "This cannot be taken back.",
    ]


def label_all(call: Call[Nothing]) -> list[str]:
    """Decide that the machine labels nothing. A training that is under way is dropped when it ends."""
    state = call.state
    commit = Commit(state)
    commit.close_queue("the admin wants people to label everything")
    verdict = Verdict(StopReason.STOPPED_BY_ADMIN, f"People label everything, says {call.by}.")
    commit.decision(HumanLabelAll(None, verdict), "admin")
    commit.machine_labels += [replace(row, state="removed") for row in state.machine_labels if row.state == "planned"]
    assisted = state.look and state.settings.assisted_labelling == "on"
    frozen = call.means.store.frozen(state.campaign_id, state.look) if assisted else []
    commit.leave_rest_to_people({row.task_id: row.label for row in frozen})
    call.store(commit)
    return [f"{call.name}: people label the {counted(len(state.residual), 'residual item')}"]
