"""Channels to tell people through: chat, mail, webhook, whatever Apprise can reach. Their addresses hold secrets and are never shown."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Literal

from mcal_engine.errors import InvalidValue

if TYPE_CHECKING:
    from apprise.plugins import NotifyBase

Weight = Literal["info", "success", "warning"]
PATIENCE_SECONDS = 20.0  # for one message on one channel
_STATUS = re.compile(r"\berror=(\d{3})\b")
_BETWEEN = re.compile(r"\s+|,(?=[\w+.-]+://)")


class ChannelFailed(Exception):
    """A message did not get through; the text says why, as far as that can be said without the address."""


class Channel:
    """One address. ``name`` is its place and its scheme, such as ``2 slack``: all that may be shown of it."""

    def __init__(self, name: str, service: NotifyBase, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.name = name
        self._service = service
        self._patience = patience_seconds
        self._sending: threading.Thread | None = None

    def send(self, title: str, body: str, weight: Weight = "info") -> None:
        """Deliver one message.

        Raises:
            ChannelFailed: refused, away, or silent for longer than ``patience_seconds``.
        """
        if self._sending is not None and self._sending.is_alive():
            raise ChannelFailed("still busy with an earlier message")
        attempt = _Attempt(self._service, title, body, weight)
        self._sending = threading.Thread(target=attempt.run, name=f"channel {self.name}", daemon=True)
        self._sending.start()
        self._sending.join(self._patience)
        if self._sending.is_alive():  # left behind: it may end some day, and nobody waits for it
            raise ChannelFailed(f"no answer within {self._patience:g} s")
        if attempt.why is not None:
            raise ChannelFailed(attempt.why)


class _Attempt:
    """One message in a thread of its own; ``why`` says what went wrong."""

    def __init__(self, service: NotifyBase, title: str, body: str, weight: Weight) -> None:
        self._service, self._title, self._body, self._weight = service, title, body, weight
        self.why: str | None = "not sent"

    def run(self) -> None:
        from apprise import NotifyFormat, NotifyType
        from apprise.conversion import convert_between

        heard = _Status(threading.get_ident())
        log = _apprise_log()
        log.addHandler(heard)
        try:
            # Names that people chose are text, also where the channel sends HTML or Markdown.
            form = self._service.resolve_format(NotifyFormat.TEXT)
            body = convert_between(NotifyFormat.TEXT, form, content=self._body)  # type: ignore[no-untyped-call]  # Apprise has no types there
            done = bool(self._service.notify(body=body, title=self._title, notify_type=NotifyType(self._weight), body_format=form))
            self.why = None if done else f"refused with HTTP {heard.code}" if heard.code else "refused, or it cannot be reached"
        except Exception as error:  # noqa: BLE001 (a channel's trouble, whatever it is, is a failure to be told)
            self.why = type(error).__name__  # its text may hold the address
        finally:
            log.removeHandler(heard)


class _Status(logging.Handler):
    """Takes the HTTP status, and nothing else, out of what one thread's Apprise logs."""

    def __init__(self, thread: int) -> None:
        super().__init__(logging.WARNING)
        self._thread = thread
        self.code = ""

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found and record.thread == self._thread:
            self.code = found[1]


def open_channels(addresses: str, *, patience_seconds: float = PATIENCE_SECONDS) -> list[Channel]:
    """The channels of ``notify_urls``: Apprise addresses separated by spaces.

    Raises:
        InvalidValue: one of them is none that Apprise knows; the text gives its place, never the address.
    """
    _apprise_log()
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(secure_logging=True)
    asset.app_id = asset.app_desc = "mcal"
    made = []
    for place, address in enumerate(filter(None, _BETWEEN.split(addresses)), 1):
        service = Apprise.instantiate(address, asset=asset)
        if service is None:
            raise InvalidValue(
                f"notify_urls: address {place} is none that Apprise knows; the forms are listed at https://appriseit.com/services/ "
                "(such as slack://…, mailto://…, json://host/path)"
            )
        scheme = address.split(":", 1)[0].lower()
        made.append(Channel(f"{place} {scheme}", service, patience_seconds=patience_seconds))
    if not made:
        raise InvalidValue("notify_urls must hold at least one address such as json://host/path")
    return made


def _apprise_log() -> logging.Logger:
    """Apprise's logger, cut off from ours: at its lower levels it names addresses, and so does the HTTP client below it."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)
    if not log.handlers:
        log.addHandler(logging.NullHandler())  # or Python would print warnings by itself
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    return log
