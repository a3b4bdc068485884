"""``mcal campaign …``: start, watch, steer and undo campaigns. What is steered here the worker acts upon."""

from __future__ import annotations

from typing import Any

import click

from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.cli.campaign import shown
from backend.cli.campaign.command import campaign_id, command, who
from backend.cli.campaign.show import SHOW
from backend.cli.campaign.steer import STEER, say
from backend.cli.guessing import GuessingGroup
from backend.cli.numbers import Whole
from backend.cli.opened import now, opened
from backend.cli.setting_options import campaign_options, given
from backend.settings import ServerSettings
from backend.steering.checks import Judgement, judge
from backend.steering.control import change_settings
from mcal_engine.errors import InvalidValue


@click.group(cls=GuessingGroup)
def campaign() -> None:
    """Start, watch, steer and undo campaigns."""


@command("create")
@click.option("--project", "project_id", type=Whole(min=1), required=True, help="Label Studio's id of the project.")
@campaign_options()
def create(project_id: int, as_json: bool, **options: Any) -> None:
    """Start a campaign on a project, without connecting a model in Label Studio."""
    settings = parse_campaign_settings(given(options, CampaignSettings))
    with opened(given(options, ServerSettings)) as house:
        from backend.steps.open import request_campaign
        from backend.wiring import services

        with services(house.settings, house.store) as tools:
            made = request_campaign(tools, project_id, settings, "cli")
        house.wake(made.id, "created")
        if as_json:
            shown.print_json({"campaign": made.id, "project": project_id, "settings": settings.model_dump(mode="json")})
        else:
            click.echo(f"campaign {made.id} on project {project_id} has been requested; mcal worker does the rest")


@command("set")
@campaign_id
@campaign_options(defaults={})
def set_settings(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Change settings, from the next decision on."""
    changes = given(options, CampaignSettings)
    if not changes:
        raise InvalidValue("no setting was given, such as --target-error 0.03")
    with opened(given(options, ServerSettings)) as house:
        said = change_settings(house.store, campaign_id, changes, now(), by=who())
        house.wake(campaign_id, "settings")
        say(house, campaign_id, said, as_json=as_json)


@command("judge")
@campaign_id
@click.option("--check", type=Whole(min=1), required=True, help="Number of the open check.")
@click.option("--right", type=Whole(min=1), multiple=True, help="A task whose machine label is right; may be given several times.")
@click.option("--wrong", type=Whole(min=1), multiple=True, help="A task whose machine label is wrong; may be given several times.")
def judge_labels(campaign_id: int, as_json: bool, check: int, right: tuple[int, ...], wrong: tuple[int, ...], **options: Any) -> None:
    """Say of machine labels of the open check whether they are right or wrong; the last word on each counts."""
    from backend.views.audits.checks import sentence

    said = Judgement(check=check, right=list(right), wrong=list(wrong))
    with opened(given(options, ServerSettings)) as house:
        found = judge(house.store, campaign_id, said, now(), by=who())
    if as_json:
        shown.print_json({"campaign": campaign_id, "check": found.number, "n_judged": len(found.judged), "done": found.done})
    else:
        click.echo(sentence(found))


for each in (create, set_settings, judge_labels, *SHOW, *STEER):
    campaign.add_command(each)
