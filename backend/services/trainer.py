"""Trains in a child process on the images of the campaign's shelf."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np

from backend.services.image_shelf import CampaignImages
from backend.services.ports import Heartbeat, Trained, TrainingRequest
from backend.training import TrainingJob, run_training
from mcal_engine.classifiers.base import Progress
from mcal_engine.errors import InvalidValue

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0  # how soon a stop or a lost lease ends a training
TELL_SECONDS = 10.0  # between two progress lines


class ChildTrainer:
    """A :class:`backend.services.ports.Trainer`.

    Args:
        images: the shelf with the campaign's images.
        cache_dir: where embeddings are kept between rounds, and beyond campaigns: they are keyed by the images' pixels.
        device: where to train: auto, cpu, cuda ….
        time_limit_hours: of one training.
    """

    def __init__(self, images: CampaignImages, *, cache_dir: Path, device: str, time_limit_hours: float) -> None:
        self._images, self._cache_dir, self._device, self._time_limit_hours = images, cache_dir, device, time_limit_hours

    def __call__(self, request: TrainingRequest, heartbeat: Heartbeat) -> Trained:
        size = self._images.size(request.campaign_id)
        if size is None:
            raise InvalidValue(f"campaign {request.campaign_id} has no images to train on")
        job = TrainingJob(
            image_directory=self._images.folder(request.campaign_id),
            image_size=size,
            cache_directory=self._cache_dir,
            classifier=request.classifier,
            n_classes=request.n_classes,
            train_ids=np.array(request.train_ids, dtype=np.int64),
            train_labels=np.array(request.train_labels, dtype=np.int64),
            score_ids=np.array(request.score_ids, dtype=np.int64),
            seed=request.seed,
            device=self._device,
            time_limit_seconds=self._time_limit_hours * 3600,
        )
        found = run_training(job, progress=_Teller(request), heartbeat=heartbeat, heartbeat_seconds=BEAT_SECONDS)
        took = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in found.seconds.items())
        logger.info(
            "campaign %d: round %d: %s trained on %s: %s", request.campaign_id, request.round, request.classifier, found.device, took
        )
        return Trained(found.logits, dict(found.seconds), found.one_off_seconds)


class _Teller:
    """Logs where a training stands, now and then."""

    def __init__(self, request: TrainingRequest) -> None:
        self._request = request
        self._told_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = time.monotonic()
        request = self._request
        what = f"{request.classifier}: {progress.phase}: {progress.done} of {progress.total}"
        logger.info("campaign %d: round %d: %s", request.campaign_id, request.round, what)
