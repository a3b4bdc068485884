"""Events as classes: each is the same after it was stored, old rows load, and what cannot be read is refused by name."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.campaign import events, history
from backend.campaign.events import Happening
from backend.store import Event
from mcal_engine.classifiers.images.decoding import GrayRange, ImageForm
from mcal_engine.errors import HistoryError
from tests.backend.campaign.golden.replay import Recording, names

AT = datetime(2026, 9, 1, tzinfo=UTC)


def stored(event: Happening, **changes: Any) -> Event:
    row = history.new(event)
    return Event(1, row.kind, json.loads(json.dumps(row.payload)) | changes, AT)


def recorded() -> dict[str, list[Event]]:
    """Every recorded event, by kind."""
    found: dict[str, list[Event]] = {}
    for name in names():
        for row in Recording(name).events:
            found.setdefault(row.kind, []).append(row)
    return found


def test_every_kind_of_event_is_among_the_recorded_ones() -> None:
    assert recorded().keys() == Happening.kinds.keys()


@pytest.mark.parametrize("form", [ImageForm(64), ImageForm(128, GrayRange(0, 4095)), ImageForm(32, GrayRange(-0.5, 2.25))])
def test_the_form_of_a_campaigns_images_is_the_same_after_it_was_stored(form: ImageForm) -> None:
    chosen = events.ImageFormChosen(form=form)
    again = history.entry(stored(chosen)).event
    assert again == chosen and f"{form.side} × {form.side} pixels" in again.sentence()


def test_every_recorded_event_is_the_same_after_it_was_stored_again() -> None:
    left_out = ("decision", "observation", "sentinel", "test", "control")
    for rows in recorded().values():
        for row in rows:
            event = history.entry(row).event
            again = history.new(event)
            assert json.dumps(again.payload) == json.dumps(history.new(history.entry(stored(event)).event).payload)
            assert again.kind == row.kind and event.sentence() == history.entry(stored(event)).event.sentence()
            if "control" in row.payload:  # later releases add fields to it, and change none
                assert _holds(again.payload["control"], row.payload["control"])
            assert {name: again.payload[name] for name in row.payload if name not in left_out} == {
                name: value for name, value in row.payload.items() if name not in left_out
            }


def _holds(now: object, then: object) -> bool:
    """Whether ``now`` says all that ``then`` said, at any depth."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and _holds(now[name], value) for name, value in then.items())
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(_holds, now, then))
    return now == then


@pytest.mark.parametrize("kind", Happening.kinds)
def test_an_event_is_a_frozen_value_with_a_kind_and_a_sentence_of_its_own(kind: str) -> None:
    found = Happening.kinds[kind]
    assert is_dataclass(found) and found.kind == kind and found.sentence is not Happening.sentence
    assert found.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in fields(found))


@pytest.mark.parametrize(
    ("event", "left_out"),
    [
        (events.Halted(reason="r", fix="f"), "mends_itself"),
        (events.Resumed(by="ann"), "lifts"),
        (events.QueueClosed(model_version="v", reason="r"), "n_taken"),
        (events.SettingsChanged(settings={}, changed=(), by="ann"), "measured"),
        (events.Notified(channel="1 json", keys=("ready/v",), ok=True), "why"),
        (events.Requested(settings={}, source="cli"), "extra_params"),
    ],
)
def test_a_part_that_an_older_version_did_not_write_has_the_meaning_it_had_then(event: Happening, left_out: str) -> None:
    row = stored(event)
    del row.payload[left_out]
    assert history.entry(row).event == event


def test_a_part_that_this_version_no_longer_has_is_passed_over() -> None:
    event = events.Paused(by="ann")
    assert history.entry(stored(event, slices=[1, 2])).event == event


def test_an_unknown_kind_is_refused_by_its_name() -> None:
    with pytest.raises(HistoryError, match="event 7 has the kind 'moved', which this version does not know"):
        history.entry(Event(7, "moved", {}, AT))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_asked": "many"}, "event 1 of kind 'queue_opened' cannot be read: n_asked: Input should be a valid integer"),
        ({"queue": "next"}, "queue: Input should be 'start', 'train', 'certificate', 'peel', 'residual' or 'audit'"),
    ],
)
def test_a_part_of_another_type_is_refused_with_its_place_and_without_what_it_held(changes: dict[str, Any], says: str) -> None:
    row = recorded()["queue_opened"][0]
    with pytest.raises(HistoryError, match=says):
        history.entry(Event(1, row.kind, row.payload | changes, AT))


def test_a_missing_part_is_refused_with_its_name() -> None:
    with pytest.raises(HistoryError, match="event 1 of kind 'halted' cannot be read: fix: Field required"):
        history.entry(Event(1, "halted", {"reason": "r"}, AT))


def test_what_an_event_holds_is_read_by_its_type_and_nowhere_by_a_name() -> None:
    """``payload["…"]`` is checked by nobody: a field that is renamed would fail a campaign instead of mypy."""
    room = Path(events.__file__).parents[1]
    found = [
        f"{path.relative_to(room)}:{number}"
        for path in room.rglob("*.py")
        if path != Path(events.__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"payload\[|payload\.get", line)
    ]
    assert found == []
