"""Trains in a child process on the images of the campaign's shelf."""

from __future__ import annotations

import fcntl
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from backend.shared_cache import SharedCache
from backend.steps import kept_answers
from backend.steps.images import BESIDE, TEXTS, CampaignImages
from backend.steps.ports import Heartbeat
from backend.training import Place, run_training
from mcal_engine.classifiers import parse
from mcal_engine.classifiers.base import Progress
from mcal_engine.errors import InvalidValue, MCALError
from mcal_engine.training import Scored, TrainingRequest

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0  # how soon a stop or a lost lease ends a training
TELL_SECONDS = 10.0  # between two progress lines
TURN_SECONDS = 0.2  # between two looks whether the device is free
ANSWERS = "answers"
PLACE, CHECKPOINTS = "embeddings", "checkpoints"  # in the shared cache
CHECKPOINT_FILES = "*.pt"
SHARE_SECONDS = 15.0  # between two looks for new checkpoints while a training runs


class ChildTrainer:
    """A :class:`backend.steps.ports.Trainer`.

    Args:
        images: the shelf with the campaign's images.
        cache_dir: where embeddings are kept between rounds, and beyond campaigns: they are keyed by the images' pixels.
        device: where to train: auto, cpu, cuda ….
        time_limit_hours: of one training, without the wait for the device.
        shared: where other machines keep their embeddings.
    """

    def __init__(
        self, images: CampaignImages, *, cache_dir: Path, device: str, time_limit_hours: float, shared: SharedCache | None = None
    ) -> None:
        self._images, self._cache_dir, self._device, self._time_limit_hours = images, cache_dir, device, time_limit_hours
        self._shared = shared

    def __call__(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> Scored:
        folder, size = self._images.folder(campaign_id), self._images.size(campaign_id)
        if self._images.holds_texts(campaign_id):
            folder, size = folder / TEXTS, None
        elif size is None:
            raise InvalidValue(f"campaign {campaign_id} has no images to train on")
        beside = self._images.folder(campaign_id) / BESIDE if parse(request.classifier).pairs else None
        place = Place(folder, size, self._cache_dir, self._device, self._time_limit_hours * 3600, beside_directory=beside)
        known = kept_answers.find(self._cache_dir / ANSWERS, request, place)
        if known is not None:
            logger.info(
                "campaign %d: round %d: %s has been trained on these labels already", campaign_id, request.round, request.classifier
            )
            return known
        self._pull(campaign_id, request, heartbeat)
        with self._turn(campaign_id, heartbeat):
            told = _Teller(campaign_id, request)
            try:
                found = run_training(request, place, progress=told, heartbeat=self._sharing(heartbeat), heartbeat_seconds=BEAT_SECONDS)
            except MCALError:
                self._images.reopen(campaign_id)  # the child may have found that some are damaged
                raise
        kept_answers.keep(self._cache_dir / ANSWERS, request, place, found)
        self._push(heartbeat)
        took = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in found.seconds.items())
        logger.info("campaign %d: round %d: %s trained on %s: %s", campaign_id, request.round, request.classifier, found.device, took)
        return found

    @contextmanager
    def _turn(self, campaign_id: int, heartbeat: Heartbeat) -> Iterator[None]:
        """Have the device to oneself among all workers of this machine that share the folder; a kill gives it back."""
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        with (self._cache_dir / f"turn-{re.sub(r'[^a-z0-9]', '-', self._device)}").open("a") as file:
            told = False
            while not _locked(file):
                if not told:
                    logger.info("campaign %d: waits for the training of another campaign to end", campaign_id)
                    told = True
                heartbeat()
                time.sleep(TURN_SECONDS)
            yield

    def _pull(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> None:
        """Take the embeddings of these images that another machine has computed."""
        if self._shared is None:
            return
        wanted = self._images.digests(campaign_id, [*request.train_ids.tolist(), *request.score_ids.tolist()])
        for name in self._shared.places(PLACE):
            self._shared.pull(f"{PLACE}/{name}", self._cache_dir / name, heartbeat, wanted=wanted)
        self._shared.pull_files(CHECKPOINTS, self._cache_dir, CHECKPOINT_FILES, heartbeat)

    def _sharing(self, heartbeat: Heartbeat) -> Heartbeat:
        """The heartbeat of a training whose checkpoints are shared while it runs: if this machine dies, another one goes on from there."""
        shared = self._shared
        if shared is None:
            return heartbeat
        looked_at = time.monotonic()

        def beat() -> None:
            nonlocal looked_at
            heartbeat()
            if time.monotonic() - looked_at >= SHARE_SECONDS:
                shared.push_files(CHECKPOINTS, self._cache_dir, CHECKPOINT_FILES)
                looked_at = time.monotonic()

        return beat

    def _push(self, heartbeat: Heartbeat) -> None:
        if self._shared is not None:
            for index in sorted(self._cache_dir.glob("*/index.bin")):
                self._shared.push(f"{PLACE}/{index.parent.name}", index.parent, heartbeat)
            self._shared.push_files(CHECKPOINTS, self._cache_dir, CHECKPOINT_FILES)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Teller:
    """Logs where a training stands, now and then."""

    def __init__(self, campaign_id: int, request: TrainingRequest) -> None:
        self._campaign_id, self._request = campaign_id, request
        self._told_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        request = self._request
        if progress.note is not None:
            logger.warning("campaign %d: round %d: %s: %s", self._campaign_id, request.round, request.classifier, progress.note)
        if time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = time.monotonic()
        what = f"{request.classifier}: {progress.phase}: {progress.done} of {progress.total}"
        what += "" if progress.loss is None else f", loss {progress.loss:.3f}"
        what += "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
        logger.info("campaign %d: round %d: %s", self._campaign_id, request.round, what)
