"""The demo from start to end: a real Label Studio, our own commands, simulated annotators, and a check of what came out."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from backend.campaign.state import Phase, State
from backend.demo import audit, trace
from backend.demo.data import load
from backend.demo.directory import fresh_directory
from backend.demo.display import Display
from backend.demo.house import House, Plan
from backend.demo.label_studio_server import VERSION, LabelStudioServer
from mcal_engine.errors import MCALError
from mcal_engine.words import counted

LOOK_SECONDS = 1.0  # between looks at the campaign
STALL_SECONDS = 900.0  # without a new event or label; then something is wrong
INTERRUPTED = 130


class DemoFailed(MCALError):
    """The campaign came to an end that it should not come to."""


@dataclass(frozen=True, slots=True)
class Options:
    """``data``: ``None`` for the digits. ``stay``: keep the servers up at the end. ``json_file``, ``trace_file``: where results go."""

    plan: Plan
    items: int | None
    data: Path | None
    label_columns: tuple[str, ...]
    directory: Path
    stay: bool
    json_file: Path | None
    trace_file: Path | None


ShowReport = Callable[[Mapping[str, Any], Console], None]


def run(options: Options, console: Console, show_report: ShowReport) -> int:
    """Run the demo; returns the exit code: 0 all is well, 1 something is not, 130 interrupted."""
    finished = False
    try:
        with _interrupts(), fresh_directory(options.directory) as directory, Display(console) as display:
            data = load(options.data, options.items, options.plan.seed, options.label_columns)
            for note in data.notes:
                display.say(note)
            display.say(f"starting Label Studio {VERSION} in {directory} (the very first time it is installed, which takes minutes)")
            with LabelStudioServer(directory / "label-studio") as server:
                display.say(f"Label Studio answers at {server.url}; making a project of {counted(len(data), data.reads)}")
                with House(server, directory / "mcal", data, options.plan) as house:
                    code = _campaign(house, options, display, console, show_report)
                    finished = True
                    if options.stay:
                        _stay(house, display)
    except KeyboardInterrupt:
        console.print("ended" if finished else "interrupted: everything that was started has been ended")
        return code if finished else INTERRUPTED
    except DemoFailed as error:
        console.print(f"the demo has failed: {error}", markup=False, style="red")
        return 1
    return code


def _campaign(house: House, options: Options, display: Display, console: Console, show_report: ShowReport) -> int:
    campaign = house.connect()
    display.say(f"connected {house.url} as the project's model: campaign {campaign}")
    _addresses(house, display)
    try:
        report = _watch(house, display)
        house.stop_annotators()
    finally:
        if options.trace_file is not None:
            _write(options.trace_file, "".join(f"{line}\n" for line in trace.lines(house.trace(), house.batches())))
    display.say("the campaign is finished; checking what Label Studio has")
    results, checks = judge(house, report)
    if options.json_file is not None:
        _write(options.json_file, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    display.pause()
    show_report(results, console)
    _show_checks(checks, console)
    return 0 if all(check.ok for check in checks) else 1


def judge(house: House, report: dict[str, Any]) -> tuple[dict[str, Any], list[audit.Check]]:
    """The report with what only the demo knows, and the checks of the finished project."""
    counted = audit.count(house.tasks(), house.service_user_id())
    pulls = house.trace()
    checks = audit.checks(counted, pulls, trace.examine(pulls, house.batches()), report, house.campaign_id)
    truth = audit.truth(counted, house.truth)
    checks.append(audit.within_target(truth, report))
    results = report | asdict(truth) | {"doubled_tasks": audit.doubles(counted), "checks": [asdict(check) for check in checks]}
    return results, checks


def _watch(house: House, display: Display) -> dict[str, Any]:
    """Follow the campaign to its end; returns its report."""
    seen, since = (0, 0), time.monotonic()
    while True:
        house.check()
        state = house.state()
        display.update(state)
        if state.report is not None:
            return dict(state.report)
        _refuse_ends(state)
        if state.published is not None and not house.annotators:
            display.say(f"{len(house.people)} annotators begin")
            house.start_annotators()
        now = (state.last_seq, state.n_labels_paid)
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > STALL_SECONDS:
            tail = f"{house.worker.log_file} ends with:\n{house.worker.log_tail()}"
            raise DemoFailed(f"nothing has happened for {STALL_SECONDS / 60:g} minutes; {tail}")
        time.sleep(LOOK_SECONDS)


def _refuse_ends(state: State) -> None:
    if state.phase == Phase.HALTED and state.halt is not None and not state.halt.mends_itself:
        raise DemoFailed(f"the campaign has halted: {state.halt.reason}. {state.halt.fix}")
    if state.ended:
        raise DemoFailed(f"somebody has ended the campaign: it is {state.phase.value.replace('_', ' ')}")


def _show_checks(checks: list[audit.Check], console: Console) -> None:
    table = Table("", "check", "found", box=None, header_style="bold")
    for check in checks:
        table.add_row("[green]ok[/]" if check.ok else "[red]FAILED[/]", check.name, check.detail)
    console.print()
    console.print(table)


def _stay(house: House, display: Display) -> None:
    """Keep everything up, to look around, until somebody interrupts."""
    display.say("look around; Ctrl-C ends everything")
    _addresses(house, display)
    while True:
        house.check()
        time.sleep(LOOK_SECONDS)


def _addresses(house: House, display: Display) -> None:
    """Where to watch, and as whom: told before the people begin, and again at the end."""
    display.say(f"this backend   {house.url}/campaigns   admin / {house.page_password}")
    display.say(
        f"Label Studio   {house.server.url}/projects/{house.project.id}   {house.server.admin_email} / {house.server.admin_password}"
    )
    for person in (*house.people, house.service_user):
        display.say(f"               {person.email} / {person.password}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
