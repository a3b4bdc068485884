"""The data card: how the labels of a data set came about, what vouches for them, and what does not. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from backend.views.exports.rows import Export
from mcal_engine.words import counted


def data_card(found: Export) -> Iterator[str]:
    """Markdown."""
    report, by = found.report, found.counts()
    yield f"# Data card of campaign {found.campaign}\n\n"
    finished = "" if report["phase"] == "finished" else f" The campaign has not finished: it is {report['phase'].replace('_', ' ')}."
    yield f"{counted(len(found.rows), found.reads)} of Label Studio's project {found.project}, "
    yield f"{counted(len(found.choices), 'class')}.{finished}\n"
    yield "\n## Who labelled\n\n"
    rows = [("people", by["human"]), ("the machine", by["machine"]), ("nobody", by[""]), ("all", len(found.rows))]
    yield from _table(("label by", "items"), [(name, f"{n:,}") for name, n in rows])
    if report["n_preexisting"]:
        yield f"\n{counted(report['n_preexisting'], 'label', 'were')} there before the campaign began.\n"
    for reason in report["set_aside"]:
        yield f"\nWithout a label: {reason['n']:,} ({_plain(reason['why'])}).\n"
    yield "\n## Classes\n\n"
    of_class = Counter((row.label, row.by) for row in found.rows)
    said = [
        (
            _plain(name if found.questions is None else found.questions.said(name)),
            f"{of_class[name, 'human']:,}",
            f"{of_class[name, 'machine']:,}",
        )
        for name in found.choices
    ]
    yield from _table(("class", "by people", "by the machine"), said)
    yield from _origin(found)
    yield from _quality(found)
    yield "\n## How it can be made again\n\n"
    versions = ", ".join(f"{name.replace('_', ' ')} {version}" for name, version in report["versions"].items())
    yield f"Seed {report['seed']}; {versions}. The campaign's history holds every decision with what it was made on.\n"


def _origin(found: Export) -> Iterator[str]:
    report = found.report
    yield "\n## How the labels came about\n\n"
    yield (
        f"People labelled {counted(report['n_test'], 'random test item')}, {counted(report['n_train'], 'training item')}, "
        f"{counted(report['n_certificate'], 'certificate item')} and "
        f"{counted(report['n_residual'], 'item')} that the machine was not sure enough of. "
    )
    if report["n_audit"]:
        yield f"An audit had people label {counted(report['n_audit'], 'item')} more. "
    if report["n_machine"]:
        yield f"The classifier `{report['classifier']}` was trained on the training items and labelled the items that it was surest of.\n"
    else:
        yield "There are no machine labels.\n"
    if report["n_train"]:
        yield "\nTraining items were chosen for training, not at random: their classes and difficulty differ from the whole.\n"
    yield f"\nBill: {report['total_cost']:,.2f} {report['currency']} for {counted(report['human_labels'], 'human label')} and training.\n"


def _quality(found: Export) -> Iterator[str]:
    yield "\n## What vouches for them\n\n"
    yield f"{_plain(found.words['headline'])}\n\n"
    yield from (f"{place}. {_plain(step)}\n" for place, step in enumerate(found.words["steps"], 1))
    for audit in found.report["audits"]:
        yield f"\n{_plain(audit['sentence'])}\n"
    for line in found.report.get("warnings", ()):
        yield f"\nNote: {_plain(line)}\n"
    said = "is in the bounds per class above, or nowhere" if "class_bounds" in found.report else "is nowhere: it says nothing about one"
    yield (
        "\nHuman labels count as right: what people got wrong is in none of these numbers. The bound is one for all items together. "
        f"What holds for a class {said}. Nothing is said of a subset or of new data.\n"
    )
    if any(row.probability is not None for row in found.rows):
        yield (
            "\n`probability` estimates for each machine label how often one as sure is right. It comes from the certificate items, and is "
            "no bound.\n"
        )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{' --- |' * len(head)}\n"
    yield from (f"| {' | '.join(row)} |\n" for row in rows)


def _plain(text: str) -> str:
    """Text that a project's people chose, so that Markdown shows it as it is, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
