"""Items that have no label and are not waited for, each with the true reason. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from backend.campaign.state import State
from backend.store import Item
from mcal_engine.words import counted

UNREADABLE = "its image cannot be read"
NO_TEXT = "its text cannot be read"


class Reason(TypedDict):
    """One reason why items were set aside, and how many were for it."""

    why: str
    n: int


def why(item: Item) -> str:
    """The reason for one item; an image that cannot be read names its own."""
    return item.unreadable or item.no_label or "skipped by people"


def reasons(state: State) -> list[Reason]:
    """Every reason, the most frequent first; all unreadable items are one."""
    unreadable = NO_TEXT if state.created is not None and state.control.reads == "text" else UNREADABLE
    counts = Counter(unreadable if item.unreadable is not None else why(item) for item in state.set_aside)
    return [Reason(why=text, n=n) for text, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]


def without_label(found: Sequence[Reason]) -> str:
    """How many items are without a label, and the most frequent reason; empty where none is."""
    if not found:
        return ""
    n = sum(row["n"] for row in found)
    have = counted(n, "item", "have")
    most = found[0]["why"] if len(found) == 1 else f"{found[0]['n']:,}: {found[0]['why']}"
    return f"{have} no label ({most})"
