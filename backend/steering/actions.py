"""Everything that an admin may do to a campaign, once.

The commands of ``mcal campaign``, the POST routes below ``/api/v1/campaigns/ID`` with their OpenAPI, and the pages' buttons, questions and
forms are made from :data:`ACTIONS`. Documents can be too: of ``name``, ``title``, ``summary``, ``details``, ``asks`` and ``grave``. A new
action is one more row here.
"""

from __future__ import annotations

from typing import Any

from backend.campaign.state import State
from backend.steering.abandon import abandon, abandon_unreadable, refuses_abandon, says_abandon
from backend.steering.ask_again import ask_again, refuses_ask_again, says_ask_again
from backend.steering.audits import (
    AuditInputs,
    audit,
    cancel_audit,
    hints_audit,
    refuses_audit,
    refuses_cancel,
    refuses_take_back,
    says_audit,
    says_cancel,
    says_take_back,
    take_back,
)
from backend.steering.call import Action, Call, Nothing, Refusal, alone
from backend.steering.checks import CheckInputs, check, hints_check, refuses_check, says_check
from backend.steering.control import (
    approve,
    pause,
    refuses_approval,
    refuses_pause,
    refuses_resume,
    refuses_stop,
    resume,
    says_approval,
    says_pause,
    says_resume,
    says_stop,
    stop,
)
from backend.steering.follow_up import follow_up, refuses_follow_up, says_follow_up
from backend.steering.label_all import label_all, refuses_label_all, says_label_all
from backend.steps.rollback import nothing_to_undo, rollback
from mcal_engine.words import counted


def possible(state: State) -> dict[str, Action[Any]]:
    """What can be done now, by name."""
    return {name: action for name, action in ACTIONS.items() if action.refuses(state) is None}


def _refuses_rollback(state: State) -> Refusal | None:
    why = nothing_to_undo(state)
    return None if why is None else Refusal(why)


def _says_rollback(state: State) -> list[str]:
    n = sum(row.state in ("planned", "written") for row in state.machine_labels)
    return [
        f"{counted(n, 'machine label')} of this campaign are removed from Label Studio, and no others."
        if n
        else "This campaign has written no machine labels; it just ends.",
        "What people have labelled stays, and so do machine labels that a person has edited since.",
        "The campaign ends. This cannot be taken back.",
    ]


def _rollback(call: Call[Nothing]) -> list[str]:
    done = rollback(call.means.tools(), call.state.campaign_id, by=call.by, wait_seconds=call.means.patience_seconds)
    kept = f"; {done.n_kept:,} were kept, since a person has edited them" if done.n_kept else ""
    return [f"{call.name} is rolled back: {counted(done.n_removed, 'machine label')} removed{kept}"]


_TABLE: tuple[Action[Any], ...] = (
    Action(
        "pause",
        "Pause",
        "Stop deciding, training and writing; people may go on with the open queue.",
        refuses_pause,
        says_pause,
        pause,
    ),
    Action("resume", "Resume", "End a pause or a halt.", refuses_resume, says_resume, resume),
    Action(
        "stop",
        "Stop and certify",
        "End the search for training labels with what is in hand; certificate and machine labels follow.",
        refuses_stop,
        says_stop,
        stop,
        grave=True,
    ),
    Action(
        "approve",
        "Write back",
        "Say yes to the machine labels that wait to be written (approve_write_back).",
        refuses_approval,
        says_approval,
        approve,
    ),
    Action(
        "label-all",
        "Label all by hand",
        "Leave everything that is left to people; the machine labels nothing.",
        refuses_label_all,
        says_label_all,
        label_all,
        grave=True,
    ),
    Action(
        "ask-again",
        "Ask people again",
        "Ask people once more for the items that they answered without a usable label.",
        alone(refuses_ask_again),
        says_ask_again,
        ask_again,
    ),
    Action(
        "check",
        "Check by eye",
        "Judge a random sample of the machine labels right or wrong, on the page Review, for an exact bound.",
        refuses_check,
        says_check,
        check,
        CheckInputs,
        hints_check,
        details="It is possible from the moment at which the machine labels are planned, so also before you say yes to them. Nothing in "
        "Label Studio changes. Whoever judges sees what the machine said: an audit, whose people do not, is the stronger statement.",
    ),
    Action(
        "audit",
        "Audit",
        "Let people label a fresh random sample of the written machine labels again, blind, for an exact bound.",
        alone(refuses_audit),
        says_audit,
        audit,
        AuditInputs,
        hints_audit,
        details="The campaign must have written its machine labels. What people say about the sample is final. The result is part of the "
        "report. Each audit is a statement of its own.",
    ),
    Action(
        "cancel-audit",
        "Call off the audit",
        "Call the open audit off: what nobody has answered gets its machine label back.",
        refuses_cancel,
        says_cancel,
        cancel_audit,
    ),
    Action(
        "take-back",
        "Take back the unsure",
        "Give the least sure machine labels, those that the last audit could not vouch for, to people.",
        alone(refuses_take_back),
        says_take_back,
        take_back,
        grave=True,
    ),
    Action(
        "follow-up",
        "Follow up",
        "Open a campaign on the tasks that were added since this one finished, with its labels as training items.",
        alone(refuses_follow_up),
        says_follow_up,
        follow_up,
        details="At least 200 tasks must have been added. Only people's labels are trained on. This campaign stays finished, with its "
        "certificate.",
    ),
    Action(
        "rollback",
        "Roll back",
        "Remove the campaign's own machine labels and end it; what people labelled or edited stays.",
        _refuses_rollback,
        _says_rollback,
        _rollback,
        grave=True,
    ),
    Action(
        "abandon",
        "Abandon",
        "End a campaign whose history cannot be read; nothing in Label Studio is touched.",
        refuses_abandon,
        says_abandon,
        abandon,
        grave=True,
        unreadable=abandon_unreadable,
    ),
)
ACTIONS: dict[str, Action[Any]] = {action.name: action for action in _TABLE}
