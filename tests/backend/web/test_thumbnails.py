"""Pictures on the pages are read as the classifiers' are."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from werkzeug.exceptions import NotFound

from backend.simtest.label_studio import FakeLabelStudio
from backend.web.thumbnails import Thumbnails
from mcal_engine.classifiers.images.decoding import GrayRange


def test_deep_gray_is_shown_in_the_campaigns_range() -> None:
    made = io.BytesIO()
    Image.fromarray(np.full((8, 8), 2000, dtype=np.uint16)).save(made, "PNG")
    tools = SimpleNamespace(label_studio=FakeLabelStudio())
    tools.label_studio.media["/data/1.png"] = made.getvalue()
    item = SimpleNamespace(task_id=1, image="/data/1.png")
    for gray, shade in ((GrayRange(0, 4095), 125), (GrayRange(0, 65535), 8)):
        shown = Image.open(io.BytesIO(Thumbnails().get(tools, 1, item, gray=gray))).convert("L")  # type: ignore[arg-type]
        assert abs(int(np.asarray(shown)[4, 4]) - shade) <= 2


def test_what_is_too_large_for_the_web_server_is_not_decoded_there() -> None:
    made = io.BytesIO()
    Image.new("1", (400, 300)).save(made, "PNG")
    tools = SimpleNamespace(label_studio=FakeLabelStudio())
    tools.label_studio.media["/data/1.png"] = made.getvalue()
    item = SimpleNamespace(task_id=1, image="/data/1.png")
    assert Thumbnails(max_pixels=120_000).get(tools, 1, item)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="above the limit of 119,999"):
        Thumbnails(max_pixels=119_999).get(tools, 1, item)  # type: ignore[arg-type]
