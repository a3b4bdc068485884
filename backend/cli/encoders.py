"""``mcal encoders``: which pretrained encoders ``frozen`` can stand on here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mcal_engine.classifiers import catalog


@click.command()
@click.option("--fetch", "wanted", metavar="NAME", help="Have the weights of one from the hub, which needs a network.")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Into this folder instead of the hub's own cache.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def encoders(wanted: str | None, folder: Path | None, as_json: bool) -> None:
    """List the image encoders that frozen takes, the best first: licence, size, where the weights are and what is missing.

    A campaign that begins takes the first one that is here and that its device can run over all images within an hour of one core (any, on
    a GPU). What campaigns save with others than efficientnet-lite0 was not measured.
    """
    from mcal_engine.classifiers import catalog

    if folder is not None and wanted is None:
        raise click.UsageError("--to says where --fetch puts the weights, and --fetch is not given")
    if wanted is not None:
        click.echo(f"{wanted}: {catalog.fetch(wanted, folder)}")
        return
    found = [catalog.whereabouts(one) for one in catalog.ENCODERS]
    if as_json:
        click.echo(json.dumps([_row(one) for one in found], indent=2))
        return
    click.echo(f"{'encoder':<20}{'licence':<16}{'size':>7}{'image':>8}{'one core':>16}   weights")
    for one in found:
        listed = one.encoder
        speed = f"{3.6 / listed.cpu_seconds:,.0f} k images/h"
        state = f"missing: {one.missing}" if one.missing else str(one.file)
        click.echo(f"{listed.name:<20}{listed.licence:<16}{listed.megabytes:>4} MB{listed.side:>5} px{speed:>16}   {state}")


def _row(one: catalog.Whereabouts) -> dict[str, object]:
    listed = one.encoder
    return {
        "name": listed.name,
        "licence": listed.licence,
        "megabytes": listed.megabytes,
        "side": listed.side,
        "cpu_seconds_per_image": listed.cpu_seconds,
        "repository": listed.repository if listed.net else None,
        "file": None if one.file is None else str(one.file),
        "missing": one.missing or None,
    }
