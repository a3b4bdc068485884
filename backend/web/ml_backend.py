"""Label Studio's ML-backend routes: one table, served by our own app and put over those of a label-studio-ml app alike."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from flask import Blueprint, Flask, Response, after_this_request, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.web.access import Access
from backend.web.answers import Answer, json_view, read_object
from backend.web.connections import UNTRUSTED_BODY_BYTES
from backend.web.ports import MAX_BODY_BYTES, MLHandler

App = Flask  # what label-studio-ml makes: the plugin names it without a Flask of its own
MODEL_CLASS = "MCALBackend"
BODY_LOGGERS = ("log_request_info", "log_response_info")  # label-studio-ml's; they write bodies, which hold a sharing token, to the log


@dataclass(frozen=True, slots=True)
class Route:
    path: str
    method: str
    name: str
    view: Callable[..., Response]


def routes(protocol: MLHandler, access: Access) -> list[Route]:
    """Every route as a view that answers in JSON. Health says nothing worth hiding and asks for no login."""

    def health() -> Answer:
        return {"status": "UP", "model_class": MODEL_CLASS}, 200

    def setup() -> Answer:
        access.require_login()
        return protocol.setup(read_object()), 200

    def predict() -> Answer:
        access.require_login()
        return protocol.predict(read_object()), 200

    def webhook() -> Answer:
        trusted = access.trusts_webhook()
        if not trusted:
            request.max_content_length = UNTRUSTED_BODY_BYTES
        body = read_object()
        answer = protocol.webhook(body, trusted=trusted)
        wait = protocol.keep_apart(body) if trusted else None
        if wait is not None:
            after_this_request(partial(_hold_back, wait))
        return answer, 200

    def train() -> Answer:
        access.require_login()
        answer = protocol.train(read_object())
        return answer, 201 if answer["status"] == "ok" else 200

    def versions() -> Answer:
        access.require_login()
        return protocol.versions(), 200

    table = [
        ("/", "GET", health),
        ("/health", "GET", health),
        ("/setup", "POST", setup),
        ("/predict", "POST", predict),
        ("/webhook", "POST", webhook),
        ("/train", "POST", train),
        ("/versions", "GET", versions),
        ("/versions", "POST", versions),
    ]
    return [Route(path, method, f"{method.lower()}_{path.strip('/') or 'root'}", json_view(view)) for path, method, view in table]


def _hold_back(wait: Generator[float, None, None], response: AnyResponse) -> AnyResponse:
    """Send a blank after each part of the wait, and the answer at its end: whoever reads it sees that it is on its way."""
    answer = response.get_data()

    def parts() -> Iterator[bytes]:
        with closing(wait):
            for _ in wait:
                yield b" "
        yield answer

    response.response = parts()
    response.headers.pop("Content-Length", None)
    return response


def blueprint(protocol: MLHandler, access: Access) -> Blueprint:
    made = Blueprint("ml_backend", __name__)
    for route in routes(protocol, access):
        made.add_url_rule(route.path, route.name, route.view, methods=[route.method])
    made.before_request(_show_people_the_pages)
    return made


def _show_people_the_pages() -> AnyResponse | None:
    """Whoever opens the server's bare address in a browser wants to see the campaigns, not that the model is up."""
    asked_by_person = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    return redirect(url_for("pages.campaigns")) if request.path == "/" and asked_by_person else None


def override_routes(app: App, protocol: MLHandler, access: Access) -> App:
    """Answer on an app that label-studio-ml made as on our own; call it before the app's first request. Returns the app.

    Views are replaced because Flask serves the first rule that matches: a blueprint added later would never be reached.
    """
    found = {(rule.rule, method): rule.endpoint for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    for route in routes(protocol, access):
        endpoint = found.get((route.path, route.method))
        if endpoint is None:
            app.add_url_rule(route.path, f"mcal_{route.name}", route.view, methods=[route.method])
        else:
            app.view_functions[endpoint] = route.view
    for before in app.before_request_funcs.values():
        before[:] = [function for function in before if function.__name__ not in BODY_LOGGERS]
    for after in app.after_request_funcs.values():
        after[:] = [function for function in after if function.__name__ not in BODY_LOGGERS]
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    return app
