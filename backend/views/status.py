"""What a campaign is doing, in one sentence: for Label Studio's model page, the command line and the status page."""

from __future__ import annotations

from datetime import datetime, timedelta

from backend.campaign.history import reading
from backend.campaign.state import Phase, State, state_of
from backend.store import Store
from backend.views.aside import without_label
from backend.views.audits.audits import in_short
from backend.views.money import money
from backend.views.report import errors, make_report, missed
from mcal_engine.types import Acquire, LabelByMachine
from mcal_engine.words import counted, counted_of

QUIET = timedelta(minutes=2)
LARGE = 20_000  # items; beyond that the ledger is not read just to answer Label Studio within its time limit


def status_line(store: Store, campaign_id: int, now: datetime) -> str:
    """One short sentence, from the database alone.

    Raises:
        InvalidValue: there is no such campaign.
    """
    with reading(f"campaign {campaign_id}"):
        return sentence(standing(store, campaign_id, now))


def standing(store: Store, campaign_id: int, now: datetime) -> State:
    """The state that one line can be told from: without the ledger where it would take long to read or no longer matters.

    Raises:
        InvalidValue: there is no such campaign.
    """
    state = state_of(store, campaign_id, now, ledger=False)
    if state.ended or (state.created is not None and state.created.n_items > LARGE):
        return state
    return state_of(store, campaign_id, now)


def sentence(state: State) -> str:
    """One sentence without a full stop. A state that was derived without items has no counts of labels in it."""
    if state.phase == Phase.HALTED and state.halt is not None:
        return f"halted: {state.halt.reason}. {state.halt.fix}"
    if state.phase == Phase.PAUSED:
        return f"paused while {_stage(state)}"
    return _stage(state)


def _stage(state: State) -> str:
    match state.stage:
        case Phase.REQUESTED:
            return "waiting for the first visit to the project"
        case Phase.PREPARING:
            return "reading the texts" if state.created is not None and state.control.reads == "text" else "fetching the images"
        case Phase.COLLECTING:
            return f"round {_round(state)}: {_progress(state)} in{_waiting(state)}; next: training{_how_long(state)}{_forecast(state)}"
        case Phase.TRAINING_DUE:
            on = f" on {counted(len(state.trained_on), 'label')}" if state.items else ""
            return f"round {_round(state)}: training{on}{_how_long(state)}{_forecast(state)}"
        case Phase.CERTIFYING:
            return f"certificate: {_progress(state)} of the blind sample in{_waiting(state)}"
        case Phase.CERTIFICATE_DUE:
            return "certificate: the sample is answered and is being read"
        case Phase.PEELING:
            return f"certificate: {_progress(state)} of the least trusted items in{_waiting(state)}"
        case Phase.PEEL_DUE:
            return f"certificate: what is left is ranked anew{_how_long(state)}"
        case Phase.AWAITING_APPROVAL:
            n = f"{len(state.planned):,} " if state.planned else ""
            return f"waiting for the admin's yes to write {n}machine labels"
        case Phase.WRITING_BACK:
            done = sum(row.state != "planned" for row in state.machine_labels)
            return f"writing machine labels: {done:,} of {len(state.machine_labels):,}"
        case Phase.AUDITING:
            return _audit(state)
        case Phase.TAKING_BACK:
            return "taking back the least sure machine labels"
        case Phase.RESIDUAL:
            return f"people label the residual items{f': {len(state.residual):,} to go' if state.items else ''}"
        case Phase.FINISHED:
            return _finished(state)
        case Phase.ROLLED_BACK:
            return "rolled back: its machine labels are removed"
        case Phase.PROJECT_GONE:
            return f"ended: project {state.project_id} is gone from Label Studio, and its labels with it; the report tells what was known"
        case _:
            return state.stage.value


