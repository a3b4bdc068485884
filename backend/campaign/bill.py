"""What a campaign's labels come to, as its ledger has them. Pure."""

from __future__ import annotations

from backend.campaign.state import State
from mcal_engine.bill import Labels


def labels_of(state: State) -> Labels:
    """Every label from the campaign's start on; those that were there before, and items that cannot be labelled, cost nothing."""
    return Labels(n_paid=state.n_labels_paid, n_repeats=state.n_repeats_paid, n_left=len(state.residual), n_machine=state.n_machine)
