"""The app factory: no work at import, everything it needs comes in ``deps``."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import BadRequest, HTTPException, NotFound
from werkzeug.routing import IntegerConverter

from backend.web import assets, docs, formats, health, metrics, ml_backend, pages
from backend.web.answers import error_response
from backend.web.api import table as api
from backend.web.api.operation import PREFIX
from backend.web.ports import WebDeps
from backend.web.session import Sessions

# Everything from this server, nothing inline. plotly.js can do with it too: its own style rules are in static/plotly.css.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
A_YEAR_IN_SECONDS = 31_536_000


def create_app(deps: WebDeps) -> Flask:
    """A Flask app that serves Label Studio, the admin's pages and API, and the health probes."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = deps.max_body_bytes
    app.url_map.converters["int"] = _Id
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    sessions = Sessions(deps.desk.admin)
    sessions.configure(app)
    formats.install(app)
    app.register_blueprint(ml_backend.blueprint(deps.protocol, deps.access))
    app.register_blueprint(health.blueprint(deps.checks, deps.notes))
    app.register_blueprint(assets.blueprint())
    app.register_blueprint(docs.blueprint())
    app.register_blueprint(api.blueprint(deps.desk, sessions))
    app.register_blueprint(metrics.blueprint(deps.desk, sessions))
    app.register_blueprint(pages.blueprint(deps.desk, sessions))
    app.register_error_handler(Exception, _failed)
    if deps.trusted_hosts:
        app.before_request(_only_by_name(deps.trusted_hosts))
    app.after_request(_harden)
    return app


def _failed(error: Exception) -> Response:
    """An address that no room of the server knows: a page for people, JSON for programs."""
    asked_by_person = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    if not asked_by_person or not isinstance(error, HTTPException) or error.code != NotFound.code or request.path.startswith(PREFIX):
        return error_response(error)
    text = f"there is no page {request.path}"
    return make_response(render_template("error.html", status=NotFound.code, text=text), NotFound.code)


class _Id(IntegerConverter):
    """An id that a database can hold, in plain digits; others are not found. Python refuses to read thousands of digits."""

    regex = r"[0-9]{1,18}"


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
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={A_YEAR_IN_SECONDS}")
    if response.mimetype in ("text/html", "application/json", "application/problem+json", "text/plain"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
