"""What becomes of each class: labels by people and the machine, and what T and V say of its errors, with intervals. Pure.

T is a random sample of all items, so its items of a class stand for that class; what an acquisition would have skimmed is people's.
V's items above the cut stand for the machine's labels, by the machine's choice. Intervals are Clopper and Pearson's at 95 %, each for
itself: they describe. The certificate promises something about all items together, and about a class only where ``min_class_precision``
was set: what that leaves of each class is in its :class:`Bound`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypedDict

import numpy as np

from backend.campaign import events
from backend.campaign.events import Happening
from backend.campaign.history import Entry
from backend.campaign.state import State
from mcal_engine.certificates.per_class import OfClasses, described
from mcal_engine.types import Acquire, BoolArray, Certify, LabelByMachine, Measurement, Observation, PeelBatch
from mcal_engine.words import counted

LEVEL = 0.95


class Share(TypedDict):
    """``count`` of ``n``, with Clopper and Pearson's interval; the shares are ``None`` where there is nothing to count."""

    n: int
    count: int
    share: float | None
    low: float | None
    high: float | None


class Bound(TypedDict):
    """What ``min_class_precision`` leaves of the labels that say this choice.

    Attributes:
        choice: its name.
        status: waiting (V is not answered), kept, cut, people (none is the machine's), or none (none would have been).
        n_machine, n_offered: items that the machine got, and that it would have got without the bound.
    """

    choice: str
    status: str
    n_machine: int
    n_offered: int
    sentence: str


class ClassRow(TypedDict):
    """One choice.

    Attributes:
        human, machine: labels so far, by people and by the machine.
        wrong: test items of this class that the classifier of the last decision gets wrong.
        to_machine: those that stand for what the machine labels, by the plan in force or as decided; ``machine_wrong``: of these, those
            that it gets wrong.
        sample: items of the certificate sample, as sure as the machine's set, that the machine gave this choice: those it gave wrongly.
            None before the certificate is decided; all of it where no set could be certified.
        bound: None without ``min_class_precision``.
    """

    choice: str
    human: int
    machine: int
    wrong: Share
    to_machine: Share
    machine_wrong: Share
    sample: Share
    bound: Bound | None


class Confused(TypedDict):
    """``n`` test items to which people gave one class and the classifier another, or the same."""

    people: str
    machine: str
    n: int


class Confusion(TypedDict):
    """The last round's ``n`` test items by what people and what the classifier said: the pairs that occur, the most frequent first.

    ``choices``: the classes that occur, in their order.
    """

    n: int
    choices: list[str]
    pairs: list[Confused]


def confusion(state: State) -> Confusion | None:
    """What the classifier of the last decision confuses, on test items, which are drawn at random; ``None`` before it was measured."""
    pairs = test_pairs(state)
    if not pairs:
        return None
    rows = sorted(pairs.items(), key=lambda row: (-row[1], row[0]))
    return Confusion(
        n=pairs.total(),
        choices=[state.said(label) for label in sorted({label for pair in pairs for label in pair})],
        pairs=[Confused(people=state.said(one), machine=state.said(other), n=n) for (one, other), n in rows],
    )


def test_pairs(state: State) -> Counter[tuple[int, int]]:
    """How often people's label of a test item met which class of the classifier of the last decision; empty before it was measured."""
    pairs: Counter[tuple[int, int]] = Counter()
    last = _observed(state)
    if last is None or not last.measurements:
        return pairs
    for task, said in zip(last.test_ids.tolist(), _measured(state, last).predicted.tolist(), strict=False):
        item = state.items.get(task)
        if item is not None and item.label is not None and said >= 0:
            pairs[item.label, said] += 1
    return pairs


