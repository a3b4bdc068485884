"""Which projects can be campaigns, and what is said of those that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.state import Phase
from backend.label_studio.port import LabelStudioError, LabelStudioPort
from backend.steps.rollback import rollback
from backend.steps.webhook import Webhook
from backend.store import NewEvent
from backend.views.status import sentence
from mcal_engine.classifiers import candidates
from mcal_engine.errors import InvalidValue
from tests.backend.world import CONFIG, World

TWO = CONFIG.replace("</View>", '<Choices name="second" toName="image"><Choice value="x"/><Choice value="y"/></Choices></View>')

WITH_NOTE = CONFIG.replace("</View>", '<TextArea name="note" toName="image" required="true"/></View>')


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"maximum_annotations": 2}, "maximum_annotations must be 1, got 2"),
        ({"label_config": "<View><Text name='t' value='$t'/></View>"}, "Choices, a Taxonomy or a Rating on an Image"),
        ({"label_config": CONFIG.replace("<Choices ", '<Choices perRegion="true" ')}, 'got perRegion="true"'),
        ({"label_config": WITH_NOTE}, "also requires an answer to 'note' .TextArea., and machine labels.*in a project of its own"),
    ],
)
def test_an_unfit_project_is_refused_with_the_rule_it_breaks(tmp_path: Path, fields: dict[str, object], said: str) -> None:
    world = World(tmp_path, start=False)
    world.label_studio.set_project(world.project, **fields)
    with pytest.raises(InvalidValue, match=said.replace("(", r"\(")):
        world.begin()
    assert world.store.campaigns() == []


def test_a_project_of_199_tasks_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"at least 200 tasks, project \d+ has 199"):
        World(tmp_path, n=199)


def test_one_of_several_controls_can_be_named(tmp_path: Path) -> None:
    world = World(tmp_path, start=False, label_control="label")
    world.label_studio.set_project(world.project, label_config=TWO)
    world.begin()
    assert world.advance().control.from_name == "label"


def test_a_project_without_an_image_under_its_tag_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, start=False)
    world.project = world.label_studio.add_project(CONFIG, [""] * 200)
    world.begin()
    state = world.advance()
    assert state.phase == Phase.HALTED and state.halt is not None
    assert "no task has an image under 'image'" in state.halt.reason and "it must name one image in each" in state.halt.fix
    assert world.shelf.fetched == []
    for task in world.label_studio._tasks.values():
        task.image = f"/data/{task.id}.png"
    assert world.advance().phase == Phase.COLLECTING


def test_a_task_with_several_images_is_refused_before_anything_is_asked_and_the_way_out_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    crowded = world.label_studio._tasks[world.tasks[7]]
    crowded.n_images = 3
    state = world.advance()
    assert state.phase == Phase.HALTED and state.halt is not None
    assert f"task {world.tasks[7]} holds 3 images under 'image', and a label would not say which" in state.halt.reason
    assert 'value="$image[0]"' in state.halt.fix and world.shelf.fetched == []
    crowded.n_images = 1
    assert world.advance().phase == Phase.COLLECTING


def test_a_service_user_who_labelled_by_hand_is_refused_and_told_how_to_make_another(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label_studio.annotate(world.tasks[3], world.label_studio.service_user, "ant")
    state = world.advance()
    assert state.phase == Phase.HALTED and state.halt is not None
    assert f"labelled task {world.tasks[3]} by hand" in state.halt.reason and "user for this backend alone" in state.halt.fix


def test_a_project_that_setup_asked_for_halts_and_begins_by_itself_once_it_is_fit(tmp_path: Path) -> None:
    world = World(tmp_path, start=False)
    world.label_studio.set_project(world.project, maximum_annotations=3)
    event = NewEvent("requested", {"settings": world.settings.model_dump(mode="json"), "source": "setup"})
    world.campaign = world.store.create_campaign(world.project, world.label_studio.url, [event])
    assert "maximum_annotations must be 1" in sentence(world.advance())
    world.advance()
    assert len(world.store.events(world.campaign.id, kinds=("halted",))) == 1
    world.label_studio.set_project(world.project, maximum_annotations=1)
    assert world.advance().phase == Phase.COLLECTING


def test_a_project_with_nothing_left_to_label_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, n=200)
    for task in world.tasks:
        world.label_studio.annotate(task, world.people[0], "ant")
    state = world.advance()
    assert state.halt is not None and "every task has been labelled or skipped already" in state.halt.reason


@pytest.mark.slow
def test_machine_labels_of_another_campaign_must_go_first(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.run()
    written = len(world.machine_annotations())
    with pytest.raises(InvalidValue, match=f"holds {written} machine labels of campaign 1, which has ended.*mcal campaign follow-up 1"):
        world.begin()
    assert len(world.store.campaigns()) == 1  # nothing was created
    rollback(world.services, 1, by="test")
    world.begin()
    assert world.advance().phase == Phase.COLLECTING


def test_a_second_campaign_on_the_same_project_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, n=200)
    with pytest.raises(InvalidValue, match="already has a campaign"):
        world.begin()


def test_what_the_project_was_is_written_down(tmp_path: Path) -> None:
    world = World(tmp_path, n=200)
    world.advance()
    created = world.store.events(world.campaign.id, kinds=("created",))[0].payload
    assert created["project_before"] == {"sampling": "Sequential sampling", "model_version": "", "show_collab_predictions": True}
    assert created["service_user"] == {"id": world.label_studio.service_user.id, "email": "mcal@example.com"}
    assert (created["n_items"], created["n_preexisting"], created["label_studio_version"]) == (200, 0, "1.23.2")


def test_an_unknown_classifier_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"unknown classifier 'vgg'.*frozen, tfidf, both, cnn"):
        World(tmp_path, classifiers="vgg")


@pytest.mark.slow
def test_the_default_race_is_chosen_when_a_campaign_begins_and_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert World(tmp_path / "small", n=200).advance().settings.classifiers == ("frozen",)
    monkeypatch.setattr(candidates, "MANY", 200)
    world = World(tmp_path / "large", n=200)
    assert world.settings.classifiers == ("auto",)
    world.advance()
    assert world.store.events(world.campaign.id, kinds=("created",))[0].payload["settings"]["classifiers"] == ["frozen", "finetune"]
    monkeypatch.setattr(candidates, "MANY", 10_000)
    world.fresh_services()  # another version, another rule: the campaign keeps its race
    world.label()
    state = world.advance()
    assert state.settings.classifiers == ("frozen", "finetune")
    assert {request.classifier for request in world.trainer.requests} == {"frozen", "finetune"}


def test_a_campaign_registers_its_webhook_with_the_secret_in_place_of_the_one_without(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label_studio.register_webhook(world.project, "http://mcal.test:9090/webhook", {})
    world.fresh_services(webhook=Webhook("http://mcal.test:9090", "hush"))
    world.advance()
    (hook,) = world.label_studio.webhooks(world.project)
    assert (hook["url"], hook["headers"]) == ("http://mcal.test:9090/webhook", {"X-MCAL-Secret": "hush"})
    assert "hush" not in repr(world.services)


def test_a_label_studio_that_takes_no_webhook_does_not_stop_a_campaign(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Refused(Webhook):
        def register(self, label_studio: LabelStudioPort, project_id: int) -> None:
            raise LabelStudioError("Label Studio answered 400: a reserved network address", retryable=False, status=400)

    world = World(tmp_path)
    world.fresh_services(webhook=Refused("http://mcal.test:9090", "hush"))
    assert world.advance().phase != Phase.HALTED
    assert "takes no webhook of ours" in caplog.text
