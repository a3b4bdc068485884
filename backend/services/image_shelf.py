"""The campaign's images at training size: fetched in parallel through Label Studio once, decoded, kept on disk across restarts."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from backend.label_studio.images import fetch_many
from backend.label_studio.port import LabelStudioPort, MediaError
from backend.services.ports import Heartbeat
from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.image_cache import ImageCache, choose_size, image_size

logger = logging.getLogger(__name__)

SAMPLED = 24  # images that the training size is chosen from; held in memory together, so only a few
TELL_EVERY = 500  # images between two progress lines


class CampaignImages:
    """An :class:`backend.services.ports.ImageShelf` with one folder per campaign.

    Args:
        port: where images are fetched.
        directory: the folder of all campaigns' images.
        max_bytes: larger files are not read.
        max_pixels: larger images are not decoded.
        threads: images fetched at the same time.
    """

    def __init__(self, port: LabelStudioPort, directory: Path, *, max_bytes: int, max_pixels: int, threads: int) -> None:
        self._port, self._directory = port, directory
        self._max_bytes, self._max_pixels, self._threads = max_bytes, max_pixels, threads
        self._caches: dict[int, ImageCache] = {}

    def folder(self, campaign_id: int) -> Path:
        """Where a campaign's images and what is computed from them are kept."""
        return self._directory / f"campaign-{campaign_id}"

    def size(self, campaign_id: int) -> int | None:
        """Side of the kept images in px; ``None`` before the first one was fetched."""
        found = sorted(int(match[1]) for each in self.folder(campaign_id).glob("*px") if (match := re.fullmatch(r"(\d+)px", each.name)))
        return found[0] if found else None

    def missing(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        cache = self._cache(campaign_id)
        return list(task_ids) if cache is None else cache.missing(task_ids)

    def fetch(self, campaign_id: int, references: Mapping[int, str], heartbeat: Heartbeat) -> dict[int, str]:
        """Fetch and keep images; see the port. Killed in between, what is kept stays kept."""
        reasons: dict[int, str] = {}
        arriving = self._arriving(references, reasons, heartbeat)
        cache = self._cache(campaign_id)
        sample: list[tuple[int, bytes]] = []
        if cache is None:
            sample = list(islice(arriving, SAMPLED))
            cache = self._new_cache(campaign_id, sample, reasons)
        if cache is None:
            return reasons  # not one image could be read
        for task, content in _chain(sample, arriving):
            if task not in reasons:
                try:
                    cache.add(task, content)
                except UnreadableImage as error:
                    reasons[task] = error.reason
        cache.flush()
        return reasons

    def discard(self, campaign_id: int) -> None:
        """Delete a campaign's images."""
        self._caches.pop(campaign_id, None)
        shutil.rmtree(self.folder(campaign_id), ignore_errors=True)

    def _arriving(self, references: Mapping[int, str], reasons: dict[int, str], heartbeat: Heartbeat) -> Iterator[tuple[int, bytes]]:
        found = fetch_many(self._port, references.items(), max_bytes=self._max_bytes, threads=self._threads)
        for done, (task, content) in enumerate(found, start=1):
            heartbeat()
            if done % TELL_EVERY == 0 or done == len(references):
                logger.info("images: %d of %d fetched, %d cannot be read", done, len(references), len(reasons))
            if isinstance(content, MediaError):
                reasons[task] = str(content)
            else:
                yield task, content

    def _cache(self, campaign_id: int) -> ImageCache | None:
        if campaign_id not in self._caches:
            size = self.size(campaign_id)
            if size is None:
                return None
            self._caches[campaign_id] = ImageCache(self.folder(campaign_id), size, max_pixels=self._max_pixels)
        return self._caches[campaign_id]

    def _new_cache(self, campaign_id: int, sample: Iterable[tuple[int, bytes]], reasons: dict[int, str]) -> ImageCache | None:
        sizes = []
        for task, content in sample:
            try:
                sizes.append(image_size(content, max_pixels=self._max_pixels))
            except UnreadableImage as error:
                reasons[task] = error.reason
        if not sizes:
            return None
        side = choose_size(sizes)
        logger.info("campaign %d: images are kept at %d × %d pixels", campaign_id, side, side)
        self._caches[campaign_id] = ImageCache(self.folder(campaign_id), side, max_pixels=self._max_pixels)
        return self._caches[campaign_id]


def _chain(first: Iterable[tuple[int, bytes]], then: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    yield from first
    yield from then
