"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.campaign import facts
from backend.campaign.history import reading
from backend.campaign.state import State, derive, state_of
from backend.heartbeat import machine, trouble
from backend.steering.call import UNREADABLE
from backend.steps.names import title_of
from backend.store import Store
from backend.views.campaign import View, campaign_view
from backend.views.classes import Bound, Share
from backend.views.people.disagreement import Disagreement
from backend.views.questions import QuestionRow
from backend.views.report import make_report
from backend.views.status import sentence
from mcal_engine.errors import MCALError
from mcal_engine.words import counted

SHOWN: tuple[Literal["title", "pace", "labour", "annotators", "classes"], ...] = ("title", "pace", "labour", "annotators", "classes")
WIDE = 140  # columns where output is not a terminal, whose width nobody knows


def new_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a log."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDE)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def report_of(store: Store, campaign_id: int, now: datetime) -> dict[str, Any]:
    return dict(make_report(state_of(store, campaign_id, now), now))


def campaigns(store: Store, now: datetime, *, as_json: bool) -> None:
    """All campaigns, newest first, each in a sentence."""
    rows = [_row(store, campaign.id, now) for campaign in sorted(store.campaigns(), key=lambda each: each.id, reverse=True)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("there are no campaigns yet; mcal campaign create starts one")
        return
    table = Table("campaign", "project", "title", "started", "phase", "doing", box=None, header_style="bold")
    for row in rows:
        table.add_row(
            str(row["campaign"]),
            str(row["project"]),
            escape(row["title"]),
            row["created_at"][:16].replace("T", " "),
            row["phase"],
            escape(row["sentence"]),
        )
    new_console().print(table)


def campaign(store: Store, campaign_id: int, now: datetime, *, as_json: bool) -> None:
    """One campaign: where it stands, its settings, its rounds."""
    known = facts.load(store, campaign_id)
    state = derive(known, now)
    view = campaign_view(state, known.campaign, known.events, now)
    found = dict(view["report"])
    settings = view["settings"]
    if as_json:
        more = {name: view[name] for name in SHOWN}
        print_json(_row(store, campaign_id, now) | {"settings": settings, "progress": _progress(state), "report": found} | more)
        return
    console = new_console()
    title = f" ({escape(state.title)})" if state.title else ""
    console.print(f"[bold]campaign {campaign_id}[/] on project {state.project_id}{title}: {escape(sentence(state))}")
    if not state.ended and (nobody := trouble(machine(store))):
        console.print(f"nobody is working: {nobody}", markup=False, style="red")
    if found["sentence"]:
        console.print(found["sentence"], markup=False)
    for line in view["report"].get("warnings", []):
        console.print(f"warning: {line}", markup=False)
    for row in view["report"]["audits"]:
        console.print(row["sentence"], markup=False)
    for line in people_lines(view):
        console.print(line, markup=False)
    console.print(_rounds(found))
    if view["annotators"]:
        console.print(_annotators(view))
    if "disagreement" in view["report"]:
        _print_disagreement(console, view["report"]["disagreement"])
    if view["labour"]["kinds"]:
        console.print(_lead_times(view))
    if "questions" in view:
        console.print(_questions(view["questions"]))
    if view["classes"]:
        console.print(_classes(view))
        absent = {"training labels": view["classes_absent_from_training"], "the test set": view["classes_absent_from_test"]}
        for where, choices in absent.items():
            if choices:
                console.print(f"not among {where}: {', '.join(choices)}", markup=False)
    table = Table("setting", "value", box=None, header_style="bold")
    for name, value in settings.items():
        table.add_row(name, escape(_text(value)))
    console.print(table)


def people_lines(view: View) -> list[str]:
    """What is left for people and what a label costs them, in sentences."""
    pace, work, settings = view["pace"], view["labour"], view["settings_in_force"]
    lines = []
    if pace["n_left"]:
        hours = "" if pace["work_hours_left"] is None else f", {pace['work_hours_left']:,.1f} h of work"
        day = f"{counted(pace['labels_today'], 'label')} by {pace['people_today']} people in the last 24 h"
        done = (
            f"at that pace done by {pace['finish_at'][:16].replace('T', ' ')} UTC"
            if pace["finish_at"]
            else "too few to tell when it is done"
        )
        lines.append(f"left for people: {counted(pace['n_left'], 'label')}{hours}; {day}: {done}")
    if work["seconds_per_label"] is not None:
        cut = f"{counted(work['n'], 'lead time')}, {work['n_capped']:,} of them cut to {work['cap']:g} medians"
        line = f"a label takes {work['seconds_per_label']:.1f} s ({cut})"
        if work["price_per_label"] is not None:
            line += f": {work['price_per_label']:.3g} {settings['currency']} at {work['price_per_hour']:g} per hour"
        lines.append(line)
    return lines


def report(found: Mapping[str, Any], console: Console | None = None) -> None:
    """The report as a table."""
    console = console or new_console()
    money = found["currency"]
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    if found["n_items"] is None:
        console.print("nothing is known yet: the project has not been visited", markup=False)
        return
    table.add_row("items", f"{found['n_items']:,}", _parts(found))
    table.add_row("by the machine", f"{found['n_machine']:,}", _promise(found))
    extra = {"repeats": found["duplicates"], "second labels, asked for": found.get("second_labels", 0)}
    among = ", ".join(f"{n:,} of them {name}" for name, n in extra.items() if n)
    table.add_row("human labels paid", f"{found['human_labels']:,}", among)
    work = found.get("labour")
    paid = f"at {found['price_per_label']:g} per label"
    if work is not None:
        paid = f"{work['hours']:,.1f} h at {work['price_per_hour']:g} per hour; idle lead times cut to {work['cap']:g} medians"
    table.add_row("human cost", f"{found['human_cost']:,.2f} {money}", paid)
    trained = f"{found['training_seconds']:,.0f} s at {found['machine_price_per_hour']:g} per hour"
    table.add_row("training cost", f"{found['training_cost']:,.2f} {money}", trained)
    table.add_row("total cost", f"{found['total_cost']:,.2f} {money}", f"people alone: {found['human_only_cost']:,.2f} {money}")
    ended = found.get("phase") in (None, "finished")  # simulated campaigns have no phase
    if not ended and found.get("forecast") is not None:
        table.add_row("forecast, whole bill", f"{found['forecast']:,.2f} {money}", "")
    if found["savings"] is not None:
        table.add_row("savings", f"{found['savings']:.1%}", "" if ended else "of the forecast")
    if found.get("true_overall_error") is not None:
        table.add_row("true error, all items", f"{found['true_overall_error']:.2%}", f"target {found['target_error']:.2%}")
    if found.get("true_machine_error") is not None:
        table.add_row("true error, machine's", f"{found['true_machine_error']:.2%}", "")
    if found.get("disagreement"):
        table.add_row("two people differ", *_differ(found["disagreement"]))
    for row in found.get("audits", ()):
        table.add_row(f"audit {row['audit']}", "" if row["upper_bound"] is None else f"{row['upper_bound']:.2%}", escape(row["sentence"]))
    for line in found.get("warnings", ()):
        table.add_row("warning", "", escape(line))
    table.add_row("ended because", str(found["stop_reason"] or "not yet"), escape(found["sentence"]))
    table.add_row("time", f"{found['wall_seconds'] / 60:,.1f} min", f"campaign {found['campaign']}, seed {found['seed']}")
    console.print(table)


def _row(store: Store, campaign_id: int, now: datetime) -> dict[str, Any]:
    known = store.campaign(campaign_id)
    row: dict[str, Any] = {"campaign": known.id, "project": known.project_id, "label_studio_url": known.label_studio_url}
    row["created_at"] = known.created_at.isoformat()
    row["title"] = title_of(store, campaign_id)
    try:
        with reading(f"campaign {campaign_id}"):
            state = state_of(store, campaign_id, now)
            return row | {"phase": state.phase.value, "sentence": sentence(state)}
    except MCALError as error:  # one broken history must not hide the others
        return row | {"phase": UNREADABLE, "sentence": f"it is unreadable: {error}"}


def _progress(state: State) -> dict[str, Any] | None:
    if state.queue is None or state.progress is None:
        return None
    seen = state.progress
    counts = {"asked": seen.asked, "labelled": seen.labelled, "skipped": seen.skipped, "gone": seen.gone, "missing": len(seen.missing)}
    return {"queue": state.queue.kind, "model_version": state.queue.model_version, **counts}


def _rounds(found: Mapping[str, Any]) -> Table:
    table = Table("round", "labels paid", "trained on", "forecast total", "saves", "decision", box=None, header_style="bold")
    for row in found["rounds"]:
        plan = row["plan"]
        total = "" if plan is None else f"{plan['total_cost']:,.2f} {found['currency']}"
        saves = "" if plan is None or not found["human_only_cost"] else f"{1 - plan['total_cost'] / found['human_only_cost']:.0%}"
        table.add_row(str(row["round"]), f"{row['n_labels_paid']:,}", f"{row['n_train']:,}", total, saves, escape(row["sentence"]))
    return table


def _annotators(view: View) -> Table:
    table = Table(
        "annotator", "labels", "second labels", "last 24 h", "minutes", "per hour at work", "median time", box=None, header_style="bold"
    )
    for row in view["annotators"]:
        pace = "" if row["labels_per_hour"] is None else f"{row['labels_per_hour']:,.0f}"
        time = "" if row["median_lead_time"] is None else f"{row['median_lead_time']:.1f} s"
        minutes = "" if row["minutes"] is None else f"{row['minutes']:,.0f}"
        counts = (f"{row['labels']:,}", f"{row['second_labels']:,}" if row["second_labels"] else "", f"{row['today']:,}", minutes)
        table.add_row(escape(row["name"] or f"#{row['annotator']}"), *counts, pace, time)
    return table


def _print_disagreement(console: Console, found: Disagreement) -> None:
    """What second labels say, in sentences, then by person and by pair of choices."""
    for line in found["sentences"]:
        console.print(line, markup=False)
    if found["advice"]:
        console.print(found["advice"], markup=False, style="yellow")
    if not found["annotators"]:
        return
    table = Table("labelled twice by", "differs from the other", "most confused", box=None, header_style="bold")
    confused = [f"{' / '.join(row['choices'])}: {row['n']:,}" for row in found["confusions"]]
    for person, pair in zip_longest(found["annotators"], confused):
        name = "" if person is None else person["name"] or f"#{person['annotator']}"
        table.add_row(escape(name), "" if person is None else _share(person["differing"]), escape(pair or ""))
    console.print(table)
    pairs = Table("two people", "say the same", "kappa", box=None, header_style="bold")
    for row in found.get("agreement", []):
        names = " and ".join(name or f"#{number}" for name, number in zip(row["names"], row["annotators"], strict=True))
        kappa = "" if row["kappa"] is None else f"{row['kappa']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        pairs.add_row(escape(names), _share(row["same"]), kappa)
    console.print(pairs)


def _differ(found: Disagreement) -> tuple[str, str]:
    """The share that ε is held against, and what that means."""
    counted = found["certificate"] if found["compared"] == "certificate" else found["test"]
    if counted["share"] is None:
        return "", "no item has a second label yet"
    finer = {"none": "", "mild": "; the target is below it", "strong": "; the target is finer than people agree"}[found["warning"]]
    where = "certificate sample" if found["compared"] == "certificate" else "test set"
    return f"{counted['share']:.1%}", f"on {_share(counted)} items of the {where}{finer}"


def _lead_times(view: View) -> Table:
    table = Table("queue", "labels", "mean", "median", "middle half", "suggestion kept", box=None, header_style="bold")
    for row in view["labour"]["kinds"]:
        name = row["kind"] + (", with suggestion" if row["assisted"] else "")
        middle = f"{row['low']:.1f} to {row['high']:.1f} s"
        kept = "" if row["kept"] is None else f"{row['kept']:.0%}"
        table.add_row(name, f"{row['n']:,}", f"{row['mean']:.1f} s", f"{row['median']:.1f} s", middle, kept)
    return table


def _classes(view: View) -> Table:
    precision = view["settings_in_force"]["min_class_precision"]
    names = ["choice", "people", "machine", "wrong, test items", "test items to the machine", "wrongly", "wrong, certificate items"]
    table = Table(*names, *([] if precision is None else [f"{precision:.4g} right"]), box=None, header_style="bold")
    for row in view["classes"]:
        shares = (row["wrong"], row["to_machine"], row["machine_wrong"], row["sample"])
        bound = [] if row["bound"] is None else [_bound(row["bound"])]
        table.add_row(escape(row["choice"]), f"{row['human']:,}", f"{row['machine']:,}", *map(_share, shares), *bound)
    return table


def _questions(rows: Sequence[QuestionRow]) -> Table:
    table = Table("question", "choice", "people", "machine", "wrong, test items", "two people differ", box=None, header_style="bold")
    for row in rows:
        shares = [_share(row["wrong"]), _share(row["differing"])]
        for place, each in enumerate(row["choices"]):
            choice = "no answer" if each["choice"] is None else each["choice"]
            name = escape(row["question"]) if not place else ""
            table.add_row(name, escape(choice), f"{each['human']:,}", f"{each['machine']:,}", *(["", ""] if place else shares))
    return table


def _bound(found: Bound) -> str:
    """What a bound per class leaves to the machine, of what it would have had."""
    offered = f"{found['n_offered']:,}"
    status = {"waiting": "", "none": "", "kept": "all", "cut": f"{found['n_machine']:,} of {offered}", "people": f"none of {offered}"}
    return status[found["status"]]


def _share(found: Share) -> str:
    if found["low"] is None or found["high"] is None:
        return ""
    return f"{found['count']:,} of {found['n']:,} ({found['low']:.0%} to {found['high']:.0%})"


def _parts(found: Mapping[str, Any]) -> str:
    parts = {"test": "n_test", "train": "n_train", "certificate": "n_certificate", "audit": "n_audit", "rest": "n_residual"}
    parts["set aside"] = "n_set_aside"
    return "people: " + ", ".join(f"{found[key]:,} {name}" for name, key in parts.items() if found.get(key))


def _promise(found: Mapping[str, Any]) -> str:
    bound = found["error_upper_bound"]
    if found["certified"] and bound is not None:
        return f"certified: error of all items at most {bound:.2%} with {found['confidence_level']:.0%} confidence"
    return "" if found["error_estimate"] is None else f"estimated, not certified: {found['error_estimate']:.2%}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
