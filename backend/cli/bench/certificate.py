"""``mcal bench certificate``: what certainty costs, by the engine's certificate, in two bands, with peeling, and at least."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from backend.cli.numbers import Number, Whole
from backend.cli.simulate.options import FILE, cache_folder
from mcal_engine.errors import InvalidValue

RED = 1  # exit code of a benchmark that found a broken promise


@click.command()
@click.option("--data", "data_path", type=click.Path(path_type=Path), help="As for `mcal simulate` [default: 5,000 digits].")
@click.option("--items", type=Whole(min=200), multiple=True, help="Items of each campaign; may be repeated [default: 1,500].")
@click.option("--of", type=Whole(min=200), help="Draw the campaigns' items from so many random ones of the data [default: from all].")
@click.option(
    "--target-error",
    type=Number(0, 1, min_open=True, max_open=True),
    multiple=True,
    help="ε; may be repeated [default: 5 %].",
)
@click.option("--seeds", type=Whole(min=1), default=4, show_default=True, help="Campaigns of each size.")
@click.option("--draws", type=Whole(min=1), default=8, show_default=True, help="Certificate samples drawn for each campaign.")
@click.option("--as-built/--without-as-built", default=True, show_default=True, help="Also play the engine's own campaigns.")
@click.option(
    "--pac",
    "pac_files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A CSV file of label,predicted,confidence: compare with PAC labels there, and leave the campaigns out.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("bench"), show_default=True, help="Folder of the results."
)
@click.option("--json", "json_file", type=FILE, help="Write the summary there.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where embeddings are kept [default: the user's cache folder].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
def certificate(
    data_path: Path | None,
    items: tuple[int, ...],
    of: int | None,
    target_error: tuple[float, ...],
    seeds: int,
    draws: int,
    as_built: bool,
    pac_files: tuple[Path, ...],
    out: Path,
    json_file: Path | None,
    cache_dir: Path | None,
    device: str,
) -> None:
    """Human labels that a certificate takes, as a share of all items: as the engine draws it, in two bands, with peeling, and at least.

    Exit code 1 if the promise of two bands is broken more often than chance allows. Each campaign is one line of certificate.jsonl; those
    that are there already are not played again.
    """
    from mcal_engine.bench.certificate import table

    if pac_files:
        _compare_with_pac(pac_files, draws, json_file)
        return
    rows = _campaigns(data_path, items or (1_500,), of, target_error or (0.05,), seeds, draws, as_built, out, cache_dir, device)
    _write(json_file, table.summary(rows))
    click.echo(table.markdown(rows))
    found = table.findings(rows)
    for sentence in found:
        click.echo(f"RED  {sentence}")
    if found:
        raise click.exceptions.Exit(RED)


def _compare_with_pac(files: tuple[Path, ...], draws: int, json_file: Path | None) -> None:
    from mcal_engine.bench.certificate import pac, table

    rows = [pac.true_comparison(file.stem, *pac.read_answers(file), draws) for file in files]
    _write(json_file, rows)
    click.echo(table.pac_markdown(rows))


def _campaigns(
    data_path: Path | None,
    items: tuple[int, ...],
    of: int | None,
    targets: tuple[float, ...],
    seeds: int,
    draws: int,
    as_built: bool,
    out: Path,
    cache_dir: Path | None,
    device: str,
) -> list[dict[str, Any]]:
    from backend.cli.bench.validity import labelled
    from mcal_engine.bench.certificate import bench
    from mcal_engine.bench.certificate.campaign import Task
    from mcal_engine.bench.validity.bench import open_world

    data = labelled(data_path, of)
    too_many = [n for n in items if n > len(data)]
    if too_many:
        raise InvalidValue(f"items must be at most the {len(data):,} of the data set, got {too_many[0]:,}")
    world = open_world(data, cache_folder(cache_dir), device)
    tasks = [Task(seed, n, draws, targets) for n in items for seed in range(seeds)]
    out.mkdir(parents=True, exist_ok=True)
    return bench.go(world, tasks, out / "certificate.jsonl", lambda line: click.echo(line, err=True), as_built=as_built)


def _write(file: Path | None, summary: list[dict[str, Any]]) -> None:
    if file is None:
        return
    if not file.absolute().parent.is_dir():
        raise InvalidValue(f"the folder {file.parent} of {file.name} does not exist")
    file.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