def classes(state: State, history: Sequence[Entry[Happening]]) -> list[ClassRow]:
    """One row per choice. ``history`` is the campaign's history, or its outcomes at least."""
    if state.created is None:
        return []
    human = Counter(item.label for item in state.live if item.label is not None)
    machine = Counter(row.label for row in state.machine_labels if row.state in ("written", "planned"))
    test = _TestByClass(state)
    items, errors = _sample_by_choice(state, history)
    bounded = bounds(state)
    return [
        ClassRow(
            choice=state.said(place),
            human=human[place],
            machine=machine[place],
            wrong=share(test.wrong[place], test.n[place]),
            to_machine=share(test.inside[place], test.n[place]),
            machine_wrong=share(test.inside_wrong[place], test.n[place]),
            sample=share(errors[place], items[place]),
            bound=bounded[place] if bounded else None,
        )
        for place in range(len(state.choices))
        if state.control.plain or human[place] or machine[place] or test.n[place]  # most whole answers are nobody's
    ]


def _sample_by_choice(state: State, history: Sequence[Entry[Happening]]) -> tuple[Counter[int], Counter[int]]:
    """V's items by the machine's choice, and how many of them are errors: those above the cut, or all where nothing was certified."""
    items: Counter[int] = Counter()
    errors: Counter[int] = Counter()
    decision = state.decision
    look = decision.look if isinstance(decision, LabelByMachine) else state.outcomes[-1].look if state.outcomes else None
    found = next((row for row in state.outcomes if row.look == look), None)
    if found is None or isinstance(decision, Certify | PeelBatch):
        return items, errors
    read = [entry.event for entry in history if isinstance(entry.event, events.SampleRead)]
    choices = next((event.choices for event in read if event.outcome.look == look), ())
    cut = decision.n_ranked if isinstance(decision, LabelByMachine) else found.n_pool
    cuts = decision.class_cuts if isinstance(decision, LabelByMachine) else ()
    left = frozenset(decision.peeled) if isinstance(decision, LabelByMachine) else frozenset()
    for rank, wrong, choice in zip(found.ranks.tolist(), found.errors.tolist(), choices, strict=False):
        if rank not in left and rank < ((cuts[choice] if cuts else 0) or cut):  # a class that is people's is shown as far as the others go
            items[choice] += 1
            errors[choice] += wrong
    return items, errors


def bounds(state: State) -> list[Bound]:
    """What ``min_class_precision`` leaves of each choice; none without it."""
    if state.created is None or state.settings.min_class_precision is None:
        return []
    shown = _bounded(state)
    return [bound(state.settings.min_class_precision, choice, shown, place) for place, choice in enumerate(state.choices)]


def _bounded(state: State) -> OfClasses | None:
    """What the last look showed of each class; ``None`` before it is answered, or where it tested no class."""
    decision = state.decision
    if isinstance(decision, Certify | PeelBatch) or not state.outcomes:
        return None
    look = decision.look if isinstance(decision, LabelByMachine) else state.outcomes[-1].look
    found = next((row for row in state.outcomes if row.look == look), None)
    if found is None or not len(found.cuts):
        return None
    if isinstance(decision, LabelByMachine):
        return described(found, decision.n_ranked, np.array(decision.class_cuts, dtype=np.int64))
    return described(found, found.n_pool, np.zeros(found.fronts.shape[1], dtype=np.int64))


def bound(precision: float, choice: str, shown: OfClasses | None, place: int) -> Bound:
    """What the class at ``place`` keeps, and why, in a sentence that names it."""
    if shown is None:
        later = f"{choice}: decided once a certificate sample is answered."
        return Bound(choice=choice, status="waiting", n_machine=0, n_offered=0, sentence=later)
    if place >= len(shown.cut) or shown.n_offered[place] == 0:
        return Bound(choice=choice, status="none", n_machine=0, n_offered=0, sentence=f"{choice}: the machine was to label no item so.")
    machine, offered = int(shown.n_machine[place]), int(shown.n_offered[place])
    n, wrong = int(shown.n_seen[place]), int(shown.n_seen_wrong[place])
    sampled = f"{wrong:,} of {n:,} sampled wrong"
    if machine == offered:
        status, sentence = (
            "kept",
            f"{choice}: {sampled}; at least {precision:.4g} of the machine's {counted(machine, 'label', 'are')} right.",
        )
    elif machine:
        status, sentence = "cut", f"{choice}: {sampled}; the surest {machine:,} are the machine's, people label {offered - machine:,}."
    else:
        few = "too few to show" if wrong <= (1 - precision) * n else "which does not show"
        status, sentence = "people", f"{choice}: {sampled}, {few} {precision:.4g}; people label these {offered:,}."
    return Bound(choice=choice, status=status, n_machine=machine, n_offered=offered, sentence=sentence)


