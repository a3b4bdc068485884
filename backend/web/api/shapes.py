"""Answers of the API that no view makes alone."""

from __future__ import annotations

from typing import TypedDict

from backend.heartbeat import Machine
from backend.views.campaign import View
from backend.views.journey import Move
from backend.views.log import LogRow


class ShownCampaign(View):
    """One campaign: every number of its page."""

    machine: Machine


class CampaignRow(TypedDict):
    """A campaign in one line. ``url``: its project in Label Studio. ``move``: who has to do something: people, you, machine, nobody."""

    campaign: int
    project: int
    title: str
    created_at: str
    live: bool
    url: str
    phase: str
    move: Move
    sentence: str


class CampaignList(TypedDict):
    """``more``: there are older ones."""

    campaigns: list[CampaignRow]
    more: bool


class ProjectRow(TypedDict):
    """A project that the token sees. ``live_campaign``: the one that is under way on it."""

    project: int
    title: str
    n_tasks: int
    campaigns: list[int]
    live_campaign: int | None
    too_small: bool


class ProjectList(TypedDict):
    projects: list[ProjectRow]


class SettingRow(TypedDict):
    """One setting, as the reference has it."""

    name: str
    type: str
    default: str
    unit: str
    description: str
    bounds: str
    group: str


class SettingTable(TypedDict):
    settings: list[SettingRow]


class EventList(TypedDict):
    """``more``: there are later ones."""

    events: list[LogRow]
    more: bool


class Done(TypedDict):
    """What an action did, in sentences, and the campaign's phase after it."""

    campaign: int
    notes: list[str]
    phase: str


class Changed(TypedDict):
    """What the changed settings do and do not touch, in sentences."""

    campaign: int
    notes: list[str]


class Judged(TypedDict):
    """How many labels of the check are judged; ``done``: all, so that its bound is known."""

    campaign: int
    check: int
    n_judged: int
    done: bool
