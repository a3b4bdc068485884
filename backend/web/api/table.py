"""``/api/v1``: everything the pages can do, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound

from backend.campaign.history import reading
from backend.campaign_settings import CampaignSettings
from backend.settings_reference import describe_settings
from backend.steering.actions import ACTIONS
from backend.steering.call import UNREADABLE, Action
from backend.steering.checks import Judgement
from backend.steps.names import title_of
from backend.store import Campaign
from backend.views.certificate import Certificate, certificate
from backend.views.estimate import Estimate
from backend.views.exports import FORMATS, Format, export
from backend.views.journey import Move, move
from backend.views.log import log_row
from backend.views.newcomers import Newcomers
from backend.views.report import Report
from backend.views.review import Review, is_visible
from backend.views.series import Series
from backend.views.status import sentence, standing
from backend.views.what_if import CHANGEABLE, WhatIf, what_if
from backend.web.answers import Answer, json_view, problem_response, read_object
from backend.web.api.bodies import SettingsChange, StartBody
from backend.web.api.campaign_list import WORDS as SHOWN
from backend.web.api.campaign_list import chosen
from backend.web.api.openapi import describe
from backend.web.api.operation import PREFIX, Operation
from backend.web.api.shapes import CampaignList, CampaignRow, Changed, Done, EventList, Judged, ProjectList, SettingTable, ShownCampaign
from backend.web.desk import Desk
from backend.web.session import Sessions
from backend.web.thumbnails import SIDES, Thumbnails
from mcal_engine.errors import MCALError
from mcal_engine.rules import shown

SETTINGS = CampaignSettings.model_json_schema()["properties"]
ONE = "/campaigns/<int:campaign_id>"
EVENTS_AT_ONCE = CAMPAIGNS_AT_ONCE = 200
LONGEST_NUMBER = 18  # digits of what a database column holds for certain


class Api:
    """The views, and :attr:`operations`, the table that routes and description are made from."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.operations = [*self._on_all(), *self._numbers(), *self._course(), *self._checks(), *map(self._action, ACTIONS.values())]

    @cached_property
    def thumbnails(self) -> Thumbnails:
        return Thumbnails(self.desk.max_image_bytes, self.desk.max_image_pixels)

    def _on_all(self) -> list[Operation]:
        pages: dict[str, tuple[dict[str, Any], str]] = {
            "before": ({"type": "integer", "minimum": 0}, "Only campaigns with a smaller id, such as the last one of the page before."),
            "limit": ({"type": "integer", "minimum": 1, "maximum": CAMPAIGNS_AT_ONCE}, "How many at most."),
            "search": ({"type": "string"}, "Only those whose title, sentence or number has every one of these words."),
            "show": ({"type": "string", "enum": list(SHOWN)}, "All, those under way, those that wait for you, or those that have ended."),
        }
        return [
            Operation("GET", "/openapi.json", "openapi", "This description.", self.openapi),
            Operation(
                "GET",
                "/settings",
                "describe_settings",
                "Every setting: type, default, unit, meaning.",
                self.settings_table,
                gives=SettingTable,
            ),
            Operation(
                "GET",
                "/projects",
                "list_projects",
                "The projects that the token sees, with their campaigns.",
                self.projects,
                gives=ProjectList,
            ),
            Operation(
                "POST",
                "/estimate",
                "estimate",
                "What a campaign would ask for first; nothing is started.",
                self.estimate,
                gives=Estimate,
                body=StartBody,
            ),
            Operation(
                "GET",
                "/campaigns",
                "list_campaigns",
                f"All campaigns, the newest first, each in a sentence, {CAMPAIGNS_AT_ONCE} at a time.",
                self.campaigns,
                gives=CampaignList,
                query=pages,
            ),
            Operation(
                "POST",
                "/campaigns",
                "create_campaign",
                "Start a campaign on a project.",
                self.create,
                gives=CampaignRow,
                body=StartBody,
                status=201,
            ),
        ]

    def _numbers(self) -> list[Operation]:
        return [
            Operation("GET", ONE, "show_campaign", "One campaign: every number of its page.", self.show, gives=ShownCampaign),
            Operation(
                "GET",
                f"{ONE}/series",
                "series",
                "The charts: forecasts by round, error curves with fits, the race.",
                self.series,
                gives=Series,
            ),
            Operation(
                "GET", f"{ONE}/report", "report", "What was labelled by whom, what it cost, what is promised.", self.report, gives=Report
            ),
            Operation("GET", f"{ONE}/certificate", "certificate", "The certificate in plain words.", self.certificate, gives=Certificate),
            *map(self._export, FORMATS.values()),
            Operation(
                "GET",
                f"{ONE}/newcomers",
                "newcomers",
                "Tasks that were added after the campaign had finished.",
                self.newcomers,
                gives=Newcomers,
            ),
        ]

    def _course(self) -> list[Operation]:
        tried = {name: ({"type": SETTINGS[name].get("type", "string")}, f"{name} to try.") for name in CHANGEABLE}
        after = {
            "after": ({"type": "integer", "minimum": 0}, "Sequence number of the last event that is known."),
            "limit": ({"type": "integer", "minimum": 1, "maximum": EVENTS_AT_ONCE}, "How many at most."),
        }
        return [
            Operation(
                "GET",
                f"{ONE}/settings",
                "show_settings",
                "The settings as the admin wants them.",
                self.show_settings,
                gives=CampaignSettings,
            ),
            Operation(
                "PATCH",
                f"{ONE}/settings",
                "set_settings",
                "Change settings from the next decision on.",
                self.change,
                gives=Changed,
                body=SettingsChange,
            ),
            Operation(
                "GET",
                f"{ONE}/events",
                "events",
                f"The history in sentences, oldest first, {EVENTS_AT_ONCE} at a time.",
                self.events,
                gives=EventList,
                query=after,
            ),
            Operation(
                "GET",
                f"{ONE}/what-if",
                "what_if",
                "What the engine would decide now with other settings.",
                self.what_if,
                gives=WhatIf,
                query=tried,
            ),
        ]

    def _checks(self) -> list[Operation]:
        picture = {"image/webp": {"type": "string", "format": "binary"}}
        return [
            Operation(
                "GET",
                f"{ONE}/review",
                "review",
                "Checks by eye, the machine's least sure labels, what it confuses, and V's errors once it is decided.",
                self.review,
                gives=Review,
                query={"choice": ({"type": "string"}, "List the least sure labels of this class alone.")},
            ),
            Operation(
                "POST",
                f"{ONE}/judge",
                "judge",
                "Say of some machine labels of the open check whether they are right or wrong; the last word on each counts.",
                self.judge,
                gives=Judged,
                body=Judgement,
            ),
            Operation(
                "GET",
                f"{ONE}/images/<int:task_id>",
                "image",
                "A small picture of a task that the review or the list of set-aside items shows.",
                self.image,
                query={"side": ({"type": "integer", "enum": list(SIDES)}, "Pixels of its longer side, at most.")},
                answers=picture,
            ),
        ]

    def _action(self, action: Action[Any]) -> Operation:
        """A row of the table of actions, as a route; one that asks nothing needs no body."""
        body = action.asks if action.asks.model_fields else None

        def act(campaign_id: int) -> Answer:
            asked = action.read(read_object() if body else {}, typed=True)
            notes = self.desk.act(campaign_id, action, asked)
            return {"campaign": campaign_id, "notes": notes, "phase": self.desk.phase(campaign_id)}, 200

        name = action.name.replace("-", "_")
        return Operation("POST", f"{ONE}/{action.name}", name, action.summary, act, details=action.details, body=body, gives=Done)

    def _export(self, row: Format) -> Operation:
        """A row of the table of formats, as a route."""

        def view(campaign_id: int) -> Response:
            found = self.desk.snapshot(campaign_id)
            content = row.chunks(export(self.desk.store, found.state, found.view["report"]))
            name = f'attachment; filename="campaign-{campaign_id}-{row.file}"'
            return Response(content, mimetype=row.media_type, headers={"Content-Disposition": name, "Cache-Control": "no-store"})

        answers = {row.media_type: {"type": "string"} | ({"format": "binary"} if row.media_type == "application/zip" else {})}
        return Operation("GET", f"{ONE}/{row.file}", f"export_{row.name}", row.summary, view, answers=answers)

    def openapi(self) -> Answer:
        return describe(self.operations), 200

    def settings_table(self) -> Answer:
        return {"settings": [row._asdict() for row in describe_settings()]}, 200

    def projects(self) -> Answer:
        return {"projects": self.desk.projects()}, 200

    def estimate(self) -> Answer:
        asked = StartBody.read(read_object(), typed=True)
        return dict(self.desk.estimate(asked.project, asked.settings)), 200

    def campaigns(self) -> Answer:
        before, limit = _whole("before", request.args.get("before", "9" * LONGEST_NUMBER)), _limit(CAMPAIGNS_AT_ONCE)
        rows = sorted((each for each in self.desk.store.campaigns() if each.id < before), key=lambda each: -each.id)
        wanted = {name: request.args[name] for name in ("search", "show") if request.args.get(name)}
        if not wanted:
            return {"campaigns": [campaign_row(self.desk, campaign) for campaign in rows[:limit]], "more": len(rows) > limit}, 200
        found = chosen((campaign_row(self.desk, campaign) for campaign in rows), **wanted)
        return {"campaigns": found[:limit], "more": len(found) > limit}, 200

    def create(self) -> Answer:
        asked = StartBody.read(read_object(), typed=True)
        return dict(campaign_row(self.desk, self.desk.start(asked.project, asked.settings))), 201

    def show(self, campaign_id: int) -> Answer:
        return {**self.desk.snapshot(campaign_id).view, "machine": self.desk.machine()}, 200

    def series(self, campaign_id: int) -> Answer:
        self.desk.campaign(campaign_id)
        return dict(self.desk.snapshots.series(campaign_id)), 200

    def report(self, campaign_id: int) -> Answer:
        return dict(self.desk.snapshot(campaign_id).view["report"]), 200

    def certificate(self, campaign_id: int) -> Answer:
        found = self.desk.snapshot(campaign_id)
        return dict(certificate(found.state, found.view["report"])), 200

    def newcomers(self, campaign_id: int) -> Answer:
        return dict(self.desk.newcomers(campaign_id)), 200

    def show_settings(self, campaign_id: int) -> Answer:
        return dict(self.desk.snapshot(campaign_id).view["settings"]), 200

    def change(self, campaign_id: int) -> Answer:
        return {"campaign": campaign_id, "notes": self.desk.change(campaign_id, read_object())}, 200

    def events(self, campaign_id: int) -> Answer:
        self.desk.campaign(campaign_id)
        rows = self.desk.store.events(campaign_id, after=_whole("after", request.args.get("after", "0")))
        limit = _limit(EVENTS_AT_ONCE)
        return {"events": [log_row(row) for row in rows[:limit]], "more": len(rows) > limit}, 200

    def what_if(self, campaign_id: int) -> Answer:
        changes = {name: text for name, text in request.args.items() if text.strip()}
        return dict(what_if(self.desk.snapshot(campaign_id).state, changes)), 200

    def review(self, campaign_id: int) -> Answer:
        self.desk.campaign(campaign_id)
        return dict(self.desk.snapshots.review(campaign_id, request.args.get("choice") or None)), 200

    def judge(self, campaign_id: int) -> Answer:
        found = self.desk.judge(campaign_id, Judgement.read(read_object(), typed=True))
        return {"campaign": campaign_id, "check": found.number, "n_judged": len(found.judged), "done": found.done}, 200

    def image(self, campaign_id: int, task_id: int) -> Response:
        found = self.desk.snapshot(campaign_id)
        item = found.state.items.get(task_id)
        aside = {each["task"] for each in found.view["set_aside"] if each["readable"]}
        if found.state.created is not None and found.state.control.reads == "text":
            raise NotFound(f"the items of campaign {campaign_id} are texts; the review has their beginnings")
        seen = task_id in aside or is_visible(found.state, self.desk.snapshots.review(campaign_id), task_id)
        if item is None or item.deleted or not seen:
            raise NotFound(f"campaign {campaign_id} has no task {task_id} to review")
        form = found.state.image_form
        side = _whole("side", request.args.get("side", str(SIDES[0])))
        if side not in SIDES:
            raise BadRequest(f"side must be {' or '.join(map(str, SIDES))}, got {side}")
        content = self.thumbnails.get(self.desk.tools(), campaign_id, item, gray=None if form is None else form.gray, side=side)
        return Response(content, mimetype="image/webp", headers={"Cache-Control": "private, max-age=3600"})


