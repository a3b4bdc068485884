"""The demo's progress: a live panel on a terminal, plain lines everywhere else. Only reads."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from backend.campaign.state import State
from backend.views.report import sentence_of
from backend.views.status import sentence
from mcal_engine.types import Acquire, Certify, HumanLabelAll, LabelByMachine, PeelBatch
from mcal_engine.words import counted_of

EVERY_SECONDS = 15.0  # between plain lines while nothing but the counts changes


class Display:
    """Shows how a campaign goes on. Use as a context; :meth:`say` prints a line that stays."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._started = clock()
        self._told_decisions = 0
        self._told_line = ""
        self._told_at = float("-inf")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"{self._time()}  {escape(text)}", soft_wrap=True)
        sys.stdout.flush()

    def pause(self) -> None:
        """Take the panel away, for what follows to be printed as it is."""
        if self._live is not None:
            self._live.stop()

    def update(self, state: State) -> None:
        """Show the campaign as it is now; each decision is a line that stays."""
        decisions = [row for row in state.history if isinstance(row, Acquire | Certify | PeelBatch | LabelByMachine | HumanLabelAll)]
        for row in decisions[self._told_decisions :]:
            self.say(f"decided: {sentence_of(row)}")
        self._told_decisions = len(decisions)
        if self._live is not None:
            self._live.update(self._panel(state), refresh=True)
        else:
            self._plain(state)

    def _plain(self, state: State) -> None:
        line, now = sentence(state), self._clock()
        only_counts = _without_numbers(line) == _without_numbers(self._told_line)
        if line == self._told_line or (only_counts and now - self._told_at < EVERY_SECONDS):
            return
        self._told_line, self._told_at = line, now
        self.say(line)

    def _panel(self, state: State) -> Group:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_row("campaign", Text(sentence(state)))
        seen = state.progress
        if state.queue is not None and seen is not None and seen.asked:
            done = seen.asked - len(seen.missing)
            table.add_row("queue", Columns([ProgressBar(seen.asked, done, width=30), f"{done}/{seen.asked} {state.queue.model_version}"]))
        labelled = sum(item.label is not None for item in state.live)
        table.add_row("labels", f"{state.n_labels_paid:,} paid, {counted_of(labelled, len(state.live), 'item')} by people")
        plan = state.decision.plan if state.decision is not None else None
        if plan is not None and state.live:
            alone = plan.price_per_label * len(state.live)
            band = "" if plan.low is None or plan.high is None else f" ({plan.low:,.2f} to {plan.high:,.2f})"
            total = f"{plan.total_cost:,.2f}{band} of {alone:,.2f} {state.settings.currency}, saves {1 - plan.total_cost / alone:.0%}"
            table.add_row("forecast", total)
        if isinstance(state.decision, Acquire):
            table.add_row("why", Text(state.decision.sentence))
        table.add_row("time", self._time())
        return Group(table)

    def _time(self) -> str:
        seconds = int(self._clock() - self._started)
        return f"{seconds // 60:02d}:{seconds % 60:02d}"


def _without_numbers(line: str) -> str:
    return re.sub(r"[\d.,]+", "", line)
