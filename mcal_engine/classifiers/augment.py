"""Random changes of a training batch that leave its classes alone, computed on the whole batch at once, on its device."""

from __future__ import annotations

import torch
from torch.nn import functional

LARGEST_SHIFT = 1 / 14  # of the side: 2 px of 28
ERASED = 0.25  # share of the images that lose a square
ERASED_SIDE = 0.35  # of the side


def changed(images: torch.Tensor, draw: torch.Generator, *, mirror: bool) -> torch.Tensor:
    """Shift every image, mirror half of them if asked, and blank a square in some.

    Args:
        images: float (n, C, S, S), standardised, so that 0 is the mean colour.
        draw: a generator on the CPU, so that every device sees the same changes.
        mirror: whether a mirror image still shows the same class.
    """
    n, _, side, _ = images.shape
    reach = max(1, round(side * LARGEST_SHIFT))
    top, left = (torch.randint(0, 2 * reach + 1, (n, 1), generator=draw) for _ in range(2))
    along = torch.arange(side)
    rows, columns = top + along, left + along  # (n, S), positions in the padded image
    if mirror:
        columns = torch.where(torch.rand((n, 1), generator=draw) < 0.5, columns.flip(1), columns)
    padded = functional.pad(images, (reach, reach, reach, reach), mode="replicate")
    device = images.device
    picked = padded.permute(0, 2, 3, 1)[
        torch.arange(n, device=device)[:, None, None], rows.to(device)[:, :, None], columns.to(device)[:, None, :]
    ]
    blank = max(1, round(side * ERASED_SIDE))
    corner = torch.randint(0, side - blank + 1, (2, n, 1), generator=draw)
    inside = (along >= corner) & (along < corner + blank)  # (2, n, S)
    inside[0] &= torch.rand((n, 1), generator=draw) < ERASED
    hole = (inside[0][:, :, None] & inside[1][:, None, :]).to(device)
    return picked.masked_fill(hole[..., None], 0.0).permute(0, 3, 1, 2)
