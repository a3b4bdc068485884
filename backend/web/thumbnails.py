"""Pictures of a campaign's tasks, small and re-encoded: whatever Label Studio serves, browsers get a plain WebP from us."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

import numpy as np
from PIL import Image
from werkzeug.exceptions import NotFound

from backend.label_studio.port import MediaError
from backend.steps.ports import Services
from backend.store import Item
from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.images.decoding import GrayRange, decode

SIDES = (160, 640)  # pixels: on a tile, and to judge by
MAX_BYTES = 50_000_000
MAX_PIXELS = 40_000_000  # the web server has little memory; what is larger is looked at in Label Studio
KEPT = 400


class Thumbnails:
    """Fetched once, kept in memory; a few MB at most. ``max_bytes``, ``max_pixels``: of an image that is fetched and decoded."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> None:
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._kept: OrderedDict[tuple[int, int, str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tools: Services, campaign_id: int, item: Item, *, gray: GrayRange | None = None, side: int = SIDES[0]) -> bytes:
        """WebP bytes.

        Args:
            gray: the campaign's range of deep gray.
            side: pixels of the longer side, at most.

        Raises:
            NotFound: the image cannot be had or read.
        """
        key = (campaign_id, item.task_id, item.image, side)
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = self._make(tools, item, gray, side)
            with self._lock:
                self._kept[key] = found
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return found

    def _make(self, tools: Services, item: Item, gray: GrayRange | None, side: int) -> bytes:
        try:
            content = tools.label_studio.fetch_media(item.image, task_id=item.task_id, max_bytes=self._max_bytes)
            pixels = decode(content, side, gray=gray, max_pixels=self._max_pixels)
        except (MediaError, UnreadableImage) as error:
            raise NotFound(str(error)) from None
        out = io.BytesIO()
        Image.fromarray(np.asarray(pixels)).save(out, "WEBP", quality=82)
        return out.getvalue()
