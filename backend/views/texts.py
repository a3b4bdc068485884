"""The beginning of an item's text, for a tile or a list. Pure."""

from __future__ import annotations

from backend.campaign.state import State

SHOWN_CHARACTERS = 280


def text_of(state: State, task: int) -> str | None:
    """``None`` where the items are images."""
    if state.created is None or state.control.reads != "text":
        return None
    text = state.items[task].image
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1].rstrip() + "…"
