"""What people's pace makes of the price per label, recorded before a decision is made with it."""

from __future__ import annotations

from backend.campaign import events, history
from backend.campaign.state import State
from backend.store import Store
from backend.views.people.labour import labour

MOVED = 0.03  # relative change of the measured price from which on it is recorded: below, it would only make forecasts restless


def record_price(store: Store, state: State) -> bool:
    """Before a decision: record the measured price as a change of settings, where there is a rate and the price has moved.

    The decision then follows from the history alone, and a replay makes it again. Returns whether the history has grown.

    Raises:
        Conflict: somebody else appended first.
    """
    seen = labour(state)
    price, seconds = seen["price_per_label"], seen["seconds_per_label"]
    if not seen["measured"] or price is None or seconds is None or price <= 0:
        return False
    price = float(f"{price:.4g}")  # as forms show it, so that saving one changes nothing
    if abs(price - state.wanted.price_per_label) <= MOVED * state.wanted.price_per_label:
        return False
    settings = state.wanted.model_dump(mode="json") | {"price_per_label": price}
    measured = events.Measured(n=seen["n"], seconds_per_label=seconds)
    changed = events.SettingsChanged(settings=settings, changed=("price_per_label",), by="lead_time", measured=measured)
    store.append(state.campaign_id, [history.new(changed)], expected_seq=state.last_seq)
    return True
