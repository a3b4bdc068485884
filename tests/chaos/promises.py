"""What must be true of a campaign that has finished, whatever was done to it: Label Studio, the ledger and the report say one thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx

from backend.campaign.state import State
from backend.demo import audit, trace
from backend.demo.house import House
from backend.label_studio.queue import ProjectBefore
from backend.protocol.ml_protocol import BLIND_VERSION
from backend.simtest.invariants import sample_wrong
from mcal_engine import codec, engine
from mcal_engine.types import CertificateOutcome, LabelByMachine, Observation, PeelOrder

ONCE = ("created", "write_back_done", "finished")


def broken(house: House) -> tuple[list[str], bool]:
    """A sentence for each promise that was broken, and whether the true error is within the target.

    The second is no promise of a single campaign: a certificate may be wrong in one of twenty.
    """
    state = house.state()
    assert state.report is not None
    counted = audit.count(house.tasks(), house.service_user_id())
    pulls = house.trace()
    checks = audit.checks(counted, pulls, trace.examine(pulls, house.batches()), state.report, house.campaign_id)
    found = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    found += [*_history(house, state), *_replayed(state), *sample_wrong(house.store, house.campaign_id), *_ledger(state, counted)]
    found += [*_certified(house, state), *_machine(state, counted), *_left(house, state, counted)]
    return found, audit.within_target(audit.truth(counted, house.truth), state.report).ok


def _history(house: House, state: State) -> Iterator[str]:
    kinds = Counter(event.kind for event in house.store.events(house.campaign_id))
    for kind in ONCE:
        if kinds[kind] > 1 or (kind != "write_back_done" and not kinds[kind]):
            yield f"the history has {kinds[kind]} events {kind!r}"
    tasks = [row.task_id for row in house.store.assignments(house.campaign_id)]
    if len(tasks) != len(set(tasks)):
        yield "a task was given two roles"
    if state.halt is not None:
        yield f"the campaign is halted at its end: {state.halt.reason}"


def _replayed(state: State) -> Iterator[str]:
    """Every decision is what the engine says to the rows before it."""
    for place, row in enumerate(state.history):
        if isinstance(row, Observation | CertificateOutcome | PeelOrder):
            again: Any = engine.decide(state.settings, state.history[: place + 1])
            if codec.to_json(again) != codec.to_json(state.history[place + 1]):
                yield f"the decision after row {place} of the history is not the engine's"


def _ledger(state: State, counted: Sequence[audit.Counted]) -> Iterator[str]:
    """The ledger says of people's labels what Label Studio says."""
    there = {each.task.id: each for each in counted}
    for task, item in state.items.items():
        people = there[task].people if task in there else ()
        label = None if item.label is None else state.control.choices[item.label]
        first = (people[0].choice, people[0].id) if people else (None, None)
        ours = (label, item.annotation_id, item.n_human)
        if ours != (*first, len(people)):
            yield f"task {task}: choice, annotation and number of labels are {ours} in the ledger, {(*first, len(people))} in Label Studio"


def _certified(house: House, state: State) -> Iterator[str]:
    """What was planned is what the decision vouches for, with the frozen classes."""
    if not state.machine_labels:
        return
    if not isinstance(state.decision, LabelByMachine):
        yield "machine labels were planned, and no decision vouches for them"
        return
    rows = house.store.frozen(house.campaign_id, state.machine_labels[0].look)
    vouched = {row.task_id: row.label for row in rows[: state.decision.n_ranked] if row.rank not in state.decision.peeled}
    for row in state.machine_labels:
        if vouched.get(row.task_id) != row.label:
            yield f"task {row.task_id} was planned as class {row.label}, the decision vouches for {vouched.get(row.task_id)}"
        if state.roles.get(row.task_id) in ("test", "certificate"):
            yield f"task {row.task_id} is a {state.roles[row.task_id]} item and was planned for the machine"


def _machine(state: State, counted: Sequence[audit.Counted]) -> Iterator[str]:
    """What Label Studio has by the machine is what the ledger calls written."""
    written = {row.task_id: (row.annotation_id, state.control.choices[row.label]) for row in state.machine_labels if row.state == "written"}
    there = {each.task.id: (each.machine[0].id, each.machine[0].choice) for each in counted if each.machine}
    for task in sorted(written.keys() | there.keys()):
        if written.get(task) != there.get(task):
            yield f"task {task}: the ledger has the machine label {written.get(task)}, Label Studio {there.get(task)}"
    if planned := sum(row.state == "planned" for row in state.machine_labels):
        yield f"{planned} machine labels are still planned"


def _left(house: House, state: State, counted: Sequence[audit.Counted]) -> Iterator[str]:
    """Nothing of the queues is left in the project, and its settings are its own again."""
    me = house.service_user_id()
    for each in counted:
        if any(one.completed_by == me and one.was_cancelled for one in each.task.annotations):
            yield f"task {each.task.id} carries a skip of the service user"
    headers = {"Authorization": f"Token {house.server.admin_token}"}
    with httpx.Client(base_url=house.server.url, headers=headers, timeout=60) as admin:
        versions = admin.get(f"/api/projects/{house.project.id}/model-versions").raise_for_status().json()
        now = admin.get(f"/api/projects/{house.project.id}").raise_for_status().json()
    for version in versions:
        if "-final-" not in version and version != BLIND_VERSION:  # the latter is what the model's route answers: empty
            yield f"predictions of {version} are left in the project"
    assert state.created is not None
    was = state.created.project_before
    if was.model_version not in versions:
        was = replace(was, model_version="")  # Label Studio takes no version that has no predictions, such as the model's title
    is_now = ProjectBefore(now["sampling"], now["model_version"] or "", now["show_collab_predictions"])
    if is_now != was:
        yield f"the project's settings are {is_now}, and were {was}"
