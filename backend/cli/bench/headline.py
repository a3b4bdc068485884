"""``mcal bench headline``: what certified campaigns save on whole data sets, everything paid."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli.numbers import Whole
from backend.cli.setting_options import setting_option
from backend.cli.simulate.options import cache_folder
from mcal_engine.errors import InvalidValue


@click.command()
@click.option(
    "--data", "data_paths", required=True, multiple=True, type=click.Path(path_type=Path), help="As for `mcal simulate`; may be repeated."
)
@click.option("--items", type=Whole(min=200), help="A random part of each data set of this size [default: all].")
@click.option("--seeds", type=Whole(min=1), default=1, show_default=True, help="Campaigns per row: seeds 0, 1, ….")
@click.option(
    "--classifier",
    "classifiers",
    multiple=True,
    help="A candidate of the race; may be repeated [default: by images and device].",
)
@setting_option("price_per_label", "prices", multiple=True, note="[default: the prices that the paper has for these data]")
@setting_option("target_error", default=0.05)
@setting_option("machine_price_per_hour", default=0.20)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Another setting of the campaigns; may be repeated.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("bench"), show_default=True, help="Folder of the results."
)
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where embeddings are kept [default: the user's cache folder].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
def headline(
    data_paths: tuple[Path, ...],
    items: int | None,
    seeds: int,
    classifiers: tuple[str, ...],
    prices: tuple[float, ...],
    target_error: float,
    machine_price_per_hour: float,
    settings: tuple[str, ...],
    out: Path,
    cache_dir: Path | None,
    device: str,
) -> None:
    """Savings of certified campaigns, in one line per data set and price, beside the paper's.

    Each campaign is one line of headline.jsonl; those that are there already are not played again, so a stopped benchmark goes on.
    """
    from rich.console import Console
    from rich.table import Table

    from mcal_engine.bench.headline import COLUMNS, HeadlineRun, cells, made_on, markdown, play_all, prices_of, summary
    from mcal_engine.classifiers import default_candidates, parse
    from mcal_engine.simulator import session
    from mcal_engine.simulator.data import read

    for name in classifiers:
        parse(name)
    extra = tuple(_pair(text) for text in settings)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in data_paths:
        data = read(path)
        race = classifiers or default_candidates(items or len(data), device, data.reads)
        runs = [
            HeadlineRun(seed, price, race, target_error, machine_price_per_hour, extra)
            for price in prices or prices_of(data)
            for seed in range(seeds)
        ]
        rows += play_all(
            data,
            items,
            runs,
            lambda names, data=data: session.open_machines(data, names, cache_folder(cache_dir), device),  # type: ignore[misc]
            out / "headline.jsonl",
            lambda line: click.echo(line, err=True),
        )
    found = summary(rows)
    (out / "headline.md").write_text(markdown(found), encoding="utf-8")
    table = Table(*COLUMNS, box=None)
    for row in found:
        table.add_row(*cells(row))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=220)).print(table)
    for line in made_on(found):
        click.echo(line)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidValue(f"set must be NAME=VALUE, such as batch_size=1200, got {text!r}")
    return name.strip(), value.strip()
