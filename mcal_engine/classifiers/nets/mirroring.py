"""Whether a mirror image still shows its class, judged from the labelled images alone.

Mirroring doubles what a net sees of photos and clothes, and teaches it wrong digits and letters. The labelled images say which: classify
each by its nearest neighbour among the others, once as they are and once with their mirror images beside them. Where mirror images answer
better than they mislead, they are worth training on.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from mcal_engine.classifiers.base import ImageSource
from mcal_engine.types import IntArray

COMPARED = 4000  # images at most; a matrix product of this many rows takes less than a second
ENOUGH = 3  # gray images whose answer a mirror image has to change
SIDE = 14  # px at which images are compared


def mirror_helps(source: ImageSource, rows: IntArray, classes: IntArray) -> bool:
    """For the images of ``rows`` and their classes, both of shape (n,): whether to train on mirror images too.

    Photos are mirrored unless that clearly misleads (two standard errors). Gray images, which are often writing, need some evidence, and
    one standard error against them is enough. On 300 labels, three draws: no MNIST digits but one draw (2 better, 4 worse), Fashion two
    draws of three, clothing photos always; from 700 labels on, digits never (0 better, 15 worse).
    """
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), COMPARED)).astype(np.int64))
    picked, truth = source.batch(rows[some]), torch.from_numpy(np.ascontiguousarray(classes[some]))
    small = functional.adaptive_avg_pool2d(torch.from_numpy(picked).permute(0, 3, 1, 2).float(), min(SIDE, picked.shape[1]))
    plain = functional.normalize((small - small.mean((1, 2, 3), keepdim=True)).flatten(1))
    mirrored = functional.normalize((small - small.mean((1, 2, 3), keepdim=True)).flip(3).flatten(1))
    near, answer = _nearest(plain, plain)
    near_mirrored, answer_mirrored = _nearest(plain, mirrored)
    closer = near_mirrored > near
    right = truth[answer][closer] == truth[closer]
    right_mirrored = truth[answer_mirrored][closer] == truth[closer]
    better, worse = int((right_mirrored & ~right).sum()), int((right & ~right_mirrored).sum())
    if bool((picked != picked[..., :1]).any()):
        return better - worse >= -2 * math.sqrt(better + worse)
    return better + worse >= ENOUGH and better - worse >= -math.sqrt(better + worse)


def _nearest(asked: torch.Tensor, answering: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Likeness and position of the nearest image other than the image itself, both of shape (n,)."""
    likeness = asked @ answering.T
    likeness.fill_diagonal_(-2.0)
    best = likeness.max(dim=1)
    return best.values, best.indices
