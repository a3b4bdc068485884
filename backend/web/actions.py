"""What an admin can do on a campaign's page, and what each action says before it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.services.control import SEARCHING
from backend.services.label_all import POSSIBLE
from backend.services.state import ENDED, Phase, State
from mcal_engine.types import MachineLabel


@dataclass(frozen=True, slots=True)
class Action:
    """``possible`` tells whether it can be done now, ``says`` what it will do; ``grave`` ones cannot be taken back."""

    name: str
    title: str
    possible: Callable[[State], bool]
    says: Callable[[State], list[str]]
    grave: bool = False


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
    if state.settings.guarantee == "certified":
        said.append("Then a blind certificate sample is drawn and labelled by people, and the machine labels what it vouches for.")
    return [*said, "This cannot be taken back."]


def _approve(state: State) -> list[str]:
    said = [f"{len(state.machine_labels):,} machine labels are written to Label Studio; no label that a person gave is touched."]
    if isinstance(state.decision, MachineLabel) and state.decision.error_upper_bound is not None:
        bound = state.decision.error_upper_bound
        said.append(f"With {state.settings.confidence_level:.0%} confidence at most {bound:.2%} of all labels are wrong.")
    return [*said, "People label the rest. Rolling back takes the machine labels out again."]


def _label_all(state: State) -> list[str]:
    return [
        f"The machine labels nothing; people label all of the {len(state.residual):,} items that are left.",
        f"At {state.settings.price_per_label:g} {state.settings.currency} per label that is "
        f"{state.settings.price_per_label * len(state.residual):,.2f} {state.settings.currency} more.",
        "This cannot be taken back.",
    ]


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
        Action("rollback", "Roll back", lambda state: state.phase == Phase.FINISHED or state.phase not in ENDED, _rollback, grave=True),
    )
}
