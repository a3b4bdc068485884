"""``mcal campaign …``, the part that only shows: what the pages have, for terminals and programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from backend.campaign.state import State, state_of
from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.cli.campaign import shown
from backend.cli.campaign.command import campaign_id, command
from backend.cli.numbers import Whole
from backend.cli.opened import Opened, now, opened
from backend.cli.setting_options import campaign_options, given
from backend.settings import ServerSettings
from backend.views.exports import FORMATS, Export, export
from backend.views.status import sentence
from mcal_engine.errors import InvalidValue
from mcal_engine.words import counted, counted_of

WATCH_SECONDS = 2.0  # between two readings


@command("list")
def list_campaigns(as_json: bool, **options: Any) -> None:
    """List all campaigns, newest first."""
    with opened(given(options, ServerSettings)) as house:
        shown.campaigns(house.store, now(), as_json=as_json)


@command("show")
@campaign_id
def show(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Show one campaign: where it stands, its settings, its rounds."""
    with opened(given(options, ServerSettings)) as house:
        shown.campaign(house.store, campaign_id, now(), as_json=as_json)


@command("report")
@campaign_id
def report(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Print a campaign's report: what was labelled by whom, what it cost, what is promised."""
    with opened(given(options, ServerSettings)) as house:
        found = shown.report_of(house.store, campaign_id, now())
        if as_json:
            shown.print_json(found)
        else:
            shown.report(found)


@command("projects")
def projects(as_json: bool, **options: Any) -> None:
    """List the projects that the token sees, with their campaigns."""
    from backend.views.projects import project_rows
    from backend.wiring import label_studio

    with opened(given(options, ServerSettings)) as house, label_studio(house.settings) as client:
        rows = project_rows(house.store, client, house.settings.label_studio_url)
    if as_json:
        shown.print_json(rows)
        return
    cells = []
    for row in rows:
        running = "needs at least 200 tasks" if row["too_small"] else "yes" if row["live_campaign"] else ""
        cells.append((str(row["project"]), row["title"], f"{row['n_tasks']:,}", ", ".join(map(str, row["campaigns"])), running))
    _table(("project", "title", "tasks", "campaigns", "running"), cells)


@command("newcomers")
@campaign_id
def newcomers(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Say how many tasks were added after the campaign had finished, and what can be done with them."""
    from backend.views.newcomers import newcomers as waiting
    from backend.wiring import label_studio

    with opened(given(options, ServerSettings)) as house, label_studio(house.settings) as client:
        found = waiting(state_of(house.store, campaign_id, now()), client)
    if as_json:
        shown.print_json(found)
    else:
        click.echo(found["sentence"] or "no task waits behind this campaign")


@command("estimate")
@click.option("--project", "project_id", type=Whole(min=1), required=True, help="Label Studio's id of the project.")
@campaign_options()
def estimate(project_id: int, as_json: bool, **options: Any) -> None:
    """Say what a campaign would ask for first, and what people alone would cost; nothing is started."""
    from backend.views.projects import project_estimate
    from backend.wiring import label_studio

    settings = parse_campaign_settings(given(options, CampaignSettings))
    with opened(given(options, ServerSettings)) as house, label_studio(house.settings) as client:
        found = project_estimate(client, project_id, settings)
    if as_json:
        shown.print_json(found)
        return
    how = "about" if settings.rule_for(learns=True) == "two_bands" else "from"
    smallest = "none" if found["smallest_certificate"] is None else f"{how} {counted(found['smallest_certificate'], 'item')}"
    rows = [
        (
            "people alone",
            f"{found['human_only_cost']:,.2f} {found['currency']} for {counted_of(found['n_to_label'], found['n_items'], 'item')}",
        ),
        ("test items (T)", f"{counted(found['n_test'], 'item')}"),
        ("first batch B0", f"{counted(found['n_train'], 'item')}"),
        *([("second labels in T", f"{counted(found['n_second'], 'item')}")] if found["n_second"] else []),
        ("cost of these two", f"{found['first_cost']:,.2f} {found['currency']}"),
        ("errors that are allowed", f"{found['allowed_errors']:,}"),
        ("certificate items (V)", smallest),
    ]
    _table(None, rows)
    for warning in found["warnings"]:
        click.echo(warning)


@command("watch")
@campaign_id
def watch(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Follow a campaign with progress bars until it ends; with --json one line for each change."""
    with opened(given(options, ServerSettings)) as house:
        states = _states(house, campaign_id)
        if as_json:
            told = ""
            for state in states:
                line = json.dumps({"campaign": campaign_id, "phase": state.phase.value, "sentence": sentence(state)}, ensure_ascii=False)
                if line != told:
                    click.echo(line)
                told = line
            return
        from backend.demo.display import Display

        with Display(shown.new_console()) as display:
            for state in states:
                display.update(state)


def _states(house: Opened, campaign_id: int) -> Iterator[State]:
    """The campaign's state now and then, until it has ended."""
    while True:
        state = state_of(house.store, campaign_id, now())
        yield state
        if state.ended:
            return
        time.sleep(WATCH_SECONDS)


@command("events")
@campaign_id
@click.option("--after", type=Whole(min=0), default=0, help="Only events after this sequence number.")
def events(campaign_id: int, after: int, as_json: bool, **options: Any) -> None:
    """Print the history in sentences, oldest first."""
    from backend.views.log import log_row

    with opened(given(options, ServerSettings)) as house:
        house.store.campaign(campaign_id)
        rows = [log_row(event) for event in house.store.events(campaign_id, after=after)]
    if as_json:
        shown.print_json(rows)
        return
    _table(("", "at (UTC)", "what happened"), [(str(row["seq"]), row["at"][:19].replace("T", " "), row["sentence"]) for row in rows])


@command("what-if")
@campaign_id
@campaign_options(defaults={})
def what_if(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Say what the engine would decide with another ε or price; nothing is saved."""
    from backend.views.what_if import what_if as ask

    changes = given(options, CampaignSettings)
    with opened(given(options, ServerSettings)) as house:
        state = state_of(house.store, campaign_id, now())
        found = ask(state, changes)
    if as_json:
        shown.print_json(found)
        return
    before, then, money = found["now"], found["then"], state.settings.currency
    rows = [
        ("whole bill", f"{before['total_cost']:,.2f} {money}", f"{then['total_cost']:,.2f} {money}"),
        ("people alone", f"{before['human_only_cost']:,.2f} {money}", f"{then['human_only_cost']:,.2f} {money}"),
        ("saves", f"{before['savings']:.1%}", f"{then['savings']:.1%}"),
        ("by the machine", f"{before['n_machine']:,}", f"{then['n_machine']:,}"),
        ("by people", f"{before['n_human']:,}", f"{then['n_human']:,}"),
        ("more training labels", f"{before['n_more_train']:,}", f"{then['n_more_train']:,}"),
        ("certificate sample", f"{before['n_certificate']:,}", f"{then['n_certificate']:,}"),
        ("the engine would", "stop" if before["stops"] else "go on", "stop" if then["stops"] else "go on"),
    ]
    _table((f"from round {found['round']}", "as it is set", "what if"), rows)
    click.echo(then["sentence"])


@command("series")
@campaign_id
def series(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Print the charts' numbers: the forecast after each round, the race; error curves and their fits with --json."""
    from backend.views.series import series as charts

    with opened(given(options, ServerSettings)) as house:
        found = charts(state_of(house.store, campaign_id, now()))
    if as_json:
        shown.print_json(found)
        return
    rows = []
    for point in found["forecast"]:
        band = "" if point["low"] is None else f"{point['low']:,.2f} to {point['high']:,.2f}"
        totals = (f"{point['spent']:,.2f}", f"{point['total_cost_now']:,.2f}", f"{point['total_cost']:,.2f}", band)
        rows.append((str(point["round"]), f"{point['n_train']:,}", *totals))
    _table(("round", "trained on", f"spent ({found['currency']})", "finishing now", "forecast", "90 % band"), rows)
    if len(found["race"]) > 1:
        raced = [
            (each["classifier"], "out" if each["out"] else "", f"{each['accuracy'][-1]:.1%}", f"{each['training_seconds'][-1]:.1f} s")
            for each in found["race"]
            if each["accuracy"]
        ]
        _table(("classifier", "", "right on T", "training"), raced)


@command("review")
@campaign_id
def review(campaign_id: int, as_json: bool, **options: Any) -> None:
    """List the machine's least sure labels and, once the certificate is decided, what it got wrong in the sample."""
    from backend.views.review import review as least_sure

    with opened(given(options, ServerSettings)) as house:
        found = least_sure(house.store, state_of(house.store, campaign_id, now()))
    if as_json:
        shown.print_json(found)
        return
    for check in found["checks"]:
        click.echo(check["sentence"])
    for title, tiles in (("least sure", found["least_sure"]), ("wrong in the sample", found["errors"])):
        rows = [(str(tile["task"]), tile["machine"], tile["human"] or "", _likely(tile["probability"])) for tile in tiles]
        _table((f"{title}: task", "machine", "people", "likely right"), rows)
    if not found["certificate_decided"]:
        click.echo("what the machine got wrong in the sample is shown once the certificate is decided")


def _likely(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.0%}"


@command("certificate")
@campaign_id
def certificate(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Print the certificate in plain words."""
    from backend.views.certificate import certificate as words
    from backend.views.report import make_report

    with opened(given(options, ServerSettings)) as house:
        state = state_of(house.store, campaign_id, now())
        found = words(state, make_report(state, now()))
    if as_json:
        shown.print_json(found)
        return
    click.echo(found["headline"])
    for number, step in enumerate(found["steps"], 1):
        click.echo(f"{number}. {step}")


@command("items")
@campaign_id
def items(campaign_id: int, as_json: bool, **options: Any) -> None:
    """Print every item as CSV: label, by whom, margin, certificate, probability."""
    with opened(given(options, ServerSettings)) as house:
        found = _export(house, campaign_id)
    if as_json:
        shown.print_json([json.loads(line) for line in FORMATS["jsonl"].chunks(found)])
        return
    for chunk in FORMATS["csv"].chunks(found):
        click.echo(chunk, nl=False)


@command("export")
@campaign_id
@click.option(
    "--format",
    "name",
    type=click.Choice(list(FORMATS)),
    required=True,
    help=" ".join(f"{row.name}: {row.summary}" for row in FORMATS.values()),
)
@click.option("--output", type=click.Path(dir_okay=False, allow_dash=True), default="-", help="File to write; - is standard output.")
def export_items(campaign_id: int, name: str, output: str, as_json: bool, **options: Any) -> None:
    """Write the labels for other tools, each with who gave it and what vouches for it."""
    if as_json and output == "-":
        raise InvalidValue("--json tells what was written: name a file with --output, or leave --json out")
    with opened(given(options, ServerSettings)) as house:
        found = _export(house, campaign_id)
    row = FORMATS[name]
    chunks = row.chunks(found)
    if output == "-" and row.media_type == "application/zip" and sys.stdout.isatty():
        raise InvalidValue(f"{name} is a zip file, which a terminal cannot show: name one, such as --output {row.file}")
    with click.open_file(output, "wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
    if as_json:
        shown.print_json({"campaign": campaign_id, "format": name, "file": output, "items": len(found.rows)})
    elif output != "-":
        click.echo(f"wrote {output}: {counted(len(found.rows), 'item')}")


def _export(house: Opened, campaign_id: int) -> Export:
    from backend.views.report import make_report

    state = state_of(house.store, campaign_id, now())
    return export(house.store, state, make_report(state, now()))


def _table(head: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
    table = Table(*(head or ("",) * len(rows[0])), box=None, header_style="bold", show_header=head is not None)
    for row in rows:
        table.add_row(*map(escape, row))
    shown.new_console().print(table)


SHOW = (
    list_campaigns,
    show,
    report,
    projects,
    newcomers,
    estimate,
    watch,
    events,
    what_if,
    series,
    review,
    certificate,
    items,
    export_items,
)
