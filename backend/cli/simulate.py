"""``mcal simulate``: what a campaign would cost on a data set that is already labelled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import platformdirs

from backend.settings import describe_settings
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec

SERVICES = {"amazon": 0.04, "satyam": 0.003}  # price of one label at Amazon SageMaker and at Satyam, in USD (the paper, section 5)
ALIASES = {"price_per_label": "--price", "classifiers": "--classifier"}
FILE = click.Path(dir_okay=False, path_type=Path)


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option per setting of the engine; they arrive as text, or ``None`` where not given."""
    for setting in reversed(describe_settings(CampaignSpec)):
        flags = ["--" + setting.name.replace("_", "-"), *([ALIASES[setting.name]] if setting.name in ALIASES else []), setting.name]
        default = "" if setting.default in {"required", "empty"} else f" [default: {setting.default}]"
        required = " [required, unless the preset has it]" if setting.default == "required" else ""
        command = click.option(
            *flags, metavar="VALUE", envvar="MCAL_" + setting.name.upper(), help=setting.description + default + required
        )(command)
    return command


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which data, how much of it, and where embeddings are kept."""
    options = [
        click.option(
            "--data", "data_path", required=True, type=click.Path(path_type=Path), help="An .npz, .csv or .parquet file, or CLASS/*.jpg."
        ),
        click.option("--items", type=int, help="A random part of the data of this size [default: all]."),
        click.option("--per-class", type=int, help="A random part with this many items of each class."),
        click.option("--cache-dir", type=click.Path(path_type=Path), help="Where embeddings are kept [default: the user's cache folder]."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def make_spec(preset: str, n_items: int, given: dict[str, Any]) -> CampaignSpec:
    """Settings of the preset with what was given on top; a price may be a service's name."""
    from mcal_engine.spec import preset_values

    values = {name: value for name, value in given.items() if value is not None}
    price = values.get("price_per_label")
    if isinstance(price, str) and price.lower() in SERVICES:
        values["price_per_label"] = SERVICES[price.lower()]
    return CampaignSpec.parse(preset_values(preset, n_items) | values)


def cache_folder(given: Path | None) -> Path:
    return given or Path(platformdirs.user_cache_dir("mcal")) / "simulator"


@click.command()
@data_options
@click.option("--preset", default="default", show_default=True, help="default (ours) or paper (its constants, T = 5 %, estimate).")
@click.option("--baselines", is_flag=True, help="Also play people alone, plain active learning, the paper's preset and random draws.")
@click.option("--json", "json_file", type=FILE, help="Write the report there.")
@click.option("--html", "html_file", type=FILE, help="Write the report with its plots there, as one file that needs no network.")
@click.option("--quiet", is_flag=True, help="No progress bar and no table.")
@spec_options
def simulate(
    data_path: Path,
    items: int | None,
    per_class: int | None,
    cache_dir: Path | None,
    device: str,
    preset: str,
    baselines: bool,
    json_file: Path | None,
    html_file: Path | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Play a whole campaign on a labelled data set, whose labels play the people.

    Nothing but the true error in the report uses a label that nobody was asked for. Works without Label Studio and without a network.
    """
    from backend.cli.simulate_shown import Bars, print_report
    from mcal_engine.simulator import data as datasets
    from mcal_engine.simulator.session import open_machines, play

    for file in (json_file, html_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise InvalidValue(f"the folder {file.parent} of {file.name} does not exist")
    data = datasets.read(data_path)
    ids = datasets.subset(data, items, _seed(settings), per_class)
    spec = make_spec(preset, len(ids), settings)
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


def _seed(settings: dict[str, Any]) -> int:
    """The seed alone, checked: it draws the part of the data whose size the other settings may depend on."""
    seed = settings.get("seed")
    return CampaignSpec.parse({"target_error": 0.05, "price_per_label": 1.0} | ({} if seed is None else {"seed": seed})).seed
