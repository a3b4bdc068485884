"""What people disagree on where two of them were asked (``overlap_share``), beside ε, with exact intervals. Pure.

ε counts where the machine's label differs from people's own; how much people's labels are worth, nobody knows until two of
them look at one item. Test items are a random draw from all items, so what happens on them stands for the whole project; those of the
certificate sample stand for what was left to the machine by then, which is the easier part. The two are told apart, and ε is compared with
the first where there is one. Intervals are Clopper and Pearson's at 95 %, each for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from backend.campaign.state import State
from backend.views.classes import LEVEL, Share, share

CONFUSIONS = 5  # pairs of choices that are listed
Warned = Literal["none", "mild", "strong"]


class PersonDisagreement(TypedDict):
    """One person's share in it: items that this person and somebody else labelled, and those on which the two differ."""

    annotator: int
    name: str
    differing: Share


class Confusion(TypedDict):
    """Two choices that two people gave to one item, ``n`` times, whoever gave which."""

    choices: list[str]
    n: int


class Agreement(TypedDict):
    """How often two people say the same of the items that both have labelled, and how much more often than by chance.

    Attributes:
        annotators, names: the two.
        same: items on which they agree.
        kappa: Fleiss' for two labels an item, (same − chance)/(1 − chance): 1 is always, 0 is as often as by chance. Chance is
            the sum of the squared shares of the classes among their labels. ``None`` where they gave one class only.
        low, high: kappa at the ends of the interval of ``same``, with chance as it was counted.
    """

    annotators: list[int]
    names: list[str]
    same: Share
    kappa: float | None
    low: float | None
    high: float | None


