"""Where a campaign stands on its way, whose move it is, and how its error compares with the target. Pure."""

from __future__ import annotations

from typing import Literal, TypedDict

from backend.campaign.state import ENDED, Phase, State
from backend.views.money import plan_in_force
from backend.views.report import Report
from mcal_engine.types import HumanLabelAll, LabelByMachine

Move = Literal["people", "you", "machine", "nobody"]

FIRST, SEARCH, CERTIFICATE, YES, WRITE, REST, DONE = (
    "First labels",
    "Search",
    "Certificate",
    "Your yes",
    "Machine labels",
    "The rest",
    "Done",
)
AT = {  # where each stage stands; the first training ends the first labels
    Phase.REQUESTED: FIRST,
    Phase.PREPARING: FIRST,
    Phase.COLLECTING: SEARCH,
    Phase.TRAINING_DUE: SEARCH,
    Phase.CERTIFYING: CERTIFICATE,
    Phase.CERTIFICATE_DUE: CERTIFICATE,
    Phase.PEELING: CERTIFICATE,
    Phase.PEEL_DUE: CERTIFICATE,
    Phase.AWAITING_APPROVAL: YES,
    Phase.WRITING_BACK: WRITE,
    Phase.RESIDUAL: REST,
    Phase.AUDITING: DONE,
    Phase.TAKING_BACK: DONE,
}
PEOPLE = {Phase.COLLECTING, Phase.CERTIFYING, Phase.PEELING, Phase.RESIDUAL, Phase.AUDITING}


class Step(TypedDict):
    """One step of the way. ``at``: done, now, to come, or left out, where this campaign goes without it."""

    name: str
    at: Literal["done", "now", "to come", "left out"]


class Error(TypedDict):
    """Share of wrong labels among all items.

    Attributes:
        target: the largest that is allowed, the setting target_error.
        measured: as counted on labels by people: on the certificate sample, or else as the search forecasts it; ``None``: not yet.
        forecast: whether ``measured`` is still the search's forecast.
        at_most: certified upper bound; ``None`` before there is one.
        confidence: with which it holds.
    """

    target: float
    measured: float | None
    forecast: bool
    at_most: float | None
    confidence: float | None


def steps(state: State) -> list[Step]:
    """The seven steps, the same for every campaign, with where it is now; none where it was broken off and did not come to its end."""
    if state.ended and state.phase != Phase.FINISHED:
        return []
    names = [FIRST, SEARCH, CERTIFICATE, YES, WRITE, REST, DONE]
    now = names.index(_now(state))
    without = set()
    if state.settings.approve_write_back != "on":
        without.add(YES)
    if isinstance(state.decision, HumanLabelAll):
        without |= {CERTIFICATE, YES, WRITE}
    elif isinstance(state.decision, LabelByMachine) and not state.decision.certified:
        without.add(CERTIFICATE)
    made: list[Step] = []
    for place, name in enumerate(names):
        finished = place < now or (place == now and state.ended)
        made.append(
            Step(
                name=name,
                at="left out" if name in without and place != now else "done" if finished else "now" if place == now else "to come",
            )
        )
    return made


def move(state: State) -> Move:
    """Who has to do something for the campaign to go on."""
    if state.ended:
        return "nobody"
    if state.phase == Phase.PAUSED or (state.phase == Phase.HALTED and (state.halt is None or not state.halt.mends_itself)):
        return "you"
    if state.stage == Phase.AWAITING_APPROVAL:
        return "you"
    return "people" if state.stage in PEOPLE else "machine"


def error(state: State, report: Report) -> Error:
    """The error as far as it is known, beside the target."""
    plan = plan_in_force(state)
    measured = report["error_estimate"] if plan is None else plan.predicted_error
    return Error(
        target=report["target_error"],
        measured=measured,
        forecast=plan is not None,
        at_most=report["error_upper_bound"] if report["certified"] else None,
        confidence=report["confidence_level"] if report["certified"] else None,
    )


def _now(state: State) -> str:
    if state.stage in ENDED:
        return DONE
    found = AT[state.stage]
    return FIRST if found == SEARCH and not state.observations else found
