"""Training images as uint8: all of them on the device where they fit, else read in pieces, the next one while the last one is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.nn import functional

from mcal_engine.classifiers.base import ImageSource, UInt8Array
from mcal_engine.types import IntArray

READ_AT_ONCE = 1024  # images


def to_device(images: UInt8Array, device: torch.device, largest_side: int) -> torch.Tensor:
    """uint8 (n, S, S, 3) to uint8 (n, 3, s, s) on the device, channels last in memory, averaged down to s ≤ ``largest_side``."""
    x = torch.from_numpy(images)
    if device.type == "cuda":
        x = x.pin_memory()
    x = x.to(device, non_blocking=True).permute(0, 3, 1, 2)
    if x.shape[-1] > largest_side:
        x = functional.interpolate(x.float(), size=(largest_side, largest_side), mode="area").round().to(torch.uint8)
    return x.contiguous(memory_format=torch.channels_last)


class Pixels:
    """The images of some rows, addressed by position among them.

    Attributes:
        resident: whether all are on the device.
        mirrors: see :class:`mcal_engine.classifiers.nets.fitting.Examples`.
        side: their side, px.
        mean, spread: per channel, shape (3,), on the device.
    """

    mirrors = False

    def __init__(self, source: ImageSource, rows: IntArray, device: torch.device, *, largest_side: int, room: int) -> None:
        """``room``: bytes that resident images may take."""
        self._source, self._rows, self._device, self._largest_side = source, rows, device, largest_side
        self.side = min(source.shape[0], largest_side)
        self.resident = len(rows) * 3 * self.side**2 <= room
        kept: list[torch.Tensor] = []
        total = torch.zeros(2, 3, dtype=torch.float64, device="cpu")
        for start in range(0, len(rows), READ_AT_ONCE):
            x = self._read(torch.arange(start, min(start + READ_AT_ONCE, len(rows))))
            flat = x.permute(0, 2, 3, 1).reshape(-1, 3).float()
            # float32 sums of one piece, float64 over pieces: MPS has no float64.
            total += torch.stack([flat.sum(0), (flat * flat).sum(0)]).cpu().double()
            if self.resident:
                kept.append(x)
        self._images = torch.cat(kept).contiguous(memory_format=torch.channels_last) if kept else None
        mean = total[0] / (len(rows) * self.side**2)
        spread = (total[1] / (len(rows) * self.side**2) - mean**2).clamp(min=0).sqrt() + 1.0
        self.mean, self.spread = mean.float().to(device), spread.float().to(device)

    def batches(self, parts: Sequence[torch.Tensor], mirrored: torch.Tensor | None = None) -> Iterator[torch.Tensor]:
        """uint8 (len(part), 3, s, s) for each part, positions on the CPU."""
        del mirrored
        if self._images is not None:
            for part in parts:
                yield self._images[part.to(self._device)]
            return
        with ThreadPoolExecutor(1, thread_name_prefix="read-images") as reader:
            ahead = reader.submit(self._read, parts[0]) if parts else None
            for number in range(len(parts)):
                assert ahead is not None
                images = ahead.result()
                if number + 1 < len(parts):
                    ahead = reader.submit(self._read, parts[number + 1])
                yield images

    def shown(self, examples: torch.Tensor) -> torch.Tensor:
        """uint8 (n, 3, s, s) to float with mean 0 and spread 1 per channel."""
        return standardised(examples, self.mean, self.spread)

    def _read(self, part: torch.Tensor) -> torch.Tensor:
        return to_device(self._source.batch(self._rows[part.numpy()]), self._device, self._largest_side)


def standardised(images: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """uint8 (n, 3, s, s) to float with mean 0 and spread 1 per channel."""
    return (images.float() - mean.view(3, 1, 1)) / spread.view(3, 1, 1)
