"""The candidates of the paper, made of torchvision's parts and without its weights.

Below 64 px the first convolution and pooling, made for 224 px, would throw most of the image away: there the stem is a 3×3 convolution of
stride 1 without pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import efficientnet_b0, resnet50
from torchvision.models.resnet import BasicBlock, ResNet

from mcal_engine.classifiers.nets.headed import Headed

SMALL = 64  # px; images below it get the small stem


class Plain(BasicBlock):  # type: ignore[misc]
    """A block of ResNet-18 without its shortcut: what the paper's CNN18 is made of."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.downsample = None  # belongs to the shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)))


def _resnet(whole: ResNet, n_classes: int, side: int) -> Headed:
    if side < SMALL:
        whole.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(whole.conv1.weight, mode="fan_out", nonlinearity="relu")
        whole.maxpool = nn.Identity()
    width = whole.fc.in_features
    whole.fc = nn.Identity()
    return Headed(whole, width, n_classes)


def _efficientnet_b0(n_classes: int, side: int) -> Headed:
    whole = efficientnet_b0(weights=None)
    if side < SMALL:
        whole.features[0][0].stride = (1, 1)
    dropout, head = whole.classifier
    whole.classifier = nn.Identity()
    return Headed(whole, head.in_features, n_classes, dropout.p)


NETS: Mapping[str, Callable[[int, int], Headed]] = {
    "cnn18": lambda n_classes, side: _resnet(ResNet(Plain, [2, 2, 2, 2]), n_classes, side),
    "resnet18": lambda n_classes, side: _resnet(ResNet(BasicBlock, [2, 2, 2, 2]), n_classes, side),
    "resnet50": lambda n_classes, side: _resnet(resnet50(weights=None), n_classes, side),
    "efficientnet_b0": _efficientnet_b0,
}
