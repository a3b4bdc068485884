"""``mcal bench validity``: how often ε is broken in hundreds of campaigns, by the certificate and by what others would do."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.numbers import Number, Whole
from backend.cli.setting_options import setting_option
from backend.cli.simulate.options import FILE, LABEL_COLUMN, cache_folder
from mcal_engine.errors import InvalidValue

if TYPE_CHECKING:
    from mcal_engine.simulator.labelled_images import LabelledData

RED = 1  # exit code of a benchmark that found a broken promise


@click.command()
@click.option("--data", "data_path", type=click.Path(path_type=Path), help="As for `mcal simulate` [default: 5,000 digits].")
@click.option("--label-column", "label_columns", multiple=True, help=LABEL_COLUMN)
@click.option("--campaigns", type=Whole(min=2), default=300, show_default=True, help="Campaigns of each size.")
@click.option(
    "--price-campaigns",
    type=Whole(min=0),
    default=20,
    show_default=True,
    help="Campaigns of each size on the engine's schedule, to their end and at one ε: what the promise costs.",
)
@click.option("--items", type=Whole(min=200), help="Items of each campaign [default: 1,500 and 10,000, and 20 campaigns of all].")
@setting_option("target_error", multiple=True, note="[default: 2, 5 and 10 %]")
@click.option(
    "--train-share",
    type=Number(0, 0.9, min_open=True),
    default=0.08,
    show_default=True,
    help="|B| at the end of the fixed schedule, as a share of the items.",
)
@click.option("--mutation", help="Break one rule on purpose, which must turn the benchmark red; any other word lists them.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("bench"), show_default=True, help="Folder of the results."
)
@click.option("--json", "json_file", type=FILE, help="Write the summary there.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where embeddings are kept [default: the user's cache folder].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--workers", type=Whole(min=1), help="Processes [default: one per core].")
def validity(
    data_path: Path | None,
    label_columns: tuple[str, ...],
    campaigns: int,
    price_campaigns: int,
    items: int | None,
    target_error: tuple[float, ...],
    train_share: float,
    mutation: str | None,
    out: Path,
    json_file: Path | None,
    cache_dir: Path | None,
    device: str,
    workers: int | None,
) -> None:
    """Share of campaigns whose true error is above ε, per rule, with 95 % intervals; and what the promise costs.

    Exit code 1 if the certificate breaks ε more often than it promises, or an estimate is not where it should be. Each campaign is one line
    of validity.jsonl; those that are there already are not played again.
    """
    from mcal_engine.bench.validity import bench as validity_bench
    from mcal_engine.bench.validity import table as validity_table
    from mcal_engine.bench.validity.mutations import check
    from mcal_engine.bench.validity.worlds import TARGETS

    check(mutation)
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise InvalidValue(f"the folder {json_file.parent} of {json_file.name} does not exist")
    data = labelled(data_path, label_columns=label_columns)
    if items is not None and items > len(data):
        raise InvalidValue(f"items must be at most the {len(data):,} of the data set, got {items:,}")
    world = validity_bench.open_world(data, cache_folder(cache_dir), device)
    if label_columns:  # other labels of the same items are another world
        world = replace(world, name=f"{world.name}: {' and '.join(label_columns)}")
    tasks = validity_bench.plan(
        len(data),
        campaigns=campaigns,
        price_campaigns=price_campaigns,
        items=items,
        targets=target_error or TARGETS,
        train_share=train_share,
        mutation=mutation,
    )
    out.mkdir(parents=True, exist_ok=True)
    rows = validity_bench.go(world, tasks, out / "validity.jsonl", workers or os.cpu_count() or 1, lambda line: click.echo(line, err=True))
    summary = validity_table.as_json(rows)
    if json_file is not None:
        json_file.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(validity_table.markdown(rows))
    for finding in summary["findings"]:
        click.echo(f"{'ok ' if finding['good'] else 'RED'}  {finding['sentence']}")
    pace = ", ".join(f"{seconds:.2f} s ({kind})" for kind, seconds in summary["seconds_per_campaign"].items())
    click.echo(f"A campaign took {pace}; least squares on the frozen encoder's features; {summary['versions']['machine']}.")
    if not summary["green"]:
        raise click.exceptions.Exit(RED)


def labelled(path: Path | None, of: int | None = None, label_columns: Sequence[str] = ()) -> LabelledData:
    """The data set with the labels of some columns, or ``of`` random items of it; without a path, 5,000 digits."""
    import numpy as np

    from mcal_engine.simulator import data as datasets
    from mcal_engine.simulator.labelled_images import LabelledImages

    if path is not None:
        data: LabelledData = datasets.read(path, label_columns)
    else:
        from backend.demo.data import load

        digits = load(None, 5000, 0)
        images = np.stack([np.asarray(image) for image in digits.images])[..., None]
        data = LabelledImages("digits", images, digits.labels, digits.choices)
    if of is None or of >= len(data):
        return data
    rows = datasets.subset(data, of, 0)
    return data.part(rows)
