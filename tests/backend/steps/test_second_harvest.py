"""A campaign that harvests twice: people go on with the rest, a fresh blind sample is drawn from it, and both sets keep one promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.campaign.state import Phase, State
from backend.steering.control import approve, change_settings, request_stop
from backend.steering.label_all import label_all
from backend.steps.rollback import rollback
from backend.views.campaign import campaign_view
from backend.views.certificate import certificate
from backend.views.exports import items_csv
from backend.views.log import log_row
from backend.views.report import make_report
from backend.views.review import review
from backend.views.series import series
from backend.views.status import sentence
from backend.views.what_if import what_if
from mcal_engine.types import Acquire, Certify, HumanLabelAll, LabelByMachine, Observation, StopReason
from tests.backend.kills import advance_until
from tests.backend.steps.two_harvests import ERROR, N, two_harvests
from tests.backend.world import World

pytestmark = pytest.mark.slow


def between(world: World) -> State:
    """The campaign as people go on after the first harvest."""
    state = world.advance()
    for _ in range(30):
        if state.n_machine and state.stage == Phase.COLLECTING:
            return state
        assert not state.ended
        world.label()
        state = world.advance()
    raise AssertionError("there is no second harvest")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = two_harvests(tmp_path_factory.mktemp("harvests"))
    assert world.run().phase == Phase.FINISHED
    return world


def harvests(state: State) -> list[LabelByMachine]:
    return [row for row in state.history if isinstance(row, LabelByMachine)]


def wrong(world: World) -> int:
    return sum(annotation.choice != world.right(task) for task, annotation in world.machine_annotations().items())


def test_both_harvests_are_written_and_every_task_is_labelled_once(finished: World) -> None:
    state = finished.state()
    first, second = harvests(state)
    assert (first.last, second.last, first.look, second.look) == (False, True, 1, 2)
    assert first.n_machine > 20 and second.n_machine > 20
    report = state.report
    assert report is not None
    assert report["n_machine"] == first.n_machine + second.n_machine == len(finished.machine_annotations())
    assert report["human_items"] + report["n_machine"] + report["n_set_aside"] == N
    assert report["n_test"] + report["n_train"] + report["n_certificate"] + report["n_residual"] == report["human_items"]
    assert report["human_labels"] == report["human_items"] and report["duplicates"] == 0
    assert all(len(rows) == 1 for rows in finished.annotations().values())
    assert wrong(finished) <= ERROR * N


def test_the_report_has_both_certificates_and_the_promise_over_both(finished: World) -> None:
    state = finished.state()
    first, second = harvests(state)
    report = make_report(state, finished.now())
    assert report["certified"] and report["error_upper_bound"] == second.error_upper_bound
    assert first.error_upper_bound is not None and second.error_upper_bound is not None
    assert first.error_upper_bound < second.error_upper_bound <= ERROR
    assert [(look["look"], look["n_machine"], look["certified"]) for look in report["looks"]] == [
        (1, first.n_machine, True),
        (2, second.n_machine, True),
    ]
    assert sum(look["level"] for look in report["looks"]) <= 0.05
    words = certificate(state, report)
    assert words["status"] == "certified" and f"{second.error_upper_bound:.2%} of all {N}" in words["headline"]
    assert any("the second of two harvests" in step and f"{first.n_machine} items" in step for step in words["steps"])
    promise = f"<= {second.error_upper_bound:.6g} at 0.95"
    machine = [line for line in "".join(items_csv(state)).splitlines() if ",machine," in line]
    assert len(machine) == report["n_machine"] and all(promise in line for line in machine)


def test_machine_annotations_say_which_harvest_they_are_from(finished: World) -> None:
    first, second = harvests(finished.state())
    said = [annotation.provenance for annotation in finished.machine_annotations().values()]
    versions = [row["model_version"] for row in said]
    campaign = finished.campaign.id
    assert versions.count(f"mcal-final-c{campaign}-l1") == first.n_machine
    assert versions.count(f"mcal-final-c{campaign}-l2") == second.n_machine
    for row in said:
        of = first if row["certificate"]["look"] == 1 else second
        assert row["certificate"]["error_upper_bound"] == of.error_upper_bound
        assert row["certificate"]["level"] == pytest.approx(0.024 if of is first else 0.0208)


def test_the_second_sample_is_blind_fresh_and_from_what_is_left(finished: World) -> None:
    state = finished.state()
    samples = [set(queue.ids) for queue in state.queues if queue.kind == "certificate"]
    machine = {row.task_id: row.look for row in state.machine_labels}
    assert len(samples) == 2 and not samples[0] & samples[1]
    assert not samples[1] & set(machine)
    later = next(row for row in state.observations if row.n_machine)
    assert samples[0] <= set(later.test_ids.tolist()) and not set(machine) & set(later.test_ids.tolist())
    assert later.n_items == N == later.n_machine + later.n_pool + later.n_train + later.n_set_aside + len(later.test_ids)
    special = {task for task, role in state.roles.items() if role != "train"}
    assert not any(special & set(request.train_ids) for request in finished.trainer.requests)


def test_test_items_in_front_of_the_first_cut_stand_for_nothing_that_is_left(finished: World) -> None:
    state = finished.state()
    rank = {row.task_id: row.rank for row in finished.store.frozen(finished.campaign.id, 1)}
    first = harvests(state)[0]
    later = next(row for row in state.observations if row.n_machine)
    alive = dict(zip(later.test_ids.tolist(), later.survivors.tolist(), strict=True))
    ahead = [alive[task] for task in alive if task in rank and rank[task] < first.n_ranked]
    behind = [alive[task] for task in alive if task in rank and rank[task] >= first.n_ranked]
    assert ahead and not any(ahead)
    assert sum(behind) > 0.4 * len(behind)  # but for those that the batch since would have taken
    asked = next(row for row in reversed(state.observations) if not row.n_machine)
    assert later.survivors[np.isin(later.test_ids, asked.test_ids)].sum() <= asked.survivors.sum()


def test_people_go_on_with_the_least_sure_as_soon_as_the_first_harvest_is_written(tmp_path: Path) -> None:
    world = two_harvests(tmp_path)
    state = between(world)
    queue = state.queue
    assert queue is not None and queue.kind == "train" and len(queue.ids) > queue.n_asked > 0
    surety = {row.task_id: row.surety for row in world.store.frozen(world.campaign.id, 1)}
    left = {item.task_id for item in state.pool} | set(queue.ids)
    assert list(queue.ids) == sorted(left, key=lambda task: (surety[task], task))[: len(queue.ids)]
    machine = set(world.machine_annotations())
    assert machine and not machine & set(world.label())
    assert state.blind  # a second sample is to be drawn from what is left


def test_the_page_and_the_forecast_count_the_first_harvest_while_the_second_is_looked_for(tmp_path: Path) -> None:
    world = two_harvests(tmp_path)
    state = between(world)
    first = harvests(state)[0]
    report = make_report(state, world.now())
    assert report["n_machine"] == first.n_machine and report["certified"]
    assert report["error_upper_bound"] == first.error_upper_bound
    words = certificate(state, report)
    assert words["status"] == "certified" and any("kept for a second harvest" in step for step in words["steps"])
    events = world.store.events(world.campaign.id)
    view = campaign_view(state, world.campaign, events, world.now())
    assert sum(part["n"] for part in view["bar"]) == N
    assert view["plan"] is not None and view["plan"]["n_machine"] == 0
    assert sum(row["machine"] for row in view["classes"]) == first.n_machine
    assert "round" in sentence(state) and all(log_row(event)["sentence"] for event in events)
    assert series(state)["forecast"]
    world.label()
    while not isinstance(world.advance().decision, Certify):
        world.label()
    state = world.state()
    assert series(state)["curves"][0]["n_train"][0] > state.observations[0].n_train  # curves of the pool that is left
    outlook = what_if(state, {"target_error": 0.2})
    assert outlook["now"]["n_machine"] >= first.n_machine and outlook["now"]["n_human"] + outlook["now"]["n_machine"] == N
    found = review(world.store, state)
    assert not {tile["task"] for tile in found["errors"]} & set(state.sample), "the second sample is not answered yet"


def test_a_worker_that_restarts_at_every_step_comes_to_the_same_ledger(finished: World, tmp_path: Path) -> None:
    other = two_harvests(tmp_path)
    for _ in range(40):
        if other.state().ended:
            break
        other.fresh_services()
        other.advance()
        other.label()
    assert other.ledger() == finished.ledger()


def test_a_worker_killed_in_the_first_write_back_or_right_after_it_changes_nothing(finished: World, tmp_path: Path) -> None:
    other = two_harvests(tmp_path)
    other.run(until=[Phase.CERTIFYING])
    other.label()
    advance_until(other, "label_studio.predictions_to_annotations")
    assert other.state().stage == Phase.WRITING_BACK
    advance_until(other, "store.set_machine_labels")
    assert other.state().stage == Phase.WRITING_BACK and not other.state().planned
    advance_until(other, "store.append")
    assert other.state().stage == Phase.COLLECTING and isinstance(other.state().decision, Acquire)
    other.run()
    assert other.ledger() == finished.ledger()


def test_each_write_back_waits_for_a_yes_of_its_own(tmp_path: Path) -> None:
    world = two_harvests(tmp_path, approve_write_back="on")
    state = world.run(until=[Phase.AWAITING_APPROVAL])
    first = harvests(state)[0]
    assert world.machine_annotations() == {}
    assert f"{first.n_machine} machine labels are written now" in approve(world.store, world.campaign.id, world.now(), by="ann")
    state = world.run(until=[Phase.AWAITING_APPROVAL])
    second = harvests(state)[1]
    assert len(world.machine_annotations()) == first.n_machine and len(state.planned) == second.n_machine
    assert sentence(state) == f"waiting for the admin's yes to write {second.n_machine} machine labels"
    assert f"{second.n_machine} machine labels are written now" in approve(world.store, world.campaign.id, world.now(), by="ann")
    world.run()
    assert len(world.machine_annotations()) == first.n_machine + second.n_machine


def test_a_no_to_the_second_harvest_keeps_the_first(tmp_path: Path) -> None:
    world = two_harvests(tmp_path, approve_write_back="on")
    world.run(until=[Phase.AWAITING_APPROVAL])
    approve(world.store, world.campaign.id, world.now(), by="ann")
    first = harvests(world.run(until=[Phase.AWAITING_APPROVAL]))[0]
    label_all(world.store, world.campaign.id, world.now(), by="ann")
    report = world.run().report
    assert report is not None and report["n_machine"] == first.n_machine == len(world.machine_annotations())
    assert report["certified"] and report["error_upper_bound"] == first.error_upper_bound
    assert {row.look for row in world.state().machine_labels if row.state == "removed"} == {2}


def test_an_admin_may_leave_the_rest_to_people_between_the_harvests(tmp_path: Path) -> None:
    world = two_harvests(tmp_path)
    first = harvests(between(world))[0]
    label_all(world.store, world.campaign.id, world.now(), by="ann")
    assert world.state().stage == Phase.RESIDUAL
    report = world.run().report
    assert report is not None and report["stop_reason"] == "stopped_by_admin" and report["certified"]
    assert report["n_machine"] == first.n_machine and report["error_upper_bound"] == first.error_upper_bound
    assert report["human_items"] + report["n_machine"] == N


def test_a_no_to_the_first_harvest_leaves_everything_to_people(tmp_path: Path) -> None:
    world = two_harvests(tmp_path, approve_write_back="on")
    world.run(until=[Phase.AWAITING_APPROVAL])
    label_all(world.store, world.campaign.id, world.now(), by="ann")
    state = world.run()
    assert isinstance(state.decision, HumanLabelAll) and state.report is not None and state.report["n_machine"] == 0


@pytest.mark.parametrize("when", ["between", "finished"])
def test_rolling_back_takes_both_harvests_out(tmp_path: Path, when: str) -> None:
    world = two_harvests(tmp_path)
    state = between(world) if when == "between" else world.run()
    n = len(world.machine_annotations())
    assert n == state.n_machine > 0
    assert rollback(world.services, world.campaign.id, by="ann").n_removed == n
    assert world.machine_annotations() == {} and world.state().phase == Phase.ROLLED_BACK
    left = {version for task in world.tasks for version in world.label_studio.predictions(task)}
    assert left == set()


def test_where_a_second_harvest_does_not_pay_people_label_the_rest_at_once(tmp_path: Path) -> None:
    world = two_harvests(tmp_path)
    poor = world.trainer.skill
    world.trainer.skill = lambda request: poor(request) if poor(request) < 1 else -1.5  # wrong about most of what is left
    state = world.run()
    first, end = harvests(state)
    assert end.last and end.look == first.look and end.verdict.reason is not StopReason.CERTIFIED
    report = state.report
    assert report is not None and report["n_machine"] == first.n_machine == len(world.machine_annotations())
    assert [event.payload["look"] for event in world.store.events(world.campaign.id, kinds=("write_back_started",))] == [1]
    words = certificate(state, make_report(state, world.now()))
    assert words["status"] == "certified" and any("was not taken" in step for step in words["steps"])
    titles = [log_row(event)["sentence"] for event in world.store.events(world.campaign.id, kinds=("decision",))]
    assert titles[-1] == "Decision: no second harvest: people label the rest"


def test_an_admin_who_stops_the_search_early_gets_one_harvest(tmp_path: Path) -> None:
    world = two_harvests(tmp_path)
    world.advance()
    for _ in range(3):
        world.label()
        world.advance()
    request_stop(world.store, world.campaign.id, world.now(), by="ann")
    state = world.run()
    assert len(harvests(state)) <= 1 and not any(isinstance(row, Observation) and row.n_machine for row in state.history)


def test_what_people_may_have_seen_a_suggestion_for_is_in_neither_sample(tmp_path: Path) -> None:
    world = two_harvests(tmp_path, assisted_labelling="on")
    state = between(world)
    queue = state.queue
    assert queue is not None and set(queue.suggestions) == set(queue.asked)
    state = world.run()
    assert len(harvests(state)) == 2
    assert not state.suggested & {task for task, role in state.roles.items() if role in ("test", "certificate")}


def test_switching_it_off_between_the_harvests_still_counts_what_the_first_has_used(tmp_path: Path) -> None:
    world = two_harvests(tmp_path)
    first = harvests(between(world))[0]
    change_settings(world.store, world.campaign.id, {"second_harvest": 0.0}, world.now(), by="ann")
    state = world.run()
    last = harvests(state)[-1]
    assert first.error_upper_bound is not None and last.error_upper_bound is not None and last.error_upper_bound <= ERROR
    assert sum(row.level for row in state.history if isinstance(row, Certify)) <= 0.05
    assert wrong(world) <= ERROR * N


def test_somebody_who_corrects_a_label_of_the_first_harvest_gives_a_training_label(tmp_path: Path) -> None:
    world = two_harvests(tmp_path)
    between(world)
    task = next(iter(world.machine_annotations()))
    world.label_studio.annotate(task, world.people[0], world.right(task))
    world.advance()
    state = world.run()
    assert task in world.trainer.requests[-1].train_ids
    assert state.report is not None and state.report["n_machine"] == len(world.machine_annotations())
    assert state.report["human_items"] + state.report["n_machine"] + state.report["n_set_aside"] == N
