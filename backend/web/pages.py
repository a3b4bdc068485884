"""The pages: rendered here, kept up to date by a small script that fetches the same fragments again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, flash, g, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException, NotFound, TooManyRequests, Unauthorized
from werkzeug.wrappers import Response as BaseResponse

from backend.campaign import history
from backend.campaign.events import Created
from backend.campaign.state import ENDED, State
from backend.campaign_settings import CampaignSettings, campaign_defaults
from backend.heartbeat import trouble
from backend.steering.abandon import WAYS_OUT
from backend.steering.actions import ACTIONS, possible
from backend.steering.call import Action
from backend.steering.control import SEARCHING, recorded_settings
from backend.steps.names import title_of
from backend.store import Campaign, Conflict
from backend.views import settings_form
from backend.views.certificate import certificate
from backend.views.exports import FORMATS
from backend.views.log import log_row
from backend.views.status import LARGE, status_line
from backend.views.what_if import what_if
from backend.web import action_form
from backend.web.api.campaign_list import ORDERS, WORDS, chosen
from backend.web.api.shapes import CampaignRow
from backend.web.api.table import campaign_row
from backend.web.assets import asset, plotly_style_id
from backend.web.desk import Desk
from backend.web.session import Sessions
from mcal_engine.errors import HistoryError, InvalidValue, MCALError

logger = logging.getLogger(__name__)

OPEN_TO_ALL = ("pages.login", "pages.log_in")
SHOWN_EVENTS = 200
MANY = 6  # campaigns; fewer are found without a search
GOES_ON = {"check": "pages.review"}  # action → the page on which it goes on, if not the campaign's own
MAIN_ACTIONS = ("approve", "resume")  # what a campaign may wait for

Page = str | BaseResponse


class Pages:
    """The views. Every one but the login needs a session, every form its CSRF token (checked before each request)."""

    def __init__(self, desk: Desk, sessions: Sessions) -> None:
        self.desk = desk
        self.sessions = sessions

    def guard(self) -> None:
        if request.endpoint not in OPEN_TO_ALL:
            self.sessions.require_session()

    # --- login

    def login(self) -> Page:
        return render_template("login.html", next=_own_path(request.args.get("next", "")), error="")

    def log_in(self) -> Page:
        target = _own_path(request.form.get("next", ""))
        try:
            if self.sessions.log_in(request.form.get("user", ""), request.form.get("password", "")):
                return redirect(target or url_for("pages.campaigns"), 303)
            status, error = 401, "User or password is not right."
        except TooManyRequests as refused:
            status, error = 429, f"{(refused.description or '').capitalize()}."
        return make_response(render_template("login.html", next=target, error=error), status)

    def log_out(self) -> Page:
        self.sessions.log_out()
        answer = redirect(url_for("pages.login"), 303)
        # Not "cookies": these are the host's, so that another port's, such as Label Studio's, would go too.
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    # --- campaigns

    def campaigns(self) -> Page:
        asked = {name: request.args[name] for name in ("search", "show", "order") if request.args.get(name)}
        rows = self._rows()
        many = len(rows) >= MANY or bool(asked)
        return render_template("campaigns.html", rows=_chosen(rows, asked), asked=asked, many=many, shows=WORDS, orders=ORDERS)

    def campaign_list(self) -> Page:
        asked = {name: request.args[name] for name in ("search", "show", "order") if request.args.get(name)}
        return render_template("parts/campaign_list.html", rows=_chosen(self._rows(), asked), asked=asked)

    def projects(self) -> Page:
        """Label Studio may be slow or away: the page does not wait for it."""
        try:
            return render_template("parts/projects.html", rows=self.desk.projects(), error="")
        except MCALError as error:
            return render_template("parts/projects.html", rows=[], error=str(error))

    def _rows(self) -> list[CampaignRow]:
        return [campaign_row(self.desk, campaign) for campaign in self.desk.store.campaigns()]

    def start(self, project_id: int) -> Page:
        typed = settings_form.as_text(
            {name: field.default for name, field in CampaignSettings.model_fields.items() if not field.is_required()}
        )
        return self._start_form(project_id, typed | campaign_defaults(), {}, 200)

    def begin(self, project_id: int) -> Page:
        typed = _typed()
        settings, errors = settings_form.read(typed)
        if settings is None:
            return self._start_form(project_id, typed, errors, 422)
        try:
            made = self.desk.start(project_id, settings)
        except InvalidValue as error:
            return self._start_form(project_id, typed, {"": str(error)}, 422)
        flash(f"Campaign {made.id} has been requested. The worker visits the project next.")
        return redirect(url_for("pages.campaign", campaign_id=made.id), 303)

    def _start_form(self, project_id: int, typed: dict[str, str], errors: dict[str, str], status: int) -> Page:
        project = self.desk.project(project_id)
        fields = settings_form.fields(typed, errors)
        page = render_template("start.html", project=project, fields=fields, trouble=errors.get("", ""), wrong=len(errors))
        return make_response(page, status)

    # --- one campaign

    def campaign(self, campaign_id: int) -> Page:
        campaign = self.desk.campaign(campaign_id)
        found = self.desk.snapshots.at_hand(campaign_id)
        if found is None and not self._large(campaign_id):
            found = self.desk.snapshots.get(campaign_id)
        if found is None:  # the shell at once, the numbers as soon as they have been read
            said = status_line(self.desk.store, campaign_id, self.desk.now())
            return self._page("campaign.html", campaign, view=None, sentence=f"{said[:1].upper()}{said[1:]}.")
        return self._page("campaign.html", campaign, **self._live(campaign, found.state), sentence=found.view["sentence"])

    def live(self, campaign_id: int) -> Page:
        campaign = self.desk.campaign(campaign_id)
        found = self.desk.snapshots.get(campaign_id)
        return self._page("parts/live.html", campaign, **self._live(campaign, found.state))

    def newcomers(self, campaign_id: int) -> Page:
        """Label Studio may be slow or away: the page does not wait for it."""
        campaign = self.desk.campaign(campaign_id)
        try:
            return render_template("parts/newcomers.html", campaign=campaign, found=self.desk.newcomers(campaign_id), error="")
        except MCALError as error:
            return render_template("parts/newcomers.html", campaign=campaign, found=None, error=str(error))

    def _large(self, campaign_id: int) -> bool:
        created = history.read(self.desk.store, campaign_id, Created)
        return bool(created) and created[-1].event.n_items > LARGE

    def _live(self, campaign: Campaign, state: State) -> dict[str, Any]:
        now = self.desk.machine()
        view = {**self.desk.snapshots.get(campaign.id).view, "machine": now}
        actions, ended = possible(state), state.phase in ENDED
        main = next((name for name in MAIN_ACTIONS if name in actions), "") if view["move"] == "you" else ""
        return {"view": view, "nobody": trouble(now), "actions": actions, "main_action": main, "ended": ended}

    def what_if(self, campaign_id: int) -> Page:
        campaign = self.desk.campaign(campaign_id)
        state = self.desk.snapshots.get(campaign_id).state
        found = what_if(state, {}) if state.observations else None
        return self._page("what_if.html", campaign, found=found, settings=state.settings, judging=state.stage not in SEARCHING)

    def review(self, campaign_id: int) -> Page:
        campaign = self.desk.campaign(campaign_id)
        state = self.desk.snapshots.get(campaign_id).state
        try:
            found = self.desk.snapshots.review(campaign_id, request.args.get("choice") or None)
        except InvalidValue as error:
            raise NotFound(str(error)) from None
        return self._page("review.html", campaign, found=found, checkable=ACTIONS["check"].refuses(state) is None)

    def report(self, campaign_id: int) -> Page:
        campaign = self.desk.campaign(campaign_id)
        found = self.desk.snapshots.get(campaign_id)
        words = certificate(found.state, found.view["report"])
        images = found.state.created is None or found.state.control.reads == "image"
        formats = [row for row in FORMATS.values() if images or not row.images_only]
        return self._page("report.html", campaign, view=found.view, report=found.view["report"], words=words, formats=formats)

    def events(self, campaign_id: int) -> Page:
        campaign = self.desk.campaign(campaign_id)
        rows = self.desk.store.events(campaign_id)
        return self._page("events.html", campaign, rows=[log_row(row) for row in rows[::-1][:SHOWN_EVENTS]], n=len(rows))

    def settings(self, campaign_id: int) -> Page:
        self.desk.campaign(campaign_id)
        try:
            found = self.desk.snapshots.get(campaign_id).view["settings"]
        except HistoryError:  # the form is how bad settings are mended
            found = recorded_settings(self.desk.store, campaign_id)
        return self._settings_form(campaign_id, settings_form.as_text(found), {}, 200)

    def save(self, campaign_id: int) -> Page:
        typed = _typed()
        settings, errors = settings_form.read(typed)
        if settings is None:
            return self._settings_form(campaign_id, typed, errors, 422)
        try:
            notes = self.desk.change(campaign_id, settings.model_dump(mode="json"))
        except (InvalidValue, Conflict, HistoryError) as error:
            name = next((field for field in CampaignSettings.model_fields if str(error).startswith(f"{field} ")), "")
            return self._settings_form(campaign_id, typed, {name: str(error)}, 422)
        for note in notes:
            flash(f"{note if '_' in note.split()[0] else note[:1].upper() + note[1:]}.")  # a setting's name stays as it is
        return redirect(url_for("pages.campaign", campaign_id=campaign_id), 303)

    def _settings_form(self, campaign_id: int, typed: dict[str, str], errors: dict[str, str], status: int) -> Page:
        campaign = self.desk.campaign(campaign_id)
        try:
            state = self.desk.snapshots.get(campaign_id).state
        except HistoryError:
            state = None
        page = self._page(
            "settings.html",
            campaign,
            fields=settings_form.fields(typed, errors),
            trouble=errors.get("", ""),
            wrong=len(errors),
            ended=state is not None and state.phase in ENDED,
            judging=state is not None and state.stage not in SEARCHING,
        )
        return make_response(page, status)

    def confirm(self, campaign_id: int, action: str) -> Page:
        campaign = self.desk.campaign(campaign_id)
        found = _action(action)
        try:
            state = self.desk.snapshots.get(campaign_id).state
        except HistoryError:
            if found.unreadable is None:
                raise
            return self._page("confirm.html", campaign, action=found, what=WAYS_OUT, fields=[])
        if (refusal := found.refuses(state)) is not None:
            return self._page("confirm.html", campaign, action=found, refusal=refusal.text)
        return self._page("confirm.html", campaign, action=found, what=found.says(state), fields=action_form.fields(found, state))

    def act(self, campaign_id: int, action: str) -> Page:
        found = _action(action)
        self.desk.campaign(campaign_id)
        try:
            asked = found.read({name: request.form.get(name) for name in found.asks.model_fields}, typed=False)
            for sentence in self.desk.act(campaign_id, found, asked):
                flash(f"{sentence[:1].upper()}{sentence[1:]}.")
        except MCALError as error:
            flash(f"Nothing was done: {error}", "error")
        return redirect(url_for(GOES_ON.get(action, "pages.campaign"), campaign_id=campaign_id), 303)

    def _page(self, template: str, campaign: Campaign, **values: Any) -> str:
        return render_template(
            template,
            campaign=campaign,
            title=title_of(self.desk.store, campaign.id),
            studio=self.desk.label_studio_url(campaign),
            task_url=lambda task: self.desk.task_url(campaign, task),
            **values,
        )

    def failed(self, error: Exception) -> Page:
        """An error as a page; to the login where there is no session."""
        if isinstance(error, HistoryError) and (campaign_id := (request.view_args or {}).get("campaign_id")) is not None:
            page = self._page("unreadable.html", self.desk.campaign(campaign_id), reason=str(error), ways_out=WAYS_OUT)
            return make_response(page, 503)
        if isinstance(error, Unauthorized):
            if request.headers.get("X-Fragment"):
                return Response("log in again", 401, mimetype="text/plain")
            return redirect(url_for("pages.login", next=request.full_path.rstrip("?") if request.method == "GET" else ""), 303)
        if isinstance(error, HTTPException):
            status, text = error.code or 500, error.description or error.name
        elif isinstance(error, MCALError):
            status, text = (400 if isinstance(error, InvalidValue) else 503), str(error)
        else:
            logger.error("%s %s failed", request.method, request.path, exc_info=error)
            status, text = 500, "Something went wrong here; the server's log has the details."
        return make_response(render_template("error.html", status=status, text=text), status)


def _action(name: str) -> Action[Any]:
    if name not in ACTIONS:
        raise NotFound(f"there is no action {name}")
    return ACTIONS[name]


def _chosen(rows: list[CampaignRow], asked: dict[str, str]) -> list[CampaignRow]:
    try:
        return chosen(rows, **asked)
    except InvalidValue as error:
        raise BadRequest(str(error)) from None


def _typed() -> dict[str, str]:
    """The form as text by name; ticked boxes of one name become a list."""
    return {name: ",".join(request.form.getlist(name)) for name in request.form}


def blueprint(desk: Desk, sessions: Sessions) -> Blueprint:
    made = Blueprint("pages", __name__, template_folder="templates")
    views = Pages(desk, sessions)
    one = "/campaigns/<int:campaign_id>"
    routes: list[tuple[str, str, Callable[..., Page], str]] = [
        ("/login", "login", views.login, "GET"),
        ("/login", "log_in", views.log_in, "POST"),
        ("/logout", "log_out", views.log_out, "POST"),
        ("/campaigns", "campaigns", views.campaigns, "GET"),
        ("/campaigns/list", "campaign_list", views.campaign_list, "GET"),
        ("/campaigns/projects", "projects", views.projects, "GET"),
        ("/projects/<int:project_id>/start", "start", views.start, "GET"),
        ("/projects/<int:project_id>/start", "begin", views.begin, "POST"),
        (one, "campaign", views.campaign, "GET"),
        (f"{one}/live", "live", views.live, "GET"),
        (f"{one}/newcomers", "newcomers", views.newcomers, "GET"),
        (f"{one}/what-if", "what_if", views.what_if, "GET"),
        (f"{one}/review", "review", views.review, "GET"),
        (f"{one}/report", "report", views.report, "GET"),
        (f"{one}/events", "events", views.events, "GET"),
        (f"{one}/settings", "settings", views.settings, "GET"),
        (f"{one}/settings", "save", views.save, "POST"),
        (f"{one}/actions/<action>", "confirm", views.confirm, "GET"),
        (f"{one}/actions/<action>", "act", views.act, "POST"),
    ]
    for path, name, view, method in routes:
        made.add_url_rule(path, name, view, methods=[method])
    made.before_request(views.guard)
    made.register_error_handler(Exception, views.failed)

    @made.app_context_processor
    def common() -> dict[str, Any]:
        return {
            "asset": asset,
            "plotly_style_id": plotly_style_id,
            "csrf": sessions.csrf,
            "user": getattr(g, "by", "") and sessions.admin.user,
        }

    return made


def _own_path(target: str) -> str:
    """Where to go after the login: a page of ours, or nothing. Browsers read a backslash as a slash."""
    parts = urlsplit(target.replace("\\", "/"))
    ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return target if ours and target.isprintable() else ""
