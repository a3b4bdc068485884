"""``mcal bootstrap``: from a new Label Studio to a working connection, without a click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from backend.campaign_settings import CampaignSettings, parse_campaign_settings, read_environment
from backend.cli.numbers import Whole
from backend.cli.preflight import preflight
from backend.cli.setting_options import campaign_options, given, server_options
from backend.settings import ServerSettings, server_settings
from mcal_engine.errors import InvalidValue

Say = Callable[[str], object]


@click.command()
@click.option("--check", is_flag=True, help="Only look at the settings: placeholders, weak passwords and slips are refused.")
@click.option("--project", "project_ids", type=Whole(min=1), multiple=True, help="Connect this backend to the project.")
@server_options("label_studio_url", "label_studio_admin_email", "service_email", "public_url", "data_dir", "log_format")
@campaign_options(defaults={})
def bootstrap(check: bool, project_ids: tuple[int, ...], **options: Any) -> None:
    """Make the backend's own user in Label Studio and a token for it; connect projects, with the webhook and its secret.

    Needs LABEL_STUDIO_USERNAME and LABEL_STUDIO_PASSWORD of somebody who may invite, once: the token is kept in data_dir, where the web
    server and the worker find it. With MCAL_LABEL_STUDIO_TOKEN that token's user is taken instead. Campaign settings start a campaign on
    the projects that are connected. May be run again at any time.
    """
    from backend.cli.logs import announcing, start_logging

    settings = server_settings(**given(options, ServerSettings))
    extra_params = given(options, CampaignSettings)
    if extra_params and not project_ids:
        raise InvalidValue("campaign settings are for a project that is connected: name it with --project")
    params = None
    if extra_params:  # a slip is told here, in words, and not in Label Studio's form
        params = parse_campaign_settings(extra_params).model_dump(mode="json", include=set(extra_params))
    start_logging(settings)
    say = announcing(settings)
    if check:
        for slip in preflight(read_environment(None)):
            say(slip)
        say("the settings are in order")
        return
    _ensure_token(settings, say)
    for project_id in project_ids:
        _connect(settings, project_id, params, say)


def _ensure_token(settings: ServerSettings, say: Say) -> None:
    from backend.credentials import keep_token, kept_token
    from backend.label_studio.accounts import Session
    from backend.setup.bootstrap import Inviter, make_token, refused
    from backend.wiring import label_studio

    here = settings.label_studio_url
    if settings.label_studio_token is not None or kept_token(settings.token_file, here):
        with label_studio(settings) as client:
            if not refused(client.current_user):
                say(f"the backend's user in {here} is {client.current_user().email}")
                return
        if settings.label_studio_token is not None:
            raise InvalidValue(f"{here} refuses MCAL_LABEL_STUDIO_TOKEN: set it to a token that works, or to nothing to have one made")
    if settings.label_studio_admin_email is None or settings.label_studio_admin_password is None:
        raise InvalidValue(
            "set LABEL_STUDIO_USERNAME and LABEL_STUDIO_PASSWORD, a member of Label Studio's organisation who invites the backend's user, "
            "or MCAL_LABEL_STUDIO_TOKEN to the token of a user made by hand"
        )
    inviter = Inviter(settings.label_studio_admin_email, settings.label_studio_admin_password.get_secret_value())
    token, is_new = make_token(lambda: Session(here), settings.service_email, inviter)
    keep_token(settings.token_file, here, token)
    say(f"{settings.service_email} in {here} has a new token" + (" and is a new user" if is_new else ""))


def _connect(settings: ServerSettings, project_id: int, extra_params: dict[str, Any] | None, say: Say) -> None:
    from backend.label_studio.connecting import connect_model
    from backend.label_studio.port import LabelStudioError
    from backend.label_studio.transport import Connection
    from backend.setup.doctor import LET_US_IN
    from backend.wiring import label_studio, webhook

    user, password = settings.basic_auth_user, settings.basic_auth_password
    login = None if user is None or password is None else (user, password.get_secret_value())
    connection = Connection(settings.label_studio_url, settings.token())
    try:
        with label_studio(settings) as client:
            # Before the model, or Label Studio would register one without the secret.
            webhook(settings).register(client, project_id)
        is_new = connect_model(connection, project_id, settings.public_url, extra_params, login)
    except LabelStudioError as error:
        if "reserved network" in str(error):
            raise LabelStudioError(f"{error}. {LET_US_IN}", retryable=False, status=error.status) from None
        raise
    finally:
        connection.close()
    say(
        f"project {project_id} is connected to {settings.public_url}"
        + ("" if is_new else ", as it was before")
        + "; its webhook carries the secret"
    )
