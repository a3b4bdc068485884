"""What the API's requests hold besides actions, whose inputs stand in their table."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, RootModel

from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.steering.inputs import Inputs


class StartBody(Inputs):
    """A campaign to start, or to estimate."""

    project: int = Field(ge=1, description="Label Studio's id of the project.")
    settings: Annotated[CampaignSettings, BeforeValidator(parse_campaign_settings)] = Field(
        description="Settings by name; those that are left out have the server's defaults."
    )


def _every_setting_may_be_left_out(schema: dict[str, Any]) -> None:
    whole = CampaignSettings.model_json_schema()
    properties = {name: {key: value for key, value in each.items() if key != "default"} for name, each in whole["properties"].items()}
    schema.update(type="object", properties=properties, additionalProperties=False)


class SettingsChange(RootModel[dict[str, Any]]):
    """Settings by name; those that are left out stay. They are checked together with those that stay."""

    model_config = ConfigDict(json_schema_extra=_every_setting_may_be_left_out)
