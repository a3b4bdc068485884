"""``mcal doctor``: looks at everything a campaign depends on and prints what to do."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import click

from backend.cli.numbers import Whole
from backend.cli.opened import Opened, now, opened
from backend.cli.setting_options import given, server_options
from backend.settings import ServerSettings, unknown_environment
from mcal_engine.errors import InvalidValue, MCALError

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--project", "project_ids", type=Whole(min=1), multiple=True, help="A project to look at; else all that have a campaign.")
@click.option("--label-controls", "--label-control", help="Names of the controls to label with, comma separated, where not all are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options("label_studio_url", "public_url", "data_dir", "device")
def doctor(project_ids: tuple[int, ...], label_controls: str | None, as_json: bool, **options: Any) -> int:
    """Check Label Studio, token, webhook, images and machine; print the fix for everything that is wrong.

    Changes nothing. Exit code 1 if something fails.
    """
    with ExitStack() as stack:
        house = stack.enter_context(opened(given(options, ServerSettings)))
        from backend.setup.doctor import examine

        ids = project_ids or tuple(dict.fromkeys(campaign.project_id for campaign in house.store.live_campaigns()))
        found = []
        for finding in examine(_patient(house, stack), ids, label_controls, campaigns=_campaigns(house)):
            found.append(finding)
            if not as_json:
                click.echo(f"{click.style(finding.status.ljust(4), fg=STYLES[finding.status])}  {finding.name}: {finding.detail}")
                if finding.fix:
                    click.echo(f"      → {finding.fix}")
        failed = sum(finding.status == "fail" for finding in found)
        if as_json:
            rows = [{"name": each.name, "status": each.status, "detail": each.detail, "fix": each.fix} for each in found]
            click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        else:
            click.echo(f"{len(found)} checks, {failed} failed")
    return 1 if failed else 0


def _patient(house: Opened, stack: ExitStack) -> Any:
    """What the doctor looks at, as these settings say."""
    import httpx

    from backend import wiring
    from backend.label_studio.inspection import Inspector
    from backend.label_studio.transport import Connection
    from backend.setup.doctor import Patient

    settings = house.settings
    client, inspector, trouble, token = None, None, "", ""
    try:
        client, token = stack.enter_context(wiring.label_studio(settings)), settings.token()
        connection = Connection(settings.label_studio_url, token)
        stack.callback(connection.close)
        inspector = Inspector(connection)
    except InvalidValue as error:
        trouble = str(error)
    try:
        models = {} if client is None else wiring.models(settings, client)
    except InvalidValue as error:
        models, trouble, client = {}, str(error), None

    def probe() -> None:
        try:
            reply = httpx.get(f"{settings.public_url}/health", timeout=2)
        except httpx.HTTPError as error:
            raise MCALError(f"{settings.public_url} does not answer: {error or type(error).__name__}") from None
        if reply.status_code != httpx.codes.OK:
            raise MCALError(f"{settings.public_url}/health answers {reply.status_code}")

    return Patient(
        settings_error=trouble,
        label_studio=client,
        inspection=inspector,
        label_studio_url=settings.label_studio_url,
        public_url=settings.public_url,
        legacy_token="." not in token,
        slips=unknown_environment(),
        probe_ourselves=probe,
        checks={"database": house.store.ping, "job queue": house.queue.ping},
        device=lambda: _device(settings.device),
        data_dir=settings.data_dir,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        models=models,
    )


def _campaigns(house: Opened) -> dict[int, Any]:
    """Project → its live campaign on this Label Studio."""
    from backend.store import same_address
    from backend.views.status import standing

    here = same_address(house.settings.label_studio_url)
    live = [each for each in house.store.live_campaigns() if same_address(each.label_studio_url) == here]
    return {each.project_id: standing(house.store, each.id, now()) for each in live}


def _device(name: str) -> str:
    from mcal_engine.classifiers import devices  # brings torch, which takes seconds

    return devices.label(devices.pick(name))