def _whole(name: str, text: str) -> int:
    """A whole number that a database column can hold. ``isdigit`` alone takes other scripts' digits, and ``²``."""
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise BadRequest(f"{name} must be a whole number from 0 on, of at most {LONGEST_NUMBER} digits, got {shown(text)}")
    return int(text)


def _limit(most: int) -> int:
    """How many rows are asked for, at most ``most``."""
    asked = _whole("limit", request.args.get("limit", str(most)))
    if not 1 <= asked <= most:
        raise BadRequest(f"limit must be in 1 … {most}, got {asked}")
    return asked


def blueprint(desk: Desk, sessions: Sessions) -> Blueprint:
    """Every operation behind the login."""
    made = Blueprint("api", __name__, url_prefix=PREFIX)
    for operation in Api(desk).operations:
        view = _guarded(operation.view, sessions)
        made.add_url_rule(operation.path, operation.name, view, methods=[operation.method])
    return made


def campaign_row(desk: Desk, campaign: Campaign) -> CampaignRow:
    """One line of the list; a broken history must not hide the other campaigns."""
    whose: Move = "you"
    phase, said = UNREADABLE, ""
    try:
        with reading(f"campaign {campaign.id}"):
            state = standing(desk.store, campaign.id, desk.now())
            phase, whose, said = state.phase.value, move(state), sentence(state)
    except MCALError as error:
        said = f"It is unreadable: {error}"
    return CampaignRow(
        campaign=campaign.id,
        project=campaign.project_id,
        title=title_of(desk.store, campaign.id),
        created_at=campaign.created_at.isoformat(),
        live=campaign.id in {each.id for each in desk.store.live_campaigns()},
        url=f"{desk.label_studio_url(campaign)}/projects/{campaign.project_id}/",
        phase=phase,
        move=whose,
        sentence=f"{said[:1].upper()}{said[1:]}",
    )


def _guarded(view: Callable[..., Answer | Response], sessions: Sessions) -> Callable[..., Response]:
    @wraps(view)
    def answer(**arguments: Any) -> Response:
        try:
            sessions.require_caller()
            found = view(**arguments)
        except Exception as error:  # noqa: BLE001 (becomes a status, and a log entry where it is ours)
            return problem_response(error)
        return found if isinstance(found, Response) else json_view(lambda: found)()

    return answer
