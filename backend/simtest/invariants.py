"""What must be true of every life, whatever happened in it. In words and in code, once.

1.  **No person's label is lost, changed or doubled.** What a person left in Label Studio is there as that person left it last.
2.  **One counting label per item.** No task carries two machine labels, and none carries a machine label beside a person's.
3.  **The ledger is Label Studio's.** At the end each row says what Label Studio says of the task.
4.  **The machine labels are the certified set.** What was planned is what the decision vouches for, with the frozen classes. What stands in
    Label Studio is what the ledger calls written. A campaign that was rolled back has none.
5.  **Frozen before drawn, drawn once.** Each certificate sample follows from the bits that were kept with the frozen predictions, and these
    still have their digest. There is one sample per look.
6.  **Nobody sees a prediction on a blind item.** Not in the labelling interface, and of the final predictions not in the Data Manager.
7.  **Nothing of ours is left behind**: no lock, no skip of the service user, no prediction of a queue, no item that several people are
    asked about. The project's settings are its own again.
8.  **The same decisions as in the undisturbed life**, where nothing but faults happened. Elsewhere each decision is what the engine
    says to the history right before it.
9.  **The bill is what was paid**: as many labels as people gave, and every item is in one of its sums.
10. **It ends.** Once the incidents are over, the campaign comes to an end, and no exception is one that nobody thought of.

(6 is watched while people are served, in :mod:`backend.simtest.people`; 8 in :mod:`backend.simtest.lives`; 10 in
:mod:`backend.simtest.life`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from backend.campaign import events, history
from backend.campaign.facts import load
from backend.campaign.frozen import digest
from backend.campaign.state import Phase, State, derive
from backend.label_studio.port import Annotation, Task
from backend.simtest.scenes import CHOICES
from backend.simtest.world import World
from backend.store import Store
from mcal_engine import codec, engine
from mcal_engine.certificates import peel
from mcal_engine.round import draw_secret
from mcal_engine.types import LabelByMachine
from mcal_engine.words import counted

NO_END = (Phase.CANCELLED, Phase.PROJECT_GONE)
UNLIKE = ("wall_seconds", "versions", "opened_at", "ended_at")  # in a report: what depends on clocks and installations


def always(life: World) -> list[str]:
    """What holds at any moment."""
    return list(_people_s_labels(life))


def at_the_end(life: World, state: State) -> list[str]:
    """What holds once the campaign has ended."""
    found = list(_people_s_labels(life)) + list(_frozen_and_drawn(life, state)) + list(_certified(life, state))
    if life.loose:
        found += _decisions(life, state)
    if state.phase in (Phase.FINISHED, Phase.ROLLED_BACK):
        found += [*_one_label(life, state), *_machine_labels(life, state), *_nothing_left(life)]
    if state.phase == Phase.FINISHED:
        found += [*_ledger(life, state), *_bill(life, state)]
    return found


def ledger(life: World, state: State) -> dict[str, Any]:
    """What must be the same however the campaign came about: no times, no ids of annotations."""
    report = None if state.report is None else {key: value for key, value in state.report.items() if key not in UNLIKE}
    if report is not None:
        report["audits"] = [{key: value for key, value in row.items() if key not in UNLIKE} for row in report["audits"]]
        report["disagreement"] = _nameless(report.get("disagreement"))
    machine = sorted(task.id for task in life.label_studio.content().values() if any(_machine(life, each) for each in task.annotations))
    if state.phase == Phase.ROLLED_BACK:  # a rollback that fails is tried again later, and meanwhile the campaign goes on
        return {"phase": state.phase.value, "machine_in_label_studio": machine}
    return {
        "phase": state.phase.value,
        "items": {task: (item.label, item.skipped, item.deleted, item.n_human, item.preexisting) for task, item in state.items.items()},
        "roles": state.roles,
        "machine": {row.task_id: (row.label, row.state) for row in state.machine_labels},
        "decisions": [codec.to_json(row.event.decision) for row in history.read(life.store, state.campaign_id, events.Decided)],
        "queues": [(queue.kind, queue.ids, queue.n_asked) for queue in state.queues],
        "report": report,
        "machine_in_label_studio": machine,
    }


def _nameless(found: Any) -> Any:
    """Without people's names: a report does well without them where Label Studio did not say them in time."""
    if isinstance(found, dict):
        return {key: _nameless(value) for key, value in found.items() if key not in ("name", "names")}
    return [_nameless(each) for each in found] if isinstance(found, list) else found


