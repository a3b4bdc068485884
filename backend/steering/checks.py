"""Checks by eye: draw a sample of the machine labels, and take down what the reviewer says of each. Nothing in Label Studio changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from pydantic import Field

from backend.campaign import events, history
from backend.campaign.checks import Check, open_check
from backend.campaign.commit import Commit
from backend.campaign.frozen import digest
from backend.campaign.state import Phase, State, state_of
from backend.steering.audits import AuditInputs
from backend.steering.call import Call, Hint, Refusal, words
from backend.steering.inputs import Inputs
from backend.store import Frozen, MachineLabel, Store, retried
from mcal_engine.certificates import uniform
from mcal_engine.errors import InvalidValue
from mcal_engine.round import draw_secret
from mcal_engine.words import counted, counted_of

SIZE = 100  # items: about five minutes, and no wrong one among them shows that at most 3 % are
CHECKABLE = (Phase.AWAITING_APPROVAL, Phase.WRITING_BACK, Phase.RESIDUAL, Phase.FINISHED)


class CheckInputs(AuditInputs):
    """How large the sample is and how sure the bound."""

    size: int | None = Field(
        None, ge=1, title="Sample size", description="Machine labels to draw; without it, 100, or all if they are fewer."
    )


class Judgement(Inputs):
    """What the reviewer says of some machine labels of the open check."""

    check: int = Field(ge=1, description="Number of the check.")
    right: list[int] = Field(default_factory=list, description="Tasks whose machine label is right.")
    wrong: list[int] = Field(default_factory=list, description="Tasks whose machine label is wrong.")


def machine_labels(state: State) -> list[MachineLabel]:
    """The machine labels that are planned or written and that nobody has touched, surest first, ties by id."""
    live = {item.task_id for item in state.live if item.label is None}
    rows = (row for row in state.machine_labels if row.state in ("planned", "written") and row.task_id in live)
    return sorted(rows, key=lambda row: (-row.surety, row.task_id))


def refuses_check(state: State) -> Refusal | None:
    name = f"campaign {state.campaign_id}"
    if state.gone_since:
        return Refusal(f"project {state.project_id} is gone from Label Studio: there is nothing to look at")
    if state.stage not in CHECKABLE:
        return Refusal(f"{name} cannot be checked by eye: it is {words(state.stage)}; its machine labels must be decided first")
    if not any(row.state in ("planned", "written") for row in state.machine_labels):
        return Refusal(f"{name} has no machine labels to check: people labelled everything")
    return None


def says_check(state: State) -> list[str]:
    now = open_check(state.checks)
    said = [
        f"A random sample of the {counted(len(machine_labels(state)), 'machine label')} is drawn. You judge each right or wrong on the "
        "page Review, by key, with the machine's label in sight.",
        "When the last one is judged, an exact bound says how many machine labels are wrong at most, in your eyes. It is final then.",
        "Whoever sees the machine's label agrees with it more easily than people who do not: an audit is the stronger statement.",
        "Nothing in Label Studio changes. What is wrong you can label there yourself: a person's label wins over the machine's.",
    ]
    if now is not None:
        said.append(
            f"Check {now.number} is given up: {counted_of(len(now.judged), len(now.ids), 'label', 'are')} judged, and it says nothing."
        )
    return said


def hints_check(state: State) -> Mapping[str, Hint]:
    n = len(machine_labels(state))
    return {"size": Hint(f"empty: {min(SIZE, n):,}", n), "confidence": Hint(f"empty: {state.settings.confidence_level:g}")}


def check(call: Call[CheckInputs]) -> list[str]:
    """Draw it.

    Raises:
        InvalidValue: the sample is larger than what there is.
    """
    state, rows = call.state, machine_labels(call.state)
    size = min(SIZE, len(rows)) if call.asked.size is None else call.asked.size
    if not 1 <= size <= len(rows):
        raise InvalidValue(f"size must be from 1 to the {counted(len(rows), 'machine label')} that nobody has touched, got {size:,}")
    ordered = [Frozen(rank, row.task_id, row.label, row.surety) for rank, row in enumerate(rows)]
    fixed = digest(ordered)
    entropy = call.means.entropy()  # made once the labels in question are fixed
    drawn = draw_secret(entropy, np.array([row.task_id for row in rows], dtype=np.int64), size).tolist()
    said = {row.task_id: row.label for row in rows}
    number = len(state.checks) + 1
    commit = Commit(state)
    commit.add(
        events.CheckOpened(
            check=number,
            ids=tuple(drawn),
            choices=tuple(said[task] for task in drawn),
            n_machine=len(rows),
            n_items=len(state.live),
            allowed=uniform.allowance(state.settings.target_error, state.n_labels),
            target_error=state.settings.target_error,
            confidence_level=state.settings.confidence_level if call.asked.confidence is None else call.asked.confidence,
            digest=fixed,
            entropy=f"{entropy:032x}",
            by=call.by,
        )
    )
    call.store(commit)
    drawn_of = counted_of(size, len(rows), "machine label", "are")
    return [f"{call.name}: check {number}: {drawn_of} drawn at random, to be judged on the page Review"]


def judge(store: Store, campaign_id: int, said: Judgement, now: datetime, *, by: str) -> Check:
    """Take down judgements of the open check; returns it as it is then.

    Raises:
        InvalidValue: another check, one that is done, or tasks that are not in it or are given both ways.
        Conflict: the history is changing too fast.
    """

    def take_down() -> Check:
        state = state_of(store, campaign_id, now, ledger=False)
        found = open_check(state.checks)
        if found is None or found.number != said.check:
            raise InvalidValue(
                f"check must be the number of the open check, which is {found.number if found else 'none'}, got {said.check}"
            )
        if strange := sorted({*said.right, *said.wrong} - set(found.ids)):
            raise InvalidValue(f"right and wrong must name tasks of check {said.check}, got {strange[0]}")
        if twice := sorted({*said.right} & {*said.wrong}):
            raise InvalidValue(f"a task must be right or wrong, got {twice[0]} as both")
        event = events.CheckJudged(check=said.check, right=tuple(said.right), wrong=tuple(said.wrong), by=by)
        store.append(campaign_id, [history.new(event)], expected_seq=state.last_seq)
        return state_of(store, campaign_id, now, ledger=False).checks[said.check - 1]

    return retried(f"campaign {campaign_id}", take_down)