class Disagreement(TypedDict):
    """``planned`` items are asked of two people; ``test`` and ``certificate`` count those with both labels that differ.

    ``compared`` says which of the two ε is held against. ``warning``: ``mild`` where ε is below the share that was counted, ``strong``
    where it is even below the lower end of the interval; ``advice`` then says what that means.
    """

    planned: int
    test: Share
    certificate: Share
    compared: Literal["test", "certificate"] | None
    warning: Warned
    annotators: list[PersonDisagreement]
    confusions: list[Confusion]
    agreement: NotRequired[list[Agreement]]  # by pair of people; reports of earlier versions have none
    level: float
    sentences: list[str]
    advice: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One item that two people have labelled, the first label first."""

    test: bool
    people: tuple[int, int]
    labels: tuple[int, int]

    @property
    def differs(self) -> bool:
        return self.labels[0] != self.labels[1]


def disagreement(state: State) -> Disagreement | None:
    """What second labels say so far; ``None`` where none were asked for."""
    planned = sum(len(queue.twice) for queue in state.queues)
    if not planned:
        return None
    pairs = judged_twice(state)
    test, sample = (_share([pair for pair in pairs if pair.test is test]) for test in (True, False))
    compared: Literal["test", "certificate"] | None = "test" if test["n"] else "certificate" if sample["n"] else None
    found = warning(sample if compared == "certificate" else test, state.settings.target_error)
    return Disagreement(
        planned=planned,
        test=test,
        certificate=sample,
        compared=compared,
        warning=found,
        annotators=_people(state, pairs),
        confusions=_confusions(state, pairs),
        agreement=_agreement(state, pairs),
        level=LEVEL,
        sentences=_sentences(state, planned, test, sample),
        advice=_advice(found, state.settings.target_error),
    )


def judged_twice(state: State) -> list[Pair]:
    """Every item of the project with both of the labels that were asked for."""
    pairs = []
    for queue in state.queues:
        for task in queue.twice:
            item, second = state.items.get(task), state.second_labels.get(task)
            if item is None or second is None or item.deleted or item.label is None or item.annotator is None:
                continue
            pairs.append(Pair(queue.kind != "certificate", (item.annotator, second.annotator), (item.label, second.label)))
    return pairs


def warning(found: Share, target_error: float) -> Warned:
    """Whether ε is finer than people agree."""
    if found["low"] is None or found["share"] is None:
        return "none"
    return "strong" if target_error < found["low"] else "mild" if target_error < found["share"] else "none"


def _share(pairs: Sequence[Pair]) -> Share:
    return share(sum(pair.differs for pair in pairs), len(pairs))


def _people(state: State, pairs: Sequence[Pair]) -> list[PersonDisagreement]:
    """Those who labelled most of them first."""
    by_person: dict[int, list[Pair]] = {}
    for pair in pairs:
        for person in pair.people:
            by_person.setdefault(person, []).append(pair)
    order = sorted(by_person, key=lambda person: (-len(by_person[person]), person))
    return [PersonDisagreement(annotator=each, name=state.names.get(each, ""), differing=_share(by_person[each])) for each in order]


def _agreement(state: State, pairs: Sequence[Pair]) -> list[Agreement]:
    """Those who share most items first."""
    by_people: dict[tuple[int, int], list[Pair]] = {}
    for pair in pairs:
        one, other = sorted(pair.people)
        by_people.setdefault((one, other), []).append(pair)
    made = []
    for people in sorted(by_people, key=lambda people: (-len(by_people[people]), people)):
        found = by_people[people]
        labels = Counter(label for pair in found for label in pair.labels)
        chance = sum((n / labels.total()) ** 2 for n in labels.values())
        same = share(sum(not pair.differs for pair in found), len(found))
        kappa, low, high = (_beyond(same[name], chance) for name in ("share", "low", "high"))
        names = [state.names.get(person, "") for person in people]
        made.append(Agreement(annotators=list(people), names=names, same=same, kappa=kappa, low=low, high=high))
    return made


def _beyond(same: float | None, chance: float) -> float | None:
    return None if same is None or chance >= 1 else (same - chance) / (1 - chance)


def _confusions(state: State, pairs: Sequence[Pair]) -> list[Confusion]:
    counts = Counter(tuple(sorted(pair.labels)) for pair in pairs if pair.differs)
    most = sorted(counts, key=lambda pair: (-counts[pair], pair))[:CONFUSIONS]
    return [Confusion(choices=[state.said(place) for place in pair], n=counts[pair]) for pair in most]


def _sentences(state: State, planned: int, test: Share, sample: Share) -> list[str]:
    judged = test["n"] + sample["n"]
    said = [f"Two people are asked about {planned:,} test and certificate items; {judged:,} of these have both labels."]
    if test["n"]:
        said.append(f"On test items, which stand for all items, two people differ {_counted(test)}.")
    if sample["n"]:
        said.append(f"On the certificate sample, which stands for what the machine could label, they differ {_counted(sample)}.")
    if judged < planned and not state.ended and len(_labellers(state)) == 1:
        said.append("Only one person labels this project, so nobody can give the second labels. The campaign does not wait for them.")
    return said


def _counted(found: Share) -> str:
    return f"on {found['count']:,} of {found['n']:,}: {found['share'] or 0:.1%} [{found['low'] or 0:.1%}, {found['high'] or 0:.1%}]"


def _advice(found: Warned, target_error: float) -> str:
    target = f"{100 * target_error:g}%"
    match found:
        case "strong":
            return (
                f"A target error of {target} is finer than your people agree: it is below even the lower end of that interval. It is kept "
                "relative to the first label of each item, and since the machine takes the easy items it may well be certified. But of two "
                "labels that differ at least one is wrong: clearer instructions would do more for the data than a small target."
            )
        case "mild":
            return (
                f"A target error of {target} is below what was counted, though within its interval: your people may agree less than the "
                "target asks of the machine. It is kept relative to the first label of each item; more second labels would tell."
            )
        case _:
            return ""


def _labellers(state: State) -> set[int]:
    """Who has labelled for this campaign."""
    first = {item.annotator for item in state.own.values() if item.annotator is not None and not item.preexisting}
    return first | {row.annotator for row in state.repeats}
