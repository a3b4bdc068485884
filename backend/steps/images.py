"""The campaign's images at training size: fetched in parallel through Label Studio once, decoded, kept on disk across restarts.

Where several machines share a cache, what another one has fetched comes from there. Texts stand in the ledger; they are kept here as well,
for trainings.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np

from backend.label_studio.images import fetch_many
from backend.label_studio.port import LabelStudioPort, MediaError
from backend.shared_cache import SharedCache
from backend.steps.ports import Heartbeat
from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.images.decoding import LOOKED_AT, ImageForm, Measured, choose_form, measure, sample_of
from mcal_engine.classifiers.images.image_cache import ImageCache
from mcal_engine.classifiers.texts.reading import UnreadableText, readable
from mcal_engine.classifiers.texts.text_cache import TextCache
from mcal_engine.types import IntArray

logger = logging.getLogger(__name__)

HELD_BYTES = 64 << 20  # of images that the form was chosen from; the others of them are fetched a second time
TELL_EVERY = 500  # images between two progress lines
SHARE_EVERY = 5000  # images that a worker which dies in mid-fetch costs the next one at most
PLACE = "images"  # in the shared cache
TEXTS = "texts"  # the folder of a campaign whose items are texts
BESIDE = "beside"  # the folder of the texts beside images


class CampaignImages:
    """An :class:`backend.steps.ports.ImageShelf` with one folder per campaign.

    Args:
        port: where images are fetched.
        directory: the folder of all campaigns' images.
        max_bytes: larger files are not read.
        max_pixels: larger images are not decoded.
        threads: images of one campaign fetched at the same time.
        name_of: a campaign's id → the name of its folder: another one for each campaign of all databases that share the directory or
            the cache, so that no campaign is ever trained on another one's images.
        shared: where other machines keep theirs.
    """

    def __init__(
        self,
        port: LabelStudioPort,
        directory: Path,
        *,
        max_bytes: int,
        max_pixels: int,
        threads: int,
        name_of: Callable[[int], str],
        shared: SharedCache | None = None,
    ) -> None:
        self._port, self._directory, self._name_of, self._shared = port, directory, name_of, shared
        self._max_bytes, self._max_pixels, self._threads = max_bytes, max_pixels, threads
        self._caches: dict[int, ImageCache] = {}
        self._held: dict[int, dict[int, bytes | str]] = {}  # campaign → task → the image that was looked at, or why it cannot be read

    def folder(self, campaign_id: int) -> Path:
        """Where a campaign's images are kept."""
        return self._directory / self._name_of(campaign_id)

    def size(self, campaign_id: int) -> int | None:
        """Side of the kept images in px; ``None`` before the first one was fetched."""
        return _smallest_side(each.name for each in self.folder(campaign_id).glob("*px"))

    def digests(self, campaign_id: int, task_ids: Sequence[int]) -> IntArray:
        """The digests of kept images, by which their embeddings are found; of those that are here, in no order."""
        if self.holds_texts(campaign_id):
            texts = self.texts(campaign_id)
            return texts.keys(texts.rows([task for task, kept in zip(task_ids, texts.has(task_ids), strict=True) if kept]))
        cache = self._cache(campaign_id)
        assert cache is not None  # asked before a training, which has images
        here = [task for task, kept in zip(task_ids, cache.has(task_ids), strict=True) if kept]
        of_images, beside = cache.keys(cache.rows(here)), self.beside(campaign_id)
        if beside is None:
            return of_images
        there = [task for task, kept in zip(task_ids, beside.has(task_ids), strict=True) if kept]
        return np.concatenate([of_images, beside.keys(beside.rows(there))])

    def holds_texts(self, campaign_id: int) -> bool:
        """Whether the campaign's items are texts."""
        return (self.folder(campaign_id) / TEXTS).is_dir()

    def texts(self, campaign_id: int) -> TextCache:
        """The campaign's texts."""
        return TextCache(self.folder(campaign_id) / TEXTS)

    def keep_texts(self, campaign_id: int, texts: Mapping[int, str]) -> dict[int, str]:
        """Keep the texts of tasks that are not here yet; see the port."""
        kept, reasons = self.texts(campaign_id), dict[int, str]()
        fresh: dict[int, str] = {}
        for task in kept.missing(list(texts)):
            try:
                fresh[task] = readable(texts[task])
            except UnreadableText as error:
                reasons[task] = error.reason
        kept.add(fresh)
        return reasons

    def beside(self, campaign_id: int) -> TextCache | None:
        """The texts beside the campaign's images, where some were kept."""
        folder = self.folder(campaign_id) / BESIDE
        return TextCache(folder) if folder.is_dir() else None

    def missing_beside(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        kept = self.beside(campaign_id)
        return list(task_ids) if kept is None else kept.missing(task_ids)

    def keep_beside(self, campaign_id: int, texts: Mapping[int, str]) -> None:
        """Keep the texts beside images; see the port."""
        TextCache(self.folder(campaign_id) / BESIDE).add(texts)

    def missing(self, campaign_id: int, task_ids: Sequence[int]) -> list[int]:
        cache = self._cache(campaign_id)
        return list(task_ids) if cache is None else cache.missing(task_ids)

    def look(self, campaign_id: int, references: Mapping[int, str], heartbeat: Heartbeat) -> tuple[ImageForm | None, dict[int, str]]:
        """Choose the form from a sample of the whole project; see the port. What is fetched for it need not be fetched again."""
        here = self._pulled(campaign_id, None, heartbeat)
        if here is not None:  # begun before forms were recorded
            return ImageForm(here.shape[0]), {}
        held = self._held[campaign_id] = {}
        tasks = list(references)
        order = iter([tasks[place] for place in sample_of(len(tasks)).tolist()])
        measured: list[Measured] = []
        n_bytes = 0
        while len(measured) < LOOKED_AT and (chunk := list(islice(order, LOOKED_AT - len(measured)))):
            reasons: dict[int, str] = {}
            for task, content in self._arriving({task: references[task] for task in chunk}, reasons, heartbeat):
                try:
                    measured.append(measure(content, max_pixels=self._max_pixels))
                except UnreadableImage as error:
                    reasons[task] = error.reason
                    continue
                n_bytes += len(content)
                if n_bytes <= HELD_BYTES:
                    held[task] = content
            held.update(reasons)
        if measured:
            return choose_form(measured), {}
        del self._held[campaign_id]
        return None, {task: reason for task, reason in held.items() if isinstance(reason, str)}

    def fetch(self, campaign_id: int, references: Mapping[int, str], form: ImageForm, heartbeat: Heartbeat) -> dict[int, str]:
        """Fetch and keep images; see the port. Killed in between, what is kept stays kept."""
        cache = self._pulled(campaign_id, form, heartbeat)
        assert cache is not None  # it is made where there is a form
        held = self._held.pop(campaign_id, {})
        wanted = cache.missing(list(references))
        reasons = {task: reason for task in wanted if isinstance(reason := held.get(task), str)}
        looked_at = ((task, content) for task in wanted if isinstance(content := held.get(task), bytes))
        arriving = self._arriving({task: references[task] for task in wanted if task not in held}, reasons, heartbeat)
        for done, (task, content) in enumerate(chain(looked_at, arriving), start=1):
            try:
                cache.add(task, content)
            except UnreadableImage as error:
                reasons[task] = error.reason
            if done % SHARE_EVERY == 0:
                self._push(campaign_id, cache, heartbeat)
        cache.flush()
        self._push(campaign_id, cache, heartbeat)
        return reasons

    def reopen(self, campaign_id: int) -> None:
        """Look at the disk anew: what another process found to be damaged is missing then."""
        self._caches.pop(campaign_id, None)

    def discard(self, campaign_id: int) -> None:
        """Delete a campaign's images."""
        self._caches.pop(campaign_id, None)
        self._held.pop(campaign_id, None)
        shutil.rmtree(self.folder(campaign_id), ignore_errors=True)
        if self._shared is not None:
            self._shared.remove(self._place(campaign_id))

    def sweep(self, live: Callable[[], Sequence[int]]) -> None:
        """Delete the folders of campaigns that have ended on other machines."""
        there = sorted(self._directory.glob("campaign-*"))  # first, so that a campaign which begins now is not among them
        kept = {self._name_of(campaign_id) for campaign_id in live()}
        for folder in there:
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _place(self, campaign_id: int) -> str:
        return f"{PLACE}/{self._name_of(campaign_id)}"

    def _pulled(self, campaign_id: int, form: ImageForm | None, heartbeat: Heartbeat) -> ImageCache | None:
        """The campaign's cache with what other machines have fetched; without a form, ``None`` where nobody has fetched anything yet."""
        place = self._place(campaign_id)
        side = self.size(campaign_id) if form is None else form.side
        if self._shared is not None:
            side = side or _smallest_side(self._shared.places(place))
        if self._shared is not None and side is not None:
            self._shared.pull(f"{place}/{side}px", self.folder(campaign_id) / f"{side}px", heartbeat)
        cache = self._cache(campaign_id, form)
        if cache is not None:
            cache.refresh()
        return cache

    def _push(self, campaign_id: int, cache: ImageCache, heartbeat: Heartbeat) -> None:
        if self._shared is not None:
            side = f"{cache.shape[0]}px"
            self._shared.push(f"{self._place(campaign_id)}/{side}", self.folder(campaign_id) / side, heartbeat)

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

    def _cache(self, campaign_id: int, form: ImageForm | None = None) -> ImageCache | None:
        known = self._caches.get(campaign_id)
        if known is not None and form in (None, known.form):
            return known
        size = self.size(campaign_id)
        if form is None and size is not None:
            form = ImageForm(size)  # to read what is kept; what is added comes with its form
        if form is not None:
            self._caches[campaign_id] = ImageCache(self.folder(campaign_id), form.side, gray=form.gray, max_pixels=self._max_pixels)
        return self._caches.get(campaign_id)


def _smallest_side(names: Iterable[str]) -> int | None:
    sides = [int(match[1]) for name in names if (match := re.fullmatch(r"(\d+)px", name))]
    return min(sides, default=None)
