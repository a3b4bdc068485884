"""The app factory: no work at import, everything it needs comes in ``deps``."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest

from backend.web import health, ml_backend, status_page
from backend.web.answers import error_response
from backend.web.ports import WebDeps

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(deps: WebDeps) -> Flask:
    """A Flask app that serves Label Studio, the status page and the health probes."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = deps.max_body_bytes
    app.register_blueprint(ml_backend.blueprint(deps.protocol, deps.access))
    app.register_blueprint(health.blueprint(deps.checks))
    app.register_blueprint(status_page.blueprint(deps))
    app.register_error_handler(Exception, error_response)
    if deps.trusted_hosts:
        app.before_request(_only_by_name(deps.trusted_hosts))
    app.after_request(_harden)
    return app


def _only_by_name(names: tuple[str, ...]) -> Callable[[], None]:
    """Refuse requests under other host names. (Flask's TRUSTED_HOSTS cannot name an IPv6 address.)"""
    trusted = {name.strip("[]").lower() for name in names}

    def check() -> None:
        try:
            name = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        except ValueError:
            name = None
        if name not in trusted:
            raise BadRequest("this server does not go by that host name; set MCAL_PUBLIC_URL to the address it is called by")

    return check


def _harden(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype in ("text/html", "application/json"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
