"""Projects as people really have them, lived to the end on a real Label Studio: page, command line, report and it agree."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.campaign import facts
from backend.campaign.state import Phase, State, derive
from backend.campaign_settings import parse_campaign_settings
from backend.cli.campaign.shown import report_of
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import LabelControl
from backend.label_studio.wire import result_of
from backend.steps.images import CampaignImages
from backend.steps.loop import advance
from backend.steps.open import Unfit, request_campaign
from backend.steps.ports import Services
from backend.steps.rollback import rollback
from backend.store import Store
from backend.views.campaign import View, campaign_view
from backend.views.newcomers import newcomers
from backend.views.projects import project_estimate
from backend.views.status import sentence
from mcal_engine.errors import InvalidValue
from tests.backend.world import NoisyTruth, Shelf, act
from tests.conftest import RealLabelStudio
from tests.contracts.worlds import CONFIG, CONTROL, RealWorld

pytestmark = [pytest.mark.contract, pytest.mark.timeout(900)]

SETTINGS: dict[str, Any] = {"target_error": 0.1, "price_per_label": 0.04, "test_size": 30, "batch_size": 12, "work_ahead": 0.0}
CHOICES = CONTROL.choices
QUALITY = '<Choices name="quality" toName="image" required="true"><Choice value="sharp"/><Choice value="blurred"/></Choices>'


def truth(task: int) -> int:
    return task % len(CHOICES)


class Lived:
    """A project with a campaign on it, and Ann, who answers what she is served."""

    def __init__(self, world: RealWorld, directory: Path, trainer: NoisyTruth | None = None) -> None:
        self.world = world
        self.store = Store(f"sqlite:///{directory / 'mcal.db'}")
        self.store.migrate()
        self.services = Services(
            self.store, world.port, trainer or NoisyTruth(truth), Shelf(), lambda: datetime.now(UTC), world.url, lease_seconds=60.0
        )
        self.project, self.tasks = 0, list[int]()
        self.campaign = 0

    def import_tasks(self, n: int, *, labelled: int = 0, config: str = CONFIG) -> None:
        """Tasks as an admin imports them, the first ones with annotations."""
        created = self.world._ok(self.world._admin.post("/api/projects", json={"title": "Theirs", "label_config": config}))
        rows: list[dict[str, Any]] = []
        for place in range(n):
            row: dict[str, Any] = {"data": {"image": f"https://images.test/{place}.png"}}
            if place < labelled:
                row["annotations"] = [{"result": result_of(CHOICES[place % len(CHOICES)], CONTROL)}]
            rows.append(row)
        self.project = created["id"]
        self.tasks = self.world._ok(self.world._admin.post(f"/api/projects/{self.project}/import?return_task_ids=true", json=rows))[
            "task_ids"
        ]

    def add_tasks(self, n: int) -> None:
        rows = [{"data": {"image": f"https://images.test/new{place}.png"}} for place in range(n)]
        self.world._ok(self.world._admin.post(f"/api/projects/{self.project}/import", json=rows))

    def upload(self, files: Sequence[bytes]) -> None:
        """A project of uploaded files, in this order."""
        self.project = self.world._ok(self.world._admin.post("/api/projects", json={"title": "Photos", "label_config": CONFIG}))["id"]
        for start in range(0, len(files), 50):
            batch = [(f"file{place}", (f"{start + place}.png", content)) for place, content in enumerate(files[start : start + 50])]
            self.world._ok(self.world._admin.post(f"/api/projects/{self.project}/import?return_task_ids=true", files=batch))
        self.tasks = self.world.port.task_ids(self.project)

    def state(self) -> State:
        return derive(facts.load(self.store, self.campaign), datetime.now(UTC))

    def begin(self, **settings: Any) -> None:
        wanted = parse_campaign_settings({**SETTINGS, **settings}, defaults={})
        self.campaign = request_campaign(self.services, self.project, wanted, "test").id

    def advance(self) -> State:
        state = advance(self.services, self.campaign)
        assert state is not None
        return state

    def answer(self, task: int, result: Sequence[dict[str, Any]]) -> None:
        body = {"result": list(result), "lead_time": 2.0}
        self.world._ok(self.world._people[self.world.ann.id].post(f"/api/tasks/{task}/annotations/", json=body))

    def run(self, empty: frozenset[int] = frozenset()) -> State:
        """To the end; tasks of ``empty`` are submitted without an answer."""
        for _ in range(40):
            state = self.advance()
            self.view()
            if state.ended:
                return state
            while (task := self.world.next_task(self.project, self.world.ann)) is not None:
                self.answer(task, [] if task in empty else self.right(task))
        raise AssertionError(f"still {state.stage}")

    def right(self, task: int) -> list[dict[str, Any]]:
        """Ann's answer."""
        return result_of(CHOICES[truth(task)], CONTROL)

    def view(self) -> View:
        """What the page shows; it agrees with the command line and adds up, whenever it is looked at."""
        known, now = facts.load(self.store, self.campaign), datetime.now(UTC)
        state = derive(known, now)
        view = campaign_view(state, known.campaign, known.events, now)
        cli, money = report_of(self.store, self.campaign, now), view["money"]
        for name in ("human_cost", "total_cost", "human_only_cost", "forecast", "savings", "n_machine", "n_set_aside", "set_aside"):
            assert cli[name] == view["report"][name], name  # type: ignore[literal-required]
        assert (money["total"], money["human_only"], money["savings"]) == (cli["total_cost"], cli["human_only_cost"], cli["savings"])
        if money["forecast"] is not None:
            assert money["total"] + money["left"] * money["price_each"] + money["training_left"] == pytest.approx(money["forecast"])
        return view

    def in_label_studio(self) -> dict[str, int]:
        """How many tasks have a label by a person, one by the machine, and none, as the project's export has them."""
        me = self.world.port.current_user().id
        counts = {"people": 0, "machine": 0, "none": 0}
        for task in self.world.port.tasks(self.project, self.control):
            chosen = [row for row in task.annotations if row.choice is not None and not row.was_cancelled]
            by_people = any(row.completed_by != me for row in chosen)
            counts["people" if by_people else "machine" if chosen else "none"] += 1
        return counts

    @property
    def control(self) -> LabelControl:
        return parse_label_config(self.world.port.project(self.project).label_config, "digit")


