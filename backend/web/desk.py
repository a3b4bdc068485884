"""What the pages and the API work with, and the few steps they share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import g
from werkzeug.exceptions import NotFound

from backend.campaign.checks import Check
from backend.campaign_settings import CampaignSettings
from backend.heartbeat import Machine, machine
from backend.label_studio.port import Project
from backend.steering.call import UNREADABLE, Action, Means
from backend.steering.checks import Judgement, judge
from backend.steering.control import change_settings
from backend.steering.inputs import Inputs
from backend.steps.open import request_campaign
from backend.steps.ports import Services
from backend.store import Campaign, Store
from backend.views.estimate import Estimate
from backend.views.newcomers import Newcomers, newcomers
from backend.views.projects import project_estimate, project_rows
from backend.views.snapshots import Snapshot, Snapshots
from backend.web.admin import Admin
from backend.web.thumbnails import MAX_BYTES, MAX_PIXELS
from mcal_engine.errors import HistoryError, MCALError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0  # for a worker that is just visiting; a browser should not wait for longer


@dataclass(frozen=True)
class Desk:
    """The admin's side of the house.

    Attributes:
        admin: who may come in.
        store, now: the facts and the clock.
        tools: what asks Label Studio; raises InvalidValue saying what is missing where it cannot be asked.
        wake: hint at a campaign, with a reason for the log; it may be lost.
        label_studio_public_url: where browsers find Label Studio, if not under the campaign's own address.
        max_image_bytes, max_image_pixels: of the largest image that is shown small.
    """

    admin: Admin
    store: Store
    now: Callable[[], datetime]
    tools: Callable[[], Services]
    wake: Callable[[int, str], object]
    label_studio_public_url: str | None = None
    max_image_bytes: int = MAX_BYTES
    max_image_pixels: int = MAX_PIXELS
    snapshots: Snapshots = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "snapshots", Snapshots(self.store, self.now))

    def campaign(self, campaign_id: int) -> Campaign:
        """Raises NotFound for an unknown one."""
        found = next((each for each in self.store.campaigns() if each.id == campaign_id), None)
        if found is None:
            raise NotFound(f"there is no campaign {campaign_id}")
        return found

    def snapshot(self, campaign_id: int) -> Snapshot:
        self.campaign(campaign_id)
        return self.snapshots.get(campaign_id)

    def phase(self, campaign_id: int) -> str:
        try:
            return self.snapshot(campaign_id).view["phase"]
        except HistoryError:
            return UNREADABLE

    def machine(self) -> Machine:
        """Whether anybody is working, as of now: a snapshot may be older."""
        return machine(self.store)

    def label_studio_url(self, campaign: Campaign) -> str:
        return self.label_studio_public_url or campaign.label_studio_url

    def task_url(self, campaign: Campaign, task: int) -> str:
        return f"{self.label_studio_url(campaign)}/projects/{campaign.project_id}/data?task={task}"

    def projects(self) -> list[dict[str, Any]]:
        """Every project that the token sees, with its campaigns' ids, the newest first."""
        tools = self.tools()
        return project_rows(self.store, tools.label_studio, tools.label_studio_url)

    def project(self, project_id: int) -> Project:
        return self.tools().label_studio.project(project_id)

    def estimate(self, project_id: int, settings: CampaignSettings) -> Estimate:
        return project_estimate(self.tools().label_studio, project_id, settings)

    def newcomers(self, campaign_id: int) -> Newcomers:
        return newcomers(self.snapshot(campaign_id).state, self.tools().label_studio)

    def start(self, project_id: int, settings: CampaignSettings) -> Campaign:
        made = request_campaign(self.tools(), project_id, settings, g.by)
        self._changed(made.id, "created")
        return made

    def change(self, campaign_id: int, changes: dict[str, Any]) -> list[str]:
        self.campaign(campaign_id)
        said = change_settings(self.store, campaign_id, changes, self.now(), by=g.by)
        self._changed(campaign_id, "settings")
        return said

    def act(self, campaign_id: int, action: Action[Any], asked: Inputs) -> list[str]:
        """Do it; returns sentences."""
        self.campaign(campaign_id)
        means = Means(self.store, self.now, self.tools, PATIENCE_SECONDS)
        try:
            return action.perform(means, campaign_id, asked, by=g.by)
        finally:
            self._changed(campaign_id, action.name)

    def judge(self, campaign_id: int, said: Judgement) -> Check:
        """Take down what the reviewer says of a check's items. Nobody else need be woken."""
        self.campaign(campaign_id)
        found = judge(self.store, campaign_id, said, self.now(), by=g.by)
        self.snapshots.forget(campaign_id)
        return found

    def _changed(self, campaign_id: int, reason: str) -> None:
        self.snapshots.forget(campaign_id)
        try:
            self.wake(campaign_id, reason)
        except MCALError as error:  # the worker's timer finds it
            logger.warning("campaign %d: %s; the worker will notice by its timer", campaign_id, error)
