"""Nets that are trained from scratch, by name: a small residual one of our own, and the paper's candidates.

Each is a body that ends in features of shape (n, d) and a linear head, in channels-last memory.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mcal_engine.classifiers.nets.headed import Headed

WIDTHS = (32, 64, 128)  # channels of our own net


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut; halves the side where ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shrink = nn.Identity() if stride == 1 else nn.AvgPool2d(stride, ceil_mode=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, s, s) to (n, outputs, ⌈s / stride⌉, ⌈s / stride⌉)."""
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(self.shrink(x)))


class MeanAndMaximum(nn.Module):
    """Over places: (n, c, s, s) to (n, 2c)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


def build(net: str, n_classes: int, side: int) -> Headed:
    """A fresh net, its weights drawn from torch's global generator.

    Args:
        net: ``cnn`` or a name of :mod:`mcal_engine.classifiers.nets.paper`.
        side: of the images, px.
    """
    if net == "cnn":
        made = _cnn(n_classes)
    else:
        from mcal_engine.classifiers.nets import paper  # torchvision's models double the time that torch takes to load

        made = paper.NETS[net](n_classes, side)
    return made.to(memory_format=torch.channels_last)


def _cnn(n_classes: int) -> Headed:
    narrow, middle, wide = WIDTHS
    body = nn.Sequential(
        nn.Conv2d(3, narrow, 3, 1, 1, bias=False),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
        Residual(narrow, middle, 2),
        Residual(middle, wide, 2),
        Residual(wide, wide, 1),
        MeanAndMaximum(),
    )
    return Headed(body, 2 * wide, n_classes)
