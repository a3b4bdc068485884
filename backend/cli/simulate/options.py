"""Options that ``mcal simulate`` and ``mcal bench`` share: the data, and the engine's settings by their one name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import platformdirs

from backend.campaign_settings import campaign_defaults, parse_setting
from backend.cli.numbers import Whole
from backend.cli.setting_options import campaign_options
from mcal_engine.classifiers.candidates import Reads
from mcal_engine.spec import AUTO, WHOLE_ANSWERS, CampaignSpec, preset_values

LABEL_COLUMN = (
    "Which column of a list or parquet file, or control of an export, holds the labels. Given several times, each is a question, "
    "and a label is the answer to all of them."
)
FILE = click.Path(dir_okay=False, path_type=Path)

spec_options = campaign_options(*CampaignSpec.model_fields)
"""The engine's settings; the environment and ``.env`` come in with :func:`make_spec`, as for every other command."""


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which data, how much of it, and where embeddings are kept."""
    options = [
        click.option(
            "--data",
            "data_path",
            required=True,
            type=click.Path(path_type=Path),
            help="A folder CLASS/*.jpg, a list (.csv, .json) of images or texts, .npz, .parquet.",
        ),
        click.option("--label-column", "label_columns", multiple=True, help=LABEL_COLUMN),
        click.option("--items", type=Whole(min=1), help="A random part of the data of this size [default: all]."),
        click.option("--per-class", type=Whole(min=1), help="A random part with this many items of each class."),
        click.option("--cache-dir", type=click.Path(path_type=Path), help="Where embeddings are kept [default: the user's cache folder]."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def make_spec(
    preset: str,
    n_items: int,
    given: dict[str, Any],
    device: str,
    reads: Reads = "image",
    *,
    whole_answers: bool = False,
    beside: bool = False,
) -> CampaignSpec:
    """The environment's settings, the preset's on top, and what was given on top of both.

    The default race is the one that a campaign would run, and so is what orders ``whole_answers``.
    ``beside``: whether images have texts beside them.
    """
    from mcal_engine.classifiers import race_of

    spec = CampaignSpec.parse(
        {"classifiers": AUTO} | (WHOLE_ANSWERS if whole_answers else {}) | _environment() | preset_values(preset, n_items) | given
    )
    return spec.model_copy(update={"classifiers": race_of(spec.classifiers, n_items, device, reads, beside=beside)})


def make_seed(given: str | None) -> int:
    """The seed alone, checked: it draws the part of the data whose size the other settings may depend on."""
    seed: int = parse_setting("seed", _environment().get("seed", 0) if given is None else given)
    return seed


def _environment() -> dict[str, str]:
    """What the environment and ``.env`` say about the engine's settings; a simulation has no use for the others."""
    return {name: value for name, value in campaign_defaults().items() if name in CampaignSpec.model_fields}


def cache_folder(given: Path | None) -> Path:
    return given or Path(platformdirs.user_cache_dir("mcal")) / "simulator"
