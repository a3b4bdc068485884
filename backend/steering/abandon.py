"""What can be done about a campaign whose history cannot be read, and the last of it: it ends as it is."""

from __future__ import annotations

from backend.campaign import events, history
from backend.campaign.state import State
from backend.steering.call import Call, Means, Nothing, Refusal
from backend.store import MachineLabel
from mcal_engine.words import counted

WAYS_OUT = (
    "If a setting is to blame, give all settings anew: mcal campaign set, or the Settings page.",
    "If an event was written by a newer version, install that version again.",
    "If the database is damaged, restore a backup of it: mcal restore.",
    "If there is none, abandon the campaign: it ends as it is. Unless it has written machine labels, its project is free for another one.",
)
"""What an admin can do about an unreadable campaign, the mildest first."""


def refuses_abandon(state: State) -> Refusal | None:
    """A history that can be read is never given up: rolling back leaves nothing behind."""
    return Refusal(f"the history of campaign {state.campaign_id} can be read: roll the campaign back instead")


def says_abandon(_: State) -> list[str]:
    return ["The campaign ends as it is.", "Its machine labels stay in Label Studio.", "This cannot be taken back."]


def abandon(_: Call[Nothing]) -> list[str]:
    raise AssertionError("a campaign that can be read refuses")


def abandon_unreadable(means: Means, campaign_id: int, by: str) -> list[str]:
    """End it by one event, which needs nothing of what came before."""
    store = means.store
    reason = f"abandoned by {by}, since its history could not be read"
    store.append(campaign_id, [history.new(events.Cancelled(reason=reason))], ends=True)
    rows = [row for row in store.machine_labels(campaign_id) if row.state in ("planned", "written")]
    return [f"campaign {campaign_id} is abandoned", *_left_behind(rows)]


def _left_behind(rows: list[MachineLabel]) -> list[str]:
    if not rows:
        return ["it has written no machine labels"]
    return [
        f"{counted(len(rows), 'machine label', 'stay')} in Label Studio, and no error bound holds for them: put the tasks that are "
        "left into a project of their own and start a campaign there"
    ]
