"""Which device torch computes on, and how: selection, mixed precision, determinism of one piece of work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from mcal_engine.errors import InvalidValue

NAMES = ("auto", "cpu", "cuda", "mps")


def pick(name: str) -> torch.device:
    """``auto`` is a CUDA device if there is one, else Apple's MPS, else the CPU; ``cuda:1`` names one of several.

    Raises:
        InvalidValue: unknown name, or a device this machine does not have.
    """
    kind = name.partition(":")[0]
    if kind not in NAMES:
        raise InvalidValue(f"device must be one of {', '.join(NAMES)} (or cuda:N), got {name!r}")
    if name == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidValue(f"device must be one of {', '.join(NAMES)} (or cuda:N), got {name!r}") from None
    if (kind == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise InvalidValue(f"device {name!r} is not there: torch sees no such device on this machine (use auto or cpu)")
    return device


def label(device: torch.device) -> str:
    """A name for reports: the GPU's own, or the CPU with its threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def mixed_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 (float16 on GPUs without it) for the matrix products on CUDA; nothing elsewhere, where it is slower or not exact."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.autocast("cuda", dtype=torch.float16 if needs_loss_scaling(device) else torch.bfloat16)


def needs_loss_scaling(device: torch.device) -> bool:
    """Whether :func:`mixed_precision` means float16, whose gradients underflow unless the loss is scaled up."""
    return device.type == "cuda" and not torch.cuda.is_bf16_supported()


@contextlib.contextmanager
def repeatable(device: torch.device, seed: int) -> Iterator[None]:
    """Run a block with its own random state and deterministic convolutions; the caller's state is as before afterwards."""
    gpus = [device] if device.type == "cuda" else []
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        try:
            yield
        finally:
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
