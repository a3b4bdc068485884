"""Read a recorded history with today's code, commit by commit, and say in plain values what it makes of it."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from backend.campaign import events
from backend.campaign.facts import Facts
from backend.campaign.history import entries
from backend.campaign.state import State, derive
from backend.notify.events import notices
from backend.store import Assignment, Campaign, Duplicate, Event, Item, MachineLabel
from backend.views.report import make_report
from mcal_engine import codec, engine
from tests.backend.campaign.golden.recording import HERE, KEYS

ROWS: Mapping[str, type[Any]] = {"items": Item, "assignments": Assignment, "duplicates": Duplicate, "machine_labels": MachineLabel}
TIMES = {"labelled_at", "created_at", "updated_at"}
# By table: what a column was called when the histories were written, and its name today.
RENAMED = {"duplicates": {"choice": "label"}, "machine_labels": {"choice": "label"}}
NOT_COMPARED = ("versions", "wall_seconds")  # of a report: they tell of the machine and of the hour


def names() -> list[str]:
    return sorted(path.name.removesuffix(".json.gz") for path in HERE.glob("*.json.gz"))


class Recording:
    """One recorded campaign."""

    def __init__(self, name: str) -> None:
        made = json.loads(gzip.decompress((HERE / f"{name}.json.gz").read_bytes()))
        identity, project, url, at = made["campaign"]
        self.campaign = Campaign(identity, project, url, datetime.fromisoformat(at))
        self.events = [Event(seq, kind, payload, datetime.fromisoformat(at)) for seq, kind, payload, at in made["events"]]
        self.entries = entries(self.events)
        self._columns = {table: [RENAMED.get(table, {}).get(name, name) for name in found] for table, found in made["columns"].items()}
        self._checkpoints = made["checkpoints"]

    def facts(self) -> Iterator[tuple[Facts, datetime]]:
        """What the store held after each commit, and the time."""
        tables: dict[str, dict[Any, Any]] = {name: {} for name in ROWS}
        for point in self._checkpoints:
            for name, rows in tables.items():
                rows |= {KEYS[name](row): row for row in (self._row(name, cells) for cells in point.get(name, ()))}
                for place in point.get(f"{name}_gone", ()):
                    del rows[tuple(place) if isinstance(place, list) else place]
            # In the order of the store.
            ordered = {name: tuple(rows[place] for place in sorted(rows)) for name, rows in tables.items() if name != "assignments"}
            roles = tuple(sorted(tables["assignments"].values(), key=lambda row: (row.round, row.role, row.rank)))
            known = self.entries[: point["seq"]]
            yield Facts(self.campaign, known, assignments=roles, **ordered), datetime.fromisoformat(point["now"])

    def _row(self, table: str, cells: Sequence[Any]) -> Any:
        values = dict(zip(self._columns[table], cells, strict=True))
        return ROWS[table](**{name: datetime.fromisoformat(value) if name in TIMES and value else value for name, value in values.items()})


def seen(recording: Recording) -> list[dict[str, Any]]:
    """One entry per commit: its events in sentences, each decision made anew, and what changed in the state and in the report."""
    found: list[dict[str, Any]] = []
    known: dict[str, Any] = {}
    told: dict[str, Any] = {}
    n = 0
    for facts, now in recording.facts():
        fresh, n = facts.events[n:], len(facts.events)
        state = derive(facts, now)
        numbers, report = _numbers(state), _report(state)
        said: dict[str, Any] = {
            "seq": n,
            "sentences": [entry.event.sentence() for entry in fresh],
            "state": _news(known, numbers),
            "notices": [notice.key for notice in notices(state)],
            "decisions": list(_decisions(facts, now, len(facts.events) - len(fresh))),
            "report": _news(told, report),
        }
        known, told = numbers, report
        found.append(said)
    return found


def _news(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in now.items() if key not in before or before[key] != value}


def _report(state: State) -> dict[str, Any]:
    if state.created is None:
        return {}
    made = make_report(replace(state, report=None), state.at)
    made["rounds"] = made["rounds"][-1:]  # the ones before stand in the entries before
    return {key: value for key, value in made.items() if key not in NOT_COMPARED}


def _decisions(facts: Facts, now: datetime, before: int) -> Iterator[dict[str, Any]]:
    """What the engine says today to the history before each decision that it has made then."""
    for place in range(before, len(facts.events)):
        event = facts.events[place].event
        if isinstance(event, events.Decided) and isinstance(
            facts.events[place - 1].event, events.Observed | events.SampleRead | events.PeelRanked
        ):
            state = derive(replace(facts, events=facts.events[:place]), now)
            measured = {row.classifier for row in state.observations[-1].measurements}
            spec = state.settings
            if not measured <= set(spec.classifiers):
                spec = spec.model_copy(update={"classifiers": tuple(sorted(measured))})
            yield codec.to_json(engine.decide(spec, list(state.history), stop_requested=state.stop_requested_by is not None))


def _numbers(state: State) -> dict[str, Any]:
    queue, progress, halt = state.queue, state.progress, state.halt
    return {
        "phase": state.phase.value,
        "stage": state.stage.value,
        "target_error": [state.settings.target_error, state.wanted.target_error],
        "history": [type(row).__name__ for row in state.history],
        "queue": queue
        and [queue.kind, queue.round, len(queue.ids), queue.n_asked, queue.sentinel, len(queue.twice), len(queue.suggestions)],
        "progress": progress
        and [progress.asked, progress.labelled, progress.skipped, progress.gone, len(progress.missing), len(progress.blind_missing)],
        "second": progress and [progress.twice, progress.second],
        "taken": [state.n_taken(row) for row in state.queues],
        "sets": {
            name: len(getattr(state, name))
            for name in ("live", "own", "test", "train", "sample", "pool", "unlabelled", "residual", "planned", "suggested", "audited")
        },
        "paid": [state.n_labels_paid, state.n_repeats_paid, len(state.second_labels)],
        "look": state.look,
        "halt": halt and [halt.reason, halt.mends_itself, halt.seq],
        "stop": state.stop_requested_by,
        "served": [state.published, state.sentinel_id],
        "devices": state.devices,
        "names": [state.title, {str(person): name for person, name in sorted(state.names.items())}],
        "last_tasks": [state.last_known_task, state.last_task],
        "audits": [
            [
                row.number,
                row.size,
                len(row.ids),
                row.n_written,
                row.allowed,
                row.cancelled_by,
                row.ended,
                row.n_restored,
                row.result and asdict(row.result),
                row.take_back and asdict(row.take_back),
            ]
            for row in state.audits
        ],
        "reopened": state.reopened,
        **({"checks": [[row.number, len(row.ids), len(row.judged), row.open] for row in state.checks]} if state.checks else {}),
        **({"gone_since": True} if state.gone_since else {}),
        "finished": state.report is not None,
    }


def expected(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((HERE / f"{name}.expected.json").read_text())
    return entries


def expect(name: str) -> None:
    """Write down what today's code makes of it, a line for each part of each commit, so that a difference can be read."""
    entries = seen(Recording(name))
    blocks = [
        ",\n".join(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()) for entry in entries
    ]
    (HERE / f"{name}.expected.json").write_text("[\n" + ",\n".join(f"{{\n{block}\n}}" for block in blocks) + "\n]\n")


def differences(expected: Any, found: Any, where: str = "") -> Iterator[str]:
    """Where the two differ; real numbers may differ in the last digits, which depend on the machine's linear algebra."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            yield from differences(expected.get(key, "absent"), found.get(key, "absent"), f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{where}[{place}]")
    elif isinstance(expected, float) and isinstance(found, float | int):
        if not math.isclose(expected, found, rel_tol=1e-6, abs_tol=1e-9):
            yield f"{where}: expected {expected}, found {found}"
    elif expected != found or type(expected) is not type(found):
        yield f"{where}: expected {expected!r}, found {found!r}"
