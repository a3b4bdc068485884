"""``mcal bench engine``: decisions against brute force in worlds whose law is known, and how long one decision takes. Needs no data."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import click

from backend.cli.numbers import Whole


@click.command()
@click.option("--seeds", type=Whole(min=1), default=3, show_default=True, help="Campaigns per world, each with its own T.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there.")
def engine(seeds: int, json_file: Path | None) -> None:
    """The engine's total beside the least that any campaign could cost, for 10 to 1,000 classes and up to 1.2 million items.

    The worlds are synthetic: an error law, no images. The last figure is the time of one decision at 1.2 million items, 20 shares θ and
    50 rounds.
    """
    from rich.console import Console
    from rich.table import Table

    from mcal_engine.bench.law.bench import cells, decision_seconds, go
    from mcal_engine.simulator.report import versions

    rows = []
    for row in go(range(seeds)):
        click.echo(f"{row['world']}: {row['n_rounds']} rounds", err=True)
        rows.append(row)
    table = Table(*cells(rows[0]), box=None)
    for row in rows:
        table.add_row(*cells(row).values())
    wall, processor = decision_seconds()
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=180)).print(table)
    spread = f"median of {len(wall)}; {min(wall):.2f} to {max(wall):.2f} s on the clock"
    click.echo(f"one decision at 1,200,000 items, 20 θ, 50 rounds: {statistics.median(processor):.2f} s of processor time ({spread})")
    click.echo(", ".join(f"{name} {version}" for name, version in versions().items()))
    if json_file is not None:
        found = {"worlds": rows, "decision_seconds": wall, "decision_processor_seconds": processor, "versions": versions()}
        json_file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
