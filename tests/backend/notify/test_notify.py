"""Who is told what, and how often: real Apprise channels against a real HTTP receiver, on whole small campaigns."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backend import wiring
from backend.campaign.state import Phase
from backend.cli.app import run
from backend.jobs import JobQueue
from backend.notify.channels import ChannelFailed, open_channels
from backend.notify.events import notices
from backend.notify.notifier import Notifier
from backend.settings import server_settings
from backend.steering.control import change_settings
from backend.views.log import log_row
from mcal_engine.errors import InvalidValue
from tests.backend.label_studio.local_server import Answer, Asked, LocalServer, as_json, serving
from tests.backend.world import World

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's mail channel asks for it

Start = Callable[..., Notifier]
SECRET = "hush-hush-token"


class Receiver:
    """What a channel's other end got, and what it answers."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        return f"json://someone:{SECRET}@127.0.0.1:{self.server.port}/{SECRET}"

    def answer(self, asked: Asked) -> Answer:
        self.gate.wait(30)
        return as_json({}, self.status)

    def lines(self) -> list[str]:
        return [line for asked in list(self.server.asked) for line in json.loads(asked.body)["message"].splitlines()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made: Receiver

    def answer(asked: Asked) -> Answer:
        return made.answer(asked)

    with serving(answer) as server:
        made = Receiver(server)
        yield made
        made.gate.set()


@pytest.fixture
def notifying(receiver: Receiver) -> Iterator[Start]:
    """Start notifiers on a world, as workers do one after the other."""
    with ExitStack() as stack:

        def make(world: World, urls: str | None = None, **keywords: Any) -> Notifier:
            channels = open_channels(urls or receiver.url, patience_seconds=keywords.pop("patience_seconds", 5.0))
            notifier = Notifier(world.store, channels, "http://mcal.test", **{"gather_seconds": 0.05, "pause_seconds": 0.05, **keywords})
            world.fresh_services(seen=notifier.seen)
            return stack.enter_context(notifier)

        yield make


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def recorded(world: World) -> list[dict[str, Any]]:
    return [event.payload for event in world.store.events(world.campaign.id, kinds=("notified",))]


def keys(world: World, *, ok: bool = True) -> list[str]:
    return [key for payload in recorded(world) if payload["ok"] is ok for key in payload["keys"]]


@pytest.mark.parametrize("form", ["", "?format=html"])
def test_names_that_people_chose_are_text_in_mail_too(form: str) -> None:
    (channel,) = open_channels(f"mailto://someone:hush@example.org{form}")
    service: Any = channel._service
    sent: list[tuple[str, str]] = []
    service.send = lambda body, body_format, **_: sent.append((service.resolve_format(body_format).value, body)) or True
    channel.send("mcal", "choice <img src=http://tracker.example/x>")
    ((kind, body),) = sent
    assert kind == ("html" if form else "text") and ("<img" in body) is (kind == "text")


@pytest.mark.slow
def test_a_whole_campaign_tells_each_thing_once_and_in_order(tmp_path: Path, receiver: Receiver, notifying: Start) -> None:
    world = World(tmp_path, n=240)
    notifying(world)
    assert world.run().phase == Phase.FINISHED
    until(lambda: "finished" in keys(world))
    told = keys(world)
    assert len(told) == len(set(told))
    n_decisions = len(world.store.events(world.campaign.id, kinds=("decision",)))
    assert [key for key in told if key.startswith("decision/")] == [f"decision/{n + 1}" for n in range(n_decisions)]
    opened = [event.payload for event in world.store.events(world.campaign.id, kinds=("queue_opened",))]
    asked = [payload["model_version"] for payload in opened if payload["queue"] != "residual"]
    assert [key.removeprefix("empty/") for key in told if key.startswith("empty/")] == asked
    lines = receiver.lines()
    assert sum(line.startswith("Decided: ") for line in lines) == n_decisions
    assert sum(line.startswith("Finished: ") for line in lines) == 1
    assert any(line == f"The queue is ready, first queue: {opened[0]['n_asked']} labels are needed." for line in lines)
    assert all(json.loads(asked.body)["title"] == f"mcal: campaign 1, project {world.project}" for asked in receiver.server.asked)
    assert "http://mcal.test/campaigns/1" in lines


@pytest.mark.slow
def test_a_restarted_worker_tells_nothing_twice(tmp_path: Path, receiver: Receiver, notifying: Start) -> None:
    world = World(tmp_path, n=240)
    first = notifying(world)
    world.advance()
    until(lambda: len(keys(world)) == 2)  # the first decision, and the queue that it opened
    first.__exit__()
    before = receiver.lines()
    notifying(world)
    world.advance()
    world.label()
    world.advance()
    until(lambda: "decision/2" in keys(world))
    assert receiver.lines()[: len(before)] == before
    assert len(keys(world)) == len(set(keys(world)))
    assert sum("first queue: " in line and "ready" in line for line in receiver.lines()) == 1


@pytest.mark.slow
def test_an_end_that_nobody_was_told_of_is_told_after_a_restart(tmp_path: Path, receiver: Receiver, notifying: Start) -> None:
    world = World(tmp_path, n=240)
    world.run()
    first = notifying(world)
    first.catch_up()
    until(lambda: keys(world) == ["finished"])
    first.__exit__()
    second = notifying(world)
    second.catch_up()
    second.seen(world.state())
    change_nothing = open_channels(receiver.url)[0]
    change_nothing.send("title", "the last line")  # what the second has to say would come before it, or never
    assert receiver.lines()[-1] == "the last line"
    assert sum(line.startswith("Finished: ") for line in receiver.lines()) == 1


@pytest.mark.slow
def test_only_what_the_campaign_wants_is_told(tmp_path: Path, receiver: Receiver, notifying: Start) -> None:
    world = World(tmp_path, n=240, notify_about="attention, finished")
    notifying(world)
    world.run()
    until(lambda: keys(world) == ["finished"])
    assert [line.split(":")[0] for line in receiver.lines()] == ["Finished", "http"]


def test_nothing_is_an_answer_too(tmp_path: Path) -> None:
    world = World(tmp_path, n=240)
    state = world.advance()
    assert {notice.kind for notice in notices(state)} == {"queue_ready", "decision"}
    change_settings(world.store, 1, {"notify_about": "none"}, world.now(), by="test")
    assert notices(world.state()) == []
    change_settings(world.store, 1, {"notify_about": ["none", "decision"]}, world.now(), by="test")
    assert [notice.kind for notice in notices(world.state())] == ["decision"]
    with pytest.raises(InvalidValue, match="notify_about"):
        change_settings(world.store, 1, {"notify_about": "gossip"}, world.now(), by="test")


@pytest.mark.slow
def test_a_person_is_called_when_one_is_needed_and_again_for_the_next_halt(tmp_path: Path, receiver: Receiver, notifying: Start) -> None:
    world = World(tmp_path, n=240, notify_about="attention")
    notifying(world)
    world.advance()
    for times in (1, 2):
        world.label_studio.set_project(world.project, maximum_annotations=2)
        assert world.advance().phase == Phase.HALTED
        world.advance()
        until(lambda times=times: len(receiver.server.asked) == times)
        world.label_studio.set_project(world.project, maximum_annotations=1)
        world.act("resume", by="test")
        world.advance()
    assert all("somebody is needed" in json.loads(asked.body)["message"] for asked in receiver.server.asked)
    assert {json.loads(asked.body)["type"] for asked in receiver.server.asked} == {"warning"}


def test_set_aside_items_are_told_of_when_their_number_has_doubled(tmp_path: Path) -> None:
    world = World(tmp_path, n=240, notify_about="attention")
    seen = set()
    world.fresh_services(seen=lambda state: seen.update(notice.key for notice in notices(state)))
    world.advance()
    task = world.label_studio.next_task(world.project, world.people[0])
    world.label(3, skip=[task])
    world.advance()
    assert seen == {"aside/1"}
    world.label(skip=world.tasks)
    world.advance()
    assert len(seen) == 2 and world.advance() is not None and len(seen) == 2


def test_a_nearly_empty_queue_is_told_before_it_is_empty(tmp_path: Path) -> None:
    world = World(tmp_path, n=240)
    asked = world.advance().progress.asked
    world.label(asked - 3)
    state = world.advance()
    (low,) = [notice for notice in notices(state) if notice.kind == "queue_empty"]
    assert low.text == f"The queue is nearly empty, first queue: {len(state.progress.missing)} of {asked} are left."


@pytest.mark.slow
def test_a_slow_channel_holds_up_neither_the_round_nor_the_other_channel(tmp_path: Path, receiver: Receiver, notifying: Start) -> None:
    world = World(tmp_path, n=240, notify_about="decision")
    receiver.gate.clear()
    with serving(lambda asked: as_json({})) as quick:
        notifying(world, f"{receiver.url} json://127.0.0.1:{quick.port}/", patience_seconds=0.3, pause_seconds=0.0)
        world.advance()
        world.label()
        assert world.advance().observations  # a round went by, with the first channel hanging
        until(lambda: any(payload["channel"] == "2 json" and "decision/2" in payload["keys"] for payload in recorded(world)))
        until(lambda: any(payload["channel"] == "1 json" and not payload["ok"] for payload in recorded(world)))
    why = next(payload["why"] for payload in recorded(world) if not payload["ok"])
    assert why in ("no answer within 0.3 s", "still busy with an earlier message")


def test_a_failing_channel_is_noted_without_its_secrets(
    tmp_path: Path, receiver: Receiver, notifying: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(tmp_path, n=240)
    receiver.status = 403
    notifying(world)
    world.advance()
    until(lambda: keys(world, ok=False))
    assert len(receiver.server.asked) >= 3  # tries of one message
    rows = world.store.events(world.campaign.id, kinds=("notified",))
    assert {row.payload["why"] for row in rows} == {"refused with HTTP 403"}
    assert re.fullmatch("Could not tell channel 1 json: decision(, queue ready)?; refused with HTTP 403", log_row(rows[0])["sentence"])
    assert "channel 1 json: refused with HTTP 403" in caplog.text
    assert logging.getLogger("apprise").propagate is False
    assert SECRET not in caplog.text and str(receiver.server.port) not in caplog.text
    assert SECRET not in json.dumps([row.payload for row in rows])


def test_a_channel_that_is_away_says_so_without_its_address(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (channel,) = open_channels(f"json://{SECRET}:{SECRET}@127.0.0.1:1/{SECRET}")
    with pytest.raises(ChannelFailed, match="refused, or it cannot be reached") as failed:
        channel.send("title", "text")
    assert SECRET not in str(failed.value) + caplog.text


def test_an_address_that_is_none_is_refused_by_its_place_alone(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValue, match="address 2 is none that Apprise knows") as refused:
        open_channels(f"{receiver.url} smoke-signal://{SECRET}")
    assert SECRET not in str(refused.value)
    monkeypatch.setenv("MCAL_NOTIFY_URLS", receiver.url)
    assert SECRET not in repr(server_settings()) + str(server_settings().model_dump())


def test_the_channels_can_be_tried_from_the_command_line(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCAL_NOTIFY_URLS", f"{receiver.url} json://127.0.0.1:1/{SECRET}")
    assert run(["notify", "test", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["channel"], row["ok"]) for row in rows] == [("1 json", True), ("2 json", False)]
    assert receiver.lines()[0].startswith("This channel works")
    monkeypatch.setenv("MCAL_NOTIFY_URLS", receiver.url)
    assert run(["notify", "test"]) == 0
    shown = capsys.readouterr()
    assert "1 json" in shown.out and SECRET not in shown.out + shown.err
    monkeypatch.delenv("MCAL_NOTIFY_URLS")
    assert run(["notify", "test"]) == 2 and "MCAL_NOTIFY_URLS" in capsys.readouterr().err


@pytest.mark.slow
def test_a_worker_with_channels_tells_and_one_without_does_not(tmp_path: Path, receiver: Receiver) -> None:
    world = World(tmp_path, n=240, notify_about="decision")
    state = world.advance()
    for urls, told in ((None, 0), (receiver.url, 1)):
        settings = server_settings(data_dir=tmp_path, label_studio_token="0" * 40, notify_urls=urls)
        with wiring.worker(settings, world.store, JobQueue(settings.queue_url), threading.Event()) as worker:
            worker.services.seen(state)
            until(lambda told=told: len(recorded(world)) == told)
    assert [asked.method for asked in receiver.server.asked] == ["POST"]