def share(count: int, n: int) -> Share:
    """A share with its interval."""
    if not n:
        return Share(n=0, count=0, share=None, low=None, high=None)
    tail = (1 - LEVEL) / 2
    from scipy import special  # half a second that commands without a number of it need not wait for

    low = 0.0 if count == 0 else float(special.betaincinv(count, n - count + 1, tail))
    high = 1.0 if count == n else float(special.betaincinv(count + 1, n - count, 1 - tail))
    return Share(n=n, count=count, share=count / n, low=low, high=high)


class _TestByClass:
    """The last round's test items, counted by people's class: all, wrong, inside the machine's set, and both."""

    def __init__(self, state: State) -> None:
        self.n: Counter[int] = Counter()
        self.wrong: Counter[int] = Counter()
        self.inside: Counter[int] = Counter()
        self.inside_wrong: Counter[int] = Counter()
        last = _observed(state)
        if last is None or not last.measurements:
            return
        measurement = _measured(state, last)
        inside = _inside(state, measurement, last) & last.survivors
        for task, right, machine in zip(last.test_ids.tolist(), measurement.correct.tolist(), inside.tolist(), strict=True):
            item = state.items.get(task)
            if item is None or item.label is None:
                continue
            self.n[item.label] += 1
            self.wrong[item.label] += not right
            self.inside[item.label] += machine
            self.inside_wrong[item.label] += machine and not right


def _observed(state: State) -> Observation | None:
    """The last round, or the one that the machine labels were frozen in: an earlier look's may stay in force after a later one."""
    decision = state.decision
    asked = [place for place, row in enumerate(state.history) if isinstance(row, Certify) and row.look == getattr(decision, "look", None)]
    rows = state.history[: asked[-1]] if asked and isinstance(decision, LabelByMachine) else state.history
    return next((row for row in reversed(rows) if isinstance(row, Observation)), None)


def _measured(state: State, last: Observation) -> Measurement:
    """Of the classifier that the last decision is about."""
    name = getattr(state.decision, "classifier", None)
    return next((each for each in last.measurements if each.classifier == name), last.measurements[0])


def _inside(state: State, measurement: Measurement, last: Observation) -> BoolArray:
    """Which test items are as sure as the machine's set, or as a surest part of the pool as large as it: to a step of the θ grid."""
    decision = state.decision
    n_machine = decision.n_ranked - len(decision.peeled) if isinstance(decision, LabelByMachine) else None
    theta = n_machine / last.n_items if n_machine is not None else 0.0
    if n_machine is None and decision is not None and decision.plan is not None and decision.plan.n_machine:
        theta = decision.plan.theta
    if theta <= 0:
        return np.zeros(len(measurement.level), dtype=np.bool_)
    if theta * last.n_items >= last.n_pool - 0.5:
        return np.ones(len(measurement.level), dtype=np.bool_)
    return np.asarray(measurement.level < round(theta / state.settings.theta_step))


def absent_from_test(rows: Collection[ClassRow]) -> list[str]:
    """Choices that no labelled test item has, once anything was measured: nothing can be said about them."""
    return [row["choice"] for row in rows if not row["wrong"]["n"]] if any(row["wrong"]["n"] for row in rows) else []


def absent_from_training(state: State) -> list[str]:
    """Choices that no training label has, once anything was measured: the machine cannot give them, whatever people say later."""
    if not state.observations or not state.control.plain:  # most whole answers are rare
        return []
    searching = isinstance(state.decision, Acquire | Certify)  # what comes in afterwards is the residual
    inherited = {item.label for item in state.inherited}
    known = inherited | {item.label for item in state.train if searching or item.preexisting or state.roles.get(item.task_id) == "train"}
    return [choice for place, choice in enumerate(state.choices) if place not in known]
