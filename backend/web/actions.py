"""What an admin can do on a campaign's page, and what each action says before it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.campaign.audit_result import written
from backend.campaign.audits import Audit
from backend.campaign.state import ENDED, Phase, State
from backend.steering.audits import AUDITABLE, default_size
from backend.steering.control import SEARCHING
from backend.steering.label_all import POSSIBLE
from mcal_engine.looks import confidence_kept
from mcal_engine.types import LabelByMachine


@dataclass(frozen=True, slots=True)
class Action:
    """``possible`` tells whether it can be done now, ``says`` what it will do; ``grave`` ones cannot be taken back."""

    name: str
    title: str
    possible: Callable[[State], bool]
    says: Callable[[State], list[str]]
    grave: bool = False
    asks: Callable[[State], list[Field]] = lambda _: []


@dataclass(frozen=True, slots=True)
class Field:
    """A number that an action may be given; ``hint`` says what an empty field means."""

    name: str
    title: str
    hint: str
    low: float
    high: float
    step: str = "1"


def possible(state: State) -> dict[str, Action]:
    return {name: action for name, action in CONFIRMED.items() if action.possible(state)}


def _pause(state: State) -> list[str]:
    return [
        "Deciding, training and writing stop.",
        "People may go on with the tasks that they are served now; nothing new is served after them.",
    ]


def _resume(state: State) -> list[str]:
    if state.halt is not None:
        return [f"It stood still because: {state.halt.reason}.", "If that is still so, it stops again at once."]
    return ["The campaign goes on where it stood."]


def _stop(state: State) -> list[str]:
    said = ["No further training batch is asked for; what is in hand is trained on once more and decided with."]
    if state.progress is not None and state.progress.blind_missing:
        said.append(f"{len(state.progress.blind_missing):,} test labels that were asked for are still needed first.")
    if state.settings.budget is not None:
        said.append("Then the machine labels what the rest of the budget does not pay for; its error is counted on the test items.")
    elif state.settings.certifies:
        said.append("Then a blind certificate sample is drawn and labelled by people, and the machine labels what it vouches for.")
    return [*said, "This cannot be taken back."]


def _approve(state: State) -> list[str]:
    said = [f"{len(state.planned):,} machine labels are written to Label Studio; no label that a person gave is touched."]
    if isinstance(state.decision, LabelByMachine) and state.decision.error_upper_bound is not None:
        bound = state.decision.error_upper_bound
        said.append(f"With {confidence_kept(state.settings, state.history):.0%} confidence at most {bound:.2%} of all labels are wrong.")
    return [*said, "People label the rest. Rolling back takes the machine labels out again."]


def _label_all(state: State) -> list[str]:
    return [
        f"The machine labels nothing; people label all of the {len(state.residual):,} items that are left.",
        f"At {state.settings.price_per_label:g} {state.settings.currency} per label that is "
        f"{state.settings.price_per_label * len(state.residual):,.2f} {state.settings.currency} more.",
        "This cannot be taken back.",
    ]


def _audit(state: State) -> list[str]:
    n = len(written(state))
    return [
        f"A fresh random sample of the {n:,} machine labels is taken out of Label Studio and labelled again by people, who cannot see what "
        "the machine said.",
        "When the last one is in, an exact bound says how many machine labels were wrong at most. What nobody answers counts as wrong.",
        "What people say about the sample is final. Each audit is a statement of its own, beside the certificate.",
        f"One label costs {state.settings.price_per_label:g} {state.settings.currency}. "
        "Until it is answered the audit can be called off: then the machine labels are written again.",
    ]


def _audit_fields(state: State) -> list[Field]:
    level = state.settings.confidence_level
    size = default_size(state, level)
    price = f"{state.settings.price_per_label * size:,.2f} {state.settings.currency}"
    return [
        Field("size", "Sample size", f"empty: {size:,}, about {price}", 1, len(written(state))),
        Field("confidence", "Confidence", f"empty: {level:g}", 0.5, 0.9999, "any"),
    ]


def _cancel_audit(state: State) -> list[str]:
    return [
        "The audit says nothing then.",
        "What people have labelled stays theirs; everything else in the sample gets its machine label back.",
    ]


def _take_back(state: State) -> list[str]:
    return [
        "The longest set of surest machine labels that the last audit vouches for stays; the less sure ones behind it are removed.",
        "People label those. What a person has edited is kept.",
        "What stays is a statement of its own, with the audit's confidence.",
    ]


def _can_audit(state: State) -> bool:
    return state.stage in AUDITABLE and any(row.state == "written" for row in state.machine_labels)


def _can_take_back(state: State) -> bool:
    decided = [audit for audit in state.audits if audit.result is not None]
    return state.stage in AUDITABLE and bool(decided) and decided[-1].take_back is None and not _shown(decided[-1])


def _shown(audit: Audit) -> bool:
    """Whether the sample vouches for everything that is left, so that there is nothing to take back."""
    return audit.result is not None and audit.result.max_errors_left <= audit.allowed


def _open(state: State) -> bool:
    return state.audit is not None and state.audit.cancelled_by is None


def _rollback(state: State) -> list[str]:
    n = sum(row.state in ("planned", "written") for row in state.machine_labels)
    return [
        f"{n:,} machine labels of this campaign are removed from Label Studio, and no others."
        if n
        else "This campaign has written no machine labels; it just ends.",
        "What people have labelled stays, and so do machine labels that a person has edited since.",
        "The campaign ends. This cannot be taken back.",
    ]


CONFIRMED: dict[str, Action] = {
    action.name: action
    for action in (
        Action("pause", "Pause", lambda state: not state.ended and state.phase not in (Phase.PAUSED, Phase.HALTED), _pause),
        Action("resume", "Resume", lambda state: state.phase in (Phase.PAUSED, Phase.HALTED), _resume),
        Action(
            "stop",
            "Stop and certify",
            lambda state: not state.ended and state.stage in SEARCHING and state.stop_requested_by is None,
            _stop,
            grave=True,
        ),
        Action("approve", "Write back", lambda state: state.stage == Phase.AWAITING_APPROVAL and not state.ended, _approve),
        Action("label-all", "Label all by hand", lambda state: not state.ended and state.stage in POSSIBLE, _label_all, grave=True),
        Action("audit", "Audit", _can_audit, _audit, asks=_audit_fields),
        Action("cancel-audit", "Call off the audit", lambda state: not state.ended and _open(state), _cancel_audit),
        Action("take-back", "Take back the unsure", _can_take_back, _take_back, grave=True),
        Action("rollback", "Roll back", lambda state: state.phase == Phase.FINISHED or state.phase not in ENDED, _rollback, grave=True),
    )
}
