"""Training on several devices at once: one process each, started by torchrun, every one with the same net and its part of each batch.

Gradients are averaged in one all-reduce after the backward pass. That is what DistributedDataParallel does, without its hooks in the
backward pass: a process that runs out of memory and repeats its part in smaller pieces would leave the others waiting inside theirs.
With a single process everything here is the identity.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import distributed, nn

from mcal_engine.types import FloatArray


def rank_and_size() -> tuple[int, int]:
    """This process's number and how many there are; (0, 1) outside of :func:`joined`."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "LOCAL_RANK" in os.environ


@contextlib.contextmanager
def joined(device: str) -> Iterator[str]:
    """Meet the other processes that torchrun started, if it did; gives the device of this one."""
    if not launched():
        yield device
        return
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    mine = f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device
    if cuda:
        torch.cuda.set_device(mine)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield mine
    finally:
        distributed.destroy_process_group()


def my_part(n: int) -> slice:
    """This process's share of n things in order."""
    rank, size = rank_and_size()
    return slice(n * rank // size, n * (rank + 1) // size)


def sum_gradients(net: nn.Module) -> None:
    """Add up the gradients of all processes; each has divided its loss by the size of the whole batch."""
    if rank_and_size()[1] == 1:
        return
    gradients = [weights.grad for weights in net.parameters() if weights.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, summed in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def mean_statistics(net: nn.Module) -> None:
    """Average what batch norms have seen, as each process saw its own part of every batch."""
    _, size = rank_and_size()
    if size > 1:
        for seen in net.buffers():
            if seen.is_floating_point():
                distributed.all_reduce(seen)
                seen.div_(size)


def total(value: float, device: torch.device) -> float:
    """The sum of a number over all processes."""
    if rank_and_size()[1] == 1:
        return value
    there = torch.tensor([value], device=device)
    distributed.all_reduce(there)
    return float(there.item())


def all_rows(mine: FloatArray) -> FloatArray:
    """The rows that all processes computed, each its :func:`my_part`, in order."""
    _, size = rank_and_size()
    if size == 1:
        return mine
    found: list[FloatArray | None] = [None] * size
    distributed.all_gather_object(found, mine)
    return np.concatenate([part for part in found if part is not None])
