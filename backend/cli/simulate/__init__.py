"""``mcal simulate``: what a campaign costs on data that is already labelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from backend.cli.setting_options import given
from backend.cli.simulate.options import FILE, cache_folder, data_options, make_seed, make_spec, spec_options
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec


@click.command()
@data_options
@click.option("--preset", default="default", show_default=True, help="default (ours) or paper (its constants, T = 5 %, estimate).")
@click.option("--shuffle-labels", is_flag=True, help="Give every item another one's label: a hopeless case, to see what it costs.")
@click.option("--baselines", is_flag=True, help="Also play people alone, plain active learning, the paper's preset and random draws.")
@click.option("--json", "json_file", type=FILE, help="Write the report there.")
@click.option("--html", "html_file", type=FILE, help="Write the report with its plots there, as one file that needs no network.")
@click.option("--quiet", is_flag=True, help="No progress bar and no table.")
@spec_options
def simulate(
    data_path: Path,
    label_columns: tuple[str, ...],
    items: int | None,
    per_class: int | None,
    cache_dir: Path | None,
    device: str,
    preset: str,
    shuffle_labels: bool,
    baselines: bool,
    json_file: Path | None,
    html_file: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Play a whole campaign on a labelled data set, whose labels play the people.

    Nothing but the true error in the report uses a label that nobody was asked for. Works without Label Studio and without a network.
    """
    from backend.cli.simulate.shown import Bars, print_report
    from mcal_engine.simulator import data as datasets
    from mcal_engine.simulator.session import open_machines, play

    for file in (json_file, html_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise InvalidValue(f"the folder {file.parent} of {file.name} does not exist")
    settings = given(options, CampaignSpec)
    seed = make_seed(settings.get("seed"))
    data, ids = datasets.read_part(data_path, items, seed, per_class, label_columns)
    if shuffle_labels:
        data = datasets.shuffled(data, seed)
    whole, beside = data.questions is not None, data.source_beside() is not None
    spec = make_spec(preset, len(ids), settings, device, data.reads, whole_answers=whole, beside=beside)
    machines = open_machines(data, spec.classifiers, cache_folder(cache_dir), device)
    with Bars(len(ids), spec, machines, hidden=quiet) as bars:
        played = play(data, ids, spec, machines, [bars.after_round])
        found = played.report
        if baselines:
            from mcal_engine.simulator.baselines import compare

            found["baselines"] = compare(data, ids, spec, machines, played.campaign, bars.say)
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if html_file is not None:
        from mcal_engine.simulator.page import page_of

        html_file.write_text(page_of(played), encoding="utf-8")
    if not quiet:
        print_report(found, data.notes)
