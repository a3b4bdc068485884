"""Who may call what: basic auth for people and Label Studio, a secret header for webhooks."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from flask import request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from backend.steps.webhook import SECRET_HEADER
from mcal_engine.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Access:
    """One user and password, or none: then everybody who can reach the server is trusted, and it stays on loopback.

    Raises:
        InvalidValue: a user without a password or the other way round, or an empty webhook secret.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if bool(self.user) != bool(self.password):
            raise InvalidValue("basic_auth_user and basic_auth_password go together: set both or neither")
        if self.webhook_secret is not None and not self.webhook_secret.strip():
            raise InvalidValue("webhook_secret must not be empty")

    @property
    def protected(self) -> bool:
        return bool(self.user)

    def require_login(self) -> None:
        """Raise 401 unless nobody has to log in or this request's basic auth is right.

        Label Studio sends some of its own calls without credentials (one pair after PATCH /api/ml); they get this 401 too.
        """
        if self.protected and not self._logged_in():
            raise _unauthorized()

    def trusts_webhook(self) -> bool:
        """Whether this event comes from a known sender.

        The secret header is what our own webhook registration sends; START_TRAINING comes with basic auth instead. The webhook
        that Label Studio registers by itself carries neither: its events count as hints (``False``), which only wake the worker.

        Raises:
            Unauthorized: credentials were sent and are wrong. (Those that nobody asked for are not looked at.)
        """
        secret = request.headers.get(SECRET_HEADER)
        if secret is not None and self.webhook_secret is not None:
            if not _equal(secret, self.webhook_secret):
                raise _unauthorized()
            return True
        if not self.protected:
            return True
        if "Authorization" not in request.headers:
            return False
        self.require_login()
        return True

    def _logged_in(self) -> bool:
        given = request.authorization
        if given is None or given.type != "basic":
            return False
        # Both are compared, so that the time does not tell whether the name was right.
        right_user = _equal(given.username or "", self.user or "")
        right_password = _equal(given.password or "", self.password or "")
        return right_user and right_password


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _unauthorized() -> Unauthorized:
    return Unauthorized("a valid user and password are needed", www_authenticate=WWWAuthenticate("basic", {"realm": "mcal"}))
