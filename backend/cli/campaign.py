"""``mcal campaign …``: start, watch, steer and undo campaigns. What is steered here the worker acts upon."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any

import click

from backend.campaign.state import state_of
from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.cli import shown
from backend.cli.campaign_looks import LOOKS
from backend.cli.guessing import GuessingGroup
from backend.cli.numbers import Number, Whole
from backend.cli.opened import Opened, now, opened
from backend.cli.setting_options import PLACES, campaign_options, given, server_options
from backend.settings import ServerSettings
from mcal_engine.errors import InvalidValue

Steer = Callable[..., str | list[str]]


@click.group(cls=GuessingGroup)
def campaign() -> None:
    """Start, watch, steer and undo campaigns."""


def _command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A subcommand with ``--json`` and the options that say where things are."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
        summary = (function.__doc__ or "").splitlines()[0]
        return campaign.command(name, short_help=summary)(as_json(server_options(*PLACES)(function)))

    return decorate


_id = click.argument("campaign_id", type=Whole(min=1), metavar="CAMPAIGN")


@_command("create")
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


@_command("list")
def list_campaigns(as_json: bool, **options: Any) -> None:
    """List all campaigns, newest first."""
    with opened(given(options, ServerSettings)) as house:
        shown.campaigns(house.store, now(), as_json=as_json)


@_command("show")
@_id
def show(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Show one campaign: where it stands, its settings, its rounds."""
    with opened(given(options, ServerSettings)) as house:
        shown.campaign(house.store, campaign_id, now(), as_json=as_json)


@_command("report")
@_id
def report(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Print a campaign's report: what was labelled by whom, what it cost, what is promised."""
    with opened(given(options, ServerSettings)) as house:
        found = shown.report_of(house.store, campaign_id, now())
        if as_json:
            shown.print_json(found)
        else:
            shown.report(found)


@_command("pause")
@_id
def pause(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Stop deciding, training and writing; people may go on with the open queue."""
    _steer("pause", campaign_id, as_json, options)


@_command("resume")
@_id
def resume(campaign_id: int, as_json: bool, **options: Any) -> None:
    """End a pause or a halt."""
    _steer("resume", campaign_id, as_json, options)


@_command("stop")
@_id
def stop(campaign_id: int, as_json: bool, **options: Any) -> None:
    """End the search with the labels in hand; certificate, machine labels and the rest follow."""
    _steer("request_stop", campaign_id, as_json, options)


@_command("approve")
@_id
def approve(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Say yes to the machine labels that wait to be written (approve_write_back)."""
    _steer("approve", campaign_id, as_json, options)


@_command("set")
@_id
@campaign_options(defaults={})
def set_settings(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Change settings, from the next decision on."""
    changes = given(options, CampaignSettings)
    if not changes:
        raise InvalidValue("no setting was given, such as --target-error 0.03")
    _steer("change_settings", campaign_id, as_json, options, changes)


@_command("label-all")
@_id
@click.option("--yes", is_flag=True, help="Do not ask.")
def label_all(campaign_id: int, as_json: bool, yes: bool, **options: Any) -> None:
    """Leave everything that is left to people; the machine labels nothing."""
    from backend.steering.label_all import label_all as leave

    with opened(given(options, ServerSettings)) as house:
        house.store.campaign(campaign_id)
        if not yes:
            click.confirm(f"Let people label everything that is left of campaign {campaign_id}?", abort=True, err=True)
        said = leave(house.store, campaign_id, now(), by=_by())
        house.wake(campaign_id, "label-all")
        _say(house, campaign_id, [said], as_json)


@_command("rollback")
@_id
@click.option("--yes", is_flag=True, help="Do not ask.")
def rollback(campaign_id: int, as_json: bool, yes: bool, **options: Any) -> None:
    """Remove the campaign's own machine labels; what a person has labelled or edited stays."""
    with opened(given(options, ServerSettings)) as house:
        house.store.campaign(campaign_id)
        if not yes:
            click.confirm(f"Remove the machine labels of campaign {campaign_id} from Label Studio and end it?", abort=True, err=True)
        from backend.steps.rollback import rollback as undo
        from backend.wiring import services

        with services(house.settings, house.store) as tools:
            done = undo(tools, campaign_id, by=_by())
        if as_json:
            shown.print_json({"campaign": campaign_id, "n_removed": done.n_removed, "n_kept": done.n_kept})
        else:
            kept = f"; {done.n_kept:,} were kept, since a person has edited them" if done.n_kept else ""
            click.echo(f"campaign {campaign_id} is rolled back: {done.n_removed:,} machine labels removed{kept}")


@_command("audit")
@_id
@click.option("--size", type=Whole(min=1), help="Machine labels to draw; without it, as many as the target needs.")
@click.option("--confidence", type=Number(), help="Confidence of the bound; without it, the campaign's.")
@click.option("--cancel", is_flag=True, help="Call the open audit off: what nobody has answered gets its machine label back.")
@click.option(
    "--take-back", is_flag=True, help="Give the least sure machine labels, those that the last audit cannot vouch for, to people."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def audit(
    campaign_id: int, size: int | None, confidence: float | None, cancel: bool, take_back: bool, yes: bool, as_json: bool, **options: Any
) -> None:
    """Let people label a fresh random sample of the written machine labels again, blind, for an exact bound.

    The campaign must have written its machine labels. What people say about the sample is final. The result is part of show and report;
    after it --take-back gives the least sure machine labels, those that the audit cannot vouch for, to people. Each audit is a statement of
    its own.
    """
    from backend.steering import audits as audit_control

    if cancel + take_back + (size is not None or confidence is not None) > 1:
        raise InvalidValue("--cancel, --take-back and a new audit's --size and --confidence exclude each other")
    with opened(given(options, ServerSettings)) as house:
        house.store.campaign(campaign_id)
        if cancel:
            said = [audit_control.cancel_audit(house.store, campaign_id, now(), by=_by())]
        elif take_back:
            if not yes:
                click.confirm(
                    f"Take the least sure machine labels of campaign {campaign_id} back for people to label?", abort=True, err=True
                )
            said = [audit_control.take_back(house.store, campaign_id, now(), by=_by())]
        else:
            said = audit_control.open_audit(house.store, campaign_id, now(), by=_by(), size=size, confidence_level=confidence)
        house.wake(campaign_id, "audit")
        _say(house, campaign_id, said, as_json)


for look in LOOKS:
    campaign.add_command(look)


def _steer(action: str, campaign_id: int, as_json: bool, options: dict[str, Any], *arguments: Any) -> None:
    from backend.steering import control

    with opened(given(options, ServerSettings)) as house:
        act: Steer = getattr(control, action)
        said = act(house.store, campaign_id, *arguments, now(), by=_by())
        house.wake(campaign_id, action)
        _say(house, campaign_id, [said] if isinstance(said, str) else said, as_json)


def _say(house: Opened, campaign_id: int, sentences: list[str], as_json: bool) -> None:
    if as_json:
        shown.print_json({"campaign": campaign_id, "notes": sentences, "phase": state_of(house.store, campaign_id, now()).phase.value})
        return
    for sentence in sentences:
        click.echo(sentence)


def _by() -> str:
    try:
        return f"{getpass.getuser()} (cli)"
    except (KeyError, OSError):  # a container's user may have no name
        return "cli"
