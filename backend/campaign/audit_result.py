"""What an answered audit says, and where the cut lies that it vouches for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.campaign.audit_bounds import bounds
from backend.campaign.audits import Audit
from backend.campaign.events import AuditResult
from backend.campaign.frozen import digest
from backend.campaign.state import State
from backend.store import Frozen, MachineLabel, Store
from mcal_engine.certificates import uniform
from mcal_engine.certificates.uniform import Certified
from mcal_engine.errors import HistoryError
from mcal_engine.round import outcome


def judge(audit: Audit, machine: Sequence[int], labels: Sequence[int | None]) -> AuditResult:
    """Compare what the machine said with what people say; no answer counts as wrong.

    The upper bound takes every item without an answer as wrong, the lower one as right: each holds whatever people would have said.
    """
    unanswered = sum(label is None for label in labels)
    errors = sum(said != label for said, label in zip(machine, labels, strict=True))
    different = errors - unanswered
    level = round(1 - audit.confidence_level, 12)
    found = bounds(errors, different, n_pool=audit.n_written, n_sample=len(labels), level=level, allowed=audit.allowed)
    return AuditResult(
        errors=errors,
        different=different,
        unanswered=unanswered,
        max_errors=found.max_errors,
        min_errors=found.min_errors,
        max_errors_left=found.max_errors - errors,  # the whole sample is people's now
        verdict=found.verdict,
    )


def cut(audit: Audit, frozen: Sequence[Frozen]) -> Certified:
    """The longest prefix of the surest labels that the sample vouches for: the certificate's own scan, on S* as its pool.

    It is a statement of its own, wrong with probability 1 − confidence at most, beside the audit's bound.
    """
    seen = outcome(
        audit.look,
        np.array([row.task_id for row in frozen], dtype=np.int64),
        np.array([row.label for row in frozen], dtype=np.int64),
        dict(zip(audit.ids, audit.labels, strict=True)),
        0,
    )
    level = round(1 - audit.confidence_level, 12)
    return uniform.certify(seen, allowed=audit.allowed, level=level)


def audited_rows(store: Store, state: State, audit: Audit) -> list[Frozen]:
    """The machine labels that the sample was drawn from, surest first.

    Raises:
        HistoryError: they are not, to the bit, what was frozen.
    """
    rows = store.frozen(state.campaign_id, audit.look)
    if digest(rows) != audit.digest:
        raise HistoryError(f"campaign {state.campaign_id}: the machine labels that audit {audit.number} was drawn from have been changed")
    return rows


def written(state: State) -> list[MachineLabel]:
    """S* as it is: every machine label that is written and that nobody has touched, surest first, ties by id."""
    live = {item.task_id for item in state.live if item.label is None}
    rows = (row for row in state.machine_labels if row.state == "written" and row.task_id in live)
    return sorted(rows, key=lambda row: (-row.surety, row.task_id))
