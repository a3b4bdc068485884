"""Which campaigns a list shows, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast, get_args

from backend.web.api.shapes import CampaignRow
from mcal_engine.errors import InvalidValue
from mcal_engine.rules import shown

Show = Literal["all", "live", "yours", "ended"]
Order = Literal["newest", "oldest", "title", "waiting"]
WORDS: dict[Show, str] = {"all": "all", "live": "under way", "yours": "your move", "ended": "ended"}
ORDERS: dict[Order, str] = {"newest": "newest first", "oldest": "oldest first", "title": "by title", "waiting": "your move first"}
_SHOWN: dict[Show, Callable[[CampaignRow], bool]] = {
    "all": lambda _: True,
    "live": lambda row: row["live"],
    "yours": lambda row: row["move"] == "you",
    "ended": lambda row: not row["live"],
}
_KEYS: dict[Order, Callable[[CampaignRow], Any]] = {
    "newest": lambda row: -row["campaign"],
    "oldest": lambda row: row["campaign"],
    "title": lambda row: (row["title"].casefold(), -row["campaign"]),
    "waiting": lambda row: (row["move"] != "you", not row["live"], -row["campaign"]),
}


def chosen(rows: Iterable[CampaignRow], search: str = "", show: str = "all", order: str = "newest") -> list[CampaignRow]:
    """The rows that every word of ``search`` is in (title, sentence, or the number of campaign or project), in order.

    Raises:
        InvalidValue: ``show`` or ``order`` is none of those that there are.
    """
    for name, value, known in (("show", show, get_args(Show)), ("order", order, get_args(Order))):
        if value not in known:
            raise InvalidValue(f"{name} must be one of {', '.join(known)}, got {shown(value)}")
    words = search.casefold().split()
    wanted = _SHOWN[cast("Show", show)]
    found = [row for row in rows if wanted(row) and all(word in _text(row) for word in words)]
    return sorted(found, key=_KEYS[cast("Order", order)])


def _text(row: CampaignRow) -> str:
    return f"campaign {row['campaign']} {row['title']} project {row['project']} {row['sentence']}".casefold()
