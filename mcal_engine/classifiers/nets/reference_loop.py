"""What our own loops are measured against: the loop of a torchvision tutorial, with the same nets on the same images.

Images pass one by one through torchvision's transforms in a ``DataLoader``; float32, no channels-last memory, no mixed precision. A
pretrained net is trained as a whole, from its pretrained weights, and enlarges its images anew each time.
"""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mcal_engine.classifiers import devices, encoders
from mcal_engine.classifiers.base import ImageSource
from mcal_engine.classifiers.candidates import Candidate
from mcal_engine.classifiers.nets.named import build
from mcal_engine.types import IntArray

_STANDARD = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class _Images(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, source: ImageSource, rows: IntArray, labels: IntArray, transform: transforms.Compose) -> None:
        self._source, self._rows, self._labels, self._transform = source, rows, labels, transform

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return self._transform(self._source.batch(self._rows[place : place + 1])[0]), int(self._labels[place])


def throughput(
    candidate: Candidate, source: ImageSource, rows: IntArray, labels: IntArray, n_classes: int, device: str, *, batch: int, epochs: int
) -> tuple[float, float]:
    """Images per second of training (``epochs`` passes) and of scoring (one pass), each after one batch that is not counted."""
    where = devices.pick(device)
    side = source.shape[0]
    with devices.repeatable(where, 0):
        model, end = _plain(candidate, n_classes, side)
        model.to(where, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        moved = [transforms.RandomCrop(side, padding=max(1, side // 14)), transforms.RandomHorizontalFlip()]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

        def train(some: int) -> None:
            model.train()
            data = _Images(source, rows[:some], labels[:some], transforms.Compose([transforms.ToPILImage(), *moved, *end]))
            for images, truth in DataLoader(data, batch_size=batch, shuffle=True, drop_last=some > batch):
                optimizer.zero_grad()
                functional.cross_entropy(model(images.to(where)), truth.to(where)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()

        @torch.inference_mode()
        def score(some: int) -> None:
            model.eval()
            data = _Images(source, rows[:some], labels[:some], transforms.Compose([transforms.ToPILImage(), *end]))
            for images, _ in DataLoader(data, batch_size=batch):
                model(images.to(where)).cpu()

        return _rate(train, len(rows), batch, epochs), _rate(score, len(rows), batch, 1)


def _plain(candidate: Candidate, n_classes: int, side: int) -> tuple[nn.Module, list[object]]:
    """The candidate's net, and the transforms that make of an image what it takes."""
    if "net" in candidate.arguments:
        return build(candidate.arguments["net"], n_classes, side), [transforms.ToTensor(), transforms.Normalize(*_STANDARD)]
    pretrained = encoders.load(candidate.arguments.get("encoder"), side, candidate.arguments.get("weights"))
    net = nn.Sequential(pretrained.lower, pretrained.upper, nn.Linear(pretrained.shapes()[1], n_classes))
    standard = ([value / 255 for value in values] for values in (pretrained.mean, pretrained.spread))
    enlarged = transforms.Resize(pretrained.side, transforms.InterpolationMode.BICUBIC)
    return net, [enlarged, transforms.ToTensor(), transforms.Normalize(*standard)]


def _rate(work: object, n: int, batch: int, times: int) -> float:
    assert callable(work)
    work(min(batch, n))
    began = time.perf_counter()
    for _ in range(times):
        work(n)
    return n * times / (time.perf_counter() - began)
