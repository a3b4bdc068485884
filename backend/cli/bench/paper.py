"""``mcal bench paper``: the paper's tables and figures on a data set of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli.setting_options import setting_option
from backend.cli.simulate.options import cache_folder, data_options
from mcal_engine.errors import InvalidValue

MACHINE_PRICE = 0.20  # USD per hour, the default of every campaign; the paper's four K80 cost 3.60


@click.command()
@data_options
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("bench"), show_default=True, help="Folder of the results."
)
@click.option("--classifier", default="frozen", show_default=True, help="The classifier of every run.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Seeds, separated by commas.")
@click.option("--only", help="Only runs whose description contains this text, e.g. 'active learning' or 'paper settings'.")
@setting_option("machine_price_per_hour", default=MACHINE_PRICE)
@click.option(
    "--quick", is_flag=True, help="A least-squares head on the frozen encoder's features instead of a classifier: a hundredth of the time."
)
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw the figures as HTML files.")
def paper(
    data_path: Path,
    label_columns: tuple[str, ...],
    items: int | None,
    per_class: int | None,
    cache_dir: Path | None,
    device: str,
    out: Path,
    classifier: str,
    seeds: str,
    only: str | None,
    machine_price_per_hour: float,
    quick: bool,
    figures: bool,
) -> None:
    """Our rows beside the paper's Tables 1, 2 and 3, the analogues of its figures, and which of its claims hold here.

    Each run is one line of results.jsonl; runs that are there already are not done again, so a stopped benchmark goes on.
    """
    from rich.console import Console
    from rich.table import Table

    from mcal_engine.bench.paper import table as bench_table
    from mcal_engine.bench.paper.claims import claims
    from mcal_engine.bench.paper.runs import Bench, describe, paper_runs
    from mcal_engine.bench.validity.bench import open_quick_machine
    from mcal_engine.simulator import session
    from mcal_engine.simulator.data import read

    if per_class is not None:
        raise InvalidValue("per_class is part of the benchmark itself; use items for a smaller data set")
    runs = [run for run in paper_runs(_seeds(seeds)) if only is None or only in describe(run)]
    if not runs:
        raise InvalidValue(f"no run's description contains {only!r}; one is {describe(paper_runs([0])[0])!r}")
    data = read(data_path, label_columns)
    folder = cache_folder(cache_dir)
    machine = open_quick_machine(data, folder, device) if quick else session.open_machines(data, [classifier], folder, device)[0]
    out.mkdir(parents=True, exist_ok=True)
    rows = Bench(data, items, machine, machine_price_per_hour, out / "results.jsonl").go(runs, lambda line: click.echo(line, err=True))
    held = [str(claim) for claim in claims(rows)]
    text = [bench_table.markdown(rows), bench_table.made_with(rows), "", *(f"- {line}" for line in held)]
    (out / "table.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    table = Table(*bench_table.COLUMNS, box=None)
    for row in bench_table.summary(rows):
        table.add_row(*bench_table.cells(row))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=180)).print(table)
    for line in (*held, bench_table.made_with(rows)):
        click.echo(line)
    if figures:
        from mcal_engine.bench.paper.figures import all_figures

        for name, figure in all_figures(rows).items():
            figure.write_html(out / f"{name}.html", include_plotlyjs="directory", config={"displaylogo": False})
        click.echo(f"table.md and figures are in {out}")


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidValue(f"seeds must be integers separated by commas, got {text!r}") from None
