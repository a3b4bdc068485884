"""One campaign as people see it: every number of its page, and of the API, comes from here. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from backend.campaign.events import Happening
from backend.campaign.history import Entry
from backend.campaign.state import Phase, State
from backend.store import Campaign, Item
from backend.views import journey
from backend.views.aside import why
from backend.views.bands import Band, drawn_in
from backend.views.classes import ClassRow, absent_from_test, absent_from_training, classes
from backend.views.decisions import Decided, decided, plan_values
from backend.views.money import Money, money, plan_in_force
from backend.views.people import annotators as people
from backend.views.people.labour import Labour, labour
from backend.views.questions import QuestionRow, questions
from backend.views.report import Report, make_report, missed
from backend.views.status import sentence, training_seconds
from backend.views.texts import text_of

SHOWN_ASIDE = 100  # set-aside items that are listed


class Part(TypedDict):
    """One segment of the bar: ``n`` items; all segments add up to all items."""

    key: str
    name: str
    n: int


class Training(TypedDict):
    """A training under way: seconds since the labels for it were complete, and what the last one took (``None``: it is the first)."""

    seconds: float
    expected_seconds: float | None


class Aside(TypedDict):
    """An item that neither people nor the machine could label; ``readable``: there is a picture to look at; ``text``: or a text."""

    task: int
    why: str
    readable: bool
    text: str | None


class View(TypedDict):
    campaign: int
    project: int
    title: str
    created_at: str
    as_of: str
    phase: str
    stage: str
    sentence: str
    last_seq: int
    halt: dict[str, str] | None
    target_missed: bool
    stop_requested_by: str | None
    settings: dict[str, Any]
    settings_in_force: dict[str, Any]
    steps: list[journey.Step]
    move: journey.Move
    error: journey.Error
    queue: dict[str, Any] | None
    training: Training | None
    trained_on: list[str]
    money: Money
    bar: list[Part]
    bands: list[Band]
    plan: dict[str, Any] | None
    decisions: list[Decided]
    classes: list[ClassRow]
    classes_absent_from_test: list[str]
    classes_absent_from_training: list[str]
    questions: NotRequired[list[QuestionRow]]  # where there are several, or several choices at one
    annotators: list[people.Annotator]
    pace: people.Pace
    labour: Labour
    n_set_aside: int
    set_aside: list[Aside]
    report: Report


def campaign_view(state: State, campaign: Campaign, history: Sequence[Entry[Happening]], now: datetime) -> View:
    """Everything about a campaign at ``now``, as JSON values. ``history`` is whole."""
    work = labour(state)
    rows = classes(state, history)
    paid = money(state, work)
    report = make_report(state, now, work, paid)
    aside = state.set_aside
    said = sentence(state)
    view = View(
        campaign=campaign.id,
        project=campaign.project_id,
        title=state.title,
        created_at=campaign.created_at.isoformat(),
        as_of=now.isoformat(),
        phase=state.phase.value,
        stage=state.stage.value,
        sentence=f"{said[:1].upper()}{said[1:]}".rstrip(".") + ".",
        last_seq=state.last_seq,
        halt=None if state.halt is None else {"reason": state.halt.reason, "fix": state.halt.fix},
        target_missed=missed(report),
        stop_requested_by=state.stop_requested_by,
        settings=state.wanted.model_dump(mode="json"),
        settings_in_force=state.settings.model_dump(mode="json"),
        steps=journey.steps(state),
        move=journey.move(state),
        error=journey.error(state, report),
        queue=_queue(state),
        training=_training(state),
        trained_on=sorted({device for device in state.devices.values() if device}),
        money=paid,
        bar=bar(report, paid),
        bands=drawn_in(state),
        plan=plan_values(plan_in_force(state)),
        decisions=decided(history),
        classes=rows,
        classes_absent_from_test=absent_from_test(rows) if state.created is not None and state.control.plain else [],
        classes_absent_from_training=absent_from_training(state),
        annotators=people.annotators(state),
        pace=people.pace(state, work, paid["left"]),
        labour=work,
        n_set_aside=len(aside),
        set_aside=[_aside(state, item) for item in aside[:SHOWN_ASIDE]],
        report=report,
    )
    if asked := questions(state):
        view["questions"] = asked
    return view


def bar(report: Report, paid: Money) -> list[Part]:
    """All items by what became of them; what is open is split as it was decided, or else as it is planned."""
    planned = min(paid["machine_left"], report["n_open"])
    parts = [
        ("test", "Test (T)", report["n_test"]),
        ("train", "Training (B)", report["n_train"]),
        ("certificate", "Certificate (V)", report["n_certificate"]),
        ("audit", "Audited", report["n_audit"]),
        ("residual", "Rest, by people", report["n_residual"]),
        ("machine", "Machine (S*)", report["n_machine"]),
        ("planned", "Machine, to come", planned),
        ("open", "Open", report["n_open"] - planned),
        ("aside", "Set aside", report["n_set_aside"]),
    ]
    return [Part(key=key, name=name, n=n) for key, name, n in parts if n]


def _aside(state: State, item: Item) -> Aside:
    text = text_of(state, item.task_id)
    return Aside(task=item.task_id, why=why(item), readable=item.unreadable is None and text is None, text=text)


def _training(state: State) -> Training | None:
    since = None if state.progress is None else state.progress.quiet_since
    if state.phase != Phase.TRAINING_DUE or since is None:
        return None
    return Training(seconds=max((state.at - since).total_seconds(), 0.0), expected_seconds=training_seconds(state))


def _queue(state: State) -> dict[str, Any] | None:
    if state.ended or state.queue is None or state.progress is None or state.queue.kind == "residual" or state.stage == Phase.WRITING_BACK:
        return None
    seen = state.progress
    return {
        "kind": state.queue.kind,
        "round": state.queue.round,
        "asked": seen.asked,
        "labelled": seen.labelled,
        "skipped": seen.skipped,
        "gone": seen.gone,
        "missing": len(seen.missing),
        "twice": seen.twice,
        "second": seen.second,
        "work_ahead": len(state.queue.ids) - state.queue.n_asked,
    }
