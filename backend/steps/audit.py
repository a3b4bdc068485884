"""The worker's part of an audit: draw, take out of sight, wait, read, and write again or take back. Each step may be killed and run again.

People label the sample as they label anything else, and nobody can see what the machine said: not in the labelling interface, not in the
Data Manager. For that its machine labels and their predictions leave Label Studio while it is labelled; what they were is kept here, frozen
and hashed before the sample is drawn. (To ask for a second label beside the machine's would be blind in the labelling interface alone.)
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from backend.campaign import draws, events
from backend.campaign.audit_result import audited_rows, judge, written
from backend.campaign.audits import Audit
from backend.campaign.commit import Commit
from backend.campaign.frozen import digest, final_model_version
from backend.campaign.queues import enough
from backend.campaign.state import Phase, State
from backend.label_studio.port import Project
from backend.label_studio.queue import ProjectBefore
from backend.label_studio.write_back import CHUNK
from backend.steps import write_back
from backend.steps.ports import Heartbeat, Services
from backend.steps.rollback import remove_labels
from backend.store import Frozen, MachineLabel
from mcal_engine.certificates import uniform
from mcal_engine.round import draw_secret

logger = logging.getLogger(__name__)


def step(services: Services, state: State, project: Project, reread: Callable[[], State], heartbeat: Heartbeat) -> bool:
    """One step of the audit that is under way; whether another one may follow at once.

    Args:
        reread: reconciles fully and derives the state anew.
    """
    audit = state.audit
    assert audit is not None  # this is what the stage says
    waits = audit.model_version and audit.cancelled_by is None
    if waits and (state.progress is None or not enough(state.progress, state.settings, services.now())):
        return False
    state = reread()  # what is drawn, and what is read, must be as Label Studio has it now
    if state.phase != Phase.AUDITING or state.audit != audit:
        return True
    if audit.cancelled_by is not None:
        commit = _restore(services, state, audit, project, reread, heartbeat)
    elif not audit.ids:
        commit = _draw(services, state, audit, project)
    elif not audit.model_version:
        _withdraw(services, state, audit, heartbeat)
        commit = Commit(reread())
        commit.open(draws.audit_queue(commit.state, audit))
    elif state.progress is None or not enough(state.progress, state.settings, services.now()):
        return True  # a label was taken back meanwhile
    else:
        commit = _decide(services, state, audit)
    commit.store(services.store)
    return True


def take_back(services: Services, state: State, project: Project, reread: Callable[[], State], heartbeat: Heartbeat) -> None:
    """Take what lies behind the cut out of S*, and leave it to people; what a person has edited is kept."""
    audit = next(row for row in state.audits if row.taking_back)
    assert audit.take_back is not None  # this is what taking back means
    behind = {row.task_id for row in audited_rows(services.store, state, audit)[audit.take_back.n_ranked :]} - state.audited
    for rows in _chunks(row for row in state.machine_labels if row.task_id in behind and row.state == "written"):
        heartbeat()
        _take_away(services, state, rows)
    commit = Commit(reread())
    states = [row.state for row in commit.state.machine_labels if row.task_id in behind]
    n_removed, n_kept, before = states.count("removed"), states.count("kept"), _before(commit.state, project)
    commit.add(events.TakeBackDone(audit=audit.number, n_removed=n_removed, n_kept=n_kept, project_before=before))
    commit.close_queue("more is left to people", trains=False)
    _leave_rest(services, commit)
    commit.store(services.store)


def _draw(services: Services, state: State, audit: Audit, project: Project) -> Commit:
    commit = Commit(state)
    rows = written(state)
    if not rows:
        reason, before = "no machine labels are left to audit", _before(state, project)
        commit.add(events.AuditCancelled(audit=audit.number, reason=reason, n_restored=0, project_before=before))
        return commit
    frozen = [Frozen(rank, row.task_id, row.label, row.surety) for rank, row in enumerate(rows)]
    ids = np.array([row.task_id for row in rows], dtype=np.int64)
    entropy = services.entropy()  # made once the labels in question are fixed
    drawn = draw_secret(entropy, ids, min(audit.size, len(rows))).tolist()
    commit.add(
        events.AuditOpened(
            audit=audit.number,
            ids=tuple(drawn),
            n_written=len(rows),
            n_items=len(state.live),
            allowed=uniform.allowance(state.settings.target_error, state.n_labels),
            target_error=state.settings.target_error,
            digest=digest(frozen),
            entropy=f"{entropy:032x}",
            project_before=_before(state, project),
        )
    )
    commit.close_queue("an audit comes first", trains=False)
    commit.frozen = (audit.look, frozen)
    return commit


def _withdraw(services: Services, state: State, audit: Audit, heartbeat: Heartbeat) -> None:
    sample = set(audit.ids)
    for rows in _chunks(row for row in state.machine_labels if row.task_id in sample and row.state == "written"):
        heartbeat()
        _take_away(services, state, rows)
    logger.info("campaign %d: audit %d: %d machine labels are out of sight", state.campaign_id, audit.number, len(sample))


def _take_away(services: Services, state: State, rows: Sequence[MachineLabel]) -> None:
    """Annotations and the predictions they were made of; the note comes last, so that a kill before it does it all again."""
    by_look: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_look[row.look].append(row.task_id)
    for look, tasks in by_look.items():
        services.label_studio.delete_predictions_on(state.project_id, final_model_version(state.campaign_id, look), tasks)
    remove_labels(services, state, list(rows))


def _decide(services: Services, state: State, audit: Audit) -> Commit:
    """What people said is final; what nobody answered counts as wrong, and is left to people for good."""
    frozen = {row.task_id: row for row in audited_rows(services.store, state, audit)}
    labels = tuple(None if (item := state.items[task]).deleted else item.label for task in audit.ids)
    machine = tuple(frozen[task].label for task in audit.ids)
    commit = Commit(state)
    commit.close_queue("the audit's sample is answered", trains=False)
    commit.add(
        events.AuditDecided(
            audit=audit.number,
            result=judge(audit, machine, labels),
            labels=labels,
            choices=machine,
            ranks=tuple(frozen[task].rank for task in audit.ids),
            sureties=tuple(frozen[task].surety for task in audit.ids),
        )
    )
    _answered(commit, audit)
    _leave_rest(services, commit)
    return commit


def _restore(services: Services, state: State, audit: Audit, project: Project, reread: Callable[[], State], heartbeat: Heartbeat) -> Commit:
    """Call the audit off: what nobody has answered gets its machine label back."""
    sample = set(audit.ids)
    untouched = {item.task_id for item in state.live if item.label is None and not item.skipped}
    lost = [row for row in state.machine_labels if row.task_id in sample & untouched and row.state == "removed"]
    if lost:
        services.store.set_machine_labels(state.campaign_id, [replace(row, state="planned", annotation_id=None) for row in lost])
        state = reread()
    for look in sorted({row.look for row in state.machine_labels if row.state == "planned"}):
        mine = tuple(row for row in state.machine_labels if row.look == look)
        write_back.write_machine_labels(services, replace(state, machine_labels=mine), heartbeat)
    commit = Commit(reread())
    n_restored = sum(row.task_id in sample and row.state == "written" for row in commit.state.machine_labels)
    reason, before = f"called off by {audit.cancelled_by}", _before(commit.state, project)
    commit.add(events.AuditCancelled(audit=audit.number, reason=reason, n_restored=n_restored, project_before=before))
    _answered(commit, audit)
    if audit.ids:
        commit.close_queue("the audit is called off", trains=False)
        _leave_rest(services, commit)
    return commit


def _answered(commit: Commit, audit: Audit) -> None:
    """The person's label wins over the machine's, as it does everywhere."""
    labelled = {task for task in audit.ids if commit.state.items[task].label is not None}
    commit.machine_labels += [
        replace(row, state="human") for row in commit.state.machine_labels if row.task_id in labelled and row.state == "removed"
    ]


def _leave_rest(services: Services, commit: Commit) -> None:
    """Whatever has no label now is people's."""
    state = commit.state
    frozen = services.store.frozen(state.campaign_id, state.look) if state.settings.assisted_labelling == "on" else []
    commit.leave_rest_to_people({row.task_id: row.label for row in frozen})


def _before(state: State, project: Project) -> ProjectBefore | None:
    """A finished campaign that was taken up again gives the project back as it was found, not as it was long ago."""
    return ProjectBefore.of(project) if state.reopened else None


def _chunks(rows: Iterable[MachineLabel]) -> Iterator[list[MachineLabel]]:
    listed = list(rows)
    for place in range(0, len(listed), CHUNK):
        yield listed[place : place + CHUNK]
