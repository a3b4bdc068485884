"""``mcal bench``: benchmarks on labelled data, each one a command of its own."""

from __future__ import annotations

import click

from backend.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "paper": Lazy("backend.cli.bench.paper:paper", "The paper's tables and figures, our rows beside its own."),
        "engine": Lazy("backend.cli.bench.engine:engine", "Decisions against brute force in worlds of known law, and their time."),
        "validity": Lazy("backend.cli.bench.validity:validity", "How often the certificate's promise is broken in many campaigns."),
        "certificate": Lazy("backend.cli.bench.certificate:certificate", "What certainty costs, in two bands, with peeling, and at least."),
        "outside": Lazy("backend.cli.bench.outside:outside", "What recorded answers of a model save at a price, and whether ε holds."),
        "headline": Lazy("backend.cli.bench.headline:headline", "What a campaign saves, in one line per data set."),
        "device": Lazy("backend.cli.bench.device:device", "How fast this machine trains and scores."),
    },
)
def bench() -> None:
    """Run benchmarks on labelled data: results as JSON lines, a summary table, figures."""
