"""The worker is killed at the worst moments, Label Studio goes away: the campaign goes on where it stopped, nothing lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import astuple
from typing import Any

import pytest

from backend.campaign.state import Phase, State
from backend.demo.house import House
from backend.demo.processes import Command
from backend.demo.run import judge
from mcal_engine import peeling
from mcal_engine.types import Certify, LabelByMachine
from tests.e2e.conftest import Build
from tests.e2e.following import LONGEST, begin, finish, until
from tests.e2e.test_whole_campaign import replayed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


class Unwatched(Command):
    """The worker without the demo's watchdog, as a user runs it: nobody cleans up behind it."""

    def wrapped(self, command: list[str]) -> list[str]:
        return command

    def ask_to_stop(self) -> None:
        super().ask_to_stop()
        if self.running:
            os.kill(self.pid, signal.SIGTERM)


def unwatch(house: House) -> None:
    house.worker.stop()
    house.worker = Unwatched(["worker"], house.settings, house.directory)
    house.worker.start()


def training_pids(house: House) -> list[int]:
    """The worker's child processes, without multiprocessing's resource tracker."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(house.worker.pid)], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "resource_tracker" not in line]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "Z"


def ledger(house: House) -> dict[str, Any]:
    """What must never change once it is there."""
    store, campaign = house.store, house.campaign_id
    looks = [event.payload["look"] for event in store.events(campaign, kinds=("frozen",))]
    return {
        "events": [(event.seq, event.kind, event.payload) for event in store.events(campaign)],
        "assignments": [astuple(row) for row in store.assignments(campaign)],
        "frozen": {look: [astuple(row) for row in store.frozen(campaign, look)] for look in looks},
        "labels": {item.task_id: (item.label, item.annotation_id) for item in store.items(campaign) if item.label is not None},
    }


def assert_continues(before: dict[str, Any], after: dict[str, Any]) -> None:
    """``after`` begins with all of ``before``."""
    assert after["events"][: len(before["events"])] == before["events"]
    assert set(before["assignments"]) <= set(after["assignments"])
    assert {look: after["frozen"][look] for look in before["frozen"]} == before["frozen"]
    assert {task: after["labels"][task] for task in before["labels"]} == before["labels"]


def kill_worker(house: House) -> dict[str, Any]:
    """SIGKILL, and wait until nothing of it is left; returns the ledger as it was found then."""
    killed = [house.worker.pid, *training_pids(house)]
    os.kill(killed[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not all(gone(pid) for pid in killed):
        assert time.monotonic() < deadline, "a training outlived its worker"
        time.sleep(0.1)
    house.worker.stop()
    return ledger(house)


def in_training(house: House, state: State) -> bool:
    return state.stage == Phase.TRAINING_DUE and bool(training_pids(house))


def machine_annotations(house: House) -> int:
    """How many the service user has in Label Studio."""
    by = house.service_user_id()
    return sum(each["completed_by"] == by for task in house.admin.export(house.project) for each in task["annotations"])


def stop_in_mid_write_back(house: House) -> None:
    """Hold the worker still at a moment when Label Studio has machine labels that our database does not know to be written."""
    until(house, lambda state: state.stage == Phase.WRITING_BACK, every=0.01)
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        os.kill(house.worker.pid, signal.SIGSTOP)
        planned = sum(row.state == "planned" for row in house.store.machine_labels(house.campaign_id))
        if planned and machine_annotations(house):
            return
        assert planned, "the write-back was over before it could be held"
        os.kill(house.worker.pid, signal.SIGCONT)
        time.sleep(0.03)
    raise AssertionError("the write-back did not begin")


def test_the_worker_may_be_killed_in_training_before_v_is_answered_and_in_mid_write_back(build: Build) -> None:
    house = build(401)
    unwatch(house)
    begin(house)

    until(house, lambda state: in_training(house, state))
    before = kill_worker(house)
    house.worker.start()
    until(house, lambda state: len(state.observations) == 1)
    assert_continues(before, ledger(house))

    until(house, lambda state: state.stage == Phase.CERTIFYING and state.progress is not None and state.progress.labelled > 5)
    before = kill_worker(house)
    assert before["frozen"]
    until(house, lambda state: True, check=False)
    time.sleep(5)  # people go on labelling V while nobody looks
    house.worker.start()
    until(house, lambda state: not isinstance(state.decision, Certify), every=0.02)
    assert_continues(before, ledger(house))

    stop_in_mid_write_back(house)
    before = kill_worker(house)
    assert any(row.state == "planned" for row in house.store.machine_labels(house.campaign_id))
    house.worker.start()
    report = finish(house)
    after = ledger(house)
    assert_continues(before, after)
    _, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []
    assert report["certified"]
    kinds = [kind for _, kind, _ in after["events"]]
    assert [kinds.count(kind) for kind in ("created", "write_back_done", "finished")] == [1, 1, 1]
    assert len([task for task, *_ in after["assignments"]]) == len({task for task, *_ in after["assignments"]})
    replayed(house)


def err_on_the_sample(house: House, state: State) -> None:
    """Let people say something else than the machine of the sample's least sure items: of just more than the first batch can peel away."""
    assert state.bands is not None
    frozen = house.store.frozen(house.campaign_id, 1)
    rank, predicted = {row.task_id: row.rank for row in frozen}, {row.task_id: row.label for row in frozen}
    unanswered = sorted((task for task in state.sample if state.items[task].label is None), key=rank.__getitem__)
    n_first = sum(rank[task] >= len(rank) - peeling.SMALLEST_BATCH for task in unanswered)
    n_wrong = max(state.bands.tolerated) + n_first + 1
    assert len(unanswered) >= n_wrong
    choices = state.control.choices
    for task in unanswered[-n_wrong:]:
        house.truth[task] = choices[(predicted[task] + 1) % len(choices)]