def _machine(life: World, each: Annotation) -> bool:
    me = life.label_studio.service_user.id
    return each.completed_by == me and each.updated_by in (None, me) and not each.was_cancelled


def _of_people(life: World, task: Task) -> list[Annotation]:
    me = life.label_studio.service_user.id
    return [each for each in task.annotations if not (each.completed_by == me and each.updated_by in (None, me))]


def _usable(life: World, task: Task) -> list[Annotation]:
    """Labels by people, the counting one first."""
    found = [each for each in _of_people(life, task) if not each.was_cancelled and each.choice in CHOICES]
    return sorted(found, key=lambda each: (each.created_at, each.id))


def _people_s_labels(life: World) -> Iterator[str]:
    """1."""
    content, marks = life.label_studio.content(), life.people.marks
    there = {each.id: each for task in content.values() for each in task.annotations}
    for made, mark in marks.items():
        found = there.get(made)
        if found is None:
            if mark.choice is None and mark.task in life.people.asked_again:
                continue  # the admin had people asked again: a skip goes
            yield f"1 lost: annotation {made} of a person on task {mark.task} ({mark.choice or 'skipped'}) is gone"
        elif found.choice != mark.choice or found.task_id != mark.task:
            yield f"1 changed: annotation {made} on task {mark.task} says {found.choice}, a person said {mark.choice}"
    for task in content.values():
        for each in _of_people(life, task):
            if each.id not in marks:
                yield f"1 doubled: annotation {each.id} on task {task.id} is a person's, and nobody made it"


def _untouched(life: World, task: int) -> bool:
    """Whether nobody changed the task by hand after the campaign had read it for the last time."""
    return life.people.touched.get(task, -1) < life.last_read


def _one_label(life: World, state: State) -> Iterator[str]:
    """2."""
    for task in life.label_studio.content().values():
        machine = [each for each in task.annotations if _machine(life, each)]
        if len(machine) > 1:
            yield f"2: task {task.id} carries {counted(len(machine), 'machine label')}"
        if machine and _usable(life, task) and _untouched(life, task.id):
            yield f"2: task {task.id} carries a machine label beside a person's"
    if state.phase == Phase.FINISHED:
        written = {row.task_id for row in state.machine_labels if row.state == "written"}
        for item in state.live:
            bare = item.label is None and not item.skipped and item.unreadable is None and item.task_id not in written
            if bare and _untouched(life, item.task_id):
                yield f"2: task {item.task_id} has no label at the end, and is not set aside"


def _ledger(life: World, state: State) -> Iterator[str]:
    """3."""
    content = life.label_studio.content()
    for task, item in state.own.items():
        if not _untouched(life, task):
            continue
        if item.deleted != (task not in content):
            yield f"3: task {task} is {'deleted' if item.deleted else 'there'} in the ledger, and in Label Studio it is not so"
            continue
        if item.deleted:
            continue
        usable = _usable(life, content[task])
        label = CHOICES.index(str(usable[0].choice)) if usable else None
        if (item.label, item.n_human) != (label, len(usable)):
            yield f"3: task {task} has the label {item.label} of {item.n_human} in the ledger, {label} of {len(usable)} in Label Studio"
        if item.skipped != (not usable and bool(_of_people(life, content[task]))):
            yield f"3: task {task} is {'' if item.skipped else 'not '}skipped in the ledger, and in Label Studio it is not so"
    for task in sorted(set(content) - set(state.items)):
        if _untouched(life, task):
            yield f"3: task {task} is in Label Studio and not in the ledger"


