"""The truth about decisions: campaigns, their append-only history, and the mirror of Label Studio's labels.

SQL lives here and nowhere else. :class:`Store` is the whole interface; the other names are its rows and errors.
"""

from backend.store.address import same_address
from backend.store.database import StoreUnavailable
from backend.store.retry import retried
from backend.store.rows import (
    Answer,
    Assignment,
    Campaign,
    Conflict,
    Duplicate,
    Event,
    Frozen,
    Item,
    LeaseLost,
    MachineLabel,
    MachineLabelState,
    NewEvent,
    Role,
    Taken,
)
from backend.store.store import Store

__all__ = [
    "Answer",
    "Assignment",
    "Campaign",
    "Conflict",
    "Duplicate",
    "Event",
    "Frozen",
    "Item",
    "LeaseLost",
    "MachineLabel",
    "MachineLabelState",
    "NewEvent",
    "Role",
    "Store",
    "StoreUnavailable",
    "Taken",
    "retried",
    "same_address",
]
