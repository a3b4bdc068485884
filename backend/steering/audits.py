"""What an admin can do about audits: ask for one, call it off, take back what it could not vouch for. The worker does the rest."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime

from backend.campaign import events
from backend.campaign.audit_result import audited_rows, cut, written
from backend.campaign.commit import Commit
from backend.campaign.state import Phase, State, state_of
from backend.steering.control import ATTEMPTS
from backend.store import Conflict, Store
from backend.views.audits import percent
from mcal_engine import certificate
from mcal_engine.errors import InvalidValue
from mcal_engine.types import LabelByMachine

SIZE = 300  # where nothing says what would be enough
AUDITABLE = (Phase.RESIDUAL, Phase.FINISHED)


def open_audit(
    store: Store, campaign_id: int, now: datetime, *, by: str, size: int | None = None, confidence_level: float | None = None
) -> list[str]:
    """Ask for a fresh random sample of the written machine labels to be labelled again, blind. Returns sentences.

    Args:
        size: of the sample; without it, what shows the target with a chance of 80 % if the machine is as good as the campaign says.
        confidence_level: of the bound; the campaign's without it.

    Raises:
        InvalidValue: nothing is written back, an audit is open, a bad size or level, or another campaign is live on the project.
        Conflict: the history is changing too fast.
    """
    level = confidence_level
    if level is not None and not 0.5 <= level < 1:
        raise InvalidValue(f"confidence must be in [0.5, 1), got {level:g}{' (did you mean 0.95?)' if level > 1 else ''}")
    for _ in range(ATTEMPTS):
        state = _state(store, campaign_id, now)
        _check_open(state)
        n_written = len(written(state))
        if size is not None and not 1 <= size <= n_written:
            raise InvalidValue(f"size must be from 1 to the {n_written:,} machine labels that are written, got {size:,}")
        at = state.settings.confidence_level if level is None else level
        drawn = size or default_size(state, at)
        commit = Commit(state, reopens=True)
        number = len(state.audits) + 1
        commit.add(events.AuditRequested(audit=number, size=drawn, confidence_level=at, by=by, last_task=_last_task(state)))
        if _stored(commit, store):
            return [
                f"campaign {campaign_id}: audit {number}: {drawn:,} of its {n_written:,} machine labels are drawn at random and labelled "
                "again by people, who cannot see what the machine said",
                _tolerance(state, n_written, drawn, at),
            ]
    raise Conflict(f"campaign {campaign_id} is changing too fast; try again")


def cancel_audit(store: Store, campaign_id: int, now: datetime, *, by: str) -> str:
    """Call the open audit off: what nobody has answered gets its machine label back, what people said stays. Returns a sentence."""
    for _ in range(ATTEMPTS):
        state = _state(store, campaign_id, now)
        audit = None if state.ended else state.audit
        if audit is None:
            raise InvalidValue(f"campaign {campaign_id} has no open audit")
        if audit.cancelled_by is not None:
            return f"campaign {campaign_id}: audit {audit.number} is being called off already"
        commit = Commit(state)
        commit.add(events.AuditCancelRequested(audit=audit.number, by=by))
        if _stored(commit, store):
            return f"campaign {campaign_id}: audit {audit.number} is called off; what people have not answered gets its machine label back"
    raise Conflict(f"campaign {campaign_id} is changing too fast; try again")


def take_back(store: Store, campaign_id: int, now: datetime, *, by: str) -> str:
    """Give the least sure machine labels that the last decided audit could not vouch for to people. Returns a sentence.

    Raises:
        InvalidValue: there is no decided audit, or it was followed already.
    """
    for _ in range(ATTEMPTS):
        state = _state(store, campaign_id, now)
        if state.stage not in AUDITABLE:
            raise InvalidValue(f"campaign {campaign_id} is {_named(state)}: nothing can be taken back now")
        decided = [audit for audit in state.audits if audit.ended == "decided"]
        if not decided:
            raise InvalidValue(f"campaign {campaign_id} has no decided audit that could say what to take back")
        audit = decided[-1]
        if audit.take_back is not None:
            raise InvalidValue(f"audit {audit.number} of campaign {campaign_id} was followed already: audit again to see what is left")
        rows = audited_rows(store, state, audit)
        found = cut(audit, rows)
        behind = {row.task_id for row in rows[found.n_ranked :]}
        n = sum(row.task_id in behind for row in written(state))
        if not n:
            return f"campaign {campaign_id}: audit {audit.number} vouches for every machine label that is left: nothing is taken back"
        commit = Commit(state, reopens=True)
        commit.add(
            events.TakeBackStarted(
                audit=audit.number,
                by=by,
                last_task=_last_task(state),
                n_ranked=found.n_ranked,
                n=n,
                tolerated=found.tolerated,
                max_errors=found.max_errors,
                level=round(1 - audit.confidence_level, 12),
            )
        )
        if _stored(commit, store):
            left = len(written(state)) - n
            return f"campaign {campaign_id}: the {n:,} least sure machine labels are taken back and left to people; {left:,} stay"
    raise Conflict(f"campaign {campaign_id} is changing too fast; try again")


def default_size(state: State, confidence_level: float) -> int:
    """Enough to show the target with a chance of 80 % if as many are wrong as the campaign estimates; at most all."""
    rows = written(state)
    decided = next((row for row in reversed(state.history) if isinstance(row, LabelByMachine)), None)
    estimate = (decided and decided.error_estimate) or 0.0
    allowed = certificate.allowance(state.settings.target_error, state.n_labels)
    expected = min(round(estimate * state.n_labels), len(rows))
    enough = certificate.audit_size(expected, n_pool=len(rows), allowed=allowed, level=round(1 - confidence_level, 12))
    return min(enough or SIZE, len(rows))


def _tolerance(state: State, n_written: int, size: int, confidence_level: float) -> str:
    """What the sample will have to show, said before anybody has answered."""
    allowed = certificate.allowance(state.settings.target_error, state.n_labels)
    level = round(1 - confidence_level, 12)

    def too_many(errors: int) -> bool:
        return certificate.most_errors(errors, n_pool=n_written, n_sample=size, level=level) > allowed

    most = bisect_left(range(size + 1), True, key=too_many) - 1
    if most < 0:
        return f"it is too small to show that at most {allowed:,} are wrong, but it gives a bound"
    are = "is" if most == 1 else "are"
    return f"if at most {most:,} of them {are} wrong or not answered, the target is shown at {percent(confidence_level)}"


def _check_open(state: State) -> None:
    campaign_id = state.campaign_id
    if not state.ended and state.audit is not None:
        seen = state.progress
        how = f", {seen.labelled:,} of {seen.asked:,} labels are in" if seen is not None and state.audit.model_version else ""
        raise InvalidValue(f"campaign {campaign_id} has an open audit{how}; wait until it is answered, or call it off")
    if state.stage not in AUDITABLE:
        raise InvalidValue(f"campaign {campaign_id} cannot be audited: it is {_named(state)}; its machine labels must all be written first")
    if not any(row.state == "written" for row in state.machine_labels):
        raise InvalidValue(f"campaign {campaign_id} has no machine labels to audit: people labelled everything")


def _last_task(state: State) -> int | None:
    """Nobody looked at a finished campaign's project any more: what was added meanwhile is not in the ledger, and not the campaign's."""
    return max(state.items) if state.ended and state.last_task is None else state.last_task


def _named(state: State) -> str:
    return state.stage.value.replace("_", " ")


def _state(store: Store, campaign_id: int, now: datetime) -> State:
    return state_of(store, campaign_id, now)


def _stored(commit: Commit, store: Store) -> bool:
    """Whether nobody else was faster."""
    try:
        commit.store(store)
    except Conflict:
        return False
    return True
