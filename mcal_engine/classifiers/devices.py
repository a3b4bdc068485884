"""Which device torch computes on, and how: selection, mixed precision, determinism of one piece of work."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

import torch
from torch import nn

from mcal_engine.errors import InvalidValue

NAMES = ("auto", "cpu", "cuda", "mps")
COMPILED_FROM = 500_000  # images of one fit, passes counted


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


def gpus() -> int:
    """CUDA devices of this machine, at least 1 for a machine that computes on something else."""
    return max(torch.cuda.device_count(), 1)


def label(device: torch.device) -> str:
    """A name for reports: the GPU's own, or the CPU with its threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def describe(name: str) -> str:
    """:func:`label` of a device by name."""
    return label(pick(name))


def versions() -> dict[str, str]:
    """Of what computes."""
    return {name: metadata.version(name) for name in ("torch", "torchvision")}


def mixed_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 (float16 on GPUs without it) for the matrix products on CUDA; nothing elsewhere, where it is slower or not exact."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.autocast("cuda", dtype=torch.float16 if needs_loss_scaling(device) else torch.bfloat16)


def scoring_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """As :func:`mixed_precision`, and bfloat16 on CPUs that compute it natively, for passes without gradients only.

    One core of an EPYC with AVX512-BF16, EfficientNet-Lite0 at 96 px: 473 images/s against 274 in float32; gradients are slower
    (122 against 202).
    """
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False):
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return mixed_precision(device)


def needs_loss_scaling(device: torch.device) -> bool:
    """Whether :func:`mixed_precision` means float16, whose gradients underflow unless the loss is scaled up."""
    return device.type == "cuda" and not torch.cuda.is_bf16_supported()


def room(device: torch.device) -> int:
    """Bytes that a data set may take on the device for the whole of a fit, leaving the rest to the net and its gradients."""
    if device.type == "cuda":
        return int(0.4 * torch.cuda.mem_get_info(device)[0])
    try:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # a system that does not tell
        free = 4 * 2**30
    return int(0.4 * free)


def compiled(net: nn.Module, device: torch.device, images: int) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The net through ``torch.compile`` where that pays: on CUDA, for so many images that half a minute of compiling is little.

    None where it does not pay or this torch cannot. What cannot be compiled shows at the first call, so be ready to fall back.
    """
    if device.type != "cuda" or images < COMPILED_FROM or torch.cuda.get_device_capability(device) < (7, 0):
        return None
    return torch.compile(net)


def keep_memory() -> None:
    """Let this process keep the large blocks that a batch gives back for the next batch; for processes that do little but compute.

    glibc hands blocks of more than 32 MB back to the system at once and gets them anew, page by page, for the next batch. One core of an
    EPYC, batches of 64, EfficientNet-Lite0 at 96 px: scoring 241 images/s instead of 176 in float32, 443 instead of 368 in bfloat16;
    peak memory the same. Smaller maps stay below that size and gain nothing. Other C libraries are left as they are.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        for parameter in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            library.mallopt(parameter, 2**31 - 1)


def release(device: torch.device) -> None:
    """Give unused memory back before another try with less."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


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
