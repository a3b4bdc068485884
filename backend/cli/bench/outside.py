"""``mcal bench outside``: what recorded answers of a model from outside save at a price, and that their certificate holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from backend.cli.numbers import Number, Whole
from backend.cli.simulate.options import FILE
from mcal_engine.errors import InvalidValue

RED = 1  # exit code of a benchmark that found a broken promise
KINDS = ("as it is", "wrong", "inverted", "fickle")
RACES = ("model", "free", "both", "ordered")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", "kinds", type=click.Choice(KINDS), multiple=True, help="May be repeated [default: as it is].")
@click.option("--race", "races", type=click.Choice(RACES), multiple=True, help="Who races; may be repeated [default: model].")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the texts' features are kept; needed where a free candidate races.",
)
@click.option("--answer-price", type=Number(0), multiple=True, help="Of an answer, in USD; may be repeated [default: 0, 0.002, 0.02].")
@click.option("--target-error", type=Number(0, 1, min_open=True, max_open=True), default=0.05, show_default=True, help="ε.")
@click.option("--items", type=Whole(min=100), help="Items of each campaign [default: all].")
@click.option("--seeds", type=Whole(min=1), default=5, show_default=True, help="Campaigns of each row.")
@click.option("--json", "json_file", type=FILE, help="Write the rows there.")
def outside(
    files: tuple[Path, ...],
    kinds: tuple[str, ...],
    races: tuple[str, ...],
    cache: Path | None,
    answer_price: tuple[float, ...],
    target_error: float,
    items: int | None,
    seeds: int,
    json_file: Path | None,
) -> None:
    """Play whole campaigns with recorded answers: FILES are CSV with label, predicted, confidence; a human label costs 0.04 USD.

    Models that are worse than they say: wrong is surest where it errs; inverted is surest where it was least sure; of fickle, a tenth of
    the answers are others in every campaign.

    Races: the model alone; free, a least-squares head on the frozen encoder's features of a column named text; both of them; ordered, both
    and the model's answers in a learned order. Exit code 1 if ε is broken more often than chance allows.
    """
    from mcal_engine.bench import outside as bench

    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise InvalidValue(f"the folder {json_file.parent} of {json_file.name} does not exist")
    if cache is None and set(races) - {"model"}:
        raise InvalidValue("--cache must be given where a free candidate races: it keeps what the encoder sees of the texts")
    rows = []
    for file in files:
        found = bench.table(
            bench.read(file, items),
            kinds or KINDS[:1],
            answer_price or (0.0, 0.002, 0.02),
            seeds,
            races=races or RACES[:1],
            folder=cache if set(races) - {"model"} else None,
            target_error=target_error,
            price_per_label=0.04,
        )
        rows += found
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(bench.markdown(rows))
    red = bench.findings(rows)
    for sentence in red:
        click.echo(f"RED  {sentence}")
    if red:
        raise click.exceptions.Exit(RED)