def picture(place: int) -> bytes:
    """The first 40 are thumbnails, the others of every size; one in ten is gray, one in ten transparent."""
    side = 28 if place < 40 else 150 + place
    size = (1, 1) if place == 41 else (side, side // 2) if place % 3 == 0 else (side // 2, side) if place % 3 == 1 else (side, side)
    mode = "L" if place % 10 == 0 else "RGBA" if place % 10 == 1 else "RGB"
    stream = io.BytesIO()
    Image.new(mode, size, place if mode == "L" else (place, 255 - place, 90, 128)[: len(mode)]).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def lived(real_label_studio: RealLabelStudio, tmp_path: Path) -> Iterator[Lived]:
    world = RealWorld(real_label_studio)
    made = Lived(world, tmp_path)
    yield made
    made.store.close()
    world.close()


def test_labels_that_were_imported_save_nothing(lived: Lived) -> None:
    lived.import_tasks(220, labelled=190)
    settings = parse_campaign_settings(SETTINGS, defaults={})
    before = project_estimate(lived.world.port, lived.project, settings)
    assert (before["n_items"], before["n_to_label"]) == (220, 30) and before["human_only_cost"] == pytest.approx(30 * 0.04)
    lived.begin()
    state = lived.run()
    report = lived.view()["report"]
    assert state.phase == Phase.FINISHED and report["n_preexisting"] == 190
    assert report["human_only_cost"] == pytest.approx(30 * 0.04) and report["human_labels"] + report["n_machine"] == 30
    assert report["savings"] is not None and report["savings"] <= report["n_machine"] / 30 + 1e-9
    assert lived.in_label_studio() == {"people": 190 + report["human_labels"], "machine": report["n_machine"], "none": 0}


def test_empty_submissions_are_told_as_that_and_people_are_asked_again(lived: Lived) -> None:
    lived.import_tasks(200)
    empty = frozenset(lived.tasks[::4])
    lived.begin()
    state = lived.run(empty)
    view = lived.view()
    found, report = lived.in_label_studio(), view["report"]
    assert report["n_set_aside"] == found["none"] > 0
    assert report["set_aside"] == [{"why": "submitted without an answer", "n": found["none"]}]
    assert {row["why"] for row in view["set_aside"]} == {"submitted without an answer"}
    assert f"{found['none']} items have no label" in sentence(state)
    assert found["people"] == report["human_items"] and found["machine"] == report["n_machine"]
    bought = report["human_items"] + report["n_machine"]
    assert report["human_only_cost"] == pytest.approx(0.04 * bought)
    assert report["savings"] is not None and report["savings"] <= report["n_machine"] / bought + 1e-9
    act(lived.services, lived.campaign, "ask-again")
    assert lived.run().phase == Phase.FINISHED
    again = lived.view()["report"]
    assert lived.in_label_studio()["none"] == 0 == again["n_set_aside"]
    assert again["human_items"] + again["n_machine"] == 200


def test_an_answer_of_another_kind_is_kept_and_somebody_else_is_asked(lived: Lived) -> None:
    """Label Studio takes one text in place of a list, two choices of a single one, and an answer under one control of two."""
    lived.import_tasks(200, config=CONFIG.replace("</View>", QUALITY.replace(' required="true"', "") + "</View>"))
    lived.begin(label_control="digit", guarantee="estimate", budget=None)
    state = lived.advance()
    assert state.queue is not None
    text, two, other = state.queue.asked[:3]
    (item,) = result_of(CHOICES[truth(text)], CONTROL)
    lived.answer(text, [{**item, "value": {"choices": CHOICES[truth(text)]}}])
    lived.answer(two, [{**item, "value": {"choices": list(CHOICES[:2])}}])
    lived.answer(other, [{**item, "from_name": "quality", "value": {"choices": ["sharp"]}}])
    state = lived.advance()
    assert state.items[text].label == truth(text)
    assert state.items[two].no_label == "2 choices at once: 'zero', 'one'"
    assert state.items[other].no_label == "answered under 'quality' only, not under 'digit'"
    assert lived.run().phase == Phase.FINISHED
    assert {row["why"] for row in lived.view()["set_aside"]} == {state.items[two].no_label, state.items[other].no_label}
    act(lived.services, lived.campaign, "ask-again")
    lived.advance()
    bob = lived.world.bob
    assert lived.world.next_task(lived.project, bob) in (two, other)
    for task in (two, other):
        lived.world.annotate(task, bob, CHOICES[truth(task)])
    state = lived.advance()
    assert state.phase == Phase.FINISHED and not state.set_aside
    assert {state.items[task].label for task in (two,)} == {truth(two)} and state.items[other].annotator == bob.id
    kept = {task.id: len(task.annotations) for task in lived.world.port.tasks_by_id(lived.project, lived.control, [two, other])}
    assert kept == {two: 2, other: 2}  # nothing that held an answer was deleted


def test_a_second_control_that_is_required_is_refused_before_anything_is_created(lived: Lived) -> None:
    lived.import_tasks(200, config=CONFIG.replace("</View>", QUALITY + "</View>"))
    with pytest.raises(Unfit, match=r"requires an answer to 'quality' \(Choices\).*off.*project of its own"):
        lived.begin(label_control="digit")
    assert lived.store.campaigns() == []


def test_a_project_that_is_deleted_in_the_middle_ends_its_campaign(lived: Lived) -> None:
    lived.import_tasks(200)
    lived.begin()
    state = lived.advance()
    assert state.queue is not None
    for task in state.queue.asked[:10]:
        lived.answer(task, result_of(CHOICES[truth(task)], CONTROL))
    lived.advance()
    lived.world._admin.delete(f"/api/projects/{lived.project}/").raise_for_status()
    state = lived.advance()
    assert state.phase == Phase.PROJECT_GONE and state.report is not None and state.report["human_labels"] == 10
    assert lived.store.live_campaigns() == []
    with pytest.raises(InvalidValue, match="nothing to roll back"):
        rollback(lived.services, lived.campaign, by="test")


def test_new_tasks_after_the_end_get_a_campaign_of_their_own_that_begins_with_the_labels_of_the_first(lived: Lived) -> None:
    lived.import_tasks(200)
    lived.begin(guarantee="estimate")
    lived.run()
    first, old = lived.view()["report"], lived.in_label_studio()
    assert first["n_machine"] > 0 and old == {"people": first["human_items"], "machine": first["n_machine"], "none": 0}
    lived.add_tasks(199)
    assert newcomers(lived.state(), lived.world.port)["enough"] is False
    with pytest.raises(InvalidValue, match="and 199 were added since campaign 1 finished"):
        act(lived.services, lived.campaign, "follow-up")
    lived.add_tasks(1)
    assert newcomers(lived.state(), lived.world.port)["sentence"].startswith("200 tasks were added since this campaign finished")
    with pytest.raises(Unfit, match=f"holds {first['n_machine']} machine labels of campaign 1, which has ended: follow that one up"):
        lived.begin()
    act(lived.services, lived.campaign, "follow-up")
    (made,) = lived.store.live_campaigns()
    lived.campaign = made.id
    assert lived.run().phase == Phase.FINISHED
    second = lived.view()["report"]
    assert (second["n_items"], second["n_inherited"], second["human_only_cost"]) == (200, first["human_items"], pytest.approx(200 * 0.04))
    both = [first, second]
    assert lived.in_label_studio() == {
        "people": sum(report["human_labels"] for report in both),
        "machine": sum(report["n_machine"] for report in both),
        "none": 0,
    }
    rollback(lived.services, made.id, by="test")
    assert lived.in_label_studio() == old | {"people": old["people"] + second["human_items"], "none": second["n_machine"]}


def test_images_of_every_size_and_kind_are_one_campaign(lived: Lived, tmp_path: Path) -> None:
    """Uploaded as people upload them: thumbnails first, photographs, portraits, gray, transparent, one of a single pixel."""
    lived.upload([picture(place) for place in range(200)])
    limits: dict[str, int] = {"max_bytes": 1 << 20, "max_pixels": 1 << 20, "threads": 4}
    shelf = CampaignImages(lived.world.port, tmp_path / "images", **limits, name_of=str)
    lived.services = replace(lived.services, images=shelf)
    lived.begin()
    state = lived.advance()
    assert state.image_form is not None and state.image_form.side == 128  # the first 40 alone would have made it 32
    assert state.phase == Phase.COLLECTING and [item.unreadable for item in state.live if item.unreadable is not None] == []
    assert lived.run().phase == Phase.FINISHED
    report = lived.view()["report"]
    assert lived.in_label_studio() == {"people": report["human_items"], "machine": report["n_machine"], "none": 0}
