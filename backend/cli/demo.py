"""``mcal demo``: the whole product on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.cli.numbers import Number, Whole
from backend.cli.setting_options import campaign_options, given, server_options
from backend.cli.simulate.options import LABEL_COLUMN
from backend.settings import ServerSettings, server_settings

DEFAULTS = {"target_error": "0.05", "price_per_label": "0.04"}
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--items", type=Whole(min=200), help="Number of images [default: 3000, or all that --data has].")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="As for mcal simulate: CLASS/*.jpg, a list, .npz, .parquet.")
@click.option("--label-column", "label_columns", multiple=True, help=LABEL_COLUMN)
@click.option("--annotators", type=Whole(1, 50), default=2, show_default=True, help="Simulated people.")
@click.option("--pace", type=Number(0, 60), default=0.1, show_default=True, help="Seconds each thinks over a task.")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="Where everything is kept [default: demo in data_dir].")
@click.option("--exit", "leave", is_flag=True, help="End at once instead of keeping the servers up to look around.")
@click.option("--json", "json_file", type=FILE, help="Write the report, the true error and the checks there.")
@click.option("--trace", "trace_file", type=FILE, help="Write every annotator's pull there, as JSON lines.")
@server_options("data_dir")
@campaign_options(defaults=DEFAULTS)
def demo(
    items: int | None,
    data: Path | None,
    label_columns: tuple[str, ...],
    annotators: int,
    pace: float,
    directory: Path | None,
    leave: bool,
    json_file: Path | None,
    trace_file: Path | None,
    **options: Any,
) -> int:
    """Run the whole product on real handwritten digits, with a real Label Studio and simulated annotators.

    Starts everything on free ports of this machine, in a folder of its own. Campaign settings may be given; target_error is 0.05 and
    price_per_label 0.04 unless they are.
    """
    extra_params = DEFAULTS | given(options, CampaignSettings)
    settings = parse_campaign_settings(extra_params, defaults={})  # a slip is told now and not in two minutes
    from backend.cli.campaign import shown
    from backend.demo.house import Plan
    from backend.demo.run import Options, run

    plan = Plan(
        extra_params=settings.model_dump(mode="json", include=set(extra_params)), annotators=annotators, pace=pace, seed=settings.seed
    )
    place = directory.absolute() if directory else server_settings(**given(options, ServerSettings)).data_dir / "demo"
    return run(Options(plan, items, data, label_columns, place, not leave, json_file, trace_file), shown.new_console(), shown.report)
