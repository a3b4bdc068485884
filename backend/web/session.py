"""Logging in and out, and the two questions every page and API route asks: who is this, and did they mean it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from datetime import timedelta

from flask import Flask, g, request, session
from flask.sessions import SecureCookieSessionInterface
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
        app.session_interface = _Cookies()
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
        if "id" in session:
            self.log_out()  # nothing of an older session is taken over, and no copy of its cookie opens anything
        session.permanent = True
        session.update(user=self.admin.user, account=self.admin.fingerprint, csrf=secrets.token_urlsafe(24), id=secrets.token_urlsafe(16))
        return True

    def log_out(self) -> None:
        """End this session: a copy of its cookie opens nothing any more."""
        self.admin.ended.add(str(session.get("id", "")), LIFETIME.total_seconds())
        session.clear()

    def in_session(self) -> bool:
        ours = hmac.compare_digest(str(session.get("account", "")), self.admin.fingerprint)
        return ours and "id" in session and str(session["id"]) not in self.admin.ended

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
        with self.throttle.attempt(request.remote_addr or "") as tried:
            tried.right = self.admin.knows(user, password)
        return tried.right

    def _check_csrf(self, given: str) -> None:
        expected = self.csrf()
        if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
            raise Forbidden("this form was not opened in this session: load the page again and repeat")


class _Cookies(SecureCookieSessionInterface):
    """A cookie that was given over https never travels without it. It is signed by HMAC-SHA-256, where Flask takes SHA-1."""

    digest_method = staticmethod(hashlib.sha256)

    def get_cookie_secure(self, app: Flask) -> bool:
        return bool(super().get_cookie_secure(app)) or request.is_secure


def _unauthorized(text: str) -> Unauthorized:
    return Unauthorized(text, www_authenticate=WWWAuthenticate("bearer", {"realm": "mcal"}))
