"""``mcal campaign …``, the part that steers: one command for each row of :data:`backend.steering.actions.ACTIONS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from backend.campaign.state import state_of
from backend.cli.campaign import shown
from backend.cli.campaign.command import campaign_id, command, who
from backend.cli.opened import Opened, now, opened
from backend.cli.setting_options import given, model_options
from backend.settings import ServerSettings
from backend.steering.abandon import WAYS_OUT
from backend.steering.actions import ACTIONS
from backend.steering.call import UNREADABLE, Action, Means
from backend.steps.ports import Services
from mcal_engine.errors import HistoryError


def steering_command(action: Action[Any]) -> click.Command:
    """``mcal campaign NAME``: the action's inputs are its options; a grave one asks for a yes unless ``--yes`` is given."""

    def steer(campaign_id: int, as_json: bool, yes: bool = False, **options: Any) -> None:
        asked = action.read(given(options, action.asks), typed=False)
        with opened(given(options, ServerSettings)) as house, _means(house) as means:
            if action.grave and not yes:
                _ask(action, house, campaign_id)
            said = action.perform(means, campaign_id, asked, by=who())
            house.wake(campaign_id, action.name)
            say(house, campaign_id, said, as_json=as_json)

    steer.__doc__ = "\n\n".join(text for text in (action.summary, action.details) if text)
    decorated: Callable[..., Any] = model_options(action.asks)(steer)
    if action.grave:
        decorated = click.option("--yes", is_flag=True, help="Do not ask.")(decorated)
    return command(action.name)(campaign_id(decorated))


def say(house: Opened, campaign_id: int, sentences: list[str], *, as_json: bool) -> None:
    """What was done, and the phase after it."""
    if as_json:
        try:
            phase = state_of(house.store, campaign_id, now()).phase.value
        except HistoryError:
            phase = UNREADABLE
        shown.print_json({"campaign": campaign_id, "notes": sentences, "phase": phase})
        return
    for sentence in sentences:
        click.echo(sentence)


def _ask(action: Action[Any], house: Opened, campaign_id: int) -> None:
    """Say what will be done and wait for a yes; what cannot be done is refused without a question."""
    try:
        state = state_of(house.store, campaign_id, now())
    except HistoryError as error:
        if action.unreadable is None:
            raise
        said = [f"The campaign is unreadable: {error}.", *WAYS_OUT]
    else:
        if action.refuses(state) is not None:
            return
        said = action.says(state)
    for sentence in said:
        click.echo(sentence, err=True)
    click.confirm(f"{action.title} (campaign {campaign_id})?", abort=True, err=True)


@contextmanager
def _means(house: Opened) -> Iterator[Means]:
    with ExitStack() as stack:

        def tools() -> Services:
            from backend.wiring import services

            return stack.enter_context(services(house.settings, house.store))

        yield Means(house.store, now, tools)


STEER = tuple(steering_command(action) for action in ACTIONS.values())
