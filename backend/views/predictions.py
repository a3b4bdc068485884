"""Answers to Label Studio's ``/predict``: nothing while people must be blind, afterwards what was frozen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backend.campaign import events, history
from backend.campaign.frozen import final_model_version, score
from backend.campaign.state import state_of
from backend.store import Store, same_address
from mcal_engine.types import LabelByMachine


def predictions(
    store: Store, label_studio_url: str, project_id: int, task_ids: Sequence[int], now: datetime
) -> dict[int, tuple[str, float, str]]:
    """Task id → (choice, score in [0, 1], model version), from the database alone.

    Only for what the machine labelled: the rest is people's because the classifier is unsure of it, and seeing its guess would
    lead them. Empty while T, B or V is being labelled, and where there is no campaign.
    """
    campaign = store.live_campaign(label_studio_url, project_id)
    if campaign is None:
        here = same_address(label_studio_url)
        mine = [row for row in store.campaigns() if row.project_id == project_id and same_address(row.label_studio_url) == here]
        campaign = mine[-1] if mine else None
    if campaign is None or not history.read(store, campaign.id, events.WriteBackStarted):
        return {}
    state = state_of(store, campaign.id, now, ledger=False)
    if state.blind or not isinstance(state.decision, LabelByMachine) or state.created is None:
        return {}
    wanted = set(task_ids)
    choices = state.choices
    return {
        row.task_id: (choices[row.label], score(row.surety), final_model_version(campaign.id, row.look))
        for row in store.machine_labels(campaign.id)
        if row.task_id in wanted and row.state == "written"
    }