def _certified(life: World, state: State) -> Iterator[str]:
    """4: what was planned."""
    decision = state.decision
    if not state.machine_labels:
        return
    if not isinstance(decision, LabelByMachine):  # an admin who leaves all to people while labels wait for a yes takes them back
        if any(row.state in ("planned", "written") for row in state.machine_labels):
            yield "4: machine labels are planned or written, and no decision vouches for them"
        return
    rows = life.store.frozen(state.campaign_id, state.machine_labels[0].look)
    vouched = {row.task_id: row.label for row in rows[: decision.n_ranked] if row.rank not in decision.peeled}
    planned = {row.task_id: row.label for row in state.machine_labels}
    for task, label in planned.items():
        if vouched.get(task) != label:
            yield f"4: task {task} was planned as {label}, the decision vouches for {vouched.get(task)}"
        if state.roles.get(task) in ("test", "certificate"):
            yield f"4: task {task} is a {state.roles[task]} item and was planned for the machine"
    for task in vouched:
        item = state.items[task]
        touched = item.label is not None or item.skipped or item.deleted or task in life.people.touched
        if task not in planned and task not in state.roles and not touched and not decision.class_cuts:
            yield f"4: task {task} is vouched for and was not planned"


def _machine_labels(life: World, state: State) -> Iterator[str]:
    """4: what stands in Label Studio."""
    written = {row.task_id: row for row in state.machine_labels if row.state == "written"}
    if state.phase == Phase.ROLLED_BACK and written:
        yield f"4: {counted(len(written), 'machine label', 'are')} written in the ledger of a campaign that was rolled back"
    for task in life.label_studio.content().values():
        if not _untouched(life, task.id):
            continue
        found = next((each for each in task.annotations if _machine(life, each)), None)
        row = written.get(task.id)
        if found is None and row is not None:
            yield f"4: task {task.id} has a machine label in the ledger and none in Label Studio"
        elif found is not None and row is None:
            said = next((row.state for row in state.machine_labels if row.task_id == task.id), "unknown")
            yield f"4: task {task.id} has a machine label in Label Studio; in the ledger it is {said} ({state.phase})"
        elif found is not None and row is not None and (found.id, found.choice) != (row.annotation_id, CHOICES[row.label]):
            yield f"4: task {task.id} says {found.choice} in annotation {found.id}, the ledger {CHOICES[row.label]} in {row.annotation_id}"


def sample_wrong(store: Store, campaign_id: int) -> Iterator[str]:
    """What is not as it must be of how certificate samples were frozen and drawn, of any campaign in any store."""
    frozen: dict[int, events.PoolFrozen] = {}
    look, seen = 0, set[int]()
    for entry in history.read(store, campaign_id, events.PoolFrozen, events.QueueOpened):
        event = entry.event
        if isinstance(event, events.PoolFrozen):
            if event.look in frozen:
                yield f"look {event.look} was frozen twice"
            frozen[event.look], look = event, event.look
        elif event.queue == "certificate":
            if look not in frozen or look in seen:
                yield f"a certificate sample was drawn {'again' if look in seen else 'before anything was frozen'}, at event {entry.seq}"
                continue
            seen.add(look)
            rows = store.frozen(campaign_id, look)
            bits, bands = int(frozen[look].entropy, 16), frozen[look].bands
            pool = np.array([row.task_id for row in rows], dtype=np.int64)
            drawn = draw_secret(bits, pool if bands is None else pool[peel.draw(bands, bits)], len(event.ids)).tolist()
            if digest(rows) != frozen[look].digest:
                yield f"the frozen predictions of look {look} have been changed since"
            if list(event.ids) != drawn:
                yield f"the certificate sample of look {look} does not follow from the bits that were kept"


