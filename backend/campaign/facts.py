"""Everything the store knows about one campaign, read in one go: what :mod:`backend.campaign.state` derives from."""

from __future__ import annotations

from dataclasses import dataclass

from backend.campaign.events import Happening
from backend.campaign.history import Entry, entries
from backend.store import Assignment, Campaign, Duplicate, Item, MachineLabel, Store


@dataclass(frozen=True, slots=True)
class Facts:
    campaign: Campaign
    events: tuple[Entry[Happening], ...]
    items: tuple[Item, ...]
    assignments: tuple[Assignment, ...]
    duplicates: tuple[Duplicate, ...]
    machine_labels: tuple[MachineLabel, ...]
    beside: int | None = None  # another campaign that is live on the same project


def load(store: Store, campaign_id: int) -> Facts:
    """Read the ledger. Events come first: a decision made on what is read here is refused if the history has moved on since."""
    campaign = store.campaign(campaign_id)
    events = entries(store.events(campaign_id))
    return Facts(
        campaign,
        events,
        tuple(store.items(campaign_id)),
        tuple(store.assignments(campaign_id)),
        tuple(store.duplicates(campaign_id)),
        tuple(store.machine_labels(campaign_id)),
        _beside(store, campaign),
    )


def load_history(store: Store, campaign_id: int) -> Facts:
    """The history alone: enough for a sentence where reading a large ledger would take too long."""
    campaign = store.campaign(campaign_id)
    return Facts(campaign, entries(store.events(campaign_id)), (), (), (), (), _beside(store, campaign))


def _beside(store: Store, campaign: Campaign) -> int | None:
    live = store.live_campaign(campaign.label_studio_url, campaign.project_id)
    return None if live is None or live.id == campaign.id else live.id
