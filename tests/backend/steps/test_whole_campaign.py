"""Campaigns from the request to the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.campaign.state import Phase, State
from backend.views.predictions import predictions
from backend.views.report import Report
from backend.views.status import sentence, status_line
from tests.backend.world import World

pytestmark = pytest.mark.slow


def report_of(state: State) -> Report:
    assert state.phase == Phase.FINISHED and state.report is not None
    report: Report = state.report  # type: ignore[assignment]
    assert report["human_items"] + report["n_machine"] + report["n_set_aside"] == report["n_items"]
    assert report["n_test"] + report["n_train"] + report["n_certificate"] + report["n_residual"] == report["human_items"]
    return report


def test_a_campaign_ends_with_a_certified_machine_set_and_every_task_labelled_once(tmp_path: Path) -> None:
    world = World(tmp_path, n=400)
    report = report_of(world.run())
    assert report["certified"] and report["n_machine"] > 100 and report["n_items"] == 400
    assert report["human_labels"] == report["human_items"] and report["duplicates"] == 0
    assert report["savings"] == 1 - report["total_cost"] / report["human_only_cost"] > 0.3
    machine = world.machine_annotations()
    assert len(machine) == report["n_machine"]
    assert all(len(rows) == 1 for rows in world.annotations().values())
    wrong = sum(annotation.choice != world.right(task) for task, annotation in machine.items())
    assert wrong <= 0.05 * 400
    assert report["phase"] == "finished" and report["looks"][0]["certified"] and report["rounds"][-1]["decision"] == "Certify"
    assert world.store.live_campaigns() == []


def test_machine_annotations_say_where_they_come_from(tmp_path: Path) -> None:
    world = World(tmp_path, n=260)
    world.run()
    for annotation in world.machine_annotations().values():
        said = annotation.provenance
        assert said["campaign"] == world.campaign.id and said["model_version"] == f"mcal-final-c{world.campaign.id}-l1"
        assert said["margin"] > 0 and said["certificate"]["certified"] and said["certificate"]["look"] == 1
        assert said["certificate"]["target_error"] == 0.05 and said["certificate"]["error_upper_bound"] <= 0.05


def test_the_project_gets_its_own_settings_back_and_no_queue_stays_behind(tmp_path: Path) -> None:
    world = World(tmp_path, n=220)
    world.label_studio.set_project(world.project, sampling="Uniform sampling", show_collab_predictions=True)
    world.run()
    project = world.label_studio.project(world.project)
    assert (project.sampling, project.show_collab_predictions, project.model_version) == ("Uniform sampling", True, "")
    left = {version for task in world.tasks for version in world.label_studio.predictions(task)}
    assert left == {f"mcal-final-c{world.campaign.id}-l1"}
    assert not any(world.label_studio.locked_by(task) for task in world.tasks)


def test_people_get_exactly_the_queue_in_order_and_then_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = world.advance()
    seen: set[int] = set()
    for _ in range(30):
        if state.ended or state.queue is None or state.queue.kind == "residual":
            break
        queue = state.queue
        served = world.label()
        assert served == [task for task in queue.ids if state.items[task].label is None], queue.kind
        assert not seen & set(served)
        seen |= set(served)
        state = world.advance()
    assert state.stage == Phase.RESIDUAL or state.ended


def test_test_items_and_the_certificate_sample_are_never_trained_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = world.run()
    special = {task for task, role in state.roles.items() if role != "train"}
    assert world.trainer.requests and not any(special & set(request.train_ids) for request in world.trainer.requests)


def test_a_classifier_that_never_learns_ends_with_people_labelling_everything(tmp_path: Path) -> None:
    world = World(tmp_path, n=220, hopeless=True, batch_size=40, max_rounds=4)
    report = report_of(world.run())
    assert report["n_machine"] == 0 and not report["certified"] and report["human_items"] == 220
    assert report["stop_reason"] in ("certificate_failed", "max_rounds", "machine_cannot_pay", "exploration_tax", "no_gain")
    assert report["error_upper_bound"] == 0.0
    assert world.machine_annotations() == {}


def test_an_estimate_is_written_back_without_a_sample_and_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, guarantee="estimate")
    state = world.run()
    report = report_of(state)
    assert not report["certified"] and report["n_certificate"] == 0 and report["n_machine"] > 0 and report["looks"] == []
    assert {annotation.provenance["certificate"]["certified"] for annotation in world.machine_annotations().values()} == {False}
    assert "not certified" in sentence(state)


def test_labels_from_before_the_campaign_are_used_and_not_paid(tmp_path: Path) -> None:
    world = World(tmp_path, n=300, start=False)
    early = world.tasks[:90:3]
    for task in early:
        world.label_studio.annotate(task, world.people[0], world.right(task))
    world.begin()
    report = report_of(world.run())
    assert report["n_preexisting"] == len(early) == 30
    assert report["human_labels"] == report["human_items"] - 30
    assert set(world.trainer.requests[0].train_ids) & set(early)
    assert any(world.state().roles.get(task) == "test" for task in early)


def test_predictions_are_hidden_while_people_must_be_blind(tmp_path: Path) -> None:
    world = World(tmp_path)
    everything = (world.label_studio.url, world.project, world.tasks)
    state = world.advance()
    for _ in range(30):
        if not state.blind:
            break
        assert predictions(world.store, *everything, world.now()) == {}
        world.label()
        state = world.advance()
    shown = predictions(world.store, *everything, world.now())
    assert shown.keys() == world.machine_annotations().keys()
    assert all(0.5 <= score <= 1 and choice in ("ant", "bee", "cat") for choice, score, _ in shown.values())
    assert predictions(world.store, world.label_studio.url, 999, world.tasks, world.now()) == {}


def test_every_phase_has_a_sentence(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert status_line(world.store, world.campaign.id, world.now()) == "waiting for the first visit to the project"
    said = [sentence(world.advance())]
    for _ in range(30):
        world.label()
        state = world.advance()
        said.append(sentence(state))
        if state.ended:
            break
    assert said[0].startswith("round 0: 0 of 52 labels")
    assert any(line.startswith("certificate: 0 of ") for line in said)
    assert said[-1].startswith("finished: ") and "at 96%" in said[-1]  # one look has spent 4 % of the 5 % that may be doubted


def test_the_same_seed_gives_the_same_campaign_and_another_seed_another(tmp_path: Path) -> None:
    worlds = [World(tmp_path / name, n=220, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    for world in worlds:
        world.run()
    first, again, other = (world.ledger() for world in worlds)
    assert first == again
    assert first["roles"] != other["roles"]


@pytest.mark.parametrize("acquisition", ["k_center", "diverse_margin", "entropy", "least_confidence", "random"])
def test_every_acquisition_takes_a_campaign_to_its_end(tmp_path: Path, acquisition: str) -> None:
    world = World(tmp_path, n=200, acquisition=acquisition)
    report = world.run().report
    assert report is not None
    assert report["n_machine"] + report["human_items"] + report["n_set_aside"] == 200
    asked = [request.with_features for request in world.trainer.requests]
    assert asked == [acquisition in ("k_center", "diverse_margin")] * len(asked)
    wrong = sum(row.label != world.truth(row.task_id) for row in world.state().machine_labels if row.state == "written")
    assert wrong <= 0.05 * 200
