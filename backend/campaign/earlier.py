"""Campaigns that have ended on the same project: what they left there stands in the way of a new one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from backend.store import Campaign, MachineLabel, same_address
from mcal_engine.errors import InvalidValue
from mcal_engine.words import counted


class Campaigns(Protocol):
    """The part of the store that this needs."""

    def campaigns(self) -> Iterable[Campaign]: ...

    def live_campaign(self, label_studio_url: str, project_id: int) -> Campaign | None: ...

    def machine_labels(self, campaign_id: int) -> Iterable[MachineLabel]: ...


def refuse_beside_an_earlier_one(store: Campaigns, label_studio_url: str, project_id: int, *, after: int = 0) -> None:
    """Say, before anything is created, that an ended campaign's machine labels are still in the project.

    They would be neither people's labels nor the new campaign's, and no error bound of its would hold for them.

    Args:
        after: only labels on tasks beyond this id count: a follow-up has nothing to do with those before.

    Raises:
        InvalidValue: there are such labels; the text names the campaign and the two ways out.
    """
    live = store.live_campaign(label_studio_url, project_id)
    for campaign in store.campaigns():
        here = same_address(campaign.label_studio_url) == same_address(label_studio_url)
        if campaign.project_id != project_id or not here or campaign == live:
            continue
        n = sum(row.state == "written" and row.task_id > after for row in store.machine_labels(campaign.id))
        if n:
            raise InvalidValue(
                f"project {project_id} holds {counted(n, 'machine label')} of campaign {campaign.id}, which has ended: follow that one "
                f"up for the tasks that were added since (mcal campaign follow-up {campaign.id}), or roll it back first"
            )
