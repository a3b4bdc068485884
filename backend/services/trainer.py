"""Trains in a child process on the images of the campaign's shelf."""

from __future__ import annotations

from pathlib import Path

from backend.services.image_shelf import CampaignImages
from backend.services.ports import Heartbeat, Trained, TrainingRequest
from mcal_engine.errors import InvalidValue


class ChildTrainer:
    """A :class:`backend.services.ports.Trainer`."""

    def __init__(self, images: CampaignImages, *, cache_dir: Path, device: str, time_limit_hours: float) -> None:
        self._images, self._cache_dir, self._device, self._time_limit_hours = images, cache_dir, device, time_limit_hours
