"""Distances of acquisitions that pick items far from each other, on the GPU: one pass over the pool's features per pick."""

from __future__ import annotations

import torch

from mcal_engine.acquisition import Closest, Distances, Features, by_numpy
from mcal_engine.classifiers import devices
from mcal_engine.types import FloatArray


def on(name: str) -> Distances:
    """Where a device of that name (as for :func:`mcal_engine.classifiers.devices.pick`) measures distances.

    A CUDA device does where the features fit beside what else is on it; everywhere else NumPy does, which is no slower than torch on a
    CPU. (Apple's MPS has no double precision.)
    """
    device = devices.pick(name)

    def distances(points: Features, norms: FloatArray) -> Closest:
        fits = device.type == "cuda" and points.nbytes < devices.room(device)
        return by_torch(points, norms, device) if fits else by_numpy(points, norms)

    return distances


def by_torch(points: Features, norms: FloatArray, device: torch.device) -> Closest:
    """:data:`~mcal_engine.acquisition.Distances` with the points kept on ``device``; per call only centres and one number per point move.

    Products are in single precision as NumPy's, without TF32, and sums in double precision, so that both agree to far below the grid
    that distances are compared on.
    """
    held, squares = torch.as_tensor(points, device=device), torch.as_tensor(norms, device=device)

    @torch.inference_mode()
    def closest(centres: Features) -> FloatArray:
        some = torch.as_tensor(centres, device=device)
        away = some.double().square().sum(dim=1) - 2.0 * (held @ some.T).double()
        return (away.amin(dim=1) + squares).cpu().numpy()

    return closest
