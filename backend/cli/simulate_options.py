"""Options that ``mcal simulate`` and ``mcal bench`` share: the data, and the engine's settings by their one name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import platformdirs

from backend.settings import campaign_defaults, describe_settings
from mcal_engine.spec import AUTO, CampaignSpec, preset_values

ALIASES = {"price_per_label": "--price", "classifiers": "--classifier"}
SETTINGS = [setting for setting in describe_settings() if setting.name in CampaignSpec.model_fields]
FILE = click.Path(dir_okay=False, path_type=Path)


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option per setting of the engine; they arrive as text, or ``None`` where not given. Lists may be given piece by piece.

    The environment and ``.env`` come in with :func:`make_spec`, as for every other command.
    """
    for setting in reversed(SETTINGS):
        flags = ["--" + setting.name.replace("_", "-"), *([ALIASES[setting.name]] if setting.name in ALIASES else []), setting.name]
        default = "" if setting.default in {"required", "empty"} else f" [default: {setting.default}]"
        required = " [required, unless the preset has it]" if setting.default == "required" else ""
        several = CampaignSpec.model_fields[setting.name].annotation == tuple[str, ...]
        command = click.option(
            *flags,
            metavar="VALUE",
            multiple=several,
            help=setting.description + (" May be given several times." if several else "") + default + required,
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


def make_spec(preset: str, n_items: int, given: dict[str, Any], device: str) -> CampaignSpec:
    """The environment's settings, the preset's on top, and what was given on top of both.

    The default race is the one that a campaign would run.
    """
    from mcal_engine.classifiers import race_of

    values = {
        name: ",".join(value) if isinstance(value, tuple) else value for name, value in given.items() if value is not None and value != ()
    }
    spec = CampaignSpec.parse({"classifiers": AUTO} | _environment() | preset_values(preset, n_items) | values)
    return spec.model_copy(update={"classifiers": race_of(spec.classifiers, n_items, device)})


def make_seed(given: str | None) -> int:
    """The seed alone, checked: it draws the part of the data whose size the other settings may depend on."""
    seed = _environment().get("seed") if given is None else given
    return CampaignSpec.parse({"target_error": 0.05, "price_per_label": 1.0} | ({} if seed is None else {"seed": seed})).seed


def _environment() -> dict[str, str]:
    """What the environment and ``.env`` say about the engine's settings; a simulation has no use for the others."""
    return {name: value for name, value in campaign_defaults().items() if name in CampaignSpec.model_fields}


def cache_folder(given: Path | None) -> Path:
    return given or Path(platformdirs.user_cache_dir("mcal")) / "simulator"
