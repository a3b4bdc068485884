"""The demo's own check of the finished project, from what Label Studio hands out and the truth that only the demo knows. Pure.

Nothing here asks the backend's database: this is what a user would see who downloads the project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.demo.annotators import Pull
from backend.demo.trace import Findings
from backend.label_studio.port import Annotation, Task
from mcal_engine import words

PROVENANCE = ("campaign", "model_version")  # what every machine annotation must at least say


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold; ``detail`` says what was counted, or what is wrong."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Truth:
    """How wrong the finished project is. Shares of all items and of the machine-labelled ones."""

    true_overall_error: float
    true_machine_error: float | None


@dataclass(frozen=True, slots=True)
class Counted:
    """The annotation that counts for one task, and what else is there.

    Attributes:
        people: the usable labels by people, first one first. The first counts.
        machine: the service user's untouched annotations; one counts where no person labelled.
    """

    task: Task
    people: tuple[Annotation, ...]
    machine: tuple[Annotation, ...]

    @property
    def choice(self) -> str | None:
        counting = self.people[:1] or self.machine[:1]
        return counting[0].choice if counting else None


def count(tasks: Sequence[Task], service_user: int) -> list[Counted]:
    """Sort each task's annotations into people's and the machine's; skipped and empty ones count for nothing."""
    counted = []
    for task in tasks:
        usable = [each for each in task.annotations if not each.was_cancelled and each.choice]
        usable.sort(key=lambda each: (each.created_at, each.id))
        machine = tuple(each for each in usable if each.completed_by == service_user and each.updated_by in (None, service_user))
        counted.append(Counted(task, tuple(each for each in usable if each not in machine), machine))
    return counted


def doubles(counted: Sequence[Counted]) -> list[int]:
    """The tasks that people labelled more than once, one entry per later label."""
    return [one.task.id for one in counted for _ in one.people[1:]]


def truth(counted: Sequence[Counted], true_choices: Mapping[int, str]) -> Truth:
    """Compare every counting annotation with the truth; a task without one is wrong."""
    machine = [each for each in counted if each.machine and not each.people]
    wrong = sum(each.choice != true_choices[each.task.id] for each in counted)
    machine_wrong = sum(each.choice != true_choices[each.task.id] for each in machine)
    return Truth(wrong / len(counted), machine_wrong / len(machine) if machine else None)


def checks(
    counted: Sequence[Counted], pulls: Sequence[Pull], findings: Findings, report: Mapping[str, Any], campaign_id: int
) -> list[Check]:
    """Everything that the finished project must show."""
    return [
        _one_counting(counted),
        _doubles(counted, report),
        _provenance(counted, campaign_id),
        _nothing_overwritten(counted, pulls),
        _sums(counted, report),
        _pulls(pulls, findings),
    ]


def within_target(found: Truth, report: Mapping[str, Any]) -> Check:
    """Whether the promise was kept; a certificate may break in one campaign of twenty, and this one can tell."""
    kept = found.true_overall_error <= report["target_error"]
    detail = f"{found.true_overall_error:.2%} of all items are wrong, the target is {report['target_error']:.2%}"
    return Check("the true error is within the target", kept, detail)


def _one_counting(counted: Sequence[Counted]) -> Check:
    bad = [f"task {each.task.id} has none" for each in counted if not each.people and not each.machine]
    bad += [f"task {each.task.id} has {len(each.machine)} by the machine" for each in counted if not each.people and len(each.machine) > 1]
    bad += [f"task {each.task.id} has one by a person and one by the machine" for each in counted if each.people and each.machine]
    return _check("every task has exactly one counting annotation", bad, words.counted(len(counted), "task"))


def _doubles(counted: Sequence[Counted], report: Mapping[str, Any]) -> Check:
    """Two people on one task is Label Studio's race: the first label counts, the later one is paid and reported."""
    found = doubles(counted)
    counted_twice = report["duplicates"] + report["second_labels"]
    bad = [f"{words.counted(len(found), 'task', 'have')} a repeated label by people, the report counts {counted_twice}"]
    shown = ", ".join(str(task) for task in found[:5]) + (", …" if len(found) > 5 else "")
    detail = f"{len(found)}, on tasks {shown}" if found else "there are none"
    return _check("doubled labels are counted", bad if len(found) != counted_twice else [], detail)


def _provenance(counted: Sequence[Counted], campaign_id: int) -> Check:
    machine = [each for one in counted for each in one.machine]
    bad = [f"annotation {each.id} has none" for each in machine if each.provenance is None]
    for each in machine:
        missing = [name for name in PROVENANCE if each.provenance is not None and name not in each.provenance]
        if missing:
            bad.append(f"annotation {each.id} has no {', no '.join(missing)}")
        elif each.provenance is not None and each.provenance["campaign"] != campaign_id:
            bad.append(f"annotation {each.id} names campaign {each.provenance['campaign']}")
    return _check("machine annotations are the service user's and say where they come from", bad, words.counted(len(machine), "annotation"))


def _nothing_overwritten(counted: Sequence[Counted], pulls: Sequence[Pull]) -> Check:
    there = {each.id: each for one in counted for each in one.people}
    submitted = [pull for pull in pulls if pull.annotation_id is not None]
    bad = []
    for pull in submitted:
        found = there.get(pull.annotation_id or 0)
        same = found is not None and (found.choice, found.task_id) == (pull.choice, pull.task_id)
        if found is None or not same or found.updated_by not in (None, found.completed_by):
            bad.append(f"{pull.annotator}'s label on task {pull.task_id} is not as it was given")
    return _check("no label by a person was overwritten", bad, f"{words.counted(len(submitted), 'label', 'are')} as given")


def _sums(counted: Sequence[Counted], report: Mapping[str, Any]) -> Check:
    people = sum(bool(each.people) for each in counted)
    machine = sum(bool(each.machine) and not each.people for each in counted)
    labels = sum(len(each.people) for each in counted)
    found = {"human_items": people, "n_machine": machine, "human_labels": labels, "n_items": len(counted)}
    bad = [f"{name} is {report[name]}, Label Studio has {number}" for name, number in found.items() if report[name] != number]
    total = report["human_items"] + report["n_machine"] + report["n_set_aside"]
    if total != report["n_items"]:
        bad.append(f"people's, machine's and set-aside items are {total} of {report['n_items']}")
    return _check("the report counts what Label Studio has", bad, f"{people} by people + {machine} by the machine = {len(counted)}")


def _pulls(pulls: Sequence[Pull], findings: Findings) -> Check:
    served = sum(pull.task_id is not None for pull in pulls)
    bad = [*findings.outside, *findings.disorder, *findings.repeated]
    raced = f", {len(findings.raced)} raced by Label Studio" if findings.raced else ""
    detail = f"{served} tasks served{raced}, {sum(findings.empty_replies.values())} times nothing"
    return _check("people were served the batches, in order, and nothing else", bad, detail)


def _check(name: str, bad: Sequence[str], detail: str) -> Check:
    if not bad:
        return Check(name, True, detail)
    more = f" (and {len(bad) - 3} more)" if len(bad) > 3 else ""
    return Check(name, False, "; ".join(bad[:3]) + more)
