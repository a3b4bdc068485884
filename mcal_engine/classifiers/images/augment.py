"""Random changes of a training batch that leave its classes alone, computed on the whole batch at once, on its device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

LARGEST_SHIFT = 1 / 14  # of the side: 2 px of 28
ERASED = 0.25  # share of the images that lose a square
ERASED_SIDE = 0.35  # of the side


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to each image of a batch: which pixel goes where, and what is blanked. Drawn on the CPU, for every device the same.

    Attributes:
        rows, columns: shape (n, S), positions in the image padded by ``reach``.
        hole_rows, hole_columns: shape (n, S), whether the blank square covers the row or column.
    """

    reach: int
    rows: torch.Tensor
    columns: torch.Tensor
    hole_rows: torch.Tensor
    hole_columns: torch.Tensor

    def part(self, which: slice) -> Changes:
        """The changes of some images of the batch."""
        return Changes(self.reach, self.rows[which], self.columns[which], self.hole_rows[which], self.hole_columns[which])

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Float (n, C, S, S), standardised so that 0 is the mean colour, to the same shape, channels last in memory."""
        device, reach = images.device, self.reach
        padded = functional.pad(images, (reach, reach, reach, reach), mode="replicate")
        picked = padded.permute(0, 2, 3, 1)[
            torch.arange(len(images), device=device)[:, None, None],
            self.rows.to(device)[:, :, None],
            self.columns.to(device)[:, None, :],
        ]
        hole = (self.hole_rows[:, :, None] & self.hole_columns[:, None, :]).to(device)
        return picked.masked_fill(hole[..., None], 0.0).permute(0, 3, 1, 2)


def draw_changes(n: int, side: int, draw: torch.Generator, *, mirror: bool) -> Changes:
    """Shift every image, mirror half of them if asked, and blank a square in some.

    Args:
        draw: a generator on the CPU.
        mirror: whether a mirror image still shows the same class.
    """
    reach = max(1, round(side * LARGEST_SHIFT))
    top, left = (torch.randint(0, 2 * reach + 1, (n, 1), generator=draw) for _ in range(2))
    along = torch.arange(side)
    rows, columns = top + along, left + along
    if mirror:
        columns = torch.where(torch.rand((n, 1), generator=draw) < 0.5, columns.flip(1), columns)
    blank = max(1, round(side * ERASED_SIDE))
    corner = torch.randint(0, side - blank + 1, (2, n, 1), generator=draw)
    inside = (along >= corner) & (along < corner + blank)  # (2, n, S)
    return Changes(reach, rows, columns, inside[0] & (torch.rand((n, 1), generator=draw) < ERASED), inside[1])


def changed(images: torch.Tensor, draw: torch.Generator, *, mirror: bool) -> torch.Tensor:
    """:func:`draw_changes`, applied at once to float images (n, C, S, S)."""
    return draw_changes(len(images), images.shape[-1], draw, mirror=mirror).apply(images)
