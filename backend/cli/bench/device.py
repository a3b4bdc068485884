"""``mcal bench device``: how fast this machine trains and scores, and whether its device decides as a CPU does."""

from __future__ import annotations

import json
from pathlib import Path

import click

from backend.cli.numbers import Whole
from backend.cli.simulate.options import FILE
from mcal_engine.errors import InvalidValue

PLAIN = "× plain loop"
COLUMNS = ("candidate", "train, images/s", PLAIN, "score, images/s", PLAIN, "embed, images/s", PLAIN, "after a restart")


@click.command()
@click.option("--data", "data_path", required=True, type=click.Path(path_type=Path), help="An .npz, .csv or .parquet file, or CLASS/*.jpg.")
@click.option("--classifier", "classifiers", multiple=True, help="A candidate; may be given several times [default: every one].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--images", type=Whole(128), default=2048, show_default=True, help="Images that each candidate trains on and scores.")
@click.option("--campaign-items", type=Whole(200), default=2000, show_default=True, help="Size of the simulated campaign.")
@click.option("--seed", type=Whole(0), default=0, show_default=True, help="Seed of every draw.")
@click.option("--json", "json_path", type=FILE, help="Write everything to this file.")
def device(
    data_path: Path, classifiers: tuple[str, ...], device: str, images: int, campaign_items: int, seed: int, json_path: Path | None
) -> None:
    """Training and scoring speed of each candidate beside a plain torchvision loop, and one simulated campaign on this device."""
    from rich.console import Console
    from rich.table import Table

    from mcal_engine.bench.device import measure
    from mcal_engine.classifiers import names
    from mcal_engine.simulator.data import read
    from mcal_engine.simulator.labelled_images import LabelledImages

    data = read(data_path)
    if not isinstance(data, LabelledImages):
        raise InvalidValue(f"this benchmark needs images, {data_path} holds texts")
    found = measure(
        data,
        classifiers or names("image"),
        device=device,
        images=images,
        campaign_items=campaign_items,
        seed=seed,
        tell=lambda line: click.echo(line, err=True),
    )
    table = Table(*COLUMNS, box=None)
    for row in found["candidates"]:
        table.add_row(
            row["name"],
            _number(row["train_images_per_second"]),
            _number(row.get("train_ratio"), 2),
            _number(row["score_images_per_second"]),
            _number(row.get("score_ratio"), 2),
            _number(row["embed_images_per_second"]),
            _number(row.get("embed_ratio"), 2),
            _number(row["embed_seconds_after_restart"], 1, " s"),
        )
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=140)).print(table)
    campaign = found["campaign"]
    click.echo(f"{found['device']}, torch {found['torch']}: {found['images']} images of {found['data']} at {found['image_size']} px")
    click.echo(
        f"campaign of {campaign['n_items']} items: {campaign['n_machine']} by machine, {campaign['savings']:.1%} saved, "
        f"{campaign['stop_reason']}, {campaign['seconds']:.0f} s"
    )
    if found["decides_as_the_cpu"] is not None:
        click.echo(
            "decides as the CPU does" if found["decides_as_the_cpu"] else "decides otherwise than the CPU: see campaign_on_cpu in the JSON"
        )
    if json_path is not None:
        json_path.write_text(json.dumps(found, indent=2), encoding="utf-8")


def _number(value: float | None, digits: int = 0, unit: str = "") -> str:
    return "" if value is None else f"{value:,.{digits}f}{unit}"