def _frozen_and_drawn(life: World, state: State) -> Iterator[str]:
    """5."""
    yield from (f"5: {said}" for said in sample_wrong(life.store, state.campaign_id))
    wanted = {task for queue in state.queues if queue.kind == "certificate" for task in queue.ids}
    if wanted != {task for task, role in state.roles.items() if role == "certificate"}:
        yield "5: the certificate items are not those that were drawn"


def _decisions(life: World, state: State) -> Iterator[str]:
    """8, where people and admins act of themselves."""
    facts = load(life.store, state.campaign_id)
    for place, entry in enumerate(facts.events):
        before = facts.events[place - 1].event
        if not isinstance(entry.event, events.Decided) or not isinstance(before, events.Observed | events.SampleRead | events.PeelRanked):
            continue
        then = derive(replace(facts, events=facts.events[:place]), state.at)
        measured = tuple(row.classifier for row in then.observations[-1].measurements)
        spec = then.settings
        if not set(measured) <= set(spec.classifiers):
            spec = spec.model_copy(update={"classifiers": measured})
        said = engine.decide(spec, list(then.history), stop_requested=then.stop_requested_by is not None)
        if codec.to_json(said) != codec.to_json(entry.event.decision):
            kinds = type(entry.event.decision).__name__, type(said).__name__
            yield f"8 decision: event {entry.seq} says {kinds[0]}, and to the history before it the engine says {kinds[1]}"


def _nothing_left(life: World) -> Iterator[str]:
    """7."""
    me, content = life.label_studio.service_user.id, life.label_studio.content()
    for locked in life.label_studio.locked_for_us():
        yield f"7 lock: task {locked} is locked for the service user"
    for task in content.values():
        if any(each.completed_by == me and each.was_cancelled for each in task.annotations):
            yield f"7 skip: task {task.id} carries a skip of the service user"
        queues = sorted(version for version in life.label_studio.versions_on(task.id) if "-final-" not in version)
        if queues:
            yield f"7 prediction: task {task.id} carries predictions of {', '.join(queues)}"
        if task.overlap != 1 and not life.people.asked_again:
            yield f"7 overlap: {task.overlap} people are asked about task {task.id}"
    project = life.label_studio._projects[life.project]  # noqa: SLF001 (not a call)
    for name in ("sampling", "show_collab_predictions", "model_version"):
        now, was = getattr(project, name), getattr(life.before, name)
        if now != was and not (name == "sampling" and life.hand_set):
            yield f"7 project: {name} is {now!r}, and was {was!r}"


def _bill(life: World, state: State) -> Iterator[str]:
    """9."""
    report = state.report
    if report is None:
        yield "9: the campaign has finished without a report"
        return
    parts = sum(report[name] for name in ("n_test", "n_train", "n_certificate", "n_audit", "n_residual"))
    if report["human_items"] != parts or report["human_items"] + report["n_machine"] + report["n_set_aside"] != report["n_items"]:
        yield f"9: the report's sums do not add up: {[(name, report[name]) for name in report if name.startswith(('n_', 'human_items'))]}"
    content = life.label_studio.content()
    gone = any(item.deleted or task not in content for task, item in state.own.items())
    if gone or not all(_untouched(life, task) for task in content):
        return
    free = {each.id for task in life.found.values() for each in _usable(life, task)[1:]}  # second labels of before the campaign
    given = sum(each.id not in free for task in state.own for each in _usable(life, content[task]))
    given -= sum(item.preexisting for item in state.own.values())
    if report["human_labels"] != given:
        yield f"9: {counted(report['human_labels'], 'label', 'are')} on the bill, people gave {given}"
    if abs(report["human_cost"] - given * report["price_per_label"]) > 1e-9:
        yield f"9: {counted(given, 'label', 'cost')} {report['human_cost']}"
