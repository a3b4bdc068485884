"""What an admin can do about audits: ask for one, call it off, take back what it could not vouch for. The worker does the rest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from pydantic import Field

from backend.campaign import events
from backend.campaign.audit_result import audited_rows, cut, written
from backend.campaign.audits import Audit
from backend.campaign.commit import Commit
from backend.campaign.state import Phase, State
from backend.steering.call import Call, Hint, Nothing, Refusal, last_task, words
from backend.steering.inputs import Inputs
from backend.views.audits.audits import percent
from mcal_engine.certificates import uniform
from mcal_engine.errors import InvalidValue
from mcal_engine.types import LabelByMachine
from mcal_engine.words import counted, counted_of, verb

SIZE = 300  # where nothing says what would be enough
AUDITABLE = (Phase.RESIDUAL, Phase.FINISHED)


class AuditInputs(Inputs):
    """How large the sample is and how sure the bound."""

    size: int | None = Field(
        None, ge=1, title="Sample size", description="Machine labels to draw; without it, as many as the target needs."
    )
    confidence: float | None = Field(
        None,
        ge=0.5,
        lt=1,
        title="Confidence",
        description="Confidence of the bound; without it, the campaign's.",
        json_schema_extra={"unit": "fraction"},
    )


# --- audit


def refuses_audit(state: State) -> Refusal | None:
    name = f"campaign {state.campaign_id}"
    if not state.ended and state.audit is not None:
        seen = state.progress
        how = f", {counted_of(seen.labelled, seen.asked, 'label', 'are')} in" if seen is not None and state.audit.model_version else ""
        return Refusal(f"{name} has an open audit{how}; wait until it is answered, or call it off")
    if state.stage not in AUDITABLE:
        return Refusal(f"{name} cannot be audited: it is {words(state.stage)}; its machine labels must all be written first")
    if not any(row.state == "written" for row in state.machine_labels):
        return Refusal(f"{name} has no machine labels to audit: people labelled everything")
    return None


def says_audit(state: State) -> list[str]:
    return [
        f"A fresh random sample of the {counted(len(written(state)), 'machine label')} is taken out of Label Studio and labelled again "
        "by people, who cannot see what the machine said.",
        "When the last one is in, an exact bound says how many machine labels were wrong at most. What nobody answers counts as wrong.",
        "What people say about the sample is final. Each audit is a statement of its own, beside the certificate.",
        f"One label costs {state.settings.price_per_label:g} {state.settings.currency}. "
        "Until it is answered the audit can be called off: then the machine labels are written again.",
    ]


def hints_audit(state: State) -> Mapping[str, Hint]:
    level = state.settings.confidence_level
    size = default_size(state, level)
    price = f"{state.settings.price_per_label * size:,.2f} {state.settings.currency}"
    return {"size": Hint(f"empty: {size:,}, about {price}", len(written(state))), "confidence": Hint(f"empty: {level:g}")}


def audit(call: Call[AuditInputs]) -> list[str]:
    """Ask for a fresh random sample of the written machine labels to be labelled again, blind.

    Without a size it is what shows the target with a chance of 80 % if the machine is as good as the campaign says.

    Raises:
        InvalidValue: the sample is larger than what is written, or another campaign is live on the project.
    """
    state, size = call.state, call.asked.size
    n_written = len(written(state))
    if size is not None and size > n_written:
        raise InvalidValue(f"size must be from 1 to the {counted(n_written, 'machine label')} that are written, got {size:,}")
    level = state.settings.confidence_level if call.asked.confidence is None else call.asked.confidence
    drawn = size or default_size(state, level)
    number = len(state.audits) + 1
    commit = Commit(state, reopens=True)
    commit.add(events.AuditRequested(audit=number, size=drawn, confidence_level=level, by=call.by, last_task=last_task(state)))
    call.store(commit)
    return [
        f"{call.name}: audit {number}: {drawn:,} of its {counted(n_written, 'machine label', 'are')} drawn at random and labelled "
        "again by people, who cannot see what the machine said",
        _tolerance(state, n_written, drawn, level),
    ]


# --- cancel-audit


def refuses_cancel(state: State) -> Refusal | None:
    found = None if state.ended else state.audit
    if found is None:
        return Refusal(f"campaign {state.campaign_id} has no open audit")
    if found.cancelled_by is not None:
        return Refusal(f"campaign {state.campaign_id}: audit {found.number} is being called off already", already=True)
    return None


def says_cancel(_: State) -> list[str]:
    return [
        "The audit says nothing then.",
        "What people have labelled stays theirs; everything else in the sample gets its machine label back.",
    ]


def cancel_audit(call: Call[Nothing]) -> list[str]:
    found = call.state.audit
    assert found is not None  # else it was refused
    commit = Commit(call.state)
    commit.add(events.AuditCancelRequested(audit=found.number, by=call.by))
    call.store(commit)
    return [f"{call.name}: audit {found.number} is called off; what people have not answered gets its machine label back"]


# --- take-back


def refuses_take_back(state: State) -> Refusal | None:
    name, found = f"campaign {state.campaign_id}", _decided(state)
    if state.stage not in AUDITABLE:
        return Refusal(f"{name} is {words(state.stage)}: nothing can be taken back now")
    if found is None or found.result is None:
        return Refusal(f"{name} has no decided audit that could say what to take back")
    if found.take_back is not None:
        return Refusal(f"audit {found.number} of {name} was followed already: audit again to see what is left")
    if found.result.max_errors_left <= found.allowed:
        return _nothing_to_take(state, found)
    return None


def says_take_back(_: State) -> list[str]:
    return [
        "The longest set of surest machine labels that the last audit vouches for stays; the less sure ones behind it are removed.",
        "People label those. What a person has edited is kept.",
        "What stays is a statement of its own, with the audit's confidence.",
    ]


def take_back(call: Call[Nothing]) -> list[str]:
    """Give the least sure machine labels that the last decided audit could not vouch for to people."""
    state, found = call.state, _decided(call.state)
    assert found is not None  # else it was refused
    vouched = cut(found, rows := audited_rows(call.means.store, state, found))
    behind = {row.task_id for row in rows[vouched.n_ranked :]}
    n_written = len(written(state))
    n = sum(row.task_id in behind for row in written(state))
    if not n:
        return [_nothing_to_take(state, found).text]
    commit = Commit(state, reopens=True)
    commit.add(
        events.TakeBackStarted(
            audit=found.number,
            by=call.by,
            last_task=last_task(state),
            n_ranked=vouched.n_ranked,
            n=n,
            tolerated=vouched.tolerated,
            max_errors=vouched.max_errors,
            level=round(1 - found.confidence_level, 12),
        )
    )
    call.store(commit)
    return [f"{call.name}: the {counted(n, 'least sure machine label', 'are')} taken back and left to people; {n_written - n:,} stay"]


def _decided(state: State) -> Audit | None:
    """The last audit that was answered."""
    return next((row for row in reversed(state.audits) if row.ended == "decided"), None)


def _nothing_to_take(state: State, found: Audit) -> Refusal:
    text = f"campaign {state.campaign_id}: audit {found.number} vouches for every machine label that is left: nothing is taken back"
    return Refusal(text, already=True)


# --- how large, how sure


def default_size(state: State, confidence_level: float) -> int:
    """Enough to show the target with a chance of 80 % if as many are wrong as the campaign estimates; at most all."""
    rows = written(state)
    decided = next((row for row in reversed(state.history) if isinstance(row, LabelByMachine)), None)
    estimate = (decided and decided.error_estimate) or 0.0
    allowed = uniform.allowance(state.settings.target_error, state.n_labels)
    expected = min(round(estimate * state.n_labels), len(rows))
    enough = uniform.audit_size(expected, n_pool=len(rows), allowed=allowed, level=round(1 - confidence_level, 12))
    return min(enough or SIZE, len(rows))


def _tolerance(state: State, n_written: int, size: int, confidence_level: float) -> str:
    """What the sample will have to show, said before anybody has answered."""
    allowed = uniform.allowance(state.settings.target_error, state.n_labels)
    level = round(1 - confidence_level, 12)

    def too_many(errors: int) -> bool:
        return uniform.most_errors(errors, n_pool=n_written, n_sample=size, level=level) > allowed

    most = bisect_left(range(size + 1), True, key=too_many) - 1
    if most < 0:
        return f"it is too small to show that at most {allowed:,} are wrong, but it gives a bound"
    are = verb(most, "are")
    return f"if at most {most:,} of them {are} wrong or not answered, the target is shown at {percent(confidence_level)}"