def _audit(state: State) -> str:
    audit = state.audit
    assert audit is not None  # this is what the stage says
    if audit.cancelled_by is not None:
        return f"audit {audit.number}: called off, the machine labels are written again"
    if not audit.model_version:
        return f"audit {audit.number}: {counted(audit.size, 'machine label', 'are')} taken out of sight"
    return f"audit {audit.number}: {_progress(state)} of the blind sample in{_waiting(state)}"


def _round(state: State) -> int:
    return len(state.observations)


def _progress(state: State) -> str:
    seen = state.progress
    if seen is None:
        return "no queue"
    if not state.items:
        return f"{counted(seen.asked, 'label')} asked for"
    skipped = f", {seen.skipped:,} skipped" if seen.skipped else ""
    second = f", {counted_of(seen.second, seen.twice, 'second label')}" if seen.twice else ""
    return f"{counted_of(seen.labelled, seen.asked, 'label')}{skipped}{second}"


def training_seconds(state: State) -> float | None:
    """What the next training will take: about as long as the last one."""
    return state.observations[-1].training_seconds if state.observations else None


def _how_long(state: State) -> str:
    seconds = training_seconds(state)
    if seconds is None:
        return ""
    return f", about {max(seconds, 1):.0f} s" if seconds < 100 else f", about {seconds / 60:.0f} min"


def _waiting(state: State) -> str:
    """What a straggler is waited for, once nobody has labelled for a while."""
    seen = state.progress
    if seen is None or seen.quiet_since is None or state.at - seen.quiet_since < QUIET:
        return ""
    if not seen.missing and seen.others_at is not None:
        return f" (waiting up to {state.settings.patience_minutes:g} min for the last {counted(seen.twice - seen.second, 'second label')})"
    if not seen.missing or len(seen.missing) > (1 - state.settings.quorum) * seen.asked:
        return ""
    if seen.blind_missing:
        return f" (waiting up to {state.settings.blind_timeout_hours:g} h for the last {len(seen.missing):,})"
    return f" (waiting up to {state.settings.patience_minutes:g} min for the last {len(seen.missing):,})"


def _forecast(state: State) -> str:
    decision = state.decision
    if state.queue is not None and state.queue.note:
        return f"; {state.queue.note}"
    if not isinstance(decision, Acquire) or decision.plan is None or state.created is None:
        return ""
    if state.items:
        bill = money(state)
        total, saved = bill["forecast"], bill["savings"]
    else:  # as it was when it was decided
        total = decision.plan.total_cost
        saved = 1 - total / (decision.plan.price_per_label * state.observations[-1].counted.n_alone)
    if total is None or saved is None:
        return ""
    return f"; forecast {total:,.2f} {state.settings.currency}, saves {saved:.0%}"


def _finished(state: State) -> str:
    report = make_report(state, state.created_at)  # the final one: the time does not enter
    left = without_label(report["set_aside"])
    left = f"; {left}" if left else ""
    if not isinstance(state.decision, LabelByMachine):
        everything = "everything that they could" if left else "everything"
        return f"finished: people labelled {everything}, {report['total_cost']:,.2f} {report['currency']}{left}{_afterwards(state)}"
    estimate, bound = errors(state.decision)
    if report["certified"] and bound is not None:
        promise = f"error at most {bound:.2%} at {report['confidence_level']:.0%}"
    elif missed(report):
        promise = f"about {estimate or 0:.2%} of all labels are wrong, above the target of {report['target_error']:.2%}; not certified"
    else:
        promise = f"error about {estimate or 0:.2%}, estimated, not certified"
    audits = "".join(f"; {in_short(audit)}" for audit in [row for row in state.audits if row.result is not None][-1:])
    done = f"{report['n_machine']:,} of {report['n_items']:,} machine-labelled, saved {report['savings'] or 0:.0%}"
    return f"finished: {done} ({promise}{audits}){left}{_afterwards(state)}"


def _afterwards(state: State) -> str:
    return f"; project {state.project_id} was deleted in Label Studio afterwards" if state.gone_since else ""
