"""What ``mcal simulate`` shows: two bars while it plays, a table when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mcal_engine.classifiers.base import Progress as Step
from mcal_engine.simulator.campaign import RoundView
from mcal_engine.simulator.machines import Machine
from mcal_engine.spec import CampaignSpec
from mcal_engine.types import Acquire, Certify
from mcal_engine.words import counted

PHASES = {"embed": "embedding images", "fit": "training", "score": "scoring"}


class Bars:
    """One bar for people's labels, one for what the machine is doing; on standard error, so that output stays clean."""

    def __init__(self, n_items: int, spec: CampaignSpec, machines: Sequence[Machine], *, hidden: bool) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=hidden or not self._console.is_terminal,
        )
        self._lines = not hidden
        self._currency = spec.currency
        self._people = self._bars.add_task("labels by people", total=n_items)
        self._machine = self._bars.add_task("machine", total=None)
        for machine in machines:
            machine.on_progress = self.on_step

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._bars.stop()

    def on_step(self, step: Step) -> None:
        self._bars.update(self._machine, description=PHASES.get(step.phase, step.phase), completed=step.done, total=step.total)

    def after_round(self, view: RoundView) -> None:
        self._bars.update(self._people, completed=view.n_labels_paid)
        decision = view.decision
        self.say(decision.sentence if isinstance(decision, Acquire) else decision.verdict.sentence)
        if isinstance(decision, Certify) and decision.why:
            self.say(decision.why)

    def say(self, sentence: str) -> None:
        if self._lines:
            self._bars.console.print(escape(sentence))


def print_report(found: dict[str, Any], notes: Sequence[str]) -> None:
    """The report as a table on standard output."""
    console = Console(highlight=False)
    money = found["currency"]
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("items", f"{found['n_items']:,} of {escape(found['data']['name'])}")
    for note in notes:
        table.add_row("", escape(note))
    parts = {"training": "n_train", "test": "n_test", "certificate": "n_certificate", "rest": "n_residual"}
    by_people = ", ".join(f"{found[key]:,} {name}" for name, key in parts.items())
    table.add_row("by people", f"{found['human_items']:,} ({found['human_items'] / found['n_items']:.1%}): {by_people}")
    table.add_row("by the machine", f"{found['n_machine']:,} ({found['n_machine'] / found['n_items']:.1%})")
    table.add_row("total cost", f"{found['total_cost']:,.2f} {money}, of it {found['training_cost']:,.2f} for training")
    if found["second_labels"]:
        table.add_row("second labels", f"{found['second_labels']:,} paid; here two people always agree, since both are played by the data")
    if found["budget"] is not None:
        table.add_row("budget", f"{found['budget']:,.2f} {money}")
    table.add_row("people alone", f"{found['human_only_cost']:,.2f} {money}")
    table.add_row("savings", f"{found['savings']:.1%}")
    aim = f" (target {found['target_error']:.2%})" if found["budget"] is None else ""
    table.add_row("error of all items", f"{_promise(found)}; in truth {found['true_overall_error']:.2%}{aim}")
    if found.get("true_question_errors"):
        each = ", ".join(f"{name} {error:.2%}" for name, error in found["true_question_errors"].items())
        table.add_row("of each question", f"in truth {escape(each)}")
    table.add_row("ended because", escape(found["sentence"]))
    rounds = counted(len(found["rounds"]), "round")
    rounds = f"{rounds}, {found['wall_seconds']:,.0f} s here, {found['training_seconds']:,.0f} s of training charged"
    table.add_row("time", f"{rounds}, {found['peak_memory_mb']:,.0f} MB at most")
    console.print(table)
    if found.get("baselines"):
        console.print(baseline_table(found["baselines"], money))


def baseline_table(rows: Sequence[dict[str, Any]], money: str) -> Table:
    """What other strategies cost on the same items."""
    table = Table("strategy", f"total ({money})", "savings", "|B|/|X|", "|S|/|X|", "true error", "training", "note", box=None)
    for row in rows:
        table.add_row(
            escape(row["name"]),
            f"{row['total_cost']:,.2f}",
            f"{row['savings']:.1%}",
            f"{row['train_share']:.1%}",
            f"{row['machine_share']:.1%}",
            f"{row['true_overall_error']:.2%}",
            f"{row['training_cost']:,.2f}",
            escape(row["note"]),
        )
    return table


def _promise(found: dict[str, Any]) -> str:
    if not found["n_machine"]:
        return "none, people labelled everything"
    if found["certified"]:
        return f"certified at most {found['error_upper_bound']:.2%} with {found['confidence_level']:.0%} confidence"
    return f"estimated {found['error_estimate']:.2%}, not certified"
