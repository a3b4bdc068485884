"""``/campaigns``: what each campaign is doing, in a sentence; its report as JSON under ``/api/v1``."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, render_template
from werkzeug.exceptions import NotFound

from backend.store import Campaign
from backend.web.answers import Answer, json_view
from backend.web.ports import WebDeps
from mcal_engine.errors import MCALError

logger = logging.getLogger(__name__)


def blueprint(deps: WebDeps) -> Blueprint:
    made = Blueprint("status_page", __name__, template_folder="templates", static_folder="static", static_url_path="/static")

    @made.get("/campaigns")
    def campaigns() -> str:
        deps.access.require_login()
        rows = sorted(deps.campaigns(), key=lambda campaign: campaign.id, reverse=True)
        return render_template("campaigns.html", rows=[_row(deps, campaign) for campaign in rows])

    def report(campaign_id: int) -> Answer:
        deps.access.require_login()
        if campaign_id not in {campaign.id for campaign in deps.campaigns()}:
            raise NotFound(f"there is no campaign {campaign_id}")
        return deps.report(campaign_id), 200

    made.add_url_rule("/api/v1/campaigns/<int:campaign_id>/report", "report", json_view(report))
    return made


def _row(deps: WebDeps, campaign: Campaign) -> dict[str, Any]:
    try:
        sentence = deps.sentence(campaign.id)
    except MCALError as error:  # one broken history must not hide the other campaigns
        logger.warning("campaign %d has no sentence: %s", campaign.id, error)
        sentence = f"Its state cannot be told: {error}"
    return {"campaign": campaign, "sentence": sentence}
