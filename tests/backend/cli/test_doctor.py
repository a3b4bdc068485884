"""The doctor: everything that can be wrong is a finding with what to do, and nothing it meets makes it give up."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from backend.campaign import facts
from backend.campaign.state import State, derive
from backend.campaign_settings import parse_campaign_settings
from backend.label_studio.inspection import ConnectedModel, TokenSettings
from backend.outside.answers import ModelError, Question, Reply, Subject
from backend.setup.doctor import Patient, examine
from backend.setup.findings import Finding
from backend.simtest.label_studio import FakeLabelStudio
from backend.steps.open import open_campaign, request_campaign
from backend.steps.ports import Memory
from backend.store import Store
from mcal_engine.errors import InvalidValue, MCALError

CONFIG = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/><Choice value="b"/></Choices></View>'
OURS = "http://mcal.test:9090"


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4, 3)).save(content, "PNG")
    return content.getvalue()


@dataclass
class Inspection:
    connected: list[ConnectedModel] = field(default_factory=lambda: [ConnectedModel(OURS, "Connected", "")])
    tokens: TokenSettings = field(default_factory=lambda: TokenSettings(True, False))
    by_hand: int | None = None
    may: bool | None = True

    def models(self, project_id: int) -> list[ConnectedModel]:
        return self.connected

    def token_settings(self) -> TokenSettings:
        return self.tokens

    def may_change(self, project_id: int) -> bool | None:
        return self.may

    def labelled_by_hand(self, project_id: int, user_id: int) -> int | None:
        return self.by_hand


@dataclass
class World:
    label_studio: FakeLabelStudio
    project: int
    inspection: Inspection
    patient: Patient

    def look(self, **changes: Any) -> dict[str, Finding]:
        patient = replace(self.patient, inspection=self.inspection, **changes)
        return {each.name.removeprefix(f"project {self.project}: "): each for each in examine(patient, [self.project])}

    def wrong(self, **changes: Any) -> dict[str, Finding]:
        return {name: finding for name, finding in self.look(**changes).items() if finding.status != "ok"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    label_studio = FakeLabelStudio()
    project = label_studio.add_project(CONFIG, [f"/data/upload/{number}.png" for number in range(250)])
    label_studio.media = {f"/data/upload/{number}.png": png() for number in range(250)}
    label_studio.register_webhook(project, f"{OURS}/webhook", {})
    inspection = Inspection()
    patient = Patient(
        settings_error="",
        label_studio=label_studio,
        inspection=inspection,
        label_studio_url=label_studio.url,
        public_url=OURS,
        legacy_token=False,
        slips=[],
        probe_ourselves=lambda: None,
        checks={"database": lambda: None},
        device=lambda: "cpu (2 threads)",
        data_dir=tmp_path / "not" / "yet",
        max_image_bytes=1_000_000,
        max_image_pixels=1_000_000,
    )
    return World(label_studio, project, inspection, patient)


def examined(world: World, **settings: Any) -> list[Finding]:
    """What is found where a campaign with these settings has begun on the project."""
    store = Store(f"sqlite:///{world.patient.data_dir.parent.parent / 'mcal.db'}")
    store.migrate()
    wanted = parse_campaign_settings({"target_error": 0.05, "price_per_label": 0.04, **settings}, defaults={})
    house: Any = SimpleNamespace(store=store, label_studio=world.label_studio, label_studio_url=world.label_studio.url, webhook=None)
    house.check_race = lambda race: None
    house.now, house.memory, house.device, house.smallest = (lambda: datetime.now(UTC)), Memory(), "cpu", 200
    campaign = request_campaign(house, world.project, wanted, "test")
    open_campaign(house, campaign, wanted, 1)
    state = derive(facts.load(store, campaign.id), datetime.now(UTC))
    store.close()
    return list(examine(replace(world.patient, inspection=world.inspection), [world.project], campaigns={world.project: state}))


@dataclass
class Model:
    """Says the same of each task."""

    reply: Reply
    fail: str = ""
    closed: bool = False
    at_once = together = 1

    def identity(self, subject: Subject) -> str:
        return "model"

    def ready(self, subject: Subject) -> str:
        if self.fail:
            raise ModelError(self.fail, retryable=True)
        return "v2"

    def ask(self, subject: Subject, questions: Sequence[Question]) -> list[Reply]:
        assert subject.label_config == CONFIG and len(questions) == 3
        return [self.reply] * 3

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("model", "status", "detail", "fix"),
    [
        (Model(Reply(1, 0.75)), "ok", r"version v2, 3 tasks in \d.* s, such as 'b' with a score of 0.75", ""),
        (Model(Reply(1)), "warn", "with a score of 0.00", r"should send a score in \[0, 1\]"),
        (Model(Reply(None)), "fail", "without a choice under 'c'", "must be choices of 'c': a, b"),
        (Model(Reply(None, said="dog")), "fail", "such as 'dog', which is none of the choices", "must be choices of 'c': a, b"),
        (Model(Reply(1), fail="the ML backend http://m cannot be reached"), "fail", "cannot be reached", "when_model_fails"),
    ],
)
def test_a_model_from_outside_is_shown_tasks_and_its_answers_are_judged(
    world: World, model: Model, status: str, detail: str, fix: str
) -> None:
    found = world.look(models={"backend:http://m": lambda: model})["backend:http://m"]
    assert found.status == status
    assert re.search(detail, found.detail)
    assert re.search(fix, found.fix)
    assert model.closed


def fails(error: Exception) -> Any:
    def call() -> object:
        raise error

    return call


def test_where_all_is_well_every_finding_is_ok_and_has_no_fix(world: World) -> None:
    found = world.look()
    assert {name: each for name, each in found.items() if each.status != "ok" or each.fix} == {}
    assert "all of 40 drawn at random can be read, 4 × 3 pixels" in found["images"].detail
    assert len(found) >= 14


def test_the_doctor_only_reads(world: World) -> None:
    reading = {"current_user", "users", "version", "project", "projects", "tasks", "tasks_by_id", "task_ids", "webhooks", "fetch_media"}
    world.label_studio.calls.clear()
    world.look()
    assert set(world.label_studio.calls) <= reading
    assert {"project", "task_ids"} <= set(world.label_studio.calls)


@pytest.mark.parametrize(("may", "status", "said"), [(False, "fail", "may not change"), (None, "warn", "does not tell")])
def test_rights_that_are_lacking_or_not_told_are_named(world: World, may: bool | None, status: str, said: str) -> None:
    world.inspection.may = may
    wrong = world.wrong()
    assert set(wrong) == {"rights"}
    assert wrong["rights"].status == status
    assert said in wrong["rights"].detail


def test_without_a_token_the_machine_is_looked_at_and_the_way_to_one_is_named(world: World) -> None:
    found = world.look(label_studio=None, settings_error="MCAL_LABEL_STUDIO_TOKEN is not set: …")
    assert found["settings"].status == "fail"
    assert "MCAL_LABEL_STUDIO_TOKEN" in found["settings"].detail
    assert found["device"].status == "ok"


@pytest.mark.parametrize(
    ("changes", "name", "status", "said"),
    [
        ({"slips": ["MCAL_PRICE is no setting"]}, "environment", "warn", "MCAL_PRICE"),
        ({"checks": {"database": fails(MCALError("disk I/O error"))}}, "database", "fail", "disk I/O error"),
        ({"probe_ourselves": fails(MCALError("refused"))}, "web server", "fail", "refused"),
        ({"device": fails(InvalidValue("device 'cuda' is not there"))}, "device", "fail", "cuda"),
    ],
)
def test_trouble_of_our_own_is_named(world: World, changes: dict[str, Any], name: str, status: str, said: str) -> None:
    wrong = world.wrong(**changes)
    assert set(wrong) == {name}
    assert wrong[name].status == status
    assert said in wrong[name].detail
    assert wrong[name].fix


def test_little_room_is_a_warning_and_none_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, status in ((10 * 1024**2, "fail"), (1024**3, "warn"), (50 * 1024**3, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        assert world.look()["disk"].status == status


def test_a_label_studio_that_is_away_ends_the_look_with_one_failure(world: World) -> None:
    world.label_studio.fail("version")
    wrong = world.wrong()
    assert set(wrong) == {"Label Studio"}
    assert "MCAL_LABEL_STUDIO_URL" in wrong["Label Studio"].fix


def test_a_refused_legacy_token_comes_with_where_to_allow_them(world: World) -> None:
    world.label_studio.fail("current_user", times=2, status=401)
    wrong = world.wrong(legacy_token=True)
    assert set(wrong) == {"token"}
    assert "API Tokens Settings" in wrong["token"].fix
    assert "API Tokens Settings" not in world.wrong(legacy_token=False)["token"].fix


def test_a_kind_of_token_that_is_not_allowed_fails(world: World) -> None:
    assert "tokens allowed" not in world.wrong()
    assert world.wrong(legacy_token=True)["tokens allowed"].status == "fail"


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({"maximum_annotations": 2}, "annotators per task", "Annotations per task to 1"),
        ({"label_config": "<View/>"}, "labelling interface", "Choices, a Taxonomy or a Rating"),
    ],
)
def test_a_project_that_cannot_be_a_campaign_is_told_how_to_become_one(world: World, fields: dict[str, Any], name: str, said: str) -> None:
    world.label_studio.set_project(world.project, **fields)
    wrong = world.wrong()
    assert wrong[name].status == "fail"
    assert said in wrong[name].fix


def test_too_few_tasks_fail(world: World) -> None:
    for task in world.label_studio.task_ids(world.project)[:100]:
        world.label_studio.delete_task(task)
    assert "200" in world.wrong()["tasks"].fix


def test_a_project_nobody_may_see_fails_and_the_others_are_still_looked_at(world: World) -> None:
    found = list(examine(world.patient, [99, world.project]))
    assert [each.status for each in found if each.name == "project 99: access"] == ["fail"]
    assert [each.status for each in found if each.name == f"project {world.project}: access"] == ["ok"]


def test_a_service_user_that_labelled_by_hand_fails_with_how_to_make_one(world: World) -> None:
    world.inspection.by_hand = 17
    wrong = world.wrong()
    assert "task 17" in wrong["service user"].detail
    assert "alone" in wrong["service user"].fix


def test_a_label_studio_that_may_not_reach_us_is_told_which_setting_lets_it(world: World) -> None:
    world.inspection.connected = [ConnectedModel(OURS, "Error", "URL resolves to a reserved network address")]
    wrong = world.wrong()
    assert wrong["model"].status == "fail"
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in wrong["model"].fix
    world.inspection.connected = []
    assert world.wrong()["model"].status == "warn"


def test_a_missing_webhook_is_only_a_warning_because_nothing_is_lost(world: World) -> None:
    wrong = world.wrong(public_url="http://other.test")
    world.inspection.connected = [ConnectedModel("http://other.test", "Connected", "")]
    wrong = world.wrong(public_url="http://other.test")
    assert set(wrong) == {"webhook"}
    assert wrong["webhook"].status == "warn"


@pytest.mark.parametrize("content", [b"", b"no image", png()[:20]])
def test_an_image_that_cannot_be_decoded_fails(world: World, content: bytes) -> None:
    world.label_studio.media = dict.fromkeys(world.label_studio.media, content)
    assert set(world.wrong()) == {"images"}


def test_an_image_that_cannot_be_fetched_fails(world: World) -> None:
    world.label_studio.media = {}
    assert "cannot be read" in world.wrong()["images"].detail


@pytest.mark.parametrize(("names", "status", "said"), [((), "warn", "there is nobody"), (("ann",), "warn", "there is one"),
                                                       (("ann", "bob"), "ok", "2 people besides mcal@example.com")])  # fmt: skip
def test_second_labels_need_two_people_besides_the_backend_s_own_user(world: World, names: tuple[str, ...], status: str, said: str) -> None:
    for name in names:
        world.label_studio.add_user(f"{name}@example.com")
    assert "second labels" not in world.look()
    (found,) = [each for each in examined(world, overlap_share=0.2) if "second labels" in each.name]
    assert (found.status, said in found.detail, "does not wait" in found.fix) == (status, True, status == "warn")


TWO = CONFIG.replace("</View>", '<Choices name="q" toName="i"><Choice value="x"/><Choice value="y"/></Choices></View>')


def test_a_campaign_is_examined_with_its_own_settings(world: World) -> None:
    world.label_studio.set_project(world.project, label_config=TWO)
    assert "4 choices under 'c, q'" in world.look()["labelling interface"].detail
    found = {each.name.removeprefix(f"project {world.project}: "): each for each in examined(world, label_controls="q")}
    assert found["labelling interface"].status == "ok" and "2 choices under 'q'" in found["labelling interface"].detail
    assert found["other questions"].status == "warn" and "'c' (Choices)" in found["other questions"].detail


def test_a_label_config_that_a_campaign_cannot_go_on_with_fails(world: World) -> None:
    before = examined(world)
    assert [each.status for each in before if "labelling interface" in each.name] == ["ok"]
    world.label_studio.set_project(world.project, label_config=CONFIG.replace('value="a"', 'value="z"'))
    after = examine(world.patient, [world.project], campaigns={world.project: _begun(world)})
    (found,) = [each for each in after if "labelling interface" in each.name]
    assert found.status == "fail" and "'a'" in found.detail and "Put the choices back" in found.fix


def _begun(world: World) -> State:
    store = Store(f"sqlite:///{world.patient.data_dir.parent.parent / 'mcal.db'}")
    state = derive(facts.load(store, 1), datetime.now(UTC))
    store.close()
    return state


def test_images_are_sampled_and_read_as_the_worker_reads_them(world: World) -> None:
    for number in range(0, 250, 8):
        world.label_studio.media[f"/data/upload/{number}.png"] = png()[:40]  # its size can be read, its pixels cannot
    found = world.look()["images"]
    assert found.status == "warn" and "of 40 images drawn at random cannot be read, such as task" in found.detail
    world.label_studio.media.clear()
    assert world.look()["images"].status == "fail" and "40 of 40" in world.look()["images"].detail
