"""Logging in and out, and the two questions every page and API route asks: who is this, and did they mean it."""

from __future__ import annotations

import hmac
import secrets
import time
from datetime import timedelta

from flask import Flask, g, request, session
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from backend.web.admin import Admin
from backend.web.throttle import Throttle

COOKIE = "mcal_session"
CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"
LIFETIME = timedelta(hours=12)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Sessions:
    """Sessions by signed cookie for browsers; bearer token or basic auth for programs, which need no session and no CSRF token."""

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self.throttle = Throttle(time.monotonic)

    def configure(self, app: Flask) -> None:
        app.secret_key = self.admin.session_secret
        app.config.update(
            SESSION_COOKIE_NAME=COOKIE,
            SESSION_COOKIE_HTTPONLY=True,
            SESSION_COOKIE_SAMESITE="Lax",
            SESSION_COOKIE_SECURE=self.admin.secure_cookies,
            PERMANENT_SESSION_LIFETIME=LIFETIME,
            SESSION_REFRESH_EACH_REQUEST=False,
        )

    def log_in(self, user: str, password: str) -> bool:
        """Begin a session, or count a failure. Raises 429 for an address that has failed too often."""
        if not self._knows(user, password):
            return False
        session.clear()  # nothing of an older session is taken over
        session.permanent = True
        session.update(user=self.admin.user, account=self.admin.fingerprint, csrf=secrets.token_urlsafe(24))
        return True

    @staticmethod
    def log_out() -> None:
        session.clear()

    def in_session(self) -> bool:
        return hmac.compare_digest(str(session.get("account", "")), self.admin.fingerprint)

    def require_session(self) -> None:
        """For pages: raises 401 without a session, 403 for a form that this server did not hand out."""
        if not self.in_session():
            raise Unauthorized("log in first")
        g.by = f"{self.admin.user} (page)"
        if request.method not in SAFE_METHODS:
            self._check_csrf(request.form.get(CSRF_FIELD) or request.headers.get(CSRF_HEADER, ""))

    def require_caller(self) -> None:
        """For the API: token or password, or a session with the CSRF token in a header. Raises 401, 403 or 429."""
        given = request.authorization
        if given is not None and given.type == "bearer":
            if not self.admin.knows_token(given.token or ""):
                raise _unauthorized("the token is not right")
        elif given is not None:
            if given.type != "basic" or not self._knows(given.username or "", given.password or ""):
                raise _unauthorized("user or password is not right")
        elif self.in_session():
            self.require_session()
            return
        else:
            raise _unauthorized("a token, or user and password, are needed")
        g.by = f"{self.admin.user} (api)"

    def csrf(self) -> str:
        return str(session.get("csrf", ""))

    def _knows(self, user: str, password: str) -> bool:
        address = request.remote_addr or ""
        self.throttle.check(address)
        if self.admin.knows(user, password):
            self.throttle.succeeded(address)
            return True
        self.throttle.failed(address)
        return False

    def _check_csrf(self, given: str) -> None:
        expected = self.csrf()
        if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
            raise Forbidden("this form was not opened in this session: load the page again and repeat")


def _unauthorized(text: str) -> Unauthorized:
    return Unauthorized(text, www_authenticate=WWWAuthenticate("bearer", {"realm": "mcal"}))
