"""What people and admins do at any moment, also in the middle of a call. Each is possible or not; an act that is not does nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from backend.label_studio.port import Annotation
from backend.simtest.faults import Fault, Strike
from backend.simtest.machines import truth
from backend.simtest.people import another
from backend.simtest.ports import PortCall
from backend.simtest.world import World

Act = Callable[["World", random.Random], None]


def _anywhere(_port: str, method: str) -> bool:
    return method != "fenced"


def _at(act: Act) -> Strike:
    """The act comes right before the call, or right behind it."""

    def strike(life: World, call: PortCall, chance: random.Random) -> Any:
        if chance.random() < 0.5:
            act(life, chance)
            return call.do()
        result = call.do()
        act(life, chance)
        return result

    return strike


def _annotations(life: World, wanted: Callable[[Annotation], bool]) -> list[Annotation]:
    return [each for task in life.label_studio.content().values() for each in task.annotations if wanted(each)]


def _is_machine(life: World) -> Callable[[Annotation], bool]:
    me = life.label_studio.service_user.id
    return lambda each: each.completed_by == me and each.updated_by in (None, me) and not each.was_cancelled


def _is_label(life: World) -> Callable[[Annotation], bool]:
    return lambda each: each.id in life.people.marks and life.people.marks[each.id].choice is not None


def _label(life: World, chance: random.Random) -> None:
    """Somebody opens a task in the Data Manager and labels it, whatever is on it."""
    task = chance.choice(sorted(life.label_studio.content()))
    life.people.answer(task, chance.choice(life.people.two), life.n)


def _work(life: World, chance: random.Random) -> None:
    life.people.label_queue(None, chance.randint(1, 4), life.n)


def _second_label(life: World, chance: random.Random) -> None:
    found = _annotations(life, _is_label(life))
    if found:
        one = chance.choice(found)
        other = next(person for person in life.people.two if person.id != one.completed_by)
        life.people.answer(one.task_id, other, life.n, truth(one.task_id))


def _edit(life: World, chance: random.Random) -> None:
    found = _annotations(life, _is_label(life))
    if found:
        one = chance.choice(found)
        life.people.edit(one.id, one.task_id, chance.choice(life.people.two), another(one.choice or truth(one.task_id)), life.n)


def _delete(life: World, chance: random.Random) -> None:
    found = _annotations(life, lambda each: each.id in life.people.marks)
    if found:
        one = chance.choice(found)
        life.people.delete(one.id, one.task_id, life.n)


def _edit_machine(life: World, chance: random.Random) -> None:
    found = _annotations(life, _is_machine(life))
    if found:
        one = chance.choice(found)
        life.people.edit(one.id, one.task_id, chance.choice(life.people.two), another(str(one.choice)), life.n)


def _edit_in_its_way(life: World, call: PortCall, chance: random.Random) -> Any:
    """Somebody edits a machine label right before it is deleted."""
    ids = {call.args[0]} if call.method == "delete_annotation" else {each.id for each in call.args[0]}
    ours = _is_machine(life)
    found = _annotations(life, lambda each: ours(each) and each.id in ids)
    if found:
        one = chance.choice(found)
        life.people.edit(one.id, one.task_id, chance.choice(life.people.two), another(str(one.choice)), life.n)
    return call.do()


def _label_in_its_way(life: World, call: PortCall, chance: random.Random) -> Any:
    """Somebody labels a task right before it gets a machine label."""
    life.people.answer(chance.choice(sorted(call.args[2])), chance.choice(life.people.two), life.n)
    return call.do()


def _deletes(port: str, method: str) -> bool:
    return port == "label_studio" and method in ("delete_annotation", "delete_unchanged")


def _writes_labels(port: str, method: str) -> bool:
    return port == "label_studio" and method == "predictions_to_annotations"


def _delete_machine(life: World, chance: random.Random) -> None:
    found = _annotations(life, _is_machine(life))
    if found:
        one = chance.choice(found)
        life.people.delete(one.id, one.task_id, life.n)


def _label_machine(life: World, chance: random.Random) -> None:
    found = _annotations(life, _is_machine(life))
    if found:
        life.people.answer(chance.choice(found).task_id, chance.choice(life.people.two), life.n, truth(found[0].task_id))


def _delete_task(life: World, chance: random.Random) -> None:
    life.people.delete_task(chance.choice(sorted(life.label_studio.content())), life.n)


def _add_tasks(life: World, chance: random.Random) -> None:
    for task in life.label_studio.add_tasks(life.project, [f"/data/new{life.n}-{k}.png" for k in range(chance.randint(1, 3))]):
        life.people.touched[task] = life.n


def _locks_expire(life: World, _chance: random.Random) -> None:
    life.label_studio.expire_locks()


def _other_settings(life: World, chance: random.Random) -> None:
    """A project's admin picks another order of tasks by hand."""
    life.hand_set = True
    life.label_studio.set_project(life.project, sampling=chance.choice(["Sequential sampling", "Uniform sampling"]))


def _action(name: str, **asked: Any) -> Act:
    def act(life: World, _chance: random.Random) -> None:
        life.admin(name, **asked)

    return act


def _raise_target(life: World, chance: random.Random) -> None:
    life.change_settings(target_error=chance.choice([0.15, 0.3, 0.4]))


def _approval(life: World, chance: random.Random) -> None:
    life.change_settings(approve_write_back=chance.choice(["on", "off"]))


def _of(name: str, words: str, act: Act) -> Fault:
    return Fault(name, words, _anywhere, _at(act))


_TABLE = (
    _of("work on", "people answer some tasks that they are served", _work),
    _of("label any", "somebody labels any task, whatever is on it", _label),
    _of("second label", "somebody labels a labelled task", _second_label),
    _of("edit", "somebody edits a person's label", _edit),
    _of("delete", "somebody deletes a person's label or skip", _delete),
    _of("edit machine's", "somebody edits a machine label", _edit_machine),
    Fault("edit in its way", "somebody edits a machine label right before it is deleted", _deletes, _edit_in_its_way),
    Fault("label in its way", "somebody labels a task right before it gets a machine label", _writes_labels, _label_in_its_way),
    _of("delete machine's", "somebody deletes a machine label", _delete_machine),
    _of("label machine's", "somebody labels a machine-labelled task", _label_machine),
    _of("delete task", "a task is deleted", _delete_task),
    _of("add tasks", "tasks are added", _add_tasks),
    _of("locks expire", "all locks expire", _locks_expire),
    _of("other order", "another order of tasks is set by hand", _other_settings),
    _of("pause", "the admin pauses", _action("pause")),
    _of("resume", "the admin resumes", _action("resume")),
    _of("stop", "the admin stops the search", _action("stop")),
    _of("approve", "the admin approves", _action("approve")),
    _of("label all", "the admin leaves all to people", _action("label-all")),
    _of("ask again", "the admin has people asked again", _action("ask-again")),
    _of("audit", "the admin opens an audit", _action("audit")),
    _of("call off", "the admin calls the audit off", _action("cancel-audit")),
    _of("take back", "the admin takes unsure labels back", _action("take-back")),
    _of("roll back", "the admin rolls back", _action("rollback")),
    _of("raise target", "the admin changes the target error", _raise_target),
    _of("approval", "the admin switches approval on or off", _approval),
)
ACTS: dict[str, Fault] = {act.name: act for act in _TABLE}