def test_the_worker_may_be_killed_in_the_middle_of_the_peel(build: Build) -> None:
    house = build(300, target_error=0.05, certificate_size=None, test_size=40, batch_size=20, max_rounds=4)
    unwatch(house)
    begin(house)
    until(house, lambda state: state.stage == Phase.CERTIFYING, every=0.02)
    house.stop_annotators()
    until(house, lambda state: state.progress is not None and state.progress.missing != (), every=0.02)
    err_on_the_sample(house, house.state())
    house.start_annotators()

    until(house, lambda state: state.stage == Phase.PEEL_DUE and bool(training_pids(house)), every=0.02)
    before = kill_worker(house)
    assert any(kind == "queue_opened" and payload["queue"] == "peel" for _, kind, payload in before["events"])
    house.worker.start()
    report = finish(house)
    after, state = ledger(house), house.state()
    assert_continues(before, after)
    _, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []
    assert report["certified"]
    assert any(kind == "peel_ranked" for _, kind, _ in after["events"])
    decision = state.decision
    assert isinstance(decision, LabelByMachine)
    left = set(decision.peeled)
    inside = {row[1] for row in after["frozen"][1] if row[0] < decision.n_ranked and row[0] not in left}
    by = house.service_user_id()
    written = {task["id"] for task in house.admin.export(house.project) for each in task["annotations"] if each["completed_by"] == by}
    assert written == inside - set(state.sample)
    replayed(house)


def test_the_campaign_outlives_an_outage_of_label_studio(build: Build) -> None:
    house = build(400)
    begin(house)
    until(house, lambda state: state.progress is not None and state.progress.labelled >= 20)
    before = ledger(house)
    house.server.stop()
    time.sleep(20)
    assert house.worker.running
    assert house.web.running
    assert not house.state().ended
    house.server.start()
    report = finish(house)
    assert_continues(before, ledger(house))
    _, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []


def test_a_lost_job_queue_costs_time_and_nothing_else(build: Build) -> None:
    house = build(200)
    unwatch(house)
    begin(house)
    until(house, lambda state: state.progress is not None and state.progress.labelled >= 5)
    kill_worker(house)
    for file in house.directory.glob("queue.db*"):
        file.unlink()
    house.worker.start()
    seen = house.state().n_labels_paid
    until(house, lambda state: state.n_labels_paid > seen)
