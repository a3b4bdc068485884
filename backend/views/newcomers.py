"""Tasks that were added to a project after its campaign had finished. They are none of that campaign's items."""

from __future__ import annotations

from typing import TypedDict

from backend.campaign.state import SMALLEST, Phase, State
from backend.label_studio.port import LabelStudioPort
from mcal_engine.words import counted


class Newcomers(TypedDict):
    """``n`` tasks wait; ``enough``: a follow-up campaign can be opened on them. ``sentence``: "" where none waits."""

    campaign: int
    n: int
    enough: bool
    sentence: str


def newcomers(state: State, label_studio: LabelStudioPort) -> Newcomers:
    """What waits behind a finished campaign; nothing behind others, and while another one is live on the project.

    Raises:
        LabelStudioError: Label Studio cannot be asked.
    """
    n = 0
    if state.phase == Phase.FINISHED and state.beside is None and not state.gone_since:
        n = label_studio.n_tasks_after(state.project_id, max(state.own))
    return Newcomers(campaign=state.campaign_id, n=n, enough=n >= SMALLEST, sentence=_sentence(n))


def _sentence(n: int) -> str:
    if not n:
        return ""
    were = counted(n, "task", "were")
    added = f"{were} added since this campaign finished, and no campaign is about them"
    if n < SMALLEST:
        return f"{added}. A follow-up campaign needs at least {SMALLEST}: import the rest first, or label these by hand."
    return f"{added}. A follow-up campaign begins with the labels that people gave here as training items."
