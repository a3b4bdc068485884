"""Who may call what: basic auth for people and Label Studio, a secret header for webhooks."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import request
from werkzeug.datastructures import Authorization, WWWAuthenticate
from werkzeug.exceptions import TooManyRequests, Unauthorized

from backend.steps.webhook import SECRET_HEADER
from backend.web.throttle import Throttle
from mcal_engine.errors import InvalidValue

TRIES, WINDOW_SECONDS = 20, 60.0  # Label Studio asks in pairs; whoever mends its password should not wait for long


def _new_throttle() -> Throttle:
    return Throttle(time.monotonic, tries=TRIES, window_seconds=WINDOW_SECONDS)


@dataclass(frozen=True, slots=True)
class Access:
    """One user and password, or none: then everybody who can reach the server is trusted, and it stays on loopback.

    Raises:
        InvalidValue: a user without a password or the other way round, or an empty webhook secret.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    # Two, since the second one sees a proxy's address where the first one sees the caller's: guessing through the proxy must not lock
    # Label Studio out.
    _throttle: Throttle = field(default_factory=_new_throttle, init=False, repr=False, compare=False)
    _large_bodies: Throttle = field(default_factory=_new_throttle, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if bool(self.user) != bool(self.password):
            raise InvalidValue("basic_auth_user and basic_auth_password go together: set both or neither")
        if self.webhook_secret is not None and not self.webhook_secret.strip():
            raise InvalidValue("webhook_secret must not be empty")

    @property
    def protected(self) -> bool:
        return bool(self.user)

    def require_login(self) -> None:
        """Raise 401 unless nobody has to log in or this request's basic auth is right; 429 after too many wrong ones.

        Label Studio sends some of its own calls without credentials (one pair after PATCH /api/ml); they get this 401 too.
        """
        if not self.protected:
            return
        if request.authorization is None:
            raise _unauthorized()  # no guess: it does not count as one
        with self._throttle.attempt(request.remote_addr or "") as tried:
            tried.right = self._knows(request.authorization)
        if not tried.right:
            raise _unauthorized()

    def trusts_webhook(self) -> bool:
        """Whether this event comes from a known sender.

        The secret header is what our own webhook registration sends; START_TRAINING comes with basic auth instead. The webhook
        that Label Studio registers by itself carries neither: its events count as hints (``False``), which only wake the worker.

        Raises:
            Unauthorized: credentials were sent and are wrong. (Those that nobody asked for are not looked at.)
            TooManyRequests: wrong ones were sent too often.
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

    def trusts(self, address: str, headers: Mapping[str, str]) -> bool:
        """Whether a caller may send a large body (:class:`backend.web.connections.Trusts`): it shows what Label Studio must show."""
        secret = headers.get(SECRET_HEADER.upper().replace("-", "_"))
        if secret is not None and self.webhook_secret is not None and _equal(secret, self.webhook_secret):
            return True
        if not self.protected:
            return True
        given = Authorization.from_header(headers.get("AUTHORIZATION"))
        if given is None:
            return False
        try:
            with self._large_bodies.attempt(address) as tried:
                tried.right = self._knows(given)
        except TooManyRequests:
            return False
        return tried.right

    def _knows(self, given: Authorization) -> bool:
        if given.type != "basic":
            return False
        # Both are compared, so that the time does not tell whether the name was right.
        right_user = _equal(given.username or "", self.user or "")
        right_password = _equal(given.password or "", self.password or "")
        return right_user and right_password


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _unauthorized() -> Unauthorized:
    return Unauthorized("a valid user and password are needed", www_authenticate=WWWAuthenticate("basic", {"realm": "mcal"}))
