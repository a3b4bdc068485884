"""The projects of Label Studio beside our campaigns, and what one on them would ask for first."""

from __future__ import annotations

from typing import Any

from backend.campaign.state import SMALLEST
from backend.campaign_settings import CampaignSettings
from backend.label_studio.config import campaign_control, controls_beside, warn_of, warn_of_nothing
from backend.label_studio.port import LabelStudioPort
from backend.store import Store, same_address
from backend.views.estimate import Estimate, estimate


def project_rows(store: Store, label_studio: LabelStudioPort, label_studio_url: str) -> list[dict[str, Any]]:
    """Every project that the token sees, with its campaigns' ids, the newest first.

    Raises:
        LabelStudioError: Label Studio cannot be asked.
    """
    campaigns = [row for row in store.campaigns() if same_address(row.label_studio_url) == same_address(label_studio_url)]
    live = {each.id for each in store.live_campaigns()}
    rows = []
    for project in sorted(label_studio.projects(), key=lambda each: -each.id):
        mine = [each.id for each in campaigns if each.project_id == project.id]
        rows.append(
            {
                "project": project.id,
                "title": project.title,
                "n_tasks": project.n_tasks,
                "campaigns": mine,
                "live_campaign": next((each for each in mine if each in live), None),
                "too_small": project.n_tasks < SMALLEST,
            }
        )
    return rows


def project_estimate(label_studio: LabelStudioPort, project_id: int, settings: CampaignSettings) -> Estimate:
    """What a campaign on this project would ask for first.

    Raises:
        InvalidValue: a project that cannot be a campaign.
        LabelStudioError: Label Studio cannot be asked.
    """
    project = label_studio.project(project_id)
    control = campaign_control(project.label_config, settings.label_controls)
    found = estimate(settings, project.n_tasks, control.n_choices, project.n_tasks - project.n_labelled)
    warnings = (warn_of(controls_beside(project.label_config, control)), warn_of_nothing(control))
    return found | {"warnings": [warning for warning in warnings if warning]}
